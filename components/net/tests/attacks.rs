//! What a remote machine, or many, can do to others: the box has the memory that is said, and dies of more.

mod common;
#[path = "common/crowd.rs"]
mod crowd;
#[path = "common/heap.rs"]
mod heap;

use common::wire::{MILLISECOND, Quality, SECOND};
use common::*;
use crowd::{Client, Crowd, FILE, Manner};
use wit::tcp::Command;

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
