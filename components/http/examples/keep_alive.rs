//! One connection, one request at a time, and a handler that answers each with 1 KiB: what a request costs.
//!
//! ```text
//! cargo build --release -p pearwood-http --example keep_alive
//! valgrind --tool=callgrind --toggle-collect='*Http*turn*' target/release/examples/keep_alive 10000
//! ```

use pearwood_http::{Config, Http, Level, Outside, To, Wake};
use wit::http::{Attach, Event as FromHandler};
use wit::tcp::{Endpoint, Event as FromTcp};
use wit::{Batch, Peer};

struct Null {
    bytes: usize,
}

impl Outside for Null {
    fn send(&mut self, _: To, batch: &[u8]) -> bool {
        self.bytes += batch.len();
        true
    }

    fn wall_clock(&mut self) -> Option<u64> {
        Some(1_800_000_000_000_000_000)
    }

    fn log(&mut self, _: Level, line: &str) {
        println!("{line}");
    }
}

const REQUEST: &[u8] = b"GET /index.html HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n";
const HEADERS: &[u8] = b"content-type: text/html; charset=utf-8\r\ncontent-length: 1024\r\n\
    etag: \"0123456789abcdef0123456789abcdef\"\r\nlast-modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n";

fn main() {
    let number = |place, default| std::env::args().nth(place).map_or(default, |n| n.parse().expect("a number"));
    let (requests, connections): (u32, u32) = (number(1, 10_000), number(2, 1));
    let mut http = Http::new(Config::default(), 14 << 20).expect("memory enough");
    let mut outside = Null { bytes: 0 };
    let (mut tcp, mut handler) = (Batch::new(), Batch::new());
    Peer::Attach(0, b"").encode(&mut tcp);
    Peer::Attach(0, &Attach::default().encode()).encode(&mut handler);
    Peer::Is(0).encode(&mut tcp);
    let remote = Endpoint { address: std::net::Ipv6Addr::LOCALHOST, port: 50_000 };
    for connection in 0..connections {
        FromTcp::Accepted { connection, remote, port: 80, secured: None }.encode(&mut tcp);
    }
    http.turn(Wake { now: 1, tcp: tcp.as_bytes(), handler: handler.as_bytes(), room: false }, &mut outside);

    let mut ids: Vec<u32> = (0..connections).collect();
    let body = [b'x'; 1024];
    for round in 0..requests / connections {
        let now = u64::from(round) * 50_000;
        tcp.clear();
        Peer::Is(0).encode(&mut tcp);
        for connection in 0..connections {
            if round > 0 {
                FromTcp::Sent { connection, bytes: 1300 }.encode(&mut tcp);
            }
            FromTcp::Data { connection, data: REQUEST }.encode(&mut tcp);
        }
        http.turn(Wake { now, tcp: tcp.as_bytes(), ..Wake::default() }, &mut outside);
        handler.clear();
        Peer::Is(0).encode(&mut handler);
        for id in &mut ids {
            let request = *id;
            FromHandler::Response { request, status: 200, headers: HEADERS }.encode(&mut handler);
            FromHandler::Body { request, data: &body }.encode(&mut handler);
            FromHandler::End { request }.encode(&mut handler);
            // The place is used again under its next number.
            *id = id.wrapping_add(1 << 16);
        }
        ids.reverse();
        http.turn(Wake { now, handler: handler.as_bytes(), ..Wake::default() }, &mut outside);
    }
    println!("{requests} requests, {} bytes sent", outside.bytes);
}
