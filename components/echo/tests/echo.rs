//! The echo box as its peers see it.

use pearwood_echo::{Echo, Misdeed, Outside, Wake};
use std::net::Ipv6Addr;
use wit::http::{Command, Event, Head, Scheme};
use wit::{Batch, INITIAL_CREDIT, Peer, Records};

#[derive(Default)]
struct Bench {
    echo: Echo,
    now: u64,
    commands: Batch,
    room: bool,
    sides: Sides,
}

#[derive(Default)]
struct Sides {
    /// kind, id and bytes of what peer 0 got
    got: Vec<(u8, u32, Vec<u8>)>,
    misdeeds: Vec<Misdeed>,
    full: bool,
}

impl Outside for Sides {
    fn send(&mut self, peer: u32, batch: &[u8]) -> bool {
        assert_eq!(peer, 0);
        if !self.full {
            self.got.extend(Records::new(batch).map(Result::unwrap).map(|r| (r.kind, r.id, r.bytes.to_vec())));
        }
        !self.full
    }

    fn misdeed(&mut self, misdeed: Misdeed) {
        self.misdeeds.push(misdeed);
    }
}

impl Bench {
    fn new() -> Self {
        let mut bench = Bench::default();
        Peer::Attach(0, b"").encode(&mut bench.commands);
        bench.turn();
        bench
    }

    fn turn(&mut self) {
        let commands = std::mem::take(&mut self.commands);
        let wake = Wake { now: self.now, handler: commands.as_bytes(), room: std::mem::take(&mut self.room) };
        self.echo.turn(wake, &mut self.sides);
    }

    fn command(&mut self, command: Command<'_>) {
        Peer::Is(0).encode(&mut self.commands);
        command.encode(&mut self.commands);
    }

    fn ask(&mut self, request: u32, method: &str, target: &str, headers: &str) {
        self.ask_to_change(request, method, target, headers, "");
    }

    fn ask_to_change(&mut self, request: u32, method: &str, target: &str, headers: &str, upgrade: &str) {
        let remote = Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0x0102, 0x0304);
        let head = Head {
            method,
            target,
            authority: b"h:80",
            remote,
            headers: headers.as_bytes(),
            scheme: Scheme::Http,
            upgrade,
        };
        self.command(Command::Request { request, head });
    }

    /// The status, headers and body that came for a request, and whether it has ended.
    fn answer(&self, request: u32) -> (u16, String, Vec<u8>, bool) {
        let (mut status, mut headers, mut body, mut ended) = (0, String::new(), Vec::new(), false);
        for (kind, id, bytes) in &self.sides.got {
            let record = wit::Record { kind: *kind, id: *id, bytes };
            if *id != request {
                continue;
            }
            assert!(!ended, "more after the end");
            match Event::decode(&record).unwrap() {
                Event::Response { status: s, headers: h, .. } => {
                    (status, headers) = (s, String::from_utf8(h.to_vec()).unwrap())
                }
                Event::Body { data, .. } => body.extend_from_slice(data),
                Event::End { .. } => ended = true,
                Event::Credit { .. } => {}
                other @ (Event::Trailers { .. } | Event::Fault { .. } | Event::Unknown { .. }) => panic!("{other:?}"),
                Event::Failed { why, .. } => panic!("failed: {why:?}"),
            }
        }
        (status, headers, body, ended)
    }

    fn credit_for_request(&self, request: u32) -> u32 {
        let credit = |(kind, id, bytes): &(u8, u32, Vec<u8>)| {
            (*kind == 4 && *id == request).then(|| u32::from_le_bytes(bytes.as_slice().try_into().unwrap()))
        };
        self.sides.got.iter().filter_map(credit).sum()
    }
}

#[test]
fn another_protocol_goes_on_behind_the_request() {
    let mut bench = Bench::new();
    bench.ask_to_change(7, "GET", "/echo/", "", "echo");
    bench.command(Command::End { request: 7 });
    bench.turn();
    assert_eq!(bench.answer(7), (101, "upgrade: echo\r\n".into(), vec![], false));
    bench.command(Command::Body { request: 7, data: b"hello" });
    bench.command(Command::End { request: 7 });
    bench.turn();
    assert_eq!(bench.answer(7).2, b"hello");
    assert!(bench.answer(7).3);
    bench.ask_to_change(8, "GET", "/echo/", "", "websocket");
    bench.command(Command::End { request: 8 });
    bench.turn();
    assert_eq!((bench.answer(8).0, bench.answer(8).3), (200, true));
}

#[test]
fn a_body_comes_back_as_it_is_sent() {
    let mut bench = Bench::new();
    bench.ask(7, "POST", "/echo/", "Content-Type: text/x\r\nOther: y\r\nContent-Length: 10\r\n");
    bench.command(Command::Body { request: 7, data: b"hello" });
    bench.turn();
    let headers = "Content-Type: text/x\r\nContent-Length: 10\r\n".to_owned();
    assert_eq!(bench.answer(7), (200, headers.clone(), b"hello".to_vec(), false));
    assert_eq!(bench.credit_for_request(7), 5);
    bench.command(Command::Body { request: 7, data: b"world" });
    bench.command(Command::End { request: 7 });
    bench.turn();
    assert_eq!(bench.answer(7), (200, headers, b"helloworld".to_vec(), true));
}

#[test]
fn a_large_body_waits_for_credit() {
    let mut bench = Bench::new();
    bench.ask(7, "POST", "/", "");
    for part in 0..2 {
        bench.command(Command::Body { request: 7, data: &[part; 50_000] });
    }
    bench.turn();
    assert_eq!(bench.answer(7).2.len(), INITIAL_CREDIT as usize);
    assert_eq!(bench.credit_for_request(7), INITIAL_CREDIT);
    bench.command(Command::End { request: 7 });
    bench.turn();
    assert!(!bench.answer(7).3);
    bench.command(Command::Credit { request: 7, bytes: 40_000 });
    bench.turn();
    assert_eq!(bench.answer(7).2, [[0; 50_000], [1; 50_000]].concat());
    assert!(bench.answer(7).3);
}

#[test]
fn bytes_as_many_as_asked_for() {
    let mut bench = Bench::new();
    bench.ask(1, "GET", "/bytes?n=200000", "");
    bench.ask(2, "HEAD", "/bytes?n=200000", "");
    bench.turn();
    let (_, headers, body, ended) = bench.answer(2);
    assert!(headers.contains("content-length: 200000\r\n") && body.is_empty() && ended);
    let mut had = INITIAL_CREDIT as usize;
    assert_eq!(bench.answer(1).2.len(), had);
    while !bench.answer(1).3 {
        bench.command(Command::Credit { request: 1, bytes: 30_000 });
        bench.turn();
        had = (had + 30_000).min(200_000);
        assert_eq!(bench.answer(1).2.len(), had);
    }
    assert!(bench.answer(1).2.iter().enumerate().all(|(at, &byte)| byte == at as u8));
}

#[test]
fn many_at_once_are_sent_in_batches() {
    let mut bench = Bench::new();
    for request in 0..10 {
        bench.ask(request, "GET", "/bytes?n=60000", "");
    }
    bench.turn();
    assert!((0..10).all(|request| bench.answer(request).3), "no other wake is needed");
}

#[test]
fn a_peer_without_room_is_waited_for() {
    let mut bench = Bench::new();
    bench.sides.full = true;
    bench.ask(1, "GET", "/bytes?n=60000", "");
    bench.turn();
    bench.ask(2, "GET", "/status/404", "");
    bench.turn();
    bench.sides.full = false;
    bench.turn();
    assert!(bench.sides.got.is_empty());
    bench.room = true;
    bench.turn();
    assert!(bench.answer(1).3);
    assert_eq!(bench.answer(2).0, 404);
}

#[test]
fn short_answers() {
    let mut bench = Bench::new();
    bench.ask(1, "GET", "/headers?q", "A: b\r\n");
    bench.ask(2, "GET", "/status/418", "");
    bench.ask(3, "GET", "/status/1", "");
    bench.ask(4, "GET", "/bytes", "");
    bench.turn();
    assert_eq!(bench.answer(1).2, b"GET /headers?q\nauthority: h:80\nremote: 1.2.3.4\nA: b\n");
    assert_eq!((bench.answer(2).0, bench.answer(3).0, bench.answer(4).0), (418, 400, 400));
    assert!((1..=4).all(|request| bench.answer(request).3));
}

#[test]
fn slow_is_answered_in_time() {
    let mut bench = Bench::new();
    bench.ask(1, "GET", "/slow?ms=500", "");
    bench.ask(2, "GET", "/slow?ms=200", "");
    bench.ask(3, "GET", "/slow?ms=100", "");
    bench.turn();
    bench.command(Command::Cancel { request: 3 });
    bench.turn();
    assert_eq!(bench.echo.deadline(), 200_000_000);
    bench.now = 200_000_000;
    bench.turn();
    assert!(bench.answer(2).3 && !bench.answer(1).3);
    bench.now = 500_000_000;
    bench.turn();
    assert!(bench.answer(1).3);
    assert_eq!(bench.answer(3).0, 0);
    assert_eq!(bench.echo.deadline(), u64::MAX);
}

#[test]
fn misdeeds_are_done_when_asked_for() {
    let mut bench = Bench::new();
    for (request, target) in ["/trap", "/loop", "/eat", "/garbage?batch"].into_iter().enumerate() {
        bench.ask(request as u32, "GET", target, "");
    }
    bench.ask(9, "GET", "/garbage", "");
    bench.turn();
    assert_eq!(bench.sides.misdeeds, [Misdeed::Trap, Misdeed::Loop, Misdeed::Eat, Misdeed::BadBatch(0)]);
    let malformed =
        bench.sides.got.iter().filter(|(kind, id, bytes)| {
            *id == 9 && Event::decode(&wit::Record { kind: *kind, id: *id, bytes }).is_err()
        });
    assert_eq!(malformed.count(), 4);
}

#[test]
fn a_peer_that_is_gone_or_replaced_leaves_nothing() {
    let mut bench = Bench::new();
    bench.ask(1, "POST", "/", "");
    bench.turn();
    Peer::Detach(0, b"trap").encode(&mut bench.commands);
    bench.command(Command::Body { request: 1, data: b"late" });
    Peer::Attach(0, b"").encode(&mut bench.commands);
    bench.command(Command::Body { request: 1, data: b"of nobody" });
    bench.turn();
    assert!(bench.answer(1).2.is_empty());
    assert_eq!(bench.echo.deadline(), u64::MAX);
}

#[test]
fn malformed_commands_fail_their_request_only() {
    let mut bench = Bench::new();
    bench.ask(1, "POST", "/", "");
    bench.ask(2, "POST", "/", "");
    bench.turn();
    Peer::Is(0).encode(&mut bench.commands);
    bench.commands.push(4, 1, b"123");
    bench.commands.push(200, 5, b"");
    bench.command(Command::Body { request: 2, data: b"x" });
    bench.turn();
    assert!(bench.sides.got.iter().any(|(kind, id, _)| (*kind, *id) == (5, 1)));
    assert_eq!(bench.answer(2).2, b"x");
}
