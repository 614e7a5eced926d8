//! Connections that are kept, and those that are left at a swap.

use crate::sides::*;
use pearwood_fetch::To;
use wit::http::Scheme;
use wit::tcp::Cause;
use wit::{Peer, tcp};

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
