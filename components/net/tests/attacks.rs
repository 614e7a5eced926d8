//! What remote machines, or a client box, can do to others: the box has the memory that is said, and dies of more.

mod common;
#[path = "common/crowd.rs"]
mod crowd;
#[path = "common/heap.rs"]
mod heap;

use common::wire::{MILLISECOND, Quality, SECOND};
use common::*;
use crowd::{Client, Crowd, FILE, Manner};
use wit::tcp::{Command, Endpoint};
use wit::{Batch, Peer, names, udp};

const MIB: usize = 1 << 20;

/// A stack in a box with that much memory, a box that serves, and another.
fn world(pairs: &[(&str, &str)]) -> World {
    let mut world = World::with(Quality::CLEAN, 1, &settings(pairs));
    world.command(0, Command::Listen { port: 80, backlog: 128 });
    world.turn();
    world
}

fn client(address: &str, manner: Manner) -> Client {
    Client { address: address.into(), manner, trip: 20 * MILLISECOND, ..Client::default() }
}

/// How the stack is.
fn tell(world: &World) -> String {
    let (counters, connections) = (world.stack.counters().tcp, world.stack.connections());
    format!("{connections} connections, {} bytes, heap {:?}, {counters:?}", world.stack.memory(), heap::memory())
}

/// Some that never read, from as many addresses as said, each with a request for a large file.
fn stuck(memory: usize, pairs: &[(&str, &str)], users: usize, count: usize, addresses: usize) {
    heap::limited(memory, || {
        let mut world = world(pairs);
        let mut crowd = Crowd::default();
        // A proxy that has many users, and a telephone far away, are there before.
        let honest = |crowd: &Crowd, ports: &[u16]| {
            ports.iter().filter(|port| crowd.clients[port].got == FILE && !crowd.clients[port].reset).count()
        };
        let proxy: Vec<u16> = (0..users).map(|_| crowd.add(world.now, client("10.0.0.7", Manner::Honest))).collect();
        let served = crowd.run(&mut world, 120, |crowd, _| honest(crowd, &proxy) == proxy.len());
        assert!(served, "{} {}", crowd.tell(&proxy), tell(&world));
        let slow = Client { trip: 700 * MILLISECOND, ..client("10.0.0.8", Manner::Honest) };
        let phone = crowd.add(world.now, slow);
        assert!(crowd.run(&mut world, 20, |crowd, _| crowd.clients[&phone].got > 0));
        for n in 0..count {
            crowd.add(world.now, client(&format!("10.0.0.{}", 100 + n % addresses), Manner::Stuck));
            if n % 20 == 0 {
                crowd.turn(&mut world);
                world.now += MILLISECOND;
            }
        }
        crowd.run(&mut world, 5, |_, _| false);
        let late: Vec<u16> =
            (0..users.min(20)).map(|_| crowd.add(world.now, client("10.0.0.9", Manner::Honest))).collect();
        let served = crowd.run(&mut world, 120, |crowd, _| honest(crowd, &late) == late.len());
        assert!(served, "{} {}", crowd.tell(&late), tell(&world));
        let served = crowd.run(&mut world, 600, |crowd, _| crowd.clients[&phone].got == FILE);
        assert!(served, "the phone got {} bytes, reset {}", crowd.clients[&phone].got, crowd.clients[&phone].reset);
        assert_eq!(honest(&crowd, &proxy), proxy.len(), "idle connections of the proxy that stay");
    });
}

#[test]
fn those_who_never_read_do_not_end_the_box_and_others_are_served() {
    stuck(16 * MIB, &[], 100, 530, 1);
    stuck(16 * MIB, &[], 100, 530, 100);
}

#[test]
fn at_any_setting() {
    stuck(7 * MIB, &[("buffers", "1 GiB"), ("connections", "32768"), ("send-buffer", "1 MiB")], 10, 530, 7);
    stuck(16 * MIB, &[("buffers", "64 MiB"), ("receive-buffer", "1 MiB")], 60, 400, 3);
    stuck(16 * MIB, &[("connections", "64")], 20, 200, 90);
}

/// N8
#[test]
fn a_flood_of_syns_does_not_keep_those_away_who_are_far() {
    for backlog in [16, 128] {
        heap::limited(16 * MIB, || {
            let mut world = world(&[]);
            world.command(0, Command::Listen { port: 80, backlog });
            let mut crowd = Crowd::default();
            let mut far = Vec::new();
            for n in 0..800 * 5 {
                let address = format!("172.16.{}.{}", n / 250 % 250, 2 + n % 250);
                if n % 100 == 50 {
                    let honest = Client { trip: 250 * MILLISECOND, ..client("10.0.0.9", Manner::Honest) };
                    far.push(crowd.add(world.now, honest));
                }
                crowd.add(world.now, client(&address, Manner::Spoofed));
                crowd.turn(&mut world);
                world.now += SECOND / 800;
            }
            let served = |crowd: &Crowd| far.iter().filter(|port| crowd.clients[port].got > 0).count();
            assert!(served(&crowd) >= far.len() - 10, "{} {}", crowd.tell(&far), tell(&world));
            let all = |crowd: &Crowd| far.iter().all(|port| crowd.clients[port].got == FILE);
            assert!(crowd.run(&mut world, 120, |crowd, _| all(crowd)), "{} {}", crowd.tell(&far), tell(&world));
            assert!(world.stack.connections() <= usize::from(backlog) + far.len());
        });
    }
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

/// Whatever a box sends, no more memory is taken for it, and every batch to it is one that it can take.
#[test]
fn what_a_box_sends_does_not_matter() {
    heap::limited(8 * MIB, || {
        let mut world = world(&[]);
        world.attach(1);
        world.full.insert(0);
        let records = |encode: &dyn Fn(&mut Batch, u32)| batch(0, |batch| (0..600_000).for_each(|n| encode(batch, n)));
        let small = [
            records(&|batch, ticket| Command::Connect { ticket, to: endpoint(9) }.encode(batch)),
            records(&|batch, n| Command::Listen { port: n as u16, backlog: u16::MAX }.encode(batch)),
            records(&|batch, connection| Command::Send { connection, data: b"x" }.encode(batch)),
            records(&|batch, n| batch.push(n as u8 % 240, n, b"")),
        ];
        let large = batch(0, |batch| Command::Send { connection: 0, data: &vec![1; 15 * MIB] }.encode(batch));
        for batch in small.iter().chain([&large]) {
            inside(|| world.stack.tcp_commands(batch.as_bytes()));
            world.turn();
        }
        let binds = records(&|batch, n| udp::Command::Bind { port: n as u16 }.encode(batch));
        let data = &[0; 20];
        let datagrams = records(&|batch, _| udp::Command::Datagram { port: 1, to: endpoint(5), data }.encode(batch));
        for batch in [binds, datagrams] {
            inside(|| world.stack.udp_commands(world.now, batch.as_bytes()));
            world.turn();
        }
        let name = "x".repeat(15 * MIB);
        let long = batch(0, |batch| names::Command::Lookup { ticket: 1, name: &name }.encode(batch));
        (0..256).for_each(|_| inside(|| world.stack.names_commands(world.now, long.as_bytes())));
        let lookups = records(&|batch, ticket| names::Command::Lookup { ticket, name: "a.example" }.encode(batch));
        inside(|| world.stack.names_commands(world.now, lookups.as_bytes()));
        world.turn();
        // The others are served meanwhile, and it is once it reads.
        world.command(1, Command::Listen { port: 65_000, backlog: 1 });
        world.full.clear();
        inside(|| world.stack.room());
        world.turn();
        world.turn();
        assert!(world.peer(0).refused.len() > 1000);
        let answered = !world.peer(1).listening.is_empty() || !world.peer(1).refused.is_empty();
        assert!(answered);
    });
}
