//! Clients that are too many.

mod common;
use common::{Bench, SECOND, responses};

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

fn status(bench: &mut Bench, client: u32) -> u16 {
    let text = bench.take(client);
    responses::read(text.as_bytes(), &[]).unwrap().last().unwrap_or_else(|| panic!("no response: {text:?}")).status
}

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
