//! What is bounded: the backlog, the table, memory, TIME-WAIT; and whose a connection is.

mod common;

use common::frames::{self, Seen, Tcp};
use common::wire::{Quality, SECOND};
use common::*;
use smoltcp::socket::tcp::State;
use smoltcp::wire::TcpControl;
use wit::tcp::Command;
use wit::{Batch, Peer};

const ATTACKER: [u8; 6] = [2, 0, 0, 0, 0, 66];

/// A SYN from one of many addresses.
fn syn(n: u32) -> Vec<u8> {
    let from = format!("10.0.0.{}", 100 + n % 100);
    let port = 1024 + (n / 100) as u16;
    let (control, sequence) = (TcpControl::Syn, n.wrapping_mul(77_777));
    frames::tcp(&Tcp { from: (&from, port), to: (STACK4, 80), control, sequence, acknowledge: None, payload: &[] })
}

fn give(world: &mut World, frame: &[u8]) {
    world.to_stack.send(world.now, frame);
    world.run(1, |world| world.to_stack.next() == u64::MAX && world.to_host.next() == u64::MAX);
}

/// N8
#[test]
fn a_flood_of_syns_stays_within_the_backlog_and_lets_others_in() {
    let mut world = World::new(Quality::CLEAN, 1);
    world.command(0, Command::Listen { port: 80, backlog: 50 });
    for n in 0..20_000 {
        let mut batch = Batch::new();
        batch.push(wit::nic::Event::FRAME, 0, &syn(n));
        world.stack.frames(world.now, batch.as_bytes());
        assert!(world.stack.connections() <= 50);
        if n % 1000 == 0 {
            world.turn();
        }
    }
    world.sent.clear();
    let (_, connection) = world.connection(STACK4, 80);
    assert!(world.peer(0).accepted.iter().all(|(number, ..)| *number == connection));
    assert!(world.stack.counters().tcp.overflowed >= 19_000);
    // The half-open ones time out.
    world.pass(60);
    assert_eq!(world.stack.connections(), 1);
}

#[test]
fn connections_beyond_the_limit_are_not_taken_and_others_go_on() {
    let mut world = World::with(Quality::CLEAN, 1, &settings(&[("connections", "20")]));
    world.command(0, Command::Listen { port: 80, backlog: 1000 });
    let handles: Vec<_> = (0..30).map(|_| world.host.connect(STACK4, 80)).collect();
    world.pass(5);
    assert_eq!((world.stack.connections(), world.peer(0).accepted.len()), (20, 20));
    assert!(world.stack.counters().tcp.exhausted >= 10);
    let to = wit::tcp::Endpoint { address: "::ffff:10.0.0.1".parse().unwrap(), port: 9 };
    world.command(0, Command::Connect { ticket: 1, to });
    world.turn();
    assert_eq!(world.peer(0).refused, [(1, "too many connections".to_string())]);
    // As some end, those who kept trying come in.
    for connection in world.peer(0).accepted.iter().map(|a| a.0).collect::<Vec<_>>() {
        world.command(0, Command::Abort { connection });
    }
    world.pass(60);
    assert_eq!(world.peer(0).accepted.len(), 30);
    assert_eq!(handles.iter().filter(|h| world.host.tcp(**h).state() == State::Established).count(), 10);
}

#[test]
fn a_thousand_idle_connections_fit_and_the_first_still_works() {
    let mut world = World::new(Quality::CLEAN, 1);
    world.command(0, Command::Listen { port: 80, backlog: 1000 });
    let (first, number) = world.connection(STACK4, 80);
    for n in 0..1000 {
        world.host.connect_with(STACK4, 80, 2048);
        if n % 50 == 0 {
            world.pass(1);
        }
    }
    world.pass(5);
    assert_eq!(world.peer(0).accepted.len(), 1001);
    assert!(world.stack.memory() <= 12 << 20, "{}", world.stack.memory());
    world.host.tcp(first).send_slice(b"hello").unwrap();
    assert!(world.run(5, |world| world.peer(0).data.contains_key(&number)));
}

#[test]
fn readers_that_do_not_read_cannot_take_all_memory() {
    let mut world = World::with(Quality::CLEAN, 1, &settings(&[("buffers", "1 MiB"), ("connections", "64")]));
    world.command(0, Command::Listen { port: 80, backlog: 64 });
    let handles: Vec<_> = (0..60).map(|_| world.host.connect_with(STACK4, 80, 2048)).collect();
    world.pass(5);
    let numbers: Vec<u32> = world.peer(0).accepted.iter().map(|a| a.0).collect();
    assert_eq!(numbers.len(), 60);
    for &connection in &numbers {
        world.command(0, Command::Send { connection, data: &bytes(65_536) });
    }
    world.pass(1);
    assert!(world.stack.memory() <= 1 << 20);
    let ended = world.peer(0).closed.len();
    assert!(ended > 0 && world.peer(0).closed.values().all(|why| why == "out of buffer memory"));
    // Those that were not ended still work, in so far as their readers read.
    let mut got = 0;
    assert!(world.run(600, |world| {
        for &handle in &handles {
            let socket = world.host.tcp(handle);
            while socket.can_recv() {
                got += socket.recv(|data| (data.len(), data.len())).unwrap();
            }
        }
        got >= (60 - ended) * 65_536
    }));
}

#[test]
fn ports_belong_to_the_box_that_listens() {
    let mut world = World::new(Quality::CLEAN, 1);
    world.attach(1);
    world.listen(80);
    world.command(1, Command::Listen { port: 80, backlog: 8 });
    world.command(1, Command::Unlisten { port: 80 });
    world.command(1, Command::Listen { port: 0, backlog: 8 });
    world.turn();
    assert_eq!(world.peer(0).listening, [80]);
    assert_eq!(
        world.peer(1).refused,
        [(80, "another box listens on this port".into()), (0, "port 0 cannot be listened on".into())]
    );
    world.connection(STACK4, 80);
    // It is free once its box gives it up.
    world.command(0, Command::Unlisten { port: 80 });
    world.command(1, Command::Listen { port: 80, backlog: 8 });
    world.host.connect(STACK4, 80);
    assert!(world.run(5, |world| !world.peer(1).accepted.is_empty()));
}

#[test]
fn connections_belong_to_their_box() {
    let mut world = World::new(Quality::CLEAN, 1);
    world.attach(1);
    world.listen(80);
    let (handle, connection) = world.connection(STACK4, 80);
    for command in [
        Command::Send { connection, data: b"forged" },
        Command::Credit { connection, bytes: 9 },
        Command::Finish { connection },
        Command::Abort { connection },
    ] {
        world.command(1, command);
        world.command(7, command);
    }
    world.pass(2);
    assert_eq!(world.host.tcp(handle).state(), State::Established);
    assert_eq!(world.host.tcp(handle).recv_queue(), 0);
    assert!(world.peer(1).closed.is_empty());
}

#[test]
fn what_a_detached_box_had_is_reset_and_free() {
    let mut world = World::new(Quality::CLEAN, 1);
    world.attach(1);
    world.listen(80);
    let (handle, old) = world.connection(STACK4, 80);
    world.command(0, Command::Send { connection: old, data: &bytes(65_536) });
    world.detach(0);
    assert!(world.run(5, |world| world.host.tcp(handle).state() == State::Closed));
    assert_eq!((world.stack.connections(), world.stack.memory()), (0, 0));
    let refused = world.host.connect(STACK4, 80);
    assert!(world.run(5, |world| world.host.tcp(refused).state() == State::Closed));
    // A successor starts from nothing, even where the detach was not seen.
    for _ in 0..2 {
        world.attach(0);
        world.tcp.clear();
        world.command(0, Command::Send { connection: old, data: b"of the one before" });
        world.listen(80);
        let (handle, new) = world.connection(STACK4, 80);
        assert_ne!(old, new);
        world.pass(1);
        assert_eq!(world.host.tcp(handle).recv_queue(), 0);
        assert_eq!(world.peer(0).closed.len(), 0);
    }
}

#[test]
fn nonsense_is_ignored() {
    let mut world = World::new(Quality::CLEAN, 1);
    world.listen(80);
    let (handle, connection) = world.connection(STACK4, 80);
    let mut batch = Batch::new();
    // Before any record that names a peer; from a peer that is not attached; of no kind and an event, which
    // may be kinds to come and are passed over; a cut payload.
    Command::Abort { connection }.encode(&mut batch);
    Peer::Is(9).encode(&mut batch);
    Command::Abort { connection }.encode(&mut batch);
    Peer::Is(0).encode(&mut batch);
    batch.push(99, connection, b"");
    batch.push(5, connection, b"abc");
    Peer::Attach(u32::MAX, b"").encode(&mut batch);
    Peer::Is(u32::MAX).encode(&mut batch);
    Command::Abort { connection }.encode(&mut batch);
    let mut packed = batch.into_bytes();
    packed.extend_from_slice(&[7, 0, 0]);
    world.stack.tcp_commands(&packed);
    world.pass(1);
    assert_eq!(world.host.tcp(handle).state(), State::Established);
    assert_eq!(world.stack.counters().tcp.malformed, 5);
}

/// The last segment of the stack to that port.
fn last(world: &World, port: u16) -> Seen {
    let segments = world.sent.iter().filter_map(|frame| frames::read_tcp(frame));
    let last = segments.rev().find(|seen| seen.ports.1 == port).expect("no segment");
    // The window does not matter to who has finished.
    Seen { window: 0, ..last }
}

#[test]
fn time_wait_repeats_the_last_acknowledgement_and_gives_way_to_a_new_connection() {
    let mut world = World::new(Quality::CLEAN, 1);
    world.listen(80);
    give(&mut world, &frames::arp("10.0.0.66", ATTACKER, STACK4));
    let (from, to) = (("10.0.0.66", 5000), (STACK4, 80));
    let segment =
        |control, sequence, acknowledge| frames::tcp(&Tcp { from, to, control, sequence, acknowledge, payload: &[] });
    give(&mut world, &segment(TcpControl::Syn, 1000, None));
    let next = last(&world, 5000).sequence.wrapping_add(1);
    give(&mut world, &segment(TcpControl::None, 1001, Some(next)));
    let connection = world.peer(0).accepted[0].0;
    // The box finishes first, so the stack is the one to wait.
    world.command(0, Command::Finish { connection });
    world.pass(1);
    assert_eq!(last(&world, 5000).control, TcpControl::Fin);
    give(&mut world, &segment(TcpControl::Fin, 1001, Some(next.wrapping_add(1))));
    assert_eq!(world.peer(0).closed[&connection], "");
    assert_eq!((world.stack.connections(), world.stack.memory()), (0, 0));
    let acknowledgement = last(&world, 5000);
    assert_eq!(acknowledgement.acknowledge, Some(1002));
    // Its acknowledgement was lost; a reset does not matter; an old SYN is not a new connection.
    world.sent.clear();
    give(&mut world, &segment(TcpControl::Fin, 1001, Some(next.wrapping_add(1))));
    assert_eq!(last(&world, 5000), acknowledgement);
    give(&mut world, &segment(TcpControl::Rst, 1002, Some(next.wrapping_add(1))));
    give(&mut world, &segment(TcpControl::Syn, 500, None));
    assert_eq!(last(&world, 5000), acknowledgement);
    assert_eq!(world.stack.connections(), 0);
    // A new one is.
    give(&mut world, &segment(TcpControl::Syn, 90_000, None));
    assert_eq!(last(&world, 5000).control, TcpControl::Syn);
    assert_eq!(world.stack.connections(), 1);
    // And all is forgotten in time.
    world.pass(60);
    world.sent.clear();
    give(&mut world, &frames::arp("10.0.0.66", ATTACKER, STACK4));
    give(&mut world, &segment(TcpControl::Fin, 1001, Some(next.wrapping_add(1))));
    assert_eq!(last(&world, 5000).control, TcpControl::Rst);
}

#[test]
fn nothing_to_do_means_sleeping() {
    let mut world = World::new(Quality::CLEAN, 1);
    world.listen(80);
    world.connection(STACK4, 80);
    world.pass(10);
    let mut wakes = 0;
    world.run(600, |_| {
        wakes += 1;
        false
    });
    // Keep-alive probes, their answers, neighbour discovery, both sides' timers, the report.
    assert!(wakes < 200, "{wakes} wakes in ten minutes");
    let now = world.now;
    assert!(world.stack.deadline() > now, "{} s", (now - world.stack.deadline()) / SECOND);
}

#[test]
fn questions_for_closed_ports_are_answered_two_hundred_times_a_second() {
    let mut world = World::new(Quality::CLEAN, 1);
    give(&mut world, &frames::arp("10.0.0.66", ATTACKER, STACK4));
    world.sent.clear();
    let mut batch = Batch::new();
    for n in 0..1000 {
        let (from, to) = (("10.0.0.66", 5000 + n), (STACK4, 9));
        let syn = Tcp { from, to, control: TcpControl::Syn, sequence: 1, acknowledge: None, payload: &[] };
        batch.push(wit::nic::Event::FRAME, 0, &frames::tcp(&syn));
        batch.push(wit::nic::Event::FRAME, 0, &frames::udp(from, to, b"hello"));
        // a protocol that nobody speaks here
        batch.push(wit::nic::Event::FRAME, 0, &frames::ip("10.0.0.66", STACK4, 99.into(), 64, b"hello"));
    }
    for _ in 0..2 {
        world.sent.clear();
        world.stack.frames(world.now, batch.as_bytes());
        world.turn();
        let resets = world.sent.iter().filter(|frame| frames::read_tcp(frame).is_some()).count();
        let errors = world.sent.iter().filter(|frame| frame[23] == 1).count();
        assert_eq!((resets, errors), (200, 200));
        world.pass(1);
    }
    let counters = world.stack.counters();
    assert_eq!((counters.tcp.unanswered, counters.unanswered), (1600, 3600));
    world.pass(60);
    let lines: Vec<String> = world.stack.log().map(|(_, line)| line).collect();
    assert!(lines.iter().any(|line| line.contains("5200 questions for closed ports not answered")), "{lines:?}");
}

/// N7: RFC 6528.
#[test]
fn initial_sequence_numbers_tell_nothing_of_others() {
    // Of smoltcp's generator, the second number follows from the first, up to a few bits.
    let number = |seed, port| {
        let mut world = World::new(Quality::CLEAN, seed);
        world.listen(80);
        give(&mut world, &frames::arp("10.0.0.66", ATTACKER, STACK4));
        let syn = |from| Tcp {
            from: ("10.0.0.66", from),
            to: (STACK4, 80),
            control: TcpControl::Syn,
            sequence: 1,
            acknowledge: None,
            payload: &[],
        };
        give(&mut world, &frames::tcp(&syn(port)));
        last(&world, port).sequence
    };
    // For one flow it is a clock's, and so the same at the same time; for each other another, and for each seed.
    assert_eq!(number(1, 5000), number(1, 5000));
    let all: std::collections::BTreeSet<u32> =
        (1..5).flat_map(|seed| (5000..5100).map(move |port| number(seed, port))).collect();
    assert!(all.len() >= 399, "{}", all.len());
    // In one stack, a flow's number does not depend on how many were opened before it.
    let mut world = World::new(Quality::CLEAN, 1);
    world.listen(80);
    give(&mut world, &frames::arp("10.0.0.66", ATTACKER, STACK4));
    let mut seen = Vec::new();
    for sequence in [1, 100_000] {
        let (from, to) = (("10.0.0.66", 5000), (STACK4, 80));
        let tcp =
            |control, sequence| frames::tcp(&Tcp { from, to, control, sequence, acknowledge: None, payload: &[] });
        give(&mut world, &tcp(TcpControl::Syn, sequence));
        seen.push((world.now, last(&world, 5000).sequence));
        give(&mut world, &tcp(TcpControl::Rst, sequence + 1));
        world.pass(2);
    }
    let (ticks, more) = ((seen[1].0 - seen[0].0) / 4000, seen[1].1.wrapping_sub(seen[0].1));
    assert!(u64::from(more).abs_diff(ticks) < 2000, "{more} after {ticks} ticks of 4 microseconds");
}
