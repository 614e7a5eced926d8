//! Boxes that crash or talk nonsense, and clients that go away.

mod common;
use common::{Bench, SECOND, responses};
use wit::http::Event;
use wit::tcp;
use wit::{INITIAL_CREDIT, Peer};

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

fn status(bench: &mut Bench, client: u32) -> u16 {
    let text = bench.take(client);
    responses::read(text.as_bytes(), &[]).unwrap().last().unwrap_or_else(|| panic!("no response: {text:?}")).status
}

#[test]
fn the_handler_crashes_at_each_stage() {
    let stages: [&[Event]; 4] = [
        &[],
        &[Event::Response { request: 0, status: 200, headers: b"content-length: 4\r\n" }],
        &[Event::Response { request: 0, status: 200, headers: b"" }, Event::Body { request: 0, data: b"part" }],
        &[
            Event::Response { request: 0, status: 200, headers: b"content-length: 4\r\n" },
            Event::Body { request: 0, data: b"full" },
        ],
    ];
    for (stage, events) in stages.into_iter().enumerate() {
        for by_failed in [false, true] {
            let mut bench = Bench::new();
            let client = bench.connect();
            bench.send(client, GET);
            let id = bench.last().id;
            assert_eq!(id, 0);
            events.iter().for_each(|event| bench.event(*event));
            if by_failed {
                bench.event(Event::Failed { request: id, why: "reason" });
                bench.turn();
                assert!(bench.logged("reason"));
            } else {
                bench.detach_handler(0);
            }
            assert!(!bench.request(id).cancelled, "it knows");
            let response = responses::read(bench.take(client).as_bytes(), &[]).unwrap().remove(0);
            let (status, whole) = [(502, true), (200, false), (200, false), (200, true)][stage];
            assert_eq!((response.status, response.whole), (status, whole), "stage {stage}");
            assert_eq!(bench.client(client).finished, !whole);
            if whole {
                bench.attach_handler(0, "", "");
                bench.send(client, GET);
                bench.respond_text(bench.last().id, "again");
                assert!(bench.take(client).ends_with("again"));
            }
        }
    }
}

#[test]
fn http_1_0_sees_that_the_end_is_missing() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.send(client, "GET / HTTP/1.0\r\n\r\n");
    let id = bench.last().id;
    bench.event(Event::Response { request: id, status: 200, headers: b"" });
    bench.event(Event::Body { request: id, data: b"part" });
    bench.detach_handler(0);
    assert!(bench.client(client).aborted);
}

#[test]
fn the_handler_crashes_while_a_body_is_sent() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.send(client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nstart");
    bench.detach_handler(0);
    assert_eq!(status(&mut bench, client), 502);
    assert!(bench.client(client).finished);
    bench.send(client, [b'x'; 95]);
    assert_eq!(bench.outside.order.len(), 1);
}

#[test]
fn a_successor_gets_nothing_of_its_predecessor() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.send(client, GET.repeat(2));
    let old = bench.outside.order.clone();
    // The node tells of both at once; a request that comes with the news is for the successor.
    bench.data(client, GET.as_bytes());
    for request in bench.outside.requests.values_mut() {
        request.over = true;
    }
    let mut news = wit::Batch::new();
    Peer::Detach(0, b"trap").encode(&mut news);
    Peer::Attach(0, &[0; 8]).encode(&mut news);
    for record in news.records().map(Result::unwrap) {
        bench.handler_record(0, record.kind, record.id, record.bytes);
    }
    bench.turn();
    let third = bench.last().id;
    assert!(!old.contains(&third));
    bench.respond_text(third, "x");
    let responses = responses::read(bench.take(client).as_bytes(), &[]).unwrap();
    assert_eq!(responses.iter().map(|r| r.status).collect::<Vec<_>>(), [502, 502, 200]);
}

#[test]
fn net_crashes_and_comes_back() {
    let mut bench = Bench::with(&[("ports.0", "80"), ("ports.1", "8080")]);
    assert_eq!(bench.outside.listening, [80, 8080]);
    let client = bench.connect();
    bench.send(client, GET);
    bench.tcp_peer(Peer::Detach(0, b"trapped"));
    bench.turn();
    assert!(bench.last().cancelled);
    bench.tcp_peer(Peer::Attach(0, b""));
    bench.turn();
    assert_eq!(bench.outside.listening, [80, 8080, 80, 8080]);
    // The numbers of connections start over.
    bench.accept(client);
    bench.send(client, GET);
    bench.respond_text(bench.last().id, "x");
    assert_eq!(status(&mut bench, client), 200);
}

#[test]
fn a_refused_port_is_asked_for_again() {
    let mut bench = Bench::new();
    bench.tcp_event(tcp::Event::Refused { id: 80, why: "in use" });
    bench.turn();
    assert!(bench.logged("port 80: in use"));
    assert_eq!(bench.http.deadline(), bench.now + SECOND);
    bench.wait(SECOND);
    assert_eq!(bench.outside.listening, [80, 80]);
    bench.wait(SECOND);
    assert_eq!(bench.outside.listening.len(), 2, "more and more seldom");
    bench.wait(SECOND);
    assert_eq!(bench.outside.listening.len(), 3);
    bench.tcp_event(tcp::Event::Listening { port: 80 });
    bench.turn();
    assert_eq!(bench.http.deadline(), u64::MAX);
}

/// Behind TLS, one port comes from another box than the other.
#[test]
fn of_several_peers_each_has_its_ports() {
    let mut bench = Bench::with(&[("ports.0", "80"), ("ports.1", "443")]);
    bench.tcp_event(tcp::Event::Listening { port: 80 });
    bench.tcp_peer(Peer::Attach(1, b""));
    bench.tcp_peer(Peer::Is(0));
    bench.tcp_event(tcp::Event::Refused { id: 443, why: "not granted" });
    bench.tcp_peer(Peer::Is(1));
    bench.tcp_event(tcp::Event::Refused { id: 80, why: "not granted" });
    bench.turn();
    assert!(!bench.logged("not granted"));
    let asked = bench.outside.listening.len();
    bench.tcp_peer(Peer::Is(1));
    bench.tcp_event(tcp::Event::Listening { port: 443 });
    bench.wait(2 * SECOND);
    assert!(!bench.logged("not granted"));
    assert_eq!((bench.outside.listening.len(), bench.http.deadline()), (asked, u64::MAX));
    // where none of them has it, that is said
    bench.tcp_peer(Peer::Detach(1, b"ended"));
    bench.tcp_peer(Peer::Attach(1, b""));
    bench.tcp_peer(Peer::Is(1));
    bench.tcp_event(tcp::Event::Refused { id: 443, why: "another box listens" });
    bench.turn();
    assert!(!bench.logged("another box listens"));
    bench.wait(SECOND);
    assert!(bench.logged("port 443: another box listens (tcp peer 1)"));
}

#[test]
fn a_client_that_goes_away_cancels_its_requests() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.send(client, GET.repeat(3));
    let ids = bench.outside.order.clone();
    bench.respond_text(ids[0], "x");
    bench.tcp_event(tcp::Event::Closed { connection: client, why: "reset" });
    bench.turn();
    assert!(!bench.request(ids[0]).cancelled && bench.request(ids[1]).cancelled && bench.request(ids[2]).cancelled);
    // Its number may be used again, and credit starts over.
    bench.accept(client);
    bench.send(client, GET);
    assert_eq!(bench.client(client).credit, INITIAL_CREDIT);
    assert!(!ids.contains(&bench.last().id));
}

#[test]
fn malformed_batches_do_not_stop_the_server() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.tcp_event(tcp::Event::Listening { port: 80 });
    let mut sides = std::mem::take(&mut bench.outside);
    let wake = pearwood_http::Wake { now: bench.now, tcp: &[1, 2, 3], handler: &[0xff; 9], room: false };
    bench.http.turn(wake, &mut sides);
    bench.outside = sides;
    assert!(bench.logged("malformed batch"));
    bench.send(client, GET);
    assert_eq!(bench.outside.order.len(), 1);
}
