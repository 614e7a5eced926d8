//! The box between its arrows: what it asks a carrier for, what it answers, and what it makes of carriers that say anything.

mod common;

use common::Box;
use pearwood_acme::{Config, Keys, Level, Outside, Service, To, Wake};
use wit::http::{Attach, Command, Event, Head, Scheme};
use wit::{Batch, Peer, Records};

const SECOND: u64 = 1_000_000_000;
const NOW: u64 = 1_796_000_000;
const CA: &str = "https://ca.example";

/// What the box sends: records in words, and its log.
#[derive(Default)]
struct Sent {
    carrier: Vec<String>,
    client: Vec<String>,
    log: Vec<(Level, String)>,
    full: bool,
    /// the number of the last request
    number: u32,
}

impl Outside for Sent {
    fn send(&mut self, to: To, batch: &[u8]) -> bool {
        if self.full {
            return false;
        }
        for record in Records::new(batch) {
            let record = record.unwrap();
            if to == To::Carrier(7) {
                self.carrier.push(match Command::decode(&record).unwrap() {
                    Command::Request { request, head } => {
                        assert_eq!(head.scheme, Scheme::Https);
                        self.number = request;
                        let authority = str::from_utf8(head.authority).unwrap();
                        format!("{} {authority}{}", head.method, head.target)
                    }
                    Command::Body { .. } => "body".into(),
                    Command::End { .. } => "end".into(),
                    Command::Cancel { .. } => "cancel".into(),
                    Command::Credit { bytes, .. } => format!("credit {bytes}"),
                    _ => "other".into(),
                });
            } else {
                self.client.push(match Event::decode(&record).unwrap() {
                    Event::Response { status, .. } => status.to_string(),
                    Event::Body { data, .. } => String::from_utf8(data.to_vec()).unwrap(),
                    Event::End { .. } => "end".into(),
                    other => format!("{other:?}"),
                });
            }
        }
        true
    }

    fn log(&mut self, level: Level, line: &str) {
        self.log.push((level, line.into()));
    }
}

struct Node {
    service: Service,
    keys: Box,
    sent: Sent,
    now: u64,
    time: Option<u64>,
}

impl Node {
    fn new() -> Self {
        let config = Config::read([
            ("certificates.0.names", "a.example"),
            ("terms-agreed", "true"),
            ("directory", "https://ca.example/directory"),
        ]);
        let (service, keys) = (Service::new(config.unwrap()), Box::new());
        Node { service, keys, sent: Sent::default(), now: 5 * SECOND, time: Some(NOW) }
    }

    fn turn(&mut self, carriers: &[u8], clients: &[u8]) {
        let wake = Wake { now: self.now, time: self.time, clients, carriers, room: false };
        self.service.turn(wake, &mut self.keys, &mut self.sent);
    }

    /// The box that brings requests is there.
    fn attach(&mut self) {
        let mut batch = Batch::new();
        Peer::Attach(7, &grant("ca.example")).encode(&mut batch);
        self.turn(batch.as_bytes(), &[]);
    }

    fn say(&mut self, events: &[Event<'_>]) {
        let mut batch = Batch::new();
        Peer::Is(7).encode(&mut batch);
        events.iter().for_each(|event| event.encode(&mut batch));
        self.turn(batch.as_bytes(), &[]);
    }

    /// The answer to the last request.
    fn answer(&mut self, status: u16, headers: &str, body: &str) {
        let request = self.sent.number;
        let headers = format!("Replay-Nonce: n-{request}\r\n{headers}");
        self.say(&[
            Event::Response { request, status: 103, headers: b"" },
            Event::Response { request, status, headers: headers.as_bytes() },
            Event::Body { request, data: body.as_bytes() },
            Event::End { request },
        ]);
    }

    fn ask(&mut self, method: &str, target: &str) -> Vec<String> {
        let mut batch = Batch::new();
        Peer::Is(3).encode(&mut batch);
        let remote = std::net::Ipv6Addr::LOCALHOST;
        let authority = b"a.example".as_slice();
        let head = Head { method, target, authority, remote, headers: b"", scheme: Scheme::Http, upgrade: "" };
        Command::Request { request: 1, head }.encode(&mut batch);
        Command::End { request: 1 }.encode(&mut batch);
        self.turn(&[], batch.as_bytes());
        core::mem::take(&mut self.sent.client)
    }

    fn log(&mut self) -> String {
        core::mem::take(&mut self.sent.log).into_iter().map(|(_, line)| line + "\n").collect()
    }
}

fn grant(host: &str) -> Vec<u8> {
    Attach { host, path: "/" }.encode()
}

#[test]
fn an_order_goes_over_the_arrows() {
    let mut node = Node::new();
    // its arrows are waited for
    node.turn(&[], &[]);
    assert!(node.sent.log.is_empty() && node.service.deadline() > node.now);
    node.attach();
    assert_eq!(node.sent.carrier, ["GET ca.example/directory", "end"]);
    let directory = format!(r#"{{"newNonce":"{CA}/n","newAccount":"{CA}/a","newOrder":"{CA}/o?x=1"}}"#);
    node.answer(200, "", &directory);
    assert_eq!(node.sent.carrier[2..], [&format!("credit {}", directory.len()), "POST ca.example/a", "body", "end"]);
    node.answer(201, &format!("location: {CA}/account/1\r\n"), "{}");
    assert_eq!(node.sent.carrier[7..], ["POST ca.example/o?x=1", "body", "end"]);
    let order = format!(r#"{{"status":"pending","authorizations":["{CA}/z/1"],"finalize":"{CA}/f"}}"#);
    node.answer(201, &format!("Location: {CA}/order/1\r\n"), &order);
    assert!(node.log().contains("a.example: a certificate is ordered from ca.example"));
    // nobody asks for proofs yet
    let mut batch = Batch::new();
    Peer::Attach(3, &grant("")).encode(&mut batch);
    let challenge = format!(r#"{{"type":"http-01","url":"{CA}/c","token":"t-1","status":"pending"}}"#);
    let authorization =
        format!(r#"{{"status":"pending","identifier":{{"value":"a.example"}},"challenges":[{challenge}]}}"#);
    node.answer(200, "", &authorization);
    assert!(node.log().contains("nobody asks this box for the proofs"));
    node.turn(&[], batch.as_bytes());
    let proof = node.ask("GET", "/.well-known/acme-challenge/t-1");
    assert!(proof[0] == "200" && proof[1].starts_with("t-1.") && proof[1].len() == 47, "{proof:?}");
    for (method, target, status) in [
        ("HEAD", "/.well-known/acme-challenge/t-1", "200"),
        ("GET", "/.well-known/acme-challenge/", "404"),
        ("GET", "/.well-known/acme-challenge/a/b", "404"),
        ("GET", "/.well-known/acme-challenge/%74", "404"),
        ("GET", "/", "404"),
        ("POST", "/.well-known/acme-challenge/t-1", "405"),
    ] {
        assert_eq!(node.ask(method, target)[0], status, "{method} {target}");
    }
    node.answer(400, "", r#"{"type":"urn:ietf:params:acme:error:malformed","detail":"no"}"#);
    assert!(node.log().contains("no certificate for a.example yet: no (urn:ietf:params:acme:error:malformed)"));
    assert_eq!(node.ask("GET", "/.well-known/acme-challenge/t-1")[0], "404");
    assert_eq!(node.service.deadline(), node.now + 300 * SECOND);
}

#[test]
fn a_carrier_that_is_missing_or_hangs_is_told_of() {
    let mut node = Node::new();
    node.turn(&[], &[]);
    node.now += 2 * SECOND;
    node.turn(&[], &[]);
    assert!(node.log().contains("no arrow `pearwood:http/handler` of this box leads to ca.example"));
    // one for another host is none
    let mut batch = Batch::new();
    Peer::Attach(9, &grant("other.example")).encode(&mut batch);
    (node.now, node.time) = (node.now + 6 * SECOND, Some(NOW + 6));
    node.turn(batch.as_bytes(), &[]);
    assert!(node.log().contains("leads to ca.example") && node.sent.carrier.is_empty());
    (node.now, node.time) = (node.now + 30 * SECOND, Some(NOW + 36));
    node.attach();
    assert_eq!(node.sent.carrier, ["GET ca.example/directory", "end"]);
    // it says nothing
    node.now = node.service.deadline();
    node.turn(&[], &[]);
    assert!(node.sent.carrier.ends_with(&["cancel".into()]) && node.log().contains("there is no answer"));
    // it goes away
    (node.now, node.time) = (node.now + 300 * SECOND, Some(NOW + 600));
    node.turn(&[], &[]);
    let mut batch = Batch::new();
    Peer::Detach(7, b"it was ended").encode(&mut batch);
    node.turn(batch.as_bytes(), &[]);
    let log = node.log();
    assert!(log.contains("the box that brings requests is gone: it was ended"), "{log}");
}

#[test]
fn without_the_time_nothing_is_done() {
    let mut node = Node::new();
    node.time = None;
    node.attach();
    for _ in 0..10 {
        node.now = node.service.deadline();
        node.turn(&[], &[]);
    }
    let log = node.log();
    assert_eq!((node.sent.carrier.len(), log.lines().count()), (0, 1), "{log}");
    assert!(log.contains("does not know the time"));
    node.time = Some(NOW);
    node.now = node.service.deadline();
    node.turn(&[], &[]);
    assert_eq!(node.sent.carrier.len(), 2);
}

/// Whatever records come, in whatever order and number: it neither fails nor holds more than an answer may have.
#[test]
fn a_carrier_that_says_anything_is_borne() {
    let long = vec![b'x'; 60_000];
    for round in 0_u64..2_000 {
        let mut state = round.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let mut node = Node::new();
        node.attach();
        for _ in 0..30 {
            let request = if random() % 8 == 0 { random() as u32 } else { node.sent.number };
            let bytes: Vec<u8> = (0..random() % 40).map(|_| random() as u8).collect();
            let event = match random() % 8 {
                0 => Event::Response { request, status: random() as u16, headers: &bytes },
                1 => Event::Response { request, status: 200, headers: b"replay-nonce: a\r\n" },
                2 => Event::Body { request, data: &long },
                3 => Event::Body { request, data: br#"{"newNonce":"https://a/","newAccount":"https://a/"}"# },
                4 => Event::End { request },
                5 => Event::Credit { request, bytes: random() as u32 },
                6 => Event::Failed { request, why: "\u{e9}\r\n\u{7}" },
                _ => Event::Trailers { request, lines: &bytes },
            };
            node.say(&[event]);
            // records that are none
            if random() % 4 == 0 {
                let mut batch = Batch::new();
                Peer::Is(7).encode(&mut batch);
                let mut raw = batch.as_bytes().to_vec();
                raw.extend_from_slice(&bytes);
                node.turn(&raw, &raw);
            }
            node.now += SECOND * (random() % 100);
        }
        assert!(node.keys.stored("default").unwrap().is_empty());
        assert!(node.sent.log.iter().all(|(_, line)| !line.contains(['\r', '\n']) && line.len() < 1_024));
        // so many requests are asked for, at most, as its pauses allow
        let asked = node.sent.carrier.iter().filter(|line| line.starts_with("GET")).count();
        assert!(asked < 40, "{round}: {asked}");
    }
}

/// One that takes nothing costs what one request has.
#[test]
fn a_carrier_that_takes_nothing_is_given_up() {
    let mut node = Node::new();
    node.sent.full = true;
    node.attach();
    assert!(node.sent.carrier.is_empty());
    node.now = node.service.deadline();
    node.turn(&[], &[]);
    assert!(node.log().contains("there is no answer"));
}
