//! What no box and no key is needed for: clients that take as much of the node as they get.

use super::{Rogues, TestNode, honest, write};
use crate::ethernet::{
    frames::{self, Seen, Tcp},
    host,
};
use pearwood::Launch;
use smoltcp::wire::TcpControl;
use std::time::{Duration, Instant};
use tests::{
    client::Raw,
    wire::{Socket, Wire},
};

/// A connection that the node has taken: it has answered once. QEMU lets only two connections wait until it takes them, and
/// others for seconds.
fn taken(authority: &str) -> Raw {
    let mut raw = Raw::connect(authority);
    raw.say(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").hear_some();
    raw
}

/// So many clients that say that and never read, and those who are honest meanwhile.
fn crowd(rogues: &mut Rogues, what: &str, count: usize, says: &[u8]) {
    let begun = std::time::Instant::now();
    let authority = rogues.node.authority();
    let clients: Vec<Raw> = (0..count)
        .map(|number| {
            let mut raw = taken(&authority);
            // its window may be full before all is sent
            raw.0.set_write_timeout(Some(Duration::from_millis(500))).expect("a timeout");
            raw.say(says);
            if number % 50 == 0 {
                rogues.all_is_well(what);
            }
            raw
        })
        .collect();
    (0..20).for_each(|_| rogues.all_is_well(what));
    drop(clients);
    rogues.all_is_well(what);
    eprintln!("{what}: {} ms", begun.elapsed().as_millis());
}

#[test]
fn no_client_takes_more_than_its_share() {
    let folder = tempfile::tempdir().expect("a folder");
    let echo = "[box.echo]\ncomponent = \"echo\"\n";
    write(folder.path(), &(honest("{ box = \"echo\", path = \"/echo/\" }") + echo));
    let launch: &'static Launch = Box::leak(Box::new(Launch::prepare(folder.path()).expect("a system")));
    let (machine, socket) = Socket::through(launch.reachable());
    let (node, mut wire) = TestNode::start_wired(launch, machine, || Wire::connect(socket, is_for_strangers));
    let mut node = Rogues::new(node, |_| ());
    let rogues = &mut node;
    flood(rogues, &mut wire);
    // more than this machine takes in for a client that does not read
    let large = "GET /echo/bytes?n=10000000 HTTP/1.1\r\nHost: x\r\n\r\n";
    crowd(rogues, "530 requests for what is never read", 530, large.as_bytes());
    crowd(rogues, "16 requests each of 17 clients", 17, large.repeat(16).as_bytes());
    let more = large.repeat(16) + &"A".repeat(64 << 10);
    crowd(rogues, "full pipelines and more input", 170, more.as_bytes());
    let head = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}", "a".repeat(15_900));
    crowd(rogues, "heads that do not end", 645, head.as_bytes());
    slow_posts(rogues);
    rogues.logged(0, "http", "too much waits for slow clients");
    rogues.logged(0, "net", "connections not taken or given up half open");
    node.end();
}

/// Requests whose bodies come a byte at a time.
fn slow_posts(rogues: &mut Rogues) {
    let authority = rogues.node.authority();
    let post = b"POST /echo/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx";
    let mut clients: Vec<Raw> = (0..800)
        .map(|_| {
            let mut raw = taken(&authority);
            raw.say(post);
            raw
        })
        .collect();
    for _ in 0..2 {
        (0..10).for_each(|_| rogues.all_is_well("slow bodies"));
        std::thread::sleep(Duration::from_secs(20));
        for client in &mut clients {
            client.say(b"x");
        }
    }
    rogues.all_is_well("slow bodies");
}

const NODE: &str = "10.0.2.15";

/// Who is far away, and answers from there.
const FAR: &str = "10.0.2.77";
const TRIP: Duration = Duration::from_millis(250);

/// Those who are not there: nobody answers for them.
fn nobody(number: u32) -> String {
    format!("172.16.{}.{}", number / 250 % 250, 2 + number % 250)
}

/// Frames of the node's to those whose frames are made here.
fn is_for_strangers(frame: &[u8]) -> bool {
    let to_nobody = frame.get(12..14) == Some(&[8, 0]) && frame.get(30..32) == Some(&[172, 16]);
    frame.starts_with(&host::CARD) || to_nobody
}

fn segment(
    from: (&str, u16),
    control: TcpControl,
    (sequence, acknowledge): (u32, Option<u32>),
    payload: &[u8],
) -> Vec<u8> {
    frames::tcp(&Tcp { from, to: (NODE, 80), control, sequence, acknowledge, payload })
}

/// A client that is far away: what it says, it says again until it hears something.
struct Far {
    port: u16,
    /// what it says next, and when
    says: Vec<u8>,
    at: Instant,
    again: Duration,
    served: bool,
}

impl Far {
    fn new(port: u16) -> Self {
        let says = segment((FAR, port), TcpControl::Syn, (7_000, None), b"");
        Far { port, says, at: Instant::now(), again: Duration::from_secs(1), served: false }
    }

    fn say(&mut self, wire: &mut Wire) {
        if !self.served && self.at <= Instant::now() {
            wire.send(&self.says);
            self.at = Instant::now() + self.again;
            self.again *= 2;
        }
    }

    fn hear(&mut self, seen: &Seen) {
        match seen.control {
            TcpControl::Rst => panic!("a client that is far away was reset"),
            TcpControl::Syn => {
                let numbers = (7_001, Some(seen.sequence.wrapping_add(1)));
                let get = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
                self.says = segment((FAR, self.port), TcpControl::Psh, numbers, get);
                // there and back
                (self.at, self.again) = (Instant::now() + 2 * TRIP, Duration::from_secs(1));
            }
            _ => self.served |= seen.payload > 0,
        }
    }
}

/// 800 connections a second that are never completed, and clients that are far away.
fn flood(rogues: &mut Rogues, wire: &mut Wire) {
    const A_SECOND: u32 = 800;
    const SECONDS: u32 = 5;
    const EACH: u32 = 100;
    let begun = Instant::now();
    let mut far: Vec<Far> = Vec::new();
    let mut sent = 0;
    while sent < A_SECOND * SECONDS || far.iter().any(|client| !client.served) {
        assert!(begun.elapsed() < tests::node::PATIENCE, "clients that are far away are not served");
        let due = (begun.elapsed().as_secs_f64() * f64::from(A_SECOND)) as u32;
        while sent < due.min(A_SECOND * SECONDS) {
            if sent % A_SECOND == 0 {
                wire.send(&frames::arp(FAR, host::CARD, NODE));
                rogues.all_is_well("a flood of SYNs");
            }
            if sent % EACH == EACH / 2 {
                far.push(Far::new(20_000 + (sent / EACH) as u16));
            }
            wire.send(&segment((&nobody(sent), 5_000), TcpControl::Syn, (sent.wrapping_mul(77_777), None), b""));
            sent += 1;
        }
        far.iter_mut().for_each(|client| client.say(wire));
        if let Some(seen) = wire.next(Duration::from_millis(2)).and_then(|frame| frames::read_tcp(&frame))
            && let Some(client) = far.iter_mut().find(|client| client.port == seen.ports.1)
        {
            client.hear(&seen);
        }
    }
    for client in far {
        wire.send(&segment((FAR, client.port), TcpControl::Rst, (7_001, None), b""));
    }
    rogues.all_is_well("a flood of SYNs");
    eprintln!("a flood of SYNs: {} ms", begun.elapsed().as_millis());
}
