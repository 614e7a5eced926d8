//! N1 to N4: networks on the way that carry less than this machine's card sends.

mod common;

use common::frames::{self, read_tcp};
use common::remote::{self, Remote, give};
use common::wire::{Quality, SECOND};
use common::*;
use smoltcp::iface::SocketHandle;
use smoltcp::wire::TcpControl;
use std::net::IpAddr;
use wit::tcp::{Command, Endpoint};

const ADDRESSES: [&str; 2] = ["10.0.0.66", "fd00::66"];
/// Bytes of a segment's data at first.
const FULL: [usize; 2] = [1460, 1440];
/// The same in packets of 1480 bytes.
const LESS: [usize; 2] = [1440, 1420];

/// What a router says that carries packets of `mtu` bytes to a frame that is larger.
fn too_big(frame: &[u8], mtu: u16) -> Vec<u8> {
    let address = |range: std::ops::Range<usize>| match range.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(&frame[range]).unwrap()).to_string(),
        _ => IpAddr::from(<[u8; 16]>::try_from(&frame[range]).unwrap()).to_string(),
    };
    let mtu = mtu.to_be_bytes();
    if frame[12..14] == [8, 0] {
        let message = [&[3, 4, 0, 0, 0, 0][..], &mtu, &frame[14..14 + 28]].concat();
        frames::icmp4("10.0.0.1", &address(26..30), &message)
    } else {
        let message = [&[2, 0, 0, 0, 0, 0][..], &mtu, &frame[14..14 + 1232.min(frame.len() - 14)]].concat();
        frames::icmp6("fd00::1", &address(22..38), &message)
    }
}

/// What the segments to a remote machine had of data, one after the other.
fn sizes(remote: &Remote, world: &World) -> Vec<usize> {
    remote.heard(world).iter().map(|seen| seen.payload).filter(|size| *size > 0).collect()
}

/// A connection to that address with ten segments in flight. Their frames.
fn flight(world: &mut World, address: &'static str, port: u16) -> (Remote, u32, Vec<Vec<u8>>) {
    let (remote, connection) = Remote::open(world, address, port);
    world.command(0, Command::Send { connection, data: &bytes(40_000) });
    world.pass(0);
    let frames = remote.frames(world);
    world.sent.clear();
    (remote, connection, frames)
}

/// Takes everything in order and acknowledges it, until there is all of it.
fn take_all(world: &mut World, remote: &mut Remote, length: usize) {
    let (first, mut got) = (remote.next, Vec::new());
    let expected = bytes(length);
    for _ in 0..10_000 {
        for frame in std::mem::take(&mut world.sent) {
            let Some(seen) = read_tcp(&frame).filter(|seen| seen.ports.1 == remote.port) else { continue };
            let ahead = remote.next.wrapping_sub(seen.sequence) as usize;
            if seen.payload > ahead && (remote.next.wrapping_sub(seen.sequence) as i32) >= 0 {
                got.extend_from_slice(&frame[frame.len() - seen.payload + ahead..]);
                remote.next = seen.sequence.wrapping_add(seen.payload as u32);
            }
        }
        if got.len() >= length {
            assert!(got == expected, "other bytes than were sent");
            assert_eq!(remote.next.wrapping_sub(first) as usize, length);
            return;
        }
        let acknowledgement = remote.segment(TcpControl::None, 0, Some(0), b"");
        world.to_stack.send(world.now, &acknowledgement);
        let deadline = world.now + SECOND / 50;
        world.run(1, |world| world.now >= deadline);
    }
    panic!("only {} bytes came", got.len());
}

/// N1 and N2: RFC 1191 section 6.4, RFC 8201 section 4.
#[test]
fn segments_shrink_at_once_when_a_router_says_that_they_are_too_big() {
    for (address, (full, less)) in ADDRESSES.into_iter().zip(FULL.into_iter().zip(LESS)) {
        let mut world = World::new(Quality::CLEAN, 1);
        world.listen(80);
        let (mut remote, _, frames) = flight(&mut world, address, 5000);
        assert_eq!(frames.len(), 10 + usize::from(full != 1460));
        let began = world.now;
        // Each of them is answered by the router.
        for frame in &frames {
            world.to_stack.send(world.now, &too_big(frame, 1480));
        }
        assert!(world.run(5, |world| !sizes(&remote, world).is_empty()));
        assert!(world.now - began < SECOND / 10, "not at once, but after {} ns", world.now - began);
        assert_eq!(remote.heard(&world)[0].sequence, remote.next);
        assert!(sizes(&remote, &world).iter().all(|size| *size <= less));
        world.to_host.largest = 14 + 1480;
        take_all(&mut world, &mut remote, 40_000);
        // Others to the same machine begin with what is known, and with segments that are full.
        world.sent.clear();
        let (_, _, frames) = flight(&mut world, address, 5001);
        assert!(frames.iter().all(|frame| frame.len() <= 14 + 1480), "{address}");
        let sizes: Vec<usize> = frames.iter().filter_map(|frame| read_tcp(frame)).map(|seen| seen.payload).collect();
        assert_eq!(sizes.iter().filter(|size| **size == less).count(), sizes.len() - 1, "{sizes:?}");
        // Another machine's path may be another, and after ten minutes this one's may be.
        let elsewhere = if address.contains(':') { "fd00::67" } else { "10.0.0.67" };
        let (_, _, frames) = flight(&mut world, elsewhere, 5002);
        assert_eq!(frames[0].len(), 1514, "{address}");
        world.pass(601);
        let (_, _, frames) = flight(&mut world, address, 5003);
        assert_eq!(frames[0].len(), 1514, "{address}");
    }
}

/// N1: a successor knows it too.
#[test]
fn what_was_learnt_is_handed_over() {
    for address in ADDRESSES {
        let mut world = World::new(Quality::CLEAN, 1);
        world.listen(80);
        let (_, _, frames) = flight(&mut world, address, 5000);
        give(&mut world, &too_big(&frames[0], 1480));
        world.swap(&settings(&[]));
        world.listen(80);
        let (_, _, frames) = flight(&mut world, address, 5001);
        assert_eq!(frames[0].len(), 14 + 1480, "{address}");
    }
}

/// N4: "ICMP only counts if it quotes data in flight" (RFC 5927 section 4.1).
#[test]
fn what_anybody_could_say_is_not_believed() {
    for address in ADDRESSES {
        let mut world = World::new(Quality::CLEAN, 1);
        world.listen(80);
        let (remote, connection, frames) = flight(&mut world, address, 5000);
        let (tcp, at) = if address.contains(':') { (54, 14 + 40 + 8 + 40) } else { (34, 14 + 20 + 8 + 20) };
        let last = frames.last().unwrap();
        let forged = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut quoted = last.clone();
            change(&mut quoted);
            too_big(&quoted, 1480)
        };
        let sequence = |ahead: u32| {
            let sequence = remote.next.wrapping_add(ahead).to_be_bytes();
            forged(&|frame| frame[tcp + 4..tcp + 8].copy_from_slice(&sequence))
        };
        let mut corrupt = too_big(last, 1480);
        corrupt[at] ^= 1;
        let mut short = too_big(last, 1480);
        short.truncate(at + 4);
        for (what, frame) in [
            ("a sequence number before what is in flight", sequence(u32::MAX)),
            ("a sequence number after it", sequence(40_000)),
            ("another port", forged(&|frame| frame[tcp] ^= 1)),
            ("a packet that is no larger", too_big(last, 1500)),
            ("a checksum that is wrong", corrupt),
            ("half a header", short),
        ] {
            world.sent.clear();
            give(&mut world, &frame);
            assert_eq!(sizes(&remote, &world), [], "{address}: {what}");
        }
        if address.contains(':') {
            give(&mut world, &too_big(last, 1279));
            assert_eq!(sizes(&remote, &world), [], "less than RFC 8200 lets a network carry");
        }
        // All has arrived: nothing is in flight, whatever the sequence number.
        let end = frames.iter().filter_map(|frame| read_tcp(frame)).map(|seen| seen.payload as i32).sum::<i32>();
        remote.say(&mut world, TcpControl::None, 0, Some(end), b"");
        give(&mut world, &too_big(last, 1480));
        world.sent.clear();
        assert!(!world.peer(0).closed.contains_key(&connection));
        let (_, _, frames) = flight(&mut world, address, 5001);
        assert_eq!(frames[0].len(), 1514, "{address}");
    }
}

/// N1: routers from before RFC 1191, and those that ask for next to nothing.
#[test]
fn routers_that_do_not_say_how_much_and_those_that_say_too_little() {
    let after = |mtu| {
        let mut world = World::new(Quality::CLEAN, 1);
        world.listen(80);
        let (remote, _, frames) = flight(&mut world, ADDRESSES[0], 5000);
        give(&mut world, &too_big(&frames[0], mtu));
        world.pass(1);
        remote.frames(&world).iter().map(Vec::len).max()
    };
    assert_eq!(after(0), Some(14 + 1064), "1492 bytes would do, and the first segment after a loss has 1024 of data");
    for mtu in [1, 68, 551] {
        assert_eq!(after(mtu), Some(14 + 552), "{mtu}");
    }
}

/// Data to the host's socket, whole, in a time that is bearable.
fn download(world: &mut World, handle: SocketHandle, connection: u32, length: usize, seconds: u64) -> u64 {
    let (data, mut sent, mut got) = (bytes(length), 0, Vec::new());
    let before = world.peer(0).sent.get(&connection).copied().unwrap_or(0) as usize;
    let began = world.now;
    let done = world.run(seconds, |world| {
        let socket = world.host.tcp(handle);
        while socket.can_recv() {
            socket.recv(|bytes| (bytes.len(), got.extend_from_slice(bytes))).unwrap();
        }
        let credit = 40_000 + world.peer(0).sent.get(&connection).copied().unwrap_or(0) as usize - before;
        let part = &data[sent..length.min(credit)];
        if !part.is_empty() {
            world.command(0, Command::Send { connection, data: part });
            sent += part.len();
        }
        got.len() == length
    });
    assert!(done && got == data, "{} of {length} bytes in {seconds} s", got.len());
    world.now - began
}

/// N4: RFC 4821.
#[test]
fn a_network_that_loses_large_packets_in_silence_is_found_out() {
    for (address, remote) in [(STACK4, "::ffff:10.0.0.1"), (STACK6, "fd00::1")] {
        for mtu in [1480, 1400, 1280, 600] {
            if mtu < 1280 && address == STACK6 {
                continue;
            }
            let mut world = World::new(Quality::CLEAN, 1);
            world.listen(80);
            let (handle, connection) = world.connection(address, 80);
            world.to_host.largest = 14 + mtu;
            download(&mut world, handle, connection, 300_000, 20);
            // The next one knows it, in both directions of opening.
            let (handle, connection) = world.connection(address, 80);
            assert!(download(&mut world, handle, connection, 300_000, 10) < SECOND, "{address} {mtu}");
            let handle = world.host.listen(25);
            let to = Endpoint { address: remote.parse().unwrap(), port: 25 };
            world.command(0, Command::Connect { ticket: 9, to });
            assert!(world.run(10, |world| world.peer(0).connected.contains_key(&9)));
            let connection = world.peer(0).connected[&9];
            assert!(download(&mut world, handle, connection, 300_000, 10) < SECOND, "{address} {mtu}");
        }
    }
}

/// N4: answers that fit into two segments give it away as well, if there are some.
#[test]
fn short_answers_too() {
    let mut world = World::new(Quality::CLEAN, 1);
    world.listen(80);
    let (handle, connection) = world.connection(STACK4, 80);
    world.to_host.largest = 14 + 1480;
    let times: Vec<u64> = (0..20).map(|_| download(&mut world, handle, connection, 2_000, 60)).collect();
    assert!(times.iter().filter(|time| **time >= SECOND).count() <= 2, "{times:?}");
}

/// N4: losses make segments shorter only where all that were long happened to be lost at first.
#[test]
fn a_bad_wire_is_seldom_taken_for_a_narrow_one() {
    let mut mistakes = 0;
    for seed in 0..20 {
        let mut world = World::new(Quality::BAD, seed);
        world.listen(80);
        let (handle, connection) = world.connection(STACK4, 80);
        download(&mut world, handle, connection, 300_000, 600);
        world.to_host.quality = Quality::CLEAN;
        world.to_stack.quality = Quality::CLEAN;
        let (_, connection) = world.connection(STACK4, 80);
        world.sent.clear();
        world.command(0, Command::Send { connection, data: &bytes(10_000) });
        world.pass(1);
        let longest = world.sent.iter().map(Vec::len).max().unwrap();
        mistakes += usize::from(longest < 1514);
    }
    assert!(mistakes <= 5, "{mistakes} of 20");
}

/// The maximum segment sizes that the stack says, and the longest frames that it sends: over IPv4 and over IPv6.
fn said(world: &mut World, stack: [&'static str; 2], mut port: u16) -> [(u16, usize); 2] {
    world.listen(80);
    ["10.0.0.66", "fd00::66"].map(|address| {
        port += 1;
        remote::introduce(world, address);
        let mut remote = Remote { to: stack[usize::from(address.contains(':'))], ..Remote::new(address, port) };
        remote.synchronize(world);
        let size = remote.heard(world).pop().unwrap().size.unwrap();
        remote.say(world, TcpControl::None, 0, Some(0), b"");
        let connection = world.peer(0).accepted.last().unwrap().0;
        world.command(0, Command::Send { connection, data: &bytes(10_000) });
        world.pass(1);
        (size, remote.frames(world).iter().map(Vec::len).max().unwrap())
    })
}

/// N3: a setting.
#[test]
fn the_setting_mtu() {
    for (pairs, expected) in [
        (&[][..], [(1460, 1514), (1440, 1514)]),
        (&[("mtu", "1480")], [(1440, 1494), (1420, 1494)]),
        (&[("mtu", "1280")], [(1240, 1294), (1220, 1294)]),
        (&[("mtu", "9000")], [(1460, 1514), (1440, 1514)]),
    ] {
        let mut world = World::with(Quality::CLEAN, 1, &settings(pairs));
        assert_eq!(said(&mut world, [STACK4, STACK6], 6000), expected, "{pairs:?}");
    }
}

/// A router advertisement with a prefix and that MTU.
fn advertisement(mtu: u32) -> Vec<u8> {
    let mut message = vec![134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(&[3, 4, 64, 0xc0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    message.extend_from_slice(&"fd00::".parse::<std::net::Ipv6Addr>().unwrap().octets());
    message.extend_from_slice(&[5, 1, 0, 0]);
    message.extend_from_slice(&mtu.to_be_bytes());
    frames::icmp6("fe80::1", "ff02::1", &message)
}

/// N3: RFC 4861 section 6.3.4.
#[test]
fn the_mtu_of_a_router_advertisement() {
    let fixed = [("address", "10.0.0.2/24"), ("gateway", "10.0.0.1")];
    let expected = [(1440, 1494), (1420, 1494)];
    let stack = [STACK4, "fd00::ff:fe00:2"];
    for (pairs, mtu, expected) in [
        (&[][..], 1480, expected),
        (&[], 1279, [(1460, 1514), (1440, 1514)]),
        (&[], 9000, [(1460, 1514), (1440, 1514)]),
        (&[], u32::MAX, [(1460, 1514), (1440, 1514)]),
        (&[("mtu", "1500")], 1480, [(1460, 1514), (1440, 1514)]),
    ] {
        let settings = pearwood_net::Settings::read(fixed.iter().chain(pairs).copied()).unwrap();
        let mut world = World::with(Quality::CLEAN, 1, &settings);
        give(&mut world, &advertisement(mtu));
        world.pass(2);
        assert_eq!(said(&mut world, stack, 6000), expected, "{pairs:?} {mtu}");
        // The next instance goes on with it, and another advertisement changes it.
        world.swap(&settings);
        world.sent.clear();
        assert_eq!(said(&mut world, stack, 6010), expected, "{pairs:?} {mtu}");
        give(&mut world, &advertisement(1400));
        world.pass(2);
        let then = if pairs.is_empty() { [(1360, 1414), (1340, 1414)] } else { expected };
        assert_eq!(said(&mut world, stack, 6020), then, "{pairs:?} {mtu}");
    }
}

/// N1 and N2: a connection that the stack opens says what the path carries, and not what the link does.
#[test]
fn the_segments_that_others_may_send_are_no_larger_than_the_path() {
    for (address, remote, size) in [(ADDRESSES[0], "::ffff:10.0.0.66", 1440), (ADDRESSES[1], "fd00::66", 1420)] {
        let mut world = World::new(Quality::CLEAN, 1);
        world.listen(80);
        let said = |world: &mut World, port| {
            remote::introduce(world, address);
            world.sent.clear();
            let to = Endpoint { address: remote.parse().unwrap(), port };
            world.command(0, Command::Connect { ticket: port.into(), to });
            // and again, when nobody answers
            world.pass(5);
            let seen = world.sent.iter().filter_map(|frame| read_tcp(frame)).filter(|seen| seen.ports.1 == port);
            seen.map(|seen| seen.size).collect::<Vec<_>>()
        };
        let full = said(&mut world, 25);
        assert!(full.len() > 1 && full.iter().all(|said| *said == Some(size + 20)), "{full:?}");
        let (_, _, frames) = flight(&mut world, address, 5000);
        give(&mut world, &too_big(&frames[0], 1480));
        let less = said(&mut world, 26);
        assert!(less.len() > 1 && less.iter().all(|said| *said == Some(size)), "{less:?}");
    }
}
