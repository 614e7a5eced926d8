//! N5: which segments a connection takes, ignores, or asks about (RFC 9293 section 3.10.7, RFC 5961 sections 3 to 5).

mod common;

use common::remote::Remote;
use common::wire::Quality;
use common::*;
use smoltcp::wire::TcpControl;
use wit::tcp::Command;

const ADDRESSES: [&str; 2] = ["10.0.0.66", "fd00::66"];

/// A connection on which the stack has sent six bytes, which were acknowledged.
fn opened(address: &'static str) -> (World, Remote, u32) {
    let mut world = World::new(Quality::CLEAN, 1);
    world.listen(80);
    let (mut remote, connection) = Remote::open(&mut world, address, 5000);
    world.command(0, Command::Send { connection, data: b"answer" });
    world.pass(0);
    remote.next = remote.next.wrapping_add(6);
    remote.say(&mut world, TcpControl::None, 0, Some(0), b"");
    world.pass(2);
    world.sent.clear();
    (world, remote, connection)
}

/// The stack has said what it expects, and goes on.
fn assert_challenged(world: &mut World, remote: &Remote, connection: u32, what: &str) {
    let heard = remote.heard(world);
    assert_eq!(heard.len(), 1, "{what}: {heard:?}");
    let Some(seen) = heard.first() else { return };
    assert_eq!((seen.control, seen.payload), (TcpControl::None, 0), "{what}");
    assert_eq!((seen.sequence, seen.acknowledge), (remote.next, Some(remote.sequence)), "{what}");
    assert!(seen.window > 0, "{what}: a window of nothing");
    assert_goes_on(world, remote, connection, what);
}

fn assert_goes_on(world: &mut World, remote: &Remote, connection: u32, what: &str) {
    assert!(!world.peer(0).closed.contains_key(&connection), "{what}: closed");
    let before = world.peer(0).data.get(&connection).map_or(0, Vec::len);
    remote.say(world, TcpControl::Psh, 0, Some(0), b"still here");
    world.pass(1);
    let data = world.peer(0).data.get(&connection).cloned().unwrap_or_default();
    assert_eq!(data[before..], *b"still here", "{what}");
}

/// N5, RFC 5961 section 3.2.
#[test]
fn a_reset_counts_only_with_the_sequence_number_that_is_next() {
    for address in ADDRESSES {
        for ahead in [1, 2, 1460, 20_000] {
            let (mut world, remote, connection) = opened(address);
            remote.say(&mut world, TcpControl::Rst, ahead, Some(0), b"");
            assert_challenged(&mut world, &remote, connection, &format!("a reset {ahead} ahead"));
        }
        for ahead in [-1, -1000, 1 << 20, i32::MIN] {
            let (mut world, remote, connection) = opened(address);
            remote.say(&mut world, TcpControl::Rst, ahead, Some(0), b"");
            assert_eq!(remote.heard(&world), []);
            assert_goes_on(&mut world, &remote, connection, &format!("a reset {ahead} ahead"));
        }
        // Data that was not yet acknowledged, or not yet taken by the box, counts.
        let (mut world, mut remote, connection) = opened(address);
        world.full.insert(0);
        remote.say(&mut world, TcpControl::Psh, 0, Some(0), b"request");
        remote.sequence += 7;
        remote.say(&mut world, TcpControl::Rst, 0, Some(0), b"");
        world.full.clear();
        world.stack.room();
        world.pass(1);
        assert_eq!(world.peer(0).closed[&connection], "reset by the remote side");
        // Without an acknowledgement too, as RFC 9293 says.
        let (mut world, remote, connection) = opened(address);
        remote.say(&mut world, TcpControl::Rst, 0, None, b"");
        world.pass(1);
        assert_eq!(world.peer(0).closed[&connection], "reset by the remote side");
    }
}

/// N5, RFC 5961 section 4.2.
#[test]
fn a_syn_is_asked_about_whatever_its_numbers() {
    for address in ADDRESSES {
        for ahead in [0, 1, -1, 5000, 1 << 30] {
            for acknowledge in [None, Some(0), Some(5)] {
                let (mut world, remote, connection) = opened(address);
                remote.say(&mut world, TcpControl::Syn, ahead, acknowledge, b"");
                let what = format!("a SYN {ahead} ahead that acknowledges {acknowledge:?}");
                assert_challenged(&mut world, &remote, connection, &what);
            }
        }
    }
}

/// N5: a machine that was switched off and on again uses the same port.
#[test]
fn a_machine_that_has_forgotten_its_connection_opens_another() {
    for half_open in [false, true] {
        let (mut world, old, connection) = if half_open {
            let mut world = World::new(Quality::CLEAN, 1);
            world.listen(80);
            remote::introduce(&mut world, ADDRESSES[0]);
            let mut old = Remote::new(ADDRESSES[0], 5000);
            old.synchronize(&mut world);
            world.sent.clear();
            (world, old, None)
        } else {
            let (world, old, connection) = opened(ADDRESSES[0]);
            (world, old, Some(connection))
        };
        let mut new = Remote { sequence: 700_000_000, ..Remote::new(ADDRESSES[0], 5000) };
        new.say(&mut world, TcpControl::Syn, 0, None, b"");
        let challenge = old.heard(&world).pop().expect("a challenge");
        assert_eq!(challenge.acknowledge, Some(old.sequence), "half open: {half_open}");
        // RFC 9293 section 3.10.7.3: to an acknowledgement of what it never sent, it says so.
        old.say(&mut world, TcpControl::Rst, 0, None, b"");
        world.pass(1);
        if let Some(connection) = connection {
            assert_eq!(world.peer(0).closed[&connection], "reset by the remote side");
        }
        assert_eq!(world.stack.connections(), 0);
        new.synchronize(&mut world);
        new.say(&mut world, TcpControl::None, 0, Some(0), b"");
        assert_eq!(world.peer(0).accepted.len(), 2 - usize::from(half_open));
    }
}

/// N5, RFC 5961 section 5.2.
#[test]
fn an_acknowledgement_of_what_was_never_sent_is_asked_about_and_its_data_are_not_taken() {
    for address in ADDRESSES {
        for acknowledge in [1, 6, 100_000, 1 << 30, -(1 << 21), i32::MIN] {
            for payload in [&b""[..], b"forged"] {
                let (mut world, remote, connection) = opened(address);
                remote.say(&mut world, TcpControl::None, 0, Some(acknowledge), payload);
                let what = format!("{payload:?} that acknowledges {acknowledge}");
                assert_challenged(&mut world, &remote, connection, &what);
            }
        }
        let (mut world, remote, connection) = opened(address);
        remote.say(&mut world, TcpControl::None, 0, None, b"forged");
        assert_eq!(remote.heard(&world), []);
        assert_goes_on(&mut world, &remote, connection, "data that acknowledge nothing");
    }
}

/// N5, RFC 9293 section 3.10.7.4: "If the ACK is a duplicate, it can be ignored", and the segment is not.
#[test]
fn data_and_the_end_are_taken_from_a_segment_whose_acknowledgement_is_old() {
    for address in ADDRESSES {
        for old in [-1, -6, -1000] {
            let (mut world, mut remote, connection) = opened(address);
            remote.say(&mut world, TcpControl::Psh, 0, Some(old), b"request");
            world.pass(1);
            assert_eq!(world.peer(0).data[&connection], b"request", "{old}");
            remote.sequence += 7;
            remote.say(&mut world, TcpControl::Fin, 0, Some(old), b"");
            world.pass(1);
            assert!(world.peer(0).finished.contains(&connection), "{old}");
            assert_eq!(remote.heard(&world).pop().unwrap().acknowledge, Some(remote.sequence + 1));
        }
    }
}

/// N5, RFC 5961 section 7.
#[test]
fn challenges_are_few_however_many_segments_ask_for_them() {
    let (mut world, remote, connection) = opened(ADDRESSES[0]);
    let mut batch = wit::Batch::new();
    for n in 0..1000 {
        for frame in [
            remote.segment(TcpControl::Rst, 1 + n, Some(0), b""),
            remote.segment(TcpControl::Syn, n, None, b""),
            remote.segment(TcpControl::None, 0, Some(1 + n), b"x"),
        ] {
            batch.push(wit::nic::Event::FRAME, 0, &frame);
        }
    }
    world.stack.frames(world.now, batch.as_bytes());
    world.turn();
    assert_challenged(&mut world, &remote, connection, "a flood");
}
