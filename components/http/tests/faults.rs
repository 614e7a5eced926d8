//! Time that runs out, clients that are too many, and boxes that crash.

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

// --- time

#[test]
fn a_head_that_takes_too_long() {
    let mut bench = Bench::new();
    let client = bench.connect();
    for _ in 0..9 {
        bench.wait(SECOND);
        bench.send(client, "G");
    }
    bench.wait(SECOND);
    assert_eq!(bench.client(client).text(), "", "ten seconds from the first byte");
    bench.send(client, "E");
    bench.wait(SECOND);
    assert_eq!(status(&mut bench, client), 408);
    assert!(bench.client(client).finished);
    bench.wait(5 * SECOND);
    assert!(bench.client(client).aborted, "and the client does not close");
}

#[test]
fn connections_that_do_nothing() {
    let mut bench = Bench::new();
    let (fresh, used) = (bench.connect(), bench.connect());
    bench.send(used, GET);
    bench.respond_text(bench.last().id, "x");
    bench.take(used);
    bench.wait(10 * SECOND);
    assert!(bench.client(fresh).finished && bench.client(fresh).received.is_empty());
    bench.wait(49 * SECOND);
    assert!(!bench.client(used).finished);
    bench.wait(SECOND);
    assert!(bench.client(used).finished && bench.client(used).received.is_empty());
}

#[test]
fn a_body_that_takes_too_long() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.send(client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n");
    for _ in 0..5 {
        bench.wait(29 * SECOND);
        bench.send(client, "x");
    }
    bench.wait(30 * SECOND);
    assert_eq!(status(&mut bench, client), 408);
    assert!(bench.last().cancelled && bench.client(client).finished);
}

#[test]
fn a_body_that_is_slow_because_of_the_handler() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.send(client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n");
    bench.send(client, [b'x'; 60_000]);
    bench.send(client, [b'x'; 5_536]);
    assert_eq!(bench.last().credit, 0);
    bench.wait(30 * SECOND);
    assert_eq!(status(&mut bench, client), 504);
}

#[test]
fn a_handler_without_progress() {
    let mut bench = Bench::new();
    let (silent, partial, busy) = (bench.connect(), bench.connect(), bench.connect());
    for client in [silent, partial, busy] {
        bench.send(client, GET);
    }
    let ids = bench.outside.order.clone();
    for &id in &ids[1..] {
        bench.event(Event::Response { request: id, status: 200, headers: b"content-length: 100\r\n" });
    }
    bench.turn();
    for _ in 0..2 {
        bench.event(Event::Body { request: ids[2], data: b"0123456789" });
        bench.wait(20 * SECOND);
    }
    assert_eq!(status(&mut bench, silent), 504);
    assert!(!bench.client(silent).finished, "the connection is whole");
    assert!(bench.request(ids[0]).cancelled && bench.request(ids[1]).cancelled);
    let response = &responses::read(bench.take(partial).as_bytes(), &[]).unwrap()[0];
    assert!(!response.whole && bench.client(partial).finished);
    assert!(!bench.request(ids[2]).cancelled && bench.logged("no progress"));
}

#[test]
fn a_client_that_does_not_read() {
    let mut bench = Bench::new();
    bench.clients_read = false;
    let client = bench.connect();
    bench.send(client, GET);
    let id = bench.last().id;
    bench.event(Event::Response { request: id, status: 200, headers: b"content-length: 1000000\r\n" });
    bench.event(Event::Body { request: id, data: &[b'x'; 65_536] });
    bench.turn();
    for _ in 0..3 {
        bench.wait(29 * SECOND);
        bench.read(client, 10);
        bench.turn();
    }
    assert!(!bench.client(client).aborted);
    bench.wait(30 * SECOND);
    assert!(bench.client(client).aborted && bench.last().cancelled);
}

#[test]
fn waiting_for_its_turn_is_not_held_against_a_handler() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.send(client, GET.repeat(2));
    let ids = bench.outside.order.clone();
    bench.event(Event::Response { request: ids[1], status: 200, headers: b"content-length: 70000\r\n" });
    bench.event(Event::Body { request: ids[1], data: &[b'x'; 65_536] });
    bench.event(Event::Response { request: ids[0], status: 200, headers: b"content-length: 6\r\n" });
    for _ in 0..6 {
        bench.event(Event::Body { request: ids[0], data: b"x" });
        bench.wait(20 * SECOND);
    }
    bench.event(Event::End { request: ids[0] });
    bench.wait(SECOND);
    assert!(!bench.request(ids[1]).cancelled);
    bench.event(Event::Body { request: ids[1], data: &[b'x'; 4464] });
    bench.event(Event::End { request: ids[1] });
    bench.turn();
    assert!(responses::read(bench.take(client).as_bytes(), &[]).unwrap()[1].whole);
}

#[test]
fn the_deadline_says_when() {
    let mut bench = Bench::new();
    assert_eq!(bench.http.deadline(), u64::MAX);
    let client = bench.connect();
    assert_eq!(bench.http.deadline(), bench.now + 10 * SECOND);
    bench.finish(client);
    bench.now += 100 * SECOND;
    bench.turn();
    assert_eq!(bench.http.deadline(), u64::MAX);
}

// --- too many

#[test]
fn the_oldest_that_is_idle_or_in_a_head_makes_room() {
    let mut bench = Bench::with(&[("connections", "3")]);
    let slow = bench.connect();
    bench.send(slow, "GET /");
    bench.now += SECOND;
    let idle = bench.connect();
    bench.now += SECOND;
    let served = bench.connect();
    bench.send(served, GET);
    let fourth = bench.connect();
    assert!(bench.client(slow).aborted && !bench.client(idle).aborted);
    bench.send(fourth, GET);
    bench.now += SECOND;
    let fifth = bench.connect();
    assert!(bench.client(idle).aborted);
    bench.send(fifth, GET);
    let sixth = bench.connect();
    assert_eq!(status(&mut bench, sixth), 503);
    assert!(bench.client(sixth).finished);
    for id in bench.outside.order.clone() {
        bench.respond_text(id, "x");
    }
    for client in [served, fourth, fifth] {
        assert_eq!(status(&mut bench, client), 200);
    }
    let seventh = bench.connect();
    bench.send(seventh, GET);
    assert_eq!(bench.outside.order.len(), 4, "room again");
}

#[test]
fn an_honest_client_among_many_slow_ones() {
    let mut bench = Bench::with(&[("connections", "64")]);
    let mut honest = bench.connect();
    for round in 0..1000 {
        let slow = bench.connect();
        bench.send(slow, "GET / HTTP/1.1\r\nX: ");
        bench.now += SECOND / 100;
        if round % 10 == 0 {
            if bench.client(honest).closed {
                honest = bench.connect();
            }
            bench.send(honest, GET);
            bench.respond_text(bench.last().id, "x");
            assert_eq!(status(&mut bench, honest), 200, "round {round}");
        }
    }
    let open = bench.outside.clients.values().filter(|client| !client.closed).count();
    assert!(open <= 64, "{open} connections are open");
}

#[test]
fn far_too_many_are_reset() {
    let mut bench = Bench::with(&[("connections", "2")]);
    for _ in 0..2 {
        let client = bench.connect();
        bench.send(client, GET);
    }
    let rest: Vec<_> = (0..100).map(|_| bench.connect()).collect();
    assert!(rest.iter().all(|&client| bench.client(client).finished || bench.client(client).aborted));
    bench.wait(5 * SECOND);
    assert!(rest.iter().all(|&client| bench.client(client).closed));
    assert_eq!(bench.requests().iter().filter(|r| !r.cancelled).count(), 2);
}

// --- crashes

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
                bench.event(Event::Failed { request: id, why: b"reason" });
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
    Peer::Attach(0, b"").encode(&mut news);
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
    bench.tcp_event(tcp::Event::Refused { id: 80, why: b"in use" });
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

#[test]
fn a_client_that_goes_away_cancels_its_requests() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.send(client, GET.repeat(3));
    let ids = bench.outside.order.clone();
    bench.respond_text(ids[0], "x");
    bench.tcp_event(tcp::Event::Closed { connection: client, why: b"reset" });
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
    let cut = wit::Batch::default();
    drop(cut);
    let mut sides = std::mem::take(&mut bench.outside);
    let wake = pearwood_http::Wake { now: bench.now, tcp: &[1, 2, 3], handler: &[0xff; 9], room: false };
    bench.http.turn(wake, &mut sides);
    bench.outside = sides;
    assert!(bench.logged("malformed batch"));
    bench.send(client, GET);
    assert_eq!(bench.outside.order.len(), 1);
}
