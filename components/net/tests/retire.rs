//! Clients whose place others take.

mod common;

use common::wire::Quality;
use common::*;
use wit::tcp::Command;
use wit::udp;
use wit::{Batch, Peer};

#[test]
fn ports_go_to_the_successor_and_connections_stay() {
    let mut world = World::new(Quality::CLEAN, 1);
    world.listen(80);
    let (handle, connection) = world.connection(STACK4, 80);
    world.attach(1);
    world.command(1, Command::Listen { port: 80, backlog: 8 });
    world.pass(1);
    assert_eq!(world.peer(1).refused, [(80, "another box listens on this port".to_string())]);

    world.retire(0);
    world.pass(1);
    assert_eq!(world.released[0], [], "it has a port and a connection");
    let early = world.host.connect(STACK4, 80);
    assert!(world.run(10, |world| world.peer(0).accepted.len() == 2), "until another listens, it does");
    world.command(1, Command::Listen { port: 80, backlog: 8 });
    let late = world.host.connect(STACK4, 80);
    assert!(world.run(10, |world| world.peer(1).accepted.len() == 1));
    assert_eq!((world.peer(0).accepted.len(), world.peer(1).listening.len()), (2, 1));

    world.command(0, Command::Send { connection, data: b"still here" });
    assert!(world.run(10, |world| world.host.tcp(handle).recv_queue() == 10));
    for (handle, connection) in [(handle, connection), (early, world.peer(0).accepted[1].0)] {
        assert_eq!(world.released[0], []);
        world.command(0, Command::Finish { connection });
        world.host.tcp(handle).close();
        assert!(world.run(60, |world| world.peer(0).closed.contains_key(&connection)));
        assert_eq!(world.peer(0).closed[&connection], "");
    }
    world.pass(1);
    assert_eq!(world.released[0], [0], "once");
    world.detach(0);
    assert!(world.host.tcp(late).may_send());
    world.pass(1);
    assert!(world.host.tcp(late).may_send(), "the other's connection is not touched");
}

/// A connection that is being opened when the port moves is announced to the new owner.
#[test]
fn connections_that_nobody_was_told_of_go_along() {
    let mut world = World::new(Quality::CLEAN, 2);
    world.listen(80);
    world.attach(1);
    world.full.insert(0);
    let handle = world.host.connect(STACK4, 80);
    world.retire(0);
    world.command(1, Command::Listen { port: 80, backlog: 8 });
    assert!(world.run(10, |world| world.peer(1).accepted.len() == 1));
    assert!(world.host.tcp(handle).may_send());
    assert_eq!(world.peer(0).accepted, []);
}

#[test]
fn bound_ports_too() {
    let mut world = World::new(Quality::CLEAN, 3);
    world.attach(1);
    let bind = |world: &mut World, peer: u32| {
        let mut batch = Batch::new();
        Peer::Is(peer).encode(&mut batch);
        udp::Command::Bind { port: 53 }.encode(&mut batch);
        world.stack.udp_commands(world.now, batch.as_bytes());
        world.pass(1);
        let (to, answer) = world.udp.pop().unwrap();
        assert_eq!(to, peer);
        let record = wit::Records::new(&answer).next().unwrap().unwrap();
        matches!(udp::Event::decode(&record), Ok(udp::Event::Bound { port: 53 }))
    };
    assert!(bind(&mut world, 0) && !bind(&mut world, 1));
    world.retire(0);
    world.pass(1);
    assert_eq!(world.released[1], []);
    assert!(bind(&mut world, 1));
    world.pass(1);
    assert_eq!(world.released[1], [0]);
}
