//! What takes too long.

use crate::sides::*;
use wit::http::{Command, Scheme};
use wit::tcp::{self, Cause};

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

/// Bodies that have a length come and go at a rate, however steadily a little of them does.
#[test]
fn bodies_have_a_least_rate() {
    let settings = [("body-timeout", "8 s"), ("answer-timeout", "6 s")];
    let mut world = World::new(&settings);
    let long = b"content-length: 1000000\r\n";
    // a client that sends its body too slowly
    let trickle = |world: &mut World, request: u32, part: usize| {
        for _ in 0..6 {
            world.passes(2 * SECOND);
            if world.answer(request).failed.is_some() {
                return;
            }
            world.says(&Command::Body { request, data: &vec![b'x'; part] });
            world.turn();
            let link = *world.sides.hosts.keys().last().unwrap();
            world.got(link);
        }
    };
    for (request, part, is_fast) in [(1, 100, false), (2, 5_000, true)] {
        world.says(&Command::Request { request, head: asks("POST", Scheme::Https, "a.example", long) });
        world.turn();
        world.connects();
        trickle(&mut world, request, part);
        assert_eq!(world.answer(request).failed.is_none(), is_fast, "{part}");
    }
    assert!(world.failed(1).1.contains("comes too slowly"));
    // one of unknown length only has to go on
    world.says(&Command::Request { request: 3, head: asks("POST", Scheme::Https, "a.example", b"") });
    world.turn();
    world.connects();
    trickle(&mut world, 3, 1);
    assert_eq!(world.answer(3).failed, None);

    // a host that does not take it
    for (request, part, is_fast) in [(4, 100, false), (5, 5_000, true)] {
        world.says(&Command::Request { request, head: asks("POST", Scheme::Https, "a.example", b"") });
        world.says(&Command::Body { request, data: &[b'x'; 60_000] });
        world.says(&Command::Body { request, data: &[b'x'; 5_536] });
        world.turn();
        let (peer, connection) = world.connects();
        for _ in 0..6 {
            world.passes(2 * SECOND);
            if world.answer(request).failed.is_none() {
                world.tcp_says(peer, &tcp::Event::Sent { connection, bytes: part });
                let more = vec![b'x'; world.credit(request)];
                world.says(&Command::Body { request, data: &more });
                world.turn();
            }
        }
        assert_eq!(world.answer(request).failed.is_none(), is_fast, "{part}");
    }
    assert!(world.failed(4).1.contains("takes the request's body too slowly"), "{:?}", world.failed(4));

    // a host that sends its answer too slowly, with a length and without
    for (request, length, part, is_fast) in
        [(6, "Content-Length: 1000000", 100, false), (7, "Content-Length: 1000000", 5_000, true), (8, "X: y", 1, true)]
    {
        let link = world.reached(request, get("a.example"));
        world.host_says(link, &format!("HTTP/1.1 200 OK\r\n{length}\r\n\r\n"));
        for _ in 0..6 {
            world.passes(2 * SECOND);
            if world.answer(request).failed.is_none() {
                world.host_says(link, &"x".repeat(part));
            }
        }
        assert_eq!(world.answer(request).failed.is_none(), is_fast, "{length} {part}");
        world.says(&Command::Cancel { request });
        world.turn();
    }
    assert!(world.failed(6).1.contains("sends its answer too slowly"));
}

/// The clock of a host does not run while its client takes nothing.
#[test]
fn a_client_that_reads_slowly_is_no_slow_host() {
    let mut world = World::new(&[("body-timeout", "5 s"), ("answer-timeout", "1 h")]);
    let link = world.reached(1, get("a.example"));
    world.host_says(link, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
    world.host_says(link, &"x".repeat(40_000));
    world.host_says(link, &"x".repeat(25_536));
    world.passes(100 * SECOND);
    assert_eq!(world.answer(1).body.len(), 65_536);
    world.says(&Command::Credit { request: 1, bytes: 40_000 });
    world.turn();
    world.passes(5 * SECOND);
    assert!(world.failed(1).1.contains("too slowly"), "but from then on it does");
}
