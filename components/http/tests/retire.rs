//! Peers whose place others take, and the server's own.

mod common;
use common::{Bench, SECOND};
use pearwood_http::To;
use wit::Peer;

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn requests_go_to_the_new_handler_and_those_that_are_open_stay() {
    let mut bench = Bench::new();
    let (one, two) = (bench.connect(), bench.connect());
    bench.send(one, GET);
    let open = bench.last();
    bench.handler_peer(Peer::Attach(1, &[0; 8]));
    bench.handler_peer(Peer::Retire(0));
    bench.turn();
    bench.send(two, GET);
    assert_eq!((open.peer, bench.last().peer), (0, 1));
    assert_eq!(bench.outside.released, []);
    bench.respond_text(open.id, "old");
    assert!(bench.take(one).ends_with("old"));
    assert_eq!(bench.outside.released, [To::Handler(0)]);
    bench.detach_handler(0);
    bench.respond_text(bench.last().id, "new");
    assert!(bench.take(two).ends_with("new"));
    assert!(!bench.logged("gone"), "it was known to go: {:?}", bench.outside.log);
    assert_eq!(bench.outside.released.len(), 1);
}

#[test]
fn a_body_goes_on_to_the_old_handler() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.send(client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nabc");
    bench.handler_peer(Peer::Attach(1, &[0; 8]));
    bench.handler_peer(Peer::Retire(0));
    bench.send(client, "def");
    let request = bench.last();
    assert_eq!((request.peer, &*request.body, request.ended), (0, &b"abcdef"[..], true));
    bench.respond_text(request.id, "thanks");
    assert!(bench.take(client).ends_with("thanks"));
    assert_eq!(bench.outside.released, [To::Handler(0)]);
}

#[test]
fn an_idle_handler_is_let_go_at_once() {
    let mut bench = Bench::new();
    bench.handler_peer(Peer::Attach(1, &[0; 8]));
    bench.handler_peer(Peer::Retire(0));
    bench.turn();
    assert_eq!(bench.outside.released, [To::Handler(0)]);
}

#[test]
fn a_request_that_is_cancelled_keeps_no_handler() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.send(client, GET);
    bench.handler_peer(Peer::Attach(1, &[0; 8]));
    bench.handler_peer(Peer::Retire(0));
    bench.tcp_event(wit::tcp::Event::Closed { connection: client, why: "reset" });
    bench.turn();
    assert!(bench.http.deadline() <= bench.now + SECOND, "it looks again");
    bench.wait(SECOND);
    assert!(bench.last().cancelled);
    assert_eq!(bench.outside.released, [To::Handler(0)]);
}

#[test]
fn an_arrow_that_is_taken_away_leaves_nothing_behind() {
    let mut bench = Bench::new();
    bench.handler_peer(Peer::Retire(0));
    let client = bench.connect();
    bench.send(client, GET);
    assert!(bench.take(client).starts_with("HTTP/1.1 503"), "no handler is there");
}

#[test]
fn the_server_itself_ends_connections_with_their_next_request() {
    let mut bench = Bench::new();
    let (busy, idle, silent) = (bench.connect(), bench.connect(), bench.connect());
    bench.send(busy, GET);
    let open = bench.last().id;
    bench.http.retire(bench.now);
    bench.respond_text(open, "open");
    let text = bench.take(busy);
    assert!(text.ends_with("open") && !text.contains("close"), "{text}");
    bench.send(busy, GET);
    bench.respond_text(bench.last().id, "last");
    let text = bench.take(busy);
    assert!(text.ends_with("last") && text.to_ascii_lowercase().contains("connection: close"), "{text}");
    assert!(bench.client(busy).finished);

    bench.send(idle, GET);
    bench.respond_text(bench.last().id, "one more");
    assert!(bench.client(idle).finished && bench.take(idle).ends_with("one more"));
    assert!(!bench.client(silent).finished, "a request may be on its way");
    bench.wait(4 * SECOND);
    assert!(bench.client(silent).finished && !bench.client(silent).aborted);

    [busy, idle, silent].into_iter().for_each(|client| bench.finish(client));
    assert!(!bench.http.is_done(), "TCP may have accepted another");
    let late = bench.connect();
    bench.send(late, GET);
    bench.respond_text(bench.last().id, "late");
    assert!(bench.take(late).ends_with("late") && bench.client(late).finished);
    bench.finish(late);
    bench.tcp_peer(Peer::Detach(0, b"released"));
    bench.turn();
    assert!(bench.http.is_done() && !bench.logged("gone"));
}

#[test]
fn requests_that_were_sent_together_are_all_answered() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.http.retire(bench.now);
    bench.send(client, [GET, GET, GET].concat());
    let requests = bench.requests();
    assert_eq!(requests.len(), 3);
    for request in requests {
        bench.respond_text(request.id, "x");
    }
    let text = bench.take(client).to_ascii_lowercase();
    assert_eq!((text.matches("200 ok").count(), text.matches("connection: close").count()), (3, 1), "{text}");
    assert!(bench.client(client).finished);
}

/// It may not be there for long: its connections end with their next request, and clients open others.
#[test]
fn a_tcp_peer_that_retires_is_let_go_with_its_last_connection() {
    let mut bench = Bench::new();
    let (client, silent) = (bench.connect(), bench.connect());
    bench.tcp_peer(Peer::Retire(0));
    bench.turn();
    bench.send(client, GET);
    bench.respond_text(bench.last().id, "x");
    assert!(bench.take(client).ends_with('x') && bench.client(client).finished);
    bench.finish(client);
    bench.wait(4 * SECOND);
    assert!(bench.client(silent).finished && !bench.client(silent).aborted);
    assert_eq!(bench.outside.released, []);
    bench.finish(silent);
    bench.wait(SECOND);
    assert_eq!(bench.outside.released, [To::Tcp(0)]);
}
