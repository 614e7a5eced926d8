use super::*;
use wit::{Batch, Peer, Records};

/// A box with one peer.
struct Node {
    exchanges: Exchanges,
    peers: Peers,
}

impl Node {
    fn new(longest: usize, most: usize) -> Self {
        let mut new = Node { exchanges: Exchanges::new(longest, most), peers: Peers::default() };
        new.peers.attach(3, ());
        new
    }

    fn tell(&mut self, commands: &[Command<'_>]) {
        let mut batch = Batch::new();
        Peer::Is(3).encode(&mut batch);
        commands.iter().for_each(|command| command.encode(&mut batch));
        for incoming in wit::incoming(batch.as_bytes()) {
            self.exchanges.receive(&mut self.peers, incoming.unwrap());
        }
    }

    /// What is sent, in words: statuses, bytes of bodies, ends, credit.
    fn sent(&mut self) -> Vec<String> {
        let mut sent = Vec::new();
        loop {
            self.exchanges.write(&mut self.peers);
            let again = self.peers.flush(|peer, batch| {
                assert_eq!(peer, 3);
                for record in Records::new(batch) {
                    sent.push(match Event::decode(&record.unwrap()).unwrap() {
                        Event::Response { request, status, headers } => {
                            format!("{request}: {status} {}", str::from_utf8(headers).unwrap().replace("\r\n", "|"))
                        }
                        Event::Body { request, data } => format!("{request}: {} bytes", data.len()),
                        Event::End { request } => format!("{request}: end"),
                        Event::Credit { request, bytes } => format!("{request}: credit {bytes}"),
                        other => format!("{other:?}"),
                    });
                }
                true
            });
            if !again {
                return sent;
            }
        }
    }
}

fn request<'a>(request: u32, method: &'a str, target: &'a str) -> Command<'a> {
    let headers = b"accept: text/plain\r\nx-n: 7\r\n";
    let remote = std::net::Ipv4Addr::new(192, 0, 2, 7).to_ipv6_mapped();
    let head = Head { method, target, authority: b"a.example", remote, headers, scheme: Scheme::Http, upgrade: "" };
    Command::Request { request, head }
}

#[test]
fn a_request_comes_whole_and_gets_one_answer() {
    let mut node = Node::new(100, 10_000);
    node.tell(&[request(1, "POST", "/a?b=c"), Command::Body { request: 1, data: b"hel" }]);
    assert!(node.exchanges.take().is_none());
    node.tell(&[Command::Body { request: 1, data: b"lo" }, Command::End { request: 1 }, Command::End { request: 1 }]);
    let taken = node.exchanges.take().unwrap();
    assert!(node.exchanges.take().is_none());
    assert_eq!((taken.method.as_str(), taken.path(), taken.query()), ("POST", "/a", Some("b=c")));
    assert_eq!((taken.header("X-N"), taken.header("host"), &*taken.authority), (Some("7"), None, "a.example"));
    assert_eq!((taken.remote.to_string().as_str(), &*taken.body), ("192.0.2.7", &b"hello"[..]));
    node.exchanges.answer(&mut node.peers, taken, Response::text("yes\n").with("x-a", "1\r\nx-b: 2"));
    let head = "1: 200 content-type: text/plain; charset=utf-8|x-a: 1  x-b: 2|content-length: 4|";
    assert_eq!(node.sent(), ["1: credit 3", "1: credit 2", head, "1: 4 bytes", "1: end"]);
    assert!(node.exchanges.open.is_empty() && node.exchanges.held == 0);
}

#[test]
fn answers_without_a_body() {
    let mut node = Node::new(100, 10_000);
    node.tell(&[
        request(1, "HEAD", "/"),
        Command::End { request: 1 },
        request(2, "GET", "/"),
        Command::End { request: 2 },
    ]);
    for response in [Response::new(200, "text/css", vec![b'x'; 9]), Response::status(204, "")] {
        let taken = node.exchanges.take().unwrap();
        node.exchanges.answer(&mut node.peers, taken, response);
    }
    let sent = node.sent();
    assert_eq!(sent[..2], ["1: 200 content-type: text/css|content-length: 9|", "1: end"]);
    assert_eq!(sent[2..], ["2: 204 content-type: text/plain; charset=utf-8|", "2: end"]);
}

#[test]
fn long_answers_wait_for_credit() {
    let mut node = Node::new(100, 10_000);
    node.tell(&[request(1, "GET", "/"), Command::End { request: 1 }]);
    let taken = node.exchanges.take().unwrap();
    node.exchanges.answer(&mut node.peers, taken, Response::new(200, "text/css", vec![b'x'; 70_000]));
    assert_eq!(node.sent()[1..], ["1: 32768 bytes", "1: 32768 bytes"]);
    assert!(node.sent().is_empty());
    node.tell(&[Command::Credit { request: 1, bytes: 4_000 }]);
    assert_eq!(node.sent(), ["1: 4000 bytes"]);
    node.tell(&[Command::Credit { request: 1, bytes: 4_000 }]);
    assert_eq!(node.sent(), ["1: 464 bytes", "1: end"]);
    assert!(node.exchanges.open.is_empty() && node.exchanges.held == 0);
}

#[test]
fn what_is_kept_is_bounded() {
    let mut node = Node::new(100, 10_000);
    node.tell(&[request(1, "POST", "/"), Command::Body { request: 1, data: &[0; 101] }, Command::End { request: 1 }]);
    assert!(node.sent()[0].starts_with("1: 413"));
    assert!(node.exchanges.take().is_none() && node.exchanges.held == 0);
    // requests that never end
    for number in 0..1_000 {
        node.tell(&[request(number, "POST", "/")]);
    }
    assert!(node.exchanges.held < 11_000, "{}", node.exchanges.held);
    assert!(node.sent().iter().any(|line| line.contains(": 503")));
    assert!(node.exchanges.open.len() < 100);
    // a peer that goes takes all of its own with it
    let mut batch = Batch::new();
    Peer::Detach(3, b"gone").encode(&mut batch);
    for incoming in wit::incoming(batch.as_bytes()) {
        node.exchanges.receive(&mut node.peers, incoming.unwrap());
    }
    assert!(node.exchanges.open.is_empty() && node.exchanges.held == 0);
}

#[test]
fn what_is_given_up_is_forgotten() {
    let mut node = Node::new(100, 10_000);
    node.tell(&[request(1, "GET", "/"), Command::End { request: 1 }, Command::Cancel { request: 1 }]);
    assert!(node.exchanges.take().is_none());
    node.tell(&[request(1, "GET", "/second"), Command::End { request: 1 }]);
    let taken = node.exchanges.take().unwrap();
    assert_eq!(taken.path(), "/second");
    assert!(node.exchanges.take().is_none());
    node.tell(&[Command::Cancel { request: 1 }]);
    node.exchanges.answer(&mut node.peers, taken, Response::text("late"));
    assert!(node.sent().is_empty() && node.exchanges.held == 0);
}

#[test]
#[should_panic(expected = "`content-length` is no field that a service sets")]
fn fields_that_are_not_the_services() {
    let _ = Response::text("").with("content-length", "7");
}
