//! Other protocols on a connection, and answers before the answer.

mod common;
use common::{Bench, SECOND, responses};
use wit::http::Event;
use wit::tcp::{Event as FromTcp, Secured};
use wit::{INITIAL_CREDIT, Peer};

const ASKS: &str =
    "GET /chat HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nX: y\r\n\r\n";

fn asked(request: &str) -> (Bench, u32, u32) {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.send(client, request);
    let id = bench.last().id;
    (bench, client, id)
}

/// The handler has agreed.
fn changed() -> (Bench, u32, u32) {
    let (mut bench, client, id) = asked(ASKS);
    assert_eq!((bench.last().upgrade.as_str(), bench.last().headers.as_str()), ("websocket", "X: y\r\n"));
    assert!(bench.last().ended, "whoever cannot change sees an ordinary request");
    bench.event(Event::Response { request: id, status: 101, headers: b"upgrade: websocket\r\na: b\r\n" });
    bench.turn();
    let head = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\na: b\r\nConnection: upgrade\r\n\r\n";
    assert_eq!(bench.take(client), head);
    (bench, client, id)
}

#[test]
fn after_a_101_both_sides_send_what_they_like() {
    let (mut bench, client, id) = changed();
    bench.send(client, "GET / HTTP/1.1\r\n\r\n");
    assert_eq!(bench.request(id).body, b"GET / HTTP/1.1\r\n\r\n");
    bench.event(Event::Body { request: id, data: b"\0\x01HTTP/1.1" });
    bench.turn();
    assert_eq!(bench.take(client), "\0\x01HTTP/1.1");
    bench.finish(client);
    assert!(bench.request(id).finished, "the client sends no more");
    bench.event(Event::Body { request: id, data: b"last" });
    bench.event(Event::End { request: id });
    bench.turn();
    assert_eq!(bench.take(client), "last");
    assert!(bench.client(client).finished && !bench.client(client).aborted && !bench.request(id).cancelled);
}

#[test]
fn what_the_client_sends_early_is_kept_for_the_handler() {
    let (mut bench, client, id) = asked(&format!("{ASKS}early"));
    bench.send(client, " bird");
    bench.event(Event::Response { request: id, status: 101, headers: b"Upgrade: websocket\r\n" });
    bench.turn();
    assert_eq!((bench.request(id).body.as_slice(), bench.requests().len()), (&b"early bird"[..], 1));
}

#[test]
fn the_handler_ends_it() {
    let (mut bench, client, id) = changed();
    bench.event(Event::End { request: id });
    bench.turn();
    assert!(bench.client(client).finished);
    bench.send(client, "more");
    assert!(bench.request(id).body.is_empty() && !bench.request(id).cancelled);
    let (mut bench, client, id) = changed();
    bench.event(Event::Failed { request: id, why: "lost" });
    bench.turn();
    assert!(bench.client(client).aborted, "it is not whole, and looks so");
}

#[test]
fn a_stream_is_within_the_credit_both_ways() {
    let (mut bench, client, id) = changed();
    for _ in 0..4 {
        bench.send(client, vec![b'x'; 16 << 10]);
    }
    assert_eq!(bench.request(id).credit, 0);
    let left = bench.client(client).send_credit;
    bench.send(client, vec![b'x'; left as usize]);
    assert_eq!((bench.request(id).body.len(), bench.client(client).send_credit), (INITIAL_CREDIT as usize, 0));
    bench.event(Event::Credit { request: id, bytes: INITIAL_CREDIT });
    bench.turn();
    assert_eq!(bench.request(id).body.len() as u32, INITIAL_CREDIT + left);
    bench.clients_read = false;
    bench.event(Event::Body { request: id, data: &vec![b'y'; INITIAL_CREDIT as usize] });
    bench.turn();
    bench.wait(31 * SECOND);
    assert_eq!(bench.client(client).received.len(), INITIAL_CREDIT as usize);
}

#[test]
fn any_other_answer_is_ordinary() {
    let (mut bench, client, id) = asked(&format!("{ASKS}GET /next HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert_eq!(bench.requests().len(), 1, "what follows may be of another protocol");
    bench.respond_text(id, "no");
    assert_eq!(bench.take(client), "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno");
    assert_eq!((bench.last().target.as_str(), bench.last().upgrade.as_str()), ("/next", ""));
    bench.respond_text(bench.last().id, "x");
    assert!(!bench.client(client).finished);
}

#[test]
fn who_asks_for_nothing_gets_no_101() {
    let close = "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n";
    let with_body = &ASKS.replace("X: y", "Content-Length: 2").replace("GET", "POST");
    let old = &ASKS.replace("HTTP/1.1", "HTTP/1.0");
    for request in [close, &format!("{with_body}ab"), old] {
        let (mut bench, client, id) = asked(request);
        assert_eq!(bench.last().upgrade, "", "{request}");
        bench.event(Event::Response { request: id, status: 101, headers: b"upgrade: websocket\r\n" });
        bench.turn();
        assert!(bench.take(client).starts_with("HTTP/1.1 502 "), "{request}");
    }
    let (mut bench, client, id) = asked(ASKS);
    bench.event(Event::Response { request: id, status: 101, headers: b"" });
    bench.turn();
    assert!(bench.take(client).starts_with("HTTP/1.1 502 "), "to what?");
}

#[test]
fn a_silent_stream_ends_at_last() {
    let (mut bench, client, id) = changed();
    bench.wait(120 * SECOND);
    bench.wait(120 * SECOND);
    assert!(!bench.client(client).closed, "neither side has to say anything for some minutes");
    bench.send(client, "ping");
    bench.wait(590 * SECOND);
    assert!(!bench.client(client).closed);
    bench.wait(11 * SECOND);
    assert!(bench.client(client).aborted && bench.request(id).cancelled);
}

#[test]
fn a_swap_lets_a_stream_end() {
    let (mut bench, client, id) = changed();
    bench.handler_peer(Peer::Retire(0));
    bench.attach_handler(1, "", "");
    bench.http.retire(bench.now);
    bench.wait(5 * SECOND);
    assert!(bench.outside.released.is_empty());
    bench.send(client, "still");
    bench.event(Event::Body { request: id, data: b"there" });
    bench.turn();
    assert_eq!(bench.take(client), "there");
    assert_eq!(bench.request(id).body, b"still");
    bench.event(Event::End { request: id });
    bench.turn();
    bench.wait(SECOND);
    assert_eq!(bench.outside.released, [common::handler(0)]);
    assert!(bench.client(client).finished);
}

#[test]
fn a_stream_may_begin_while_a_swap_goes_on() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.http.retire(bench.now);
    bench.send(client, ASKS);
    assert_eq!(bench.last().upgrade, "websocket", "an ordinary answer would be taken for a refusal");
    let id = bench.last().id;
    bench.event(Event::Response { request: id, status: 101, headers: b"upgrade: websocket\r\n" });
    bench.turn();
    assert!(bench.take(client).starts_with("HTTP/1.1 101 "));
}

#[test]
fn answers_before_the_answer() {
    let (mut bench, client, id) = asked("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    for _ in 0..2 {
        bench.event(Event::Response { request: id, status: 103, headers: b"link: <x>\r\nconnection: close\r\n" });
    }
    bench.respond_text(id, "x");
    let hint = "HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\n";
    assert_eq!(bench.take(client), format!("{hint}{hint}HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx"));
    let (mut bench, client, id) = asked("GET / HTTP/1.0\r\n\r\n");
    bench.event(Event::Response { request: id, status: 103, headers: b"link: <x>\r\n" });
    bench.respond_text(id, "x");
    assert_eq!(responses::read(bench.take(client).as_bytes(), &[]).unwrap()[0].status, 200);
}

#[test]
fn a_secured_connection_is_https() {
    let (bench, ..) = asked(ASKS);
    assert!(!bench.last().is_https);
    let mut bench = Bench::new();
    bench.accept(1);
    let remote = wit::tcp::Endpoint { address: bench.address, port: 1 };
    let secured = Some(Secured { name: "h", protocol: "http/1.1", client: b"", covers: None });
    bench.tcp_event(FromTcp::Accepted { connection: 1, remote, port: 443, secured });
    bench.send(1, ASKS);
    assert!(bench.last().is_https);
}
