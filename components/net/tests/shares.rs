//! One client box that takes, or asks for, all that it can.

mod common;

use common::wire::Quality;
use common::*;
use wit::tcp::{Command, Endpoint};
use wit::{Batch, Peer, Records, names, udp};

/// A stack with clients 0 (greedy), 1 and 2.
fn world(pairs: &[(&str, &str)]) -> World {
    let mut world = World::with(Quality::CLEAN, 1, &settings(pairs));
    world.attach(1);
    world.attach(2);
    world
}

fn endpoint(port: u16) -> Endpoint {
    Endpoint { address: "::ffff:10.0.0.1".parse().unwrap(), port }
}

/// A batch of a peer.
fn batch(peer: u32, write: impl FnOnce(&mut Batch)) -> Batch {
    let mut batch = Batch::new();
    Peer::Is(peer).encode(&mut batch);
    write(&mut batch);
    batch
}

#[test]
fn listeners() {
    let mut world = world(&[]);
    for port in 1..=1000 {
        world.command(0, Command::Listen { port, backlog: 1 });
        world.turn();
    }
    let taken = world.peer(0).listening.len();
    assert!((100..=256).contains(&taken), "{taken}");
    assert_eq!(world.peer(0).refused.len() + taken, 1000);
    assert!(world.peer(0).refused.iter().all(|(_, why)| why == "too many ports are listened on"));
    for peer in [1, 2] {
        for port in 0..40 {
            world.command(peer, Command::Listen { port: 2000 + port + 100 * peer as u16, backlog: 1 });
        }
        world.turn();
        assert_eq!(world.peer(peer).listening.len(), 40, "{:?}", world.peer(peer).refused);
    }
}

#[test]
fn bound_ports() {
    let mut world = world(&[]);
    let bind = |world: &mut World, peer, ports: std::ops::Range<u16>| {
        let batch = batch(peer, |batch| ports.for_each(|port| udp::Command::Bind { port }.encode(batch)));
        world.stack.udp_commands(world.now, batch.as_bytes());
        world.udp.clear();
        world.turn();
        let events: Vec<u8> = std::mem::take(&mut world.udp).into_iter().flat_map(|(_, packed)| packed).collect();
        let bound = |record: &wit::Record<'_>| matches!(udp::Event::decode(record), Ok(udp::Event::Bound { .. }));
        (Records::new(&events).flatten().filter(bound).count(), Records::new(&events).count())
    };
    let (bound, answers) = bind(&mut world, 0, 1000..1500);
    assert!((30..=64).contains(&bound) && answers == 500, "{bound} of {answers}");
    assert_eq!(bind(&mut world, 1, 2000..2010), (10, 10));
    assert_eq!(bind(&mut world, 2, 3000..3010), (10, 10));
}

#[test]
fn lookups() {
    let mut world = World::with(Quality::CLEAN, 1, &settings(&[("dns.0", HOST4)]));
    world.attach(1);
    let ask = |world: &mut World, peer, count| {
        let batch = batch(peer, |batch| {
            for ticket in 0..count {
                names::Command::Lookup { ticket, name: &format!("host{ticket}.example") }.encode(batch);
            }
        });
        world.stack.names_commands(world.now, batch.as_bytes());
        world.names.clear();
        world.turn();
        let events: Vec<u8> = std::mem::take(&mut world.names).into_iter().flat_map(|(_, packed)| packed).collect();
        Records::new(&events).count()
    };
    let refused = ask(&mut world, 0, 300);
    assert!((300 - 64..=300 - 32).contains(&refused), "{refused}");
    assert_eq!(ask(&mut world, 1, 16), 0);
}

#[test]
fn connections() {
    let mut world = world(&[("connections", "30")]);
    world.host.listen(9);
    // To nobody, so that they wait.
    for ticket in 0..100 {
        world.command(0, Command::Connect { ticket, to: endpoint(9) });
    }
    world.turn();
    assert_eq!((world.stack.connections(), world.peer(0).refused.len()), (30, 70));
    for peer in [1, 2] {
        for ticket in 0..10 {
            world.command(peer, Command::Connect { ticket, to: endpoint(9) });
        }
        world.turn();
        assert_eq!(world.peer(peer).refused, []);
    }
    // Its own share it keeps, and what it lost it is told of.
    assert_eq!(world.stack.connections(), 30);
    let lost = world.peer(0).refused.iter().filter(|(_, why)| why != "too many connections").count();
    assert_eq!(lost, 20, "{:?}", world.peer(0).refused);
    for ticket in 0..10 {
        world.command(1, Command::Connect { ticket: 100 + ticket, to: endpoint(9) });
    }
    world.turn();
    assert_eq!(world.peer(1).refused.len(), 10);
}
