//! Whose fault it is that a request through a gateway fails: a server's, the node's, or that of whoever asks.

use crate::gateway::*;
use crate::sides::*;
use wit::Peer;
use wit::http::Command;

fn nobody_is_left_out(world: &World) {
    assert!(world.sides.log.iter().all(|line| !line.contains("left out")), "{:?}", world.sides.log);
}

/// A GET whose body is open is not sent on, as it is not known what it is: a server has no part in what becomes of it.
#[test]
fn a_request_that_does_not_go_on_is_no_servers_fault() {
    let mut world = world(&[]);
    world.says(&Command::Request { request: 1, head: visits("GET", b"") });
    world.turn();
    let link = world.connects();
    world.passes(60 * SECOND);
    assert_eq!((world.status(1), world.wanted().len()), (Some(408), 0), "and no other is asked");
    assert!(world.sides.hosts[&link].is_aborted);
    for (request, why) in [(2, ""), (3, "reset")] {
        world.says(&Command::Request { request, head: visits("GET", b"") });
        world.turn();
        // a server closes what says nothing
        for _ in 0..2 {
            let link = world.connects();
            world.closes(link, why);
        }
        assert_eq!((world.status(request), world.wanted().len()), (Some(502), 0));
    }
    nobody_is_left_out(&world);
}

/// The same for bodies that are begun and left open: the server waits for their end.
#[test]
fn a_body_that_is_left_open_is_no_servers_fault() {
    let mut world = world(&[]);
    for request in 1..=4 {
        world.says(&Command::Request { request, head: visits("POST", b"") });
        world.says(&Command::Body { request, data: b"so far" });
        world.turn();
        world.connects();
        world.passes(120 * SECOND);
        assert_eq!(world.status(request), Some(408));
    }
    nobody_is_left_out(&world);
}

/// While the node's own network or names are away, no server is blamed for it, and requests that can go elsewhere find that none can.
#[test]
fn what_the_node_lacks_is_no_servers_fault() {
    let mut net = world(&[]);
    net.reached(1, visits("GET", b""));
    net.asks(2, visits("GET", b""));
    Peer::Detach(NET, b"crashed").encode(&mut net.tcp);
    net.turn();
    net.sides.connects.clear();
    net.asks(3, visits("POST", b""));
    assert_eq!([1, 2, 3].map(|request| net.status(request)), [Some(502); 3]);
    nobody_is_left_out(&net);
    Peer::Attach(NET, &[]).encode(&mut net.tcp);
    net.turn();
    let link = net.reached(4, visits("POST", b""));
    net.host_says(link, OK);
    assert_eq!(net.status(4), Some(200));
}

#[test]
fn names_that_are_away_are_no_servers_fault() {
    let mut names = World::new(&[("upstreams.0", "http://a.example"), ("upstreams.1", "http://b.example")]);
    names.asks(1, visits("GET", b""));
    Peer::Detach(0, b"crashed").encode(&mut names.names);
    names.turn();
    names.asks(2, visits("GET", b""));
    assert_eq!([1, 2].map(|request| names.status(request)), [Some(502); 2]);
    nobody_is_left_out(&names);
}

/// Who makes connections was replaced, and nobody has said that the one before is gone.
#[test]
fn what_was_asked_of_one_that_was_replaced_is_not_waited_for() {
    let mut world = world(&[]);
    world.reached(1, visits("GET", b""));
    world.asks(2, visits("GET", b""));
    Peer::Attach(NET, &[]).encode(&mut world.tcp);
    world.turn();
    assert_eq!([1, 2].map(|request| world.status(request)), [Some(502); 2]);
    nobody_is_left_out(&world);
    world.sides.connects.clear();
    let link = world.reached(3, visits("GET", b""));
    world.host_says(link, OK);
    assert_eq!(world.status(3), Some(200));
}
