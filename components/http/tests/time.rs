//! Time that runs out.

mod common;
use common::{Bench, SECOND, responses};
use wit::http::Event;

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

fn status(bench: &mut Bench, client: u32) -> u16 {
    let text = bench.take(client);
    responses::read(text.as_bytes(), &[]).unwrap().last().unwrap_or_else(|| panic!("no response: {text:?}")).status
}

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
    bench.wait(59 * SECOND);
    assert!(!bench.client(fresh).finished && !bench.client(used).finished);
    bench.wait(SECOND);
    for client in [fresh, used] {
        assert!(bench.client(client).finished && bench.client(client).received.is_empty());
    }
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
    for (each, aborted) in [(10, true), (20_000, false)] {
        let mut bench = Bench::new();
        bench.clients_read = false;
        let client = bench.connect();
        bench.send(client, GET);
        let id = bench.last().id;
        bench.event(Event::Response { request: id, status: 200, headers: b"content-length: 1000000\r\n" });
        bench.event(Event::Body { request: id, data: &[b'x'; 65_536] });
        bench.turn();
        bench.event(Event::Body { request: id, data: &[b'x'; 60_000] });
        bench.turn();
        for _ in 0..2 {
            bench.wait(29 * SECOND);
            assert!(!bench.client(client).aborted || aborted);
            bench.read(client, each);
            bench.turn();
        }
        assert_eq!(bench.client(client).aborted, aborted, "{each} bytes in 29 seconds");
        bench.wait(60 * SECOND);
        assert!(bench.client(client).aborted && bench.last().cancelled);
    }
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
    assert_eq!(bench.http.deadline(), bench.now + 60 * SECOND);
    bench.finish(client);
    bench.now += 100 * SECOND;
    bench.turn();
    assert_eq!(bench.http.deadline(), u64::MAX);
}
