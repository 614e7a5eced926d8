//! Requests of a box, and the hosts that they reach: both, and what is between them, are played by the test.

use pearwood_fetch::{Config, Fetch, Level, Outside, To, Wake};
use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use wit::http::{Attach, Command, Event, Head, Scheme};
use wit::tcp::{self, Cause};
use wit::{Batch, INITIAL_CREDIT, Peer, names};

const SECOND: u64 = 1_000_000_000;
const MEMORY: usize = 16 << 20;

/// Numbers of the peers at the port for connections.
const NET: u32 = 0;
const TLS: u32 = 1;

#[derive(Debug, Default, PartialEq, Eq, Clone)]
struct Answer {
    heads: Vec<(u16, String)>,
    body: Vec<u8>,
    trailers: String,
    credit: u64,
    is_over: bool,
    cause: Option<Cause>,
    failed: Option<String>,
}

#[derive(Debug, Default)]
struct Host {
    got: Vec<u8>,
    credit: u64,
    is_aborted: bool,
}

#[derive(Default)]
struct Sides {
    answers: BTreeMap<u32, Answer>,
    /// by who has made the connection, and its number
    hosts: BTreeMap<(u32, u32), Host>,
    dials: Vec<(u32, u32, String, u16)>,
    connects: Vec<(u32, u32, tcp::Endpoint)>,
    lookups: Vec<(u32, String)>,
    log: Vec<String>,
    let_go: Vec<To>,
    client_is_deaf: bool,
}

impl Outside for Sides {
    fn send(&mut self, to: To, batch: &[u8]) -> bool {
        assert!(batch.len() <= wit::MAX_BATCH);
        if self.client_is_deaf && matches!(to, To::Client(_)) {
            return false;
        }
        for record in wit::Records::new(batch).map(Result::unwrap) {
            if record.kind >= Peer::FIRST_KIND {
                self.let_go.push(to);
                continue;
            }
            match to {
                To::Client(_) => self.event(Event::decode(&record).unwrap()),
                To::Tcp(peer) => self.command(peer, tcp::Command::decode(&record).unwrap()),
                To::Names(_) => match names::Command::decode(&record).unwrap() {
                    names::Command::Lookup { ticket, name } => self.lookups.push((ticket, name.into())),
                    other => panic!("{other:?}"),
                },
            }
        }
        true
    }

    fn log(&mut self, _: Level, line: &str) {
        self.log.push(line.into());
    }
}

impl Sides {
    fn event(&mut self, event: Event<'_>) {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let (Event::Response { request, .. }
        | Event::Body { request, .. }
        | Event::End { request }
        | Event::Credit { request, .. }
        | Event::Trailers { request, .. }
        | Event::Failed { request, .. }
        | Event::Fault { request, .. }) = event
        else {
            panic!("{event:?}")
        };
        let answer = self.answers.entry(request).or_default();
        assert!(!answer.is_over && answer.failed.is_none(), "{event:?} after its end");
        match event {
            Event::Response { status, headers, .. } => answer.heads.push((status, text(headers))),
            Event::Body { data, .. } => answer.body.extend_from_slice(data),
            Event::Trailers { lines, .. } => answer.trailers = text(lines),
            Event::Credit { bytes, .. } => answer.credit += u64::from(bytes),
            Event::End { .. } => answer.is_over = true,
            Event::Fault { cause, .. } => answer.cause = Some(cause),
            Event::Failed { why, .. } => answer.failed = Some(why.into()),
            Event::Unknown { .. } => {}
        }
    }

    fn command(&mut self, peer: u32, command: tcp::Command<'_>) {
        match command {
            tcp::Command::Dial { ticket, port, name } => self.dials.push((peer, ticket, name.into(), port)),
            tcp::Command::Connect { ticket, to } => self.connects.push((peer, ticket, to)),
            tcp::Command::Send { connection, data } => {
                let host = self.hosts.get_mut(&(peer, connection)).expect("a connection");
                assert!(!host.is_aborted);
                host.got.extend_from_slice(data);
            }
            tcp::Command::Credit { connection, bytes } => {
                self.hosts.get_mut(&(peer, connection)).expect("a connection").credit += u64::from(bytes);
            }
            tcp::Command::Abort { connection } => self.hosts.entry((peer, connection)).or_default().is_aborted = true,
            other => panic!("{other:?}"),
        }
    }
}

struct World {
    fetch: Fetch,
    now: u64,
    clients: Batch,
    tcp: Batch,
    names: Batch,
    sides: Sides,
    next: u32,
}

fn get(authority: &str) -> Head<'_> {
    asks("GET", Scheme::Https, authority, b"")
}

fn asks<'a>(method: &'a str, scheme: Scheme, authority: &'a str, headers: &'a [u8]) -> Head<'a> {
    let (authority, remote) = (authority.as_bytes(), Ipv6Addr::UNSPECIFIED);
    Head { method, target: "/x?y", authority, remote, headers, scheme, upgrade: "" }
}

impl World {
    fn new(settings: &[(&str, &str)]) -> Self {
        let config = Config::read(settings.iter().copied()).unwrap();
        let fetch = Fetch::new(config, MEMORY).unwrap();
        let batches = || Batch::new();
        let mut world = World {
            fetch,
            now: SECOND,
            clients: batches(),
            tcp: batches(),
            names: batches(),
            sides: Sides::default(),
            next: 100,
        };
        for peer in 0..2 {
            Peer::Attach(peer, &Attach::default().encode()).encode(&mut world.clients);
            Peer::Attach(peer, &[]).encode(&mut world.tcp);
        }
        Peer::Attach(0, &[]).encode(&mut world.names);
        world.tcp_says(TLS, &tcp::Event::Secures);
        world.turn();
        world
    }

    fn turn(&mut self) {
        let take = core::mem::take::<Batch>;
        let (clients, tcp, names) = (take(&mut self.clients), take(&mut self.tcp), take(&mut self.names));
        let (clients, tcp, names) = (clients.as_bytes(), tcp.as_bytes(), names.as_bytes());
        self.fetch.turn(Wake { now: self.now, clients, tcp, names, room: false }, &mut self.sides);
        assert!(self.fetch.deadline() > self.now, "it has something to do at once");
    }

    fn says_as(&mut self, peer: u32, command: &Command<'_>) {
        Peer::Is(peer).encode(&mut self.clients);
        command.encode(&mut self.clients);
    }

    fn says(&mut self, command: &Command<'_>) {
        self.says_as(0, command);
    }

    fn tcp_says(&mut self, peer: u32, event: &tcp::Event<'_>) {
        Peer::Is(peer).encode(&mut self.tcp);
        event.encode(&mut self.tcp);
    }

    /// A whole request without a body.
    fn asks(&mut self, request: u32, head: Head<'_>) {
        self.says(&Command::Request { request, head });
        self.says(&Command::End { request });
        self.turn();
    }

    /// The connection that was asked for last stands now.
    fn connects(&mut self) -> (u32, u32) {
        let (peer, ticket) = match self.sides.dials.pop() {
            Some((peer, ticket, ..)) => (peer, ticket),
            None => {
                self.sides.connects.pop().map(|(peer, ticket, _)| (peer, ticket)).expect("a connection is asked for")
            }
        };
        self.next += 1;
        self.sides.hosts.insert((peer, self.next), Host::default());
        self.tcp_says(peer, &tcp::Event::Connected { connection: self.next, ticket });
        self.turn();
        (peer, self.next)
    }

    /// A request that has its connection.
    fn reached(&mut self, request: u32, head: Head<'_>) -> (u32, u32) {
        self.asks(request, head);
        self.connects()
    }

    /// What has come at a host.
    fn got(&mut self, link: (u32, u32)) -> String {
        let got = core::mem::take(&mut self.sides.hosts.get_mut(&link).expect("a connection").got);
        self.tcp_says(link.0, &tcp::Event::Sent { connection: link.1, bytes: got.len() as u32 });
        String::from_utf8(got).unwrap()
    }

    fn host_says(&mut self, (peer, connection): (u32, u32), data: &str) {
        self.tcp_says(peer, &tcp::Event::Data { connection, data: data.as_bytes() });
        self.turn();
    }

    fn answer(&self, request: u32) -> Answer {
        self.sides.answers.get(&request).cloned().unwrap_or_default()
    }

    fn failed(&self, request: u32) -> (Option<Cause>, String) {
        let answer = self.answer(request);
        let Some(why) = answer.failed else { panic!("request {request} has not failed: {:?}", answer.heads) };
        (answer.cause, why)
    }
}

#[test]
fn a_request_and_its_answer() {
    let mut world = World::new(&[]);
    world.asks(1, get("A.example"));
    assert_eq!(world.sides.dials[..], [(TLS, world.sides.dials[0].1, "a.example".into(), 443)]);
    let link = world.connects();
    assert_eq!(world.got(link), "GET /x?y HTTP/1.1\r\nHost: A.example\r\n\r\n");
    world.host_says(link, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\nConnection: keep-alive\r\n\r\nhel");
    assert_eq!(world.answer(1).heads, [(200, "X: y\r\ncontent-length: 5\r\n".into())]);
    world.host_says(link, "lo");
    let answer = world.answer(1);
    assert_eq!((&answer.body[..], answer.is_over, answer.failed), (&b"hello"[..], true, None));
    // the connection is kept, for that host only
    world.asks(2, get("a.example"));
    assert!(world.sides.dials.is_empty() && world.got(link).starts_with("GET /x?y"));
    world.asks(3, get("b.example"));
    assert_eq!(world.sides.dials.pop().unwrap().2, "b.example");
    world.asks(4, get("a.example:8443"));
    assert_eq!(world.sides.dials.pop().unwrap().3, 8443);
    world.asks(5, asks("GET", Scheme::Http, "a.example", b""));
    assert_eq!(world.sides.lookups[0].1, "a.example");
}

#[test]
fn http_looks_the_name_up() {
    let mut world = World::new(&[]);
    world.asks(1, asks("GET", Scheme::Http, "a.example:8080", b""));
    let (ticket, _) = world.sides.lookups.pop().unwrap();
    let found = ["::ffff:192.0.2.1".parse().unwrap(), "::ffff:192.0.2.2".parse().unwrap()];
    Peer::Is(0).encode(&mut world.names);
    names::Event::Addresses { ticket, addresses: found[..].into() }.encode(&mut world.names);
    world.turn();
    let (peer, ticket, to) = world.sides.connects.pop().unwrap();
    assert_eq!((peer, to.address, to.port), (NET, found[0], 8080));
    world.tcp_says(NET, &tcp::Event::Refused { id: ticket, why: "nobody is there" });
    world.turn();
    assert_eq!(world.sides.connects[0].2.address, found[1]);
    let link = world.connects();
    assert!(world.got(link).contains("Host: a.example:8080\r\n"));
    world.host_says(link, "HTTP/1.0 200 OK\r\n\r\nuntil it closes");
    assert!(!world.answer(1).is_over);
    world.tcp_says(link.0, &tcp::Event::Finished { connection: link.1 });
    world.turn();
    assert_eq!((world.answer(1).body, world.answer(1).is_over), (b"until it closes".to_vec(), true));
    assert!(world.sides.hosts[&link].is_aborted);
}

#[test]
fn bodies_stream_both_ways() {
    let mut world = World::new(&[]);
    let head = asks("POST", Scheme::Https, "a.example", b"trailer: z\r\n");
    world.says(&Command::Request { request: 1, head });
    world.turn();
    let link = world.connects();
    assert_eq!(
        world.got(link),
        "POST /x?y HTTP/1.1\r\nHost: a.example\r\ntrailer: z\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    // the answer begins before the request ends
    world.host_says(link, "HTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 100 Go on\r\n\r\n");
    world.host_says(link, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    assert_eq!(world.answer(1).heads, [(103, "Link: a\r\n".into()), (200, String::new())]);
    world.says(&Command::Body { request: 1, data: b"hello" });
    world.turn();
    assert_eq!(world.got(link), "5\r\nhello\r\n");
    world.host_says(link, "2;ext=1\r\nde\r\n0\r\nX-Sum: 1\r\nContent-Length: 1\r\n");
    world.says(&Command::Trailers { request: 1, lines: b"z: 1\r\nhost: x\r\n" });
    world.says(&Command::End { request: 1 });
    world.turn();
    assert_eq!(world.got(link), "0\r\nz: 1\r\n\r\n");
    world.turn();
    world.host_says(link, "\r\n");
    let answer = world.answer(1);
    assert_eq!((&answer.body[..], answer.trailers.as_str(), answer.is_over), (&b"abcde"[..], "X-Sum: 1\r\n", true));
    world.asks(2, get("a.example"));
    assert!(world.got(link).starts_with("GET"), "the connection is kept");
}

#[test]
fn bodies_that_come_before_the_connection_wait() {
    let mut world = World::new(&[]);
    for (request, method, length, expected) in [
        (1, "PUT", "content-length: 6\r\n", "Content-Length: 6\r\n\r\nfoobar"),
        (2, "GET", "", "Transfer-Encoding: chunked\r\n\r\n6\r\nfoobar\r\n0\r\nt: 1\r\n\r\n"),
    ] {
        let head = asks(method, Scheme::Https, "a.example", length.as_bytes());
        world.says(&Command::Request { request, head });
        world.says(&Command::Body { request, data: b"foo" });
        world.says(&Command::Body { request, data: b"bar" });
        world.says(&Command::Trailers { request, lines: b"t: 1\r\n" });
        world.says(&Command::End { request });
        world.turn();
        let link = world.connects();
        let got = world.got(link);
        assert!(got.ends_with(expected), "{got}");
    }
    // without a body
    let link = world.reached(3, asks("POST", Scheme::Https, "a.example", b""));
    assert!(world.got(link).ends_with("\r\nContent-Length: 0\r\n\r\n"));
}

#[test]
fn nothing_passes_beyond_the_credit() {
    let mut world = World::new(&[]);
    let most = INITIAL_CREDIT as usize;
    world.says(&Command::Request { request: 1, head: asks("POST", Scheme::Https, "a.example", b"") });
    world.says(&Command::Body { request: 1, data: &vec![b'a'; most] });
    world.turn();
    let link = world.connects();
    let sent = world.sides.hosts[&link].got.len();
    assert!((most - 12..=most).contains(&sent), "what the network takes, but for less than a chunk: {sent}");
    world.got(link);
    world.turn();
    assert!(world.answer(1).credit >= (most - (16 << 10)) as u64, "{}", world.answer(1).credit);
    world.host_says(link, "HTTP/1.1 200 OK\r\n\r\n");
    world.host_says(link, &"b".repeat(most / 2));
    world.host_says(link, &"b".repeat(most / 2));
    world.host_says(link, &"b".repeat(1_000));
    assert_eq!(world.answer(1).body.len(), most);
    let credited = world.sides.hosts[&link].credit;
    assert!((32_768..66_000).contains(&credited), "{credited}");
    world.says(&Command::Credit { request: 1, bytes: 500 });
    world.turn();
    assert_eq!(world.answer(1).body.len(), most + 500);
    world.says(&Command::Body { request: 1, data: &vec![b'a'; 2 * most] });
    world.turn();
    assert!(world.failed(1).1.contains("than there was credit for"));
    assert!(world.sides.hosts[&link].is_aborted);
}

#[test]
fn a_client_that_takes_nothing_gets_no_more() {
    let mut world = World::new(&[]);
    let link = world.reached(1, get("a.example"));
    world.host_says(link, "HTTP/1.1 200 OK\r\n\r\n");
    world.sides.client_is_deaf = true;
    let mut sent = 20;
    while sent + 10_000 <= u64::from(INITIAL_CREDIT) + world.sides.hosts[&link].credit {
        world.says(&Command::Credit { request: 1, bytes: INITIAL_CREDIT });
        world.host_says(link, &"b".repeat(10_000));
        sent += 10_000;
        assert!(sent < 2 << 20, "it is kept without end");
    }
    assert!(sent > 60_000);
    world.sides.client_is_deaf = false;
    world.fetch.turn(Wake { now: world.now, room: true, ..Wake::default() }, &mut world.sides);
    world.turn();
    assert_eq!(world.answer(1).body.len() as u64, sent - 20);
    // who sends more than it may is not listened to
    world.sides.client_is_deaf = true;
    for _ in 0..40 {
        world.host_says(link, &"b".repeat(50_000));
    }
    world.sides.client_is_deaf = false;
    world.fetch.turn(Wake { now: world.now, room: true, ..Wake::default() }, &mut world.sides);
    assert!(world.failed(1).1.contains("than there was credit for"));
}

#[test]
fn answers_that_are_none_fail() {
    for (said, why) in [
        ("SSH-2.0-x\r\n\r\n", "not one of HTTP/1.1"),
        ("HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", "that nobody has asked for"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "a chunk is malformed"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\na b: c\r\n\r\n", "name is not valid"),
        (&format!("HTTP/1.1 200 OK\r\na: {}", "x".repeat(62_000)), "too large"),
    ] {
        let mut world = World::new(&[]);
        let link = world.reached(1, get("a.example"));
        world.host_says(link, said);
        let (cause, told) = world.failed(1);
        assert!(cause == Some(Cause::Answer) && told.contains(why), "{told}");
        assert!(told.starts_with("https://a.example:443: ") && world.sides.log[..] == [told], "{:?}", world.sides.log);
        assert!(world.sides.hosts[&link].is_aborted);
    }
}

#[test]
fn answers_that_are_cut_short_fail() {
    for said in [
        "",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\na: b\r\n",
    ] {
        for is_closed in [false, true] {
            let mut world = World::new(&[]);
            let link = world.reached(1, get("a.example"));
            world.host_says(link, said);
            world.tcp_says(
                link.0,
                &match is_closed {
                    true => tcp::Event::Closed { connection: link.1, why: "the other side broke off" },
                    false => tcp::Event::Finished { connection: link.1 },
                },
            );
            world.turn();
            assert_eq!(world.failed(1).0, Some(Cause::Terminated), "{said}");
        }
    }
    // what has come and is complete is for a slow client too
    for (length, is_whole) in
        [("Transfer-Encoding: chunked", true), ("Transfer-Encoding: chunked", false), ("Content-Length: 60000", true)]
    {
        let mut world = World::new(&[]);
        let link = world.reached(1, get("a.example"));
        let is_chunked = length.starts_with('T');
        let part = "x".repeat(30_000);
        let chunk = if is_chunked { format!("7530\r\n{part}\r\n") } else { part };
        world.host_says(link, &format!("HTTP/1.1 200 OK\r\n{length}\r\n\r\n{chunk}"));
        world.sides.client_is_deaf = true;
        world.host_says(link, &chunk);
        world.host_says(link, if is_chunked && is_whole { "0\r\n\r\n" } else { "" });
        world.tcp_says(link.0, &tcp::Event::Closed { connection: link.1, why: "the other side broke off" });
        world.turn();
        world.sides.client_is_deaf = false;
        world.fetch.turn(Wake { now: world.now, room: true, ..Wake::default() }, &mut world.sides);
        world.turn();
        let answer = world.answer(1);
        assert_eq!(
            (answer.body.len(), answer.is_over, answer.failed.is_some()),
            (60_000, is_whole, !is_whole),
            "{length}"
        );
    }
    // without a word of TLS's that this is the end, it may be cut short by anybody
    let mut world = World::new(&[]);
    let link = world.reached(1, get("a.example"));
    world.host_says(link, "HTTP/1.1 200 OK\r\n\r\nsome");
    world.tcp_says(link.0, &tcp::Event::Closed { connection: link.1, why: "the other side broke off" });
    world.turn();
    assert_eq!(world.failed(1).0, Some(Cause::Terminated));
}

#[test]
fn a_connection_that_was_kept_may_be_gone() {
    let mut world = World::new(&[]);
    let link = world.reached(1, get("a.example"));
    world.host_says(link, "HTTP/1.1 204 No Content\r\n\r\n");
    assert!(world.answer(1).is_over);
    world.asks(2, get("a.example"));
    world.tcp_says(link.0, &tcp::Event::Closed { connection: link.1, why: "reset" });
    world.turn();
    assert_eq!(world.answer(2), Answer::default(), "it is tried again");
    let second = world.connects();
    assert_eq!(world.got(second), "GET /x?y HTTP/1.1\r\nHost: a.example\r\n\r\n");
    // a new one is not tried again
    world.tcp_says(second.0, &tcp::Event::Closed { connection: second.1, why: "reset" });
    world.turn();
    assert!(world.failed(2).1.contains("reset"));
    // and what must not be done twice is not sent over one that was kept
    let link = world.reached(3, get("a.example"));
    world.host_says(link, "HTTP/1.1 204 No Content\r\n\r\n");
    world.asks(4, asks("POST", Scheme::Https, "a.example", b""));
    assert_eq!(world.sides.dials.len(), 1);
    // what speaks unasked is not kept
    world.host_says(link, "HTTP/1.1 408 Late\r\n\r\n");
    assert!(world.sides.hosts[&link].is_aborted);
}

#[test]
fn failures_on_the_way_are_told() {
    let mut world = World::new(&[]);
    world.asks(1, get("a.example"));
    let (_, ticket, ..) = world.sides.dials.pop().unwrap();
    let why = "the certificate has expired";
    world.tcp_says(TLS, &tcp::Event::Failed { ticket, cause: Cause::Certificate, alert: 0, why });
    world.turn();
    assert_eq!(world.failed(1), (Some(Cause::Certificate), format!("https://a.example:443: {why}")));
    // another may be granted what the first one is not
    Peer::Attach(2, &[]).encode(&mut world.tcp);
    world.tcp_says(2, &tcp::Event::Secures);
    world.asks(2, get("a.example"));
    for peer in [TLS, 2] {
        let (asked, ticket, ..) = world.sides.dials.pop().unwrap();
        assert_eq!(asked, peer);
        world.tcp_says(peer, &tcp::Event::Failed { ticket, cause: Cause::Denied, alert: 0, why: "not granted" });
        world.turn();
    }
    assert_eq!(world.failed(2).0, Some(Cause::Denied));
    // with whoever was to make it
    world.asks(3, get("a.example"));
    Peer::Detach(TLS, b"crashed").encode(&mut world.tcp);
    world.turn();
    assert_eq!(world.failed(3).0, Some(Cause::Unreachable));
    world.asks(4, asks("GET", Scheme::Http, "192.0.2.1", b""));
    Peer::Detach(NET, b"crashed").encode(&mut world.tcp);
    world.turn();
    assert_eq!(world.failed(4).0, Some(Cause::Unreachable));
    world.asks(5, asks("GET", Scheme::Http, "192.0.2.1", b""));
    assert_eq!(world.failed(5).0, Some(Cause::Unreachable));
    // what is not valid, at once
    for (request, head) in [(6, asks("CONNECT", Scheme::Https, "a", b"")), (7, get("u@a")), (8, get(""))] {
        world.asks(request, head);
        assert_eq!(world.failed(request).0, None);
    }
}

#[test]
fn one_that_secures_may_be_late_and_may_be_missing() {
    let mut world = World::new(&[("connect-timeout", "5 s")]);
    Peer::Detach(TLS, b"").encode(&mut world.tcp);
    world.turn();
    world.asks(1, get("a.example"));
    assert_eq!(world.answer(1), Answer::default());
    Peer::Attach(TLS, &[]).encode(&mut world.tcp);
    world.tcp_says(TLS, &tcp::Event::Secures);
    world.turn();
    assert_eq!(world.sides.dials.pop().unwrap().0, TLS);
    Peer::Detach(TLS, b"").encode(&mut world.tcp);
    world.asks(2, get("a.example"));
    world.now += 5 * SECOND;
    world.turn();
    let (cause, why) = world.failed(2);
    assert!(cause == Some(Cause::Denied) && why.contains("no box secures connections"), "{why}");
}

#[test]
fn what_takes_too_long_is_given_up() {
    let mut world = World::new(&[("connect-timeout", "5 s"), ("answer-timeout", "7 s"), ("keep", "3 s")]);
    world.asks(1, get("a.example"));
    let (_, ticket, ..) = world.sides.dials.pop().unwrap();
    world.now += 5 * SECOND;
    world.turn();
    assert_eq!(world.failed(1).0, Some(Cause::Timeout));
    // a connection that comes after all is not wanted
    world.tcp_says(TLS, &tcp::Event::Connected { connection: 9, ticket });
    world.turn();
    assert!(world.sides.hosts[&(TLS, 9)].is_aborted);
    let link = world.reached(2, get("a.example"));
    world.now += 6 * SECOND;
    world.host_says(link, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na");
    world.now += 6 * SECOND;
    world.turn();
    world.now += 2 * SECOND;
    world.turn();
    assert_eq!(world.failed(2).0, Some(Cause::Timeout));
    let link = world.reached(3, get("a.example"));
    world.host_says(link, "HTTP/1.1 204 None\r\n\r\n");
    world.now += 3 * SECOND;
    world.turn();
    assert!(world.sides.hosts[&link].is_aborted, "it is not kept for ever");
}

#[test]
fn what_nobody_wants_is_broken_off() {
    let mut world = World::new(&[]);
    let link = world.reached(1, get("a.example"));
    world.says(&Command::Cancel { request: 1 });
    world.turn();
    assert!(world.sides.hosts[&link].is_aborted);
    let link = world.reached(2, get("a.example"));
    Peer::Detach(0, b"").encode(&mut world.clients);
    world.turn();
    assert!(world.sides.hosts[&link].is_aborted);
    assert_eq!((world.answer(1), world.answer(2)), (Answer::default(), Answer::default()));
}

#[test]
fn an_answer_may_end_before_its_request() {
    let mut world = World::new(&[]);
    let head = asks("POST", Scheme::Https, "a.example", b"content-length: 100\r\n");
    world.says(&Command::Request { request: 1, head });
    world.turn();
    let link = world.connects();
    world.host_says(link, "HTTP/1.1 413 Too large\r\nContent-Length: 0\r\n\r\n");
    assert!(world.answer(1).is_over);
    assert!(world.sides.hosts[&link].is_aborted, "what is left of the request cannot be left out");
    world.says(&Command::Body { request: 1, data: b"late" });
    world.turn();
    // and a body is as long as it says
    for (data, ends, why) in [(&b"12345"[..], false, "longer"), (b"12", true, "shorter")] {
        let head = asks("POST", Scheme::Https, "a.example", b"content-length: 4\r\n");
        world.sides.answers.clear();
        world.says(&Command::Request { request: 2, head });
        world.says(&Command::Body { request: 2, data });
        if ends {
            world.says(&Command::End { request: 2 });
        }
        world.turn();
        assert!(world.failed(2).1.contains(why));
    }
}

#[test]
fn one_box_cannot_have_all_places() {
    let mut world = World::new(&[]);
    for request in 0..50 {
        world.asks(request, get("a.example"));
    }
    let busy = (0..50).filter(|request| world.answer(*request).cause == Some(Cause::Busy)).count();
    assert!((25..50).contains(&busy), "{busy}");
    world.sides.dials.clear();
    world.says_as(1, &Command::Request { request: 1, head: get("a.example") });
    world.turn();
    assert_eq!(world.sides.dials.len(), 1, "another has its own");
}

/// What is cancelled is still under way with those that were asked for its connection.
#[test]
fn a_box_that_cancels_has_no_more_places() {
    for scheme in [Scheme::Https, Scheme::Http] {
        let mut world = World::new(&[]);
        for request in 0..200 {
            world.asks(request, asks("GET", scheme, "192.0.2.1", b""));
            world.says(&Command::Cancel { request });
            world.turn();
        }
        let asked = world.sides.dials.len() + world.sides.connects.len();
        assert!((10..50).contains(&asked), "{asked} connections are asked for");
        assert_eq!(world.failed(199).0, Some(Cause::Busy));
        world.says_as(1, &Command::Request { request: 1, head: get("a.example") });
        world.turn();
        assert_eq!(world.sides.dials.pop().unwrap().2, "a.example", "another has its own");
        // answered, they are free again
        for (peer, ticket, ..) in core::mem::take(&mut world.sides.dials) {
            world.tcp_says(peer, &tcp::Event::Failed { ticket, cause: Cause::Timeout, alert: 0, why: "late" });
        }
        for (peer, ticket, _) in core::mem::take(&mut world.sides.connects) {
            world.tcp_says(peer, &tcp::Event::Refused { id: ticket, why: "late" });
        }
        world.turn();
        world.asks(200, asks("GET", scheme, "192.0.2.1", b""));
        assert_eq!(world.answer(200), Answer::default());
    }
}

#[test]
fn a_box_asks_only_for_what_its_arrow_names() {
    let mut world = World::new(&[]);
    Peer::Attach(2, &Attach { host: "api.example.org", path: "/x" }.encode()).encode(&mut world.clients);
    for (request, authority, target, is_granted) in [
        (1, "api.example.org", "/x", true),
        (2, "API.example.org.:8443", "/x/y?z", true),
        (3, "example.org", "/x", false),
        (4, "api.example.org", "/xy", false),
        (5, "api.example.org", "/", false),
        (6, "api.example.org@evil.example", "/x", false),
        (7, "api.example.org", "/x/../y", false),
        (8, "api.example.org", "/x/%2E%2e/y", false),
    ] {
        let head = Head { target, ..get(authority) };
        world.says_as(2, &Command::Request { request, head });
        world.turn();
        assert_eq!(world.sides.dials.pop().is_some(), is_granted, "{authority} {target}");
        assert!(is_granted || matches!(world.failed(request).0, Some(Cause::Denied) | None), "{authority} {target}");
    }
    assert!(world.failed(3).0 == Some(Cause::Denied) && world.failed(3).1.contains("arrow"), "{:?}", world.failed(3));
}

#[test]
fn small_parts_of_a_body_take_no_more_memory_than_large_ones() {
    let mut world = World::new(&[]);
    world.says(&Command::Request { request: 1, head: asks("POST", Scheme::Https, "a.example", b"") });
    world.turn();
    let link = world.connects();
    let most = INITIAL_CREDIT as usize;
    for _ in 0..most / 1024 {
        (0..1024).for_each(|_| world.says(&Command::Body { request: 1, data: b"x" }));
        world.turn();
    }
    world.says(&Command::End { request: 1 });
    world.turn();
    let (mut got, mut later) = (world.got(link), 0);
    loop {
        world.turn();
        let more = world.got(link);
        if more.is_empty() {
            break;
        }
        later += more.len();
        got += &more;
    }
    assert!(later < most + 100, "{later} bytes waited");
    let (_, body) = got.split_once("\r\n\r\n").unwrap();
    assert!(body.ends_with("\r\n0\r\n\r\n") && body.matches('x').count() == most);
}

#[test]
fn a_head_that_comes_byte_by_byte_is_not_waited_for() {
    for begin in ["", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"] {
        let mut world = World::new(&[("answer-timeout", "7 s")]);
        let link = world.reached(1, get("a.example"));
        world.host_says(link, begin);
        for byte in "HTTP/1.1: 200".split_inclusive(|_: char| true) {
            if world.answer(1).failed.is_none() {
                world.now += SECOND;
                world.host_says(link, byte);
            }
        }
        assert_eq!(world.failed(1).0, Some(Cause::Timeout), "{begin}");
    }
    // the body has its time from when the head is there, and so has what follows an interim answer
    let mut world = World::new(&[("answer-timeout", "7 s")]);
    let link = world.reached(1, get("a.example"));
    for part in ["HTTP/1.1 103 Early\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "a", "b"] {
        world.now += 6 * SECOND;
        world.host_says(link, part);
    }
    assert!(world.answer(1).is_over);
}

#[test]
fn interim_answers_have_an_end() {
    let mut world = World::new(&[]);
    let link = world.reached(1, get("a.example"));
    for _ in 0..16 {
        world.host_says(link, "HTTP/1.1 100 Go on\r\n\r\n");
    }
    assert_eq!(world.answer(1), Answer::default());
    world.host_says(link, "HTTP/1.1 103 Early\r\n\r\n");
    let (cause, why) = world.failed(1);
    assert!(cause == Some(Cause::Answer) && why.contains("interim"), "{why}");
}

/// However a head and trailers are cut, they are the same.
#[test]
fn heads_and_trailers_may_come_byte_by_byte() {
    let mut world = World::new(&[]);
    let link = world.reached(1, get("a.example"));
    let said = "HTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n\
        2\r\nab\r\n0\r\nZ: 1\r\nY: 2\r\n\r\n";
    for byte in said.split_inclusive(|_: char| true) {
        assert!(!world.answer(1).is_over);
        world.host_says(link, byte);
    }
    let answer = world.answer(1);
    assert_eq!((&answer.body[..], answer.trailers.as_str(), answer.is_over), (&b"ab"[..], "Z: 1\r\nY: 2\r\n", true));
    assert_eq!(answer.heads, [(103, "Link: a\r\n".into()), (200, "X: y\r\n".into())]);
    world.asks(2, get("a.example"));
    assert!(world.got(link).starts_with("GET"), "the connection is kept");
    world.host_says(link, "HTTP/1.1 204 None\r\n\r\n");
    assert!(world.answer(2).is_over);
}

#[test]
fn a_connection_that_is_kept_makes_room_for_another() {
    let mut world = World::new(&[]);
    let links = [1, 2].map(|request| world.reached(request, get("a.example")));
    for link in links {
        world.host_says(link, "HTTP/1.1 204 None\r\n\r\n");
    }
    world.asks(3, get("b.example"));
    for aborted in [[true, false], [true, false]] {
        assert_eq!(world.answer(3), Answer::default());
        let (_, ticket, ..) = world.sides.dials.pop().expect("it is asked for");
        world.tcp_says(TLS, &tcp::Event::Failed { ticket, cause: Cause::Busy, alert: 0, why: "no room" });
        world.turn();
        assert_eq!(links.map(|link| world.sides.hosts[&link].is_aborted), aborted);
    }
    assert_eq!(world.failed(3).0, Some(Cause::Busy), "once");
}

#[test]
fn at_a_swap_what_is_open_goes_on() {
    let mut world = World::new(&[]);
    let idle = world.reached(1, get("a.example"));
    world.host_says(idle, "HTTP/1.1 204 None\r\n\r\n");
    let link = world.reached(2, get("b.example"));
    world.fetch.retire();
    for peer in 0..2 {
        Peer::Retire(peer).encode(&mut world.clients);
        Peer::Retire(peer).encode(&mut world.tcp);
    }
    Peer::Retire(0).encode(&mut world.names);
    world.turn();
    assert!(world.sides.hosts[&idle].is_aborted && !world.fetch.is_done());
    assert!(!world.sides.let_go.contains(&To::Client(0)) && world.sides.let_go.contains(&To::Client(1)));
    world.host_says(link, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert!(world.answer(2).is_over && world.sides.hosts[&link].is_aborted);
    world.turn();
    for to in [To::Client(0), To::Tcp(NET), To::Tcp(TLS), To::Names(0)] {
        assert!(world.sides.let_go.contains(&to), "{to:?}: {:?}", world.sides.let_go);
    }
    for peer in 0..2 {
        Peer::Detach(peer, b"").encode(&mut world.clients);
    }
    world.turn();
    assert!(world.fetch.is_done());
}

/// Whatever a host says, its request has one answer or fails, and others go on.
#[test]
fn hostile_hosts_harm_nobody() {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |most: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % most as u64) as usize
    };
    let parts = [
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.0 404 No\r\n",
        "HTTP/1.1 100 Go\r\n\r\n",
        "HTTP/1.1 103 X\r\n\r\n",
        "\r\n",
        "\r\n\r\n",
        "Content-Length: 7\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Transfer-Encoding: chunked\r\n",
        "a: b\r\n",
        "7\r\nabcdefg\r\n",
        "0\r\n\r\n",
        "ffffffffffffffff\r\n",
        "fffffffffffffff\r\n",
        "Connection: close\r\n",
        "\0",
        "\n",
        "0\r\n",
        "abcdefg",
        "HTTP/1.1 204 None\r\n\r\n",
        "HTTP/1.1 304 Same\r\n",
    ];
    let mut world = World::new(&[]);
    let (mut well, mut badly) = (0, 0);
    for request in 0..3_000 {
        world.asks(request, asks(["GET", "HEAD", "POST"][random(3)], Scheme::Https, "a.example", b""));
        let link = match world.sides.dials.is_empty() {
            true => *world.sides.hosts.iter().rfind(|(_, host)| !host.is_aborted).unwrap().0,
            false => world.connects(),
        };
        world.got(link);
        for _ in 0..random(8) {
            let mut part = parts[random(parts.len())].to_string();
            if random(8) == 0 {
                part.truncate(random(part.len() + 1));
            }
            world.host_says(link, &part);
        }
        world.tcp_says(link.0, &tcp::Event::Closed { connection: link.1, why: ["", "reset"][random(2)] });
        world.turn();
        if world.sides.dials.pop().is_some() {
            world.says(&Command::Cancel { request });
            world.turn();
            continue;
        }
        let answer = world.answer(request);
        assert!(answer.is_over != answer.failed.is_some(), "{answer:?}");
        (well, badly) = (well + usize::from(answer.is_over), badly + usize::from(!answer.is_over));
        world.sides.hosts.clear();
        world.sides.answers.clear();
        world.sides.log.clear();
    }
    assert!(well > 100 && badly > 1_000, "{well} {badly}");
}
