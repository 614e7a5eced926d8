//! Tens of thousands of malformed frames and senseless commands, after which everything still works.
//!
//! `FUZZ_ROUNDS=100` makes it a hundred times as many.

mod common;

use common::host::CARD;
use common::wire::{Dice, Quality, SECOND};
use common::*;
use pearwood_net::Settings;
use smoltcp::wire::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use wit::tcp::{Command, Endpoint};
use wit::{Batch, Peer};

struct Counting;

static USED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        USED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        USED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Frames that make sense: what a host sends, and what servers and routers would.
fn corpus() -> Vec<Vec<u8>> {
    let mut frames = vec![
        frames::arp(HOST4, CARD, STACK4),
        frames::icmp4(HOST4, STACK4, b"\x08\0\0\0\0\x01\0\x02payload"),
        frames::icmp6(HOST6, STACK6, b"\x80\0\0\0\0\x01\0\x02payload"),
        frames::icmp6(HOST6, STACK6, &[&[1, 4, 0, 0, 0, 0, 0, 0][..], &[0x60; 60]].concat()),
        frames::icmp4(HOST4, STACK4, &[&[3, 3, 0, 0, 0, 0, 0, 0][..], &[0x45; 40]].concat()),
        frames::ip(HOST6, STACK6, IpProtocol::HopByHop, 64, &[6, 0, 5, 2, 0, 0, 1, 0, 0, 80, 0, 80, 0, 0, 0, 0]),
        frames::ip(HOST6, STACK6, IpProtocol::Ipv6Frag, 64, &[17, 0, 0, 1, 0, 0, 0, 7, 0, 53, 0, 53, 0, 8, 0, 0]),
        frames::ip(HOST4, "224.0.0.1", IpProtocol::Igmp, 1, &[0x11, 0x64, 0xee, 0x9b, 0, 0, 0, 0]),
        frames::udp((HOST4, 5), (STACK4, 53), b"question"),
        frames::udp((HOST6, 5), (STACK6, 53), b"question"),
    ];
    for kind in [133, 134, 135, 136, 137] {
        let mut message = vec![kind, 0, 0, 0, 64, 0, 7, 8];
        message.extend_from_slice(&STACK6.parse::<Ipv6Address>().unwrap().octets());
        if kind == 134 {
            message.truncate(16);
            message.extend_from_slice(&[3, 4, 64, 0xc0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
            message.extend_from_slice(&HOST6.parse::<Ipv6Address>().unwrap().octets());
            message.extend_from_slice(&[25, 3, 0, 0, 0, 0, 4, 0]);
            message.extend_from_slice(&HOST6.parse::<Ipv6Address>().unwrap().octets());
        }
        message.extend_from_slice(&[[1, 1].as_slice(), &CARD].concat());
        let to = if kind == 135 { "ff02::1:ff00:2" } else { "ff02::1" };
        frames.push(frames::icmp6("fe80::1", to, &message));
    }
    frames.extend(dhcp());
    // What a host sends in the course of connections.
    for address in [STACK4, STACK6] {
        let mut world = World::new(Quality::BAD, 3);
        world.listen(80);
        let (handle, connection) = world.connection(address, 80);
        world.host.tcp(handle).send_slice(&bytes(3000)).unwrap();
        world.command(0, Command::Send { connection, data: &bytes(3000) });
        world.pass(1);
        world.host.tcp(handle).close();
        world.pass(1);
        frames.append(&mut world.host_sent);
    }
    frames
}

/// An offer and an acknowledgement, with every option that is looked at.
fn dhcp() -> Vec<Vec<u8>> {
    let message = |kind: u8| {
        let mut message = vec![2, 1, 6, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 50, 10, 0, 0, 1, 0, 0, 0, 0];
        message.extend_from_slice(&STACK_CARD);
        message.resize(236, 0);
        message.extend_from_slice(&[0x63, 0x82, 0x53, 0x63, 53, 1, kind, 54, 4, 10, 0, 0, 1, 51, 4, 0, 0, 0, 60]);
        message.extend_from_slice(&[1, 4, 255, 255, 255, 0, 3, 4, 10, 0, 0, 1, 6, 8, 10, 0, 0, 1, 10, 0, 0, 2]);
        message.extend_from_slice(&[58, 4, 0, 0, 0, 30, 59, 4, 0, 0, 0, 40, 255]);
        frames::udp((HOST4, 67), ("255.255.255.255", 68), &message)
    };
    vec![message(2), message(5), message(6)]
}

/// Commands of some peer, mostly about things that are not there.
fn commands(dice: &mut Dice, numbers: &[u32]) -> Batch {
    let mut batch = Batch::new();
    for _ in 0..dice.below(8) {
        let id = if dice.percent(50) && !numbers.is_empty() {
            numbers[dice.below(numbers.len())]
        } else {
            dice.next() as u32
        };
        match dice.below(8) {
            0 => Peer::Is(dice.below(5) as u32).encode(&mut batch),
            1 if dice.percent(10) => Peer::Attach(1 + dice.below(4) as u32, b"").encode(&mut batch),
            1 if dice.percent(10) => Peer::Detach(1 + dice.below(4) as u32, b"").encode(&mut batch),
            2 => {
                let mut octets = [0; 16];
                octets.fill_with(|| dice.next() as u8);
                let known = [HOST6, "::ffff:10.0.0.1", "ff02::1", "::", "::1", "fe80::1", "::ffff:255.255.255.255"];
                let random = dice.percent(20).then(|| octets.into());
                let address = random.unwrap_or_else(|| known[dice.below(known.len())].parse().unwrap());
                let to = Endpoint { address, port: dice.below(100) as u16 };
                Command::Connect { ticket: id, to }.encode(&mut batch);
            }
            3 => Command::Send { connection: id, data: &bytes(dice.below(70_000)) }.encode(&mut batch),
            4 => {
                let port = 81 + dice.below(20) as u16;
                Command::Listen { port, backlog: dice.next() as u16 }.encode(&mut batch);
            }
            kind => {
                let length = [0, 1, 2, 4, 4, 8, 18, 30][dice.below(8)];
                batch.push(kind as u8, id, &bytes(length));
            }
        }
    }
    batch
}

fn fuzz(world: &mut World, dice: &mut Dice, corpus: &[Vec<u8>], rounds: usize) {
    let template = corpus.iter().find(|f| f.len() >= 54 && f[12] == 8 && f[13] == 0 && f[23] == 6).unwrap().clone();
    for round in 0..rounds {
        let mut batch = Batch::new();
        for _ in 0..20 {
            let frame = match dice.below(10) {
                0 => mutate::random(dice, STACK_CARD),
                1 => mutate::options(dice, &template),
                2 => corpus[dice.below(corpus.len())].clone(),
                _ => mutate::spoil(dice, corpus),
            };
            batch.push(wit::nic::Event::FRAME, 0, &frame);
        }
        world.stack.frames(world.now, batch.as_bytes());
        if dice.percent(30) {
            let numbers: Vec<u32> = world.tcp.values().flat_map(|c| c.accepted.iter().map(|a| a.0)).collect();
            let batch = commands(dice, &numbers);
            match dice.below(4) {
                0 => world.stack.udp_commands(world.now, batch.as_bytes()),
                1 => world.stack.names_commands(world.now, batch.as_bytes()),
                _ => world.stack.tcp_commands(batch.as_bytes()),
            }
        }
        world.turn();
        world.now += dice.next() % [1_000_000, 100_000_000, SECOND * 2][dice.below(3)];
        world.sent.clear();
        world.host_sent.clear();
        world.udp.clear();
        world.names.clear();
        if round % 50 == 0 {
            world.tcp.clear();
            world.to_host = common::wire::Wire::new(Quality::CLEAN, 1);
        }
        assert!(world.stack.connections() <= 64 && world.stack.memory() <= 2 << 20);
    }
}

fn rounds() -> usize {
    std::env::var("FUZZ_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(1)
}

#[test]
fn hostile_frames_and_commands() {
    let corpus = corpus();
    let small = [("connections", "64"), ("buffers", "2 MiB"), ("dns.0", HOST4)];
    let dynamic: &[(&str, &str)] = &[("connections", "64"), ("buffers", "2 MiB"), ("hostname", "pear")];
    for seed in 0..4 * rounds() as u64 {
        let mut dice = Dice::new(seed);
        let automatic = Settings::read(dynamic.iter().copied()).unwrap();
        let fixed = settings(&small);
        let before = USED.load(Ordering::Relaxed);
        let mut world = World::with(Quality::CLEAN, seed, if seed % 2 == 0 { &fixed } else { &automatic });
        world.listen(80);
        fuzz(&mut world, &mut dice, &corpus, 600);
        let used = USED.load(Ordering::Relaxed).saturating_sub(before);
        assert!(used < 24 << 20, "seed {seed}: {used} bytes");
        if seed % 2 == 0 {
            still_works(&mut world, seed);
        }
    }
}

/// Real machines can still use the stack, once what the fuzzer left has timed out.
fn still_works(world: &mut World, seed: u64) {
    for peer in 0..5 {
        world.detach(peer);
    }
    world.attach(0);
    world.tcp.clear();
    world.listen(80);
    // The fuzzer has taught it wrong neighbours.
    world.pass(130);
    assert_eq!((world.stack.connections(), world.stack.memory()), (0, 0), "seed {seed}");
    for address in [STACK4, STACK6] {
        let (handle, connection) = world.connection(address, 80);
        world.host.tcp(handle).send_slice(b"ping").unwrap();
        assert!(world.run(20, |world| world.peer(0).data.contains_key(&connection)), "seed {seed}");
        world.command(0, Command::Send { connection, data: b"pong" });
        assert!(world.run(20, |world| world.host.tcp(handle).can_recv()), "seed {seed}");
    }
}
