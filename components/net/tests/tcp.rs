//! Connections between client boxes and another machine.

mod common;

use common::remote::Remote;
use common::wire::{MILLISECOND, Quality};
use common::*;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::State;
use smoltcp::wire::TcpControl;
use wit::tcp::{Command, Endpoint};

/// Sends `data` in both directions at once and checks what arrives. Both sides then finish.
fn exchange(world: &mut World, handle: SocketHandle, connection: u32, data: &[u8]) {
    let (mut host_sent, mut box_sent, mut host_got) = (0, 0, Vec::new());
    let done = world.run(600, |world| {
        let socket = world.host.tcp(handle);
        if socket.can_send() {
            host_sent += socket.send_slice(&data[host_sent..]).unwrap();
        }
        while socket.can_recv() {
            socket.recv(|bytes| (bytes.len(), host_got.extend_from_slice(bytes))).unwrap();
        }
        let credit = 65_536 + world.peer(0).sent.get(&connection).copied().unwrap_or(0) as usize;
        let part = &data[box_sent..data.len().min(credit)];
        if !part.is_empty() {
            world.command(0, Command::Send { connection, data: part });
            box_sent += part.len();
        }
        host_got.len() == data.len() && world.peer(0).data.get(&connection).is_some_and(|d| d.len() == data.len())
    });
    let got = world.peer(0).data.get(&connection).map_or(0, Vec::len);
    assert!(done, "box got {got}, host got {} of {}", host_got.len(), data.len());
    assert!(host_got == data && world.peer(0).data[&connection] == data);
    world.command(0, Command::Finish { connection });
    world.host.tcp(handle).close();
    assert!(world.run(120, |world| world.peer(0).closed.contains_key(&connection)));
    assert_eq!(world.peer(0).closed[&connection], "");
    assert!(world.peer(0).finished.contains(&connection));
}

#[test]
fn data_both_ways() {
    for address in [STACK4, STACK6] {
        let mut world = World::new(Quality::CLEAN, 1);
        world.listen(80);
        let (handle, connection) = world.connection(address, 80);
        assert_eq!(world.peer(0).listening, [80]);
        let (_, remote, port) = world.peer(0).accepted[0];
        assert_eq!((remote.port, port), (world.host.tcp(handle).local_endpoint().unwrap().port, 80));
        exchange(&mut world, handle, connection, &bytes(300_000));
        assert_eq!(world.stack.connections(), 0);
        assert_eq!(world.stack.memory(), 0);
    }
}

#[test]
fn data_both_ways_over_a_bad_wire() {
    for seed in 0..12 {
        let mut world = World::new(Quality::BAD, seed);
        world.listen(80);
        let address = if seed % 2 == 0 { STACK4 } else { STACK6 };
        let (handle, connection) = world.connection(address, 80);
        exchange(&mut world, handle, connection, &bytes(60_000 + seed as usize));
        assert_eq!(world.stack.connections(), 0, "seed {seed}");
        assert_eq!(world.stack.memory(), 0, "seed {seed}");
    }
}

#[test]
fn connections_to_another_machine() {
    let mut world = World::new(Quality::CLEAN, 1);
    let handle = world.host.listen(25);
    let to = Endpoint { address: "::ffff:10.0.0.1".parse().unwrap(), port: 25 };
    world.command(0, Command::Connect { ticket: 9, to });
    assert!(world.run(10, |world| world.peer(0).connected.contains_key(&9)));
    let connection = world.peer(0).connected[&9];
    exchange(&mut world, handle, connection, &bytes(100_000));
}

#[test]
fn connections_that_do_not_come_about() {
    let mut world = World::new(Quality::CLEAN, 1);
    for (ticket, address, port, why) in [
        (1, "::ffff:10.0.0.1", 26, "refused by the remote side"),
        (2, "fd00::1", 26, "refused by the remote side"),
        (3, "::ffff:10.0.0.77", 25, "timed out"),
        (4, "2001:db8::1", 25, "no route to the address"),
        (5, "::", 25, "not an address to connect to"),
        (6, "::ffff:0.0.0.0", 25, "not an address to connect to"),
        (7, "::ffff:255.255.255.255", 25, "not an address to connect to"),
        (8, "ff02::1", 25, "not an address to connect to"),
        (9, "::ffff:10.0.0.1", 0, "not an address to connect to"),
        (10, "::ffff:10.0.0.2", 25, "the address is this machine's own"),
    ] {
        let to = Endpoint { address: address.parse().unwrap(), port };
        world.command(0, Command::Connect { ticket, to });
        assert!(world.run(60, |world| !world.peer(0).refused.is_empty()), "{address}");
        assert_eq!(world.peer(0).refused.pop().unwrap(), (ticket, why.to_string()), "{address}");
    }
    assert_eq!(world.stack.connections(), 0);
}

#[test]
fn ports_that_are_not_listened_on_reset() {
    let mut world = World::new(Quality::CLEAN, 1);
    for address in [STACK4, STACK6] {
        let handle = world.host.connect(address, 81);
        assert!(world.run(5, |world| world.host.tcp(handle).state() == State::Closed), "{address}");
    }
}

#[test]
fn without_credit_the_window_closes() {
    let mut world = World::new(Quality::CLEAN, 1);
    world.credit = false;
    world.listen(80);
    let (handle, connection) = world.connection(STACK4, 80);
    let data = bytes(400_000);
    let mut sent = 0;
    let mut push = |world: &mut World| {
        let socket = world.host.tcp(handle);
        if socket.can_send() {
            sent += socket.send_slice(&data[sent..]).unwrap();
        }
        false
    };
    world.run(30, &mut push);
    assert_eq!(world.peer(0).data[&connection].len(), 65_536);
    for round in 1..5 {
        world.command(0, Command::Credit { connection, bytes: 50_000 });
        world.run(30, &mut push);
        assert_eq!(world.peer(0).data[&connection].len(), 65_536 + round * 50_000);
    }
    // More than all of it is no more than all of it.
    world.command(0, Command::Credit { connection, bytes: u32::MAX });
    world.command(0, Command::Credit { connection, bytes: u32::MAX });
    world.run(30, &mut push);
    assert_eq!(world.peer(0).data[&connection].len(), 65_536 * 2 + 200_000);
    assert!(world.peer(0).data[&connection] == data[..65_536 * 2 + 200_000]);
}

#[test]
fn more_than_the_credit_ends_the_connection() {
    let mut world = World::new(Quality::CLEAN, 1);
    world.listen(80);
    let (_, connection) = world.connection(STACK4, 80);
    world.command(0, Command::Send { connection, data: &bytes(65_536) });
    world.command(0, Command::Send { connection, data: b"x" });
    assert!(world.run(1, |world| world.peer(0).closed.contains_key(&connection)));
    assert_eq!(world.peer(0).closed[&connection], "the box sent more than its credit");
    assert_eq!(world.stack.memory(), 0);
}

#[test]
fn either_side_may_finish_first() {
    let mut world = World::new(Quality::CLEAN, 1);
    world.listen(80);
    // The box finishes; the host still sends.
    let (handle, connection) = world.connection(STACK4, 80);
    world.command(0, Command::Send { connection, data: b"answer" });
    world.command(0, Command::Finish { connection });
    world.command(0, Command::Send { connection, data: b"too late" });
    assert!(world.run(5, |world| world.host.tcp(handle).state() == State::CloseWait));
    let mut got = [0; 16];
    assert_eq!(world.host.tcp(handle).recv_slice(&mut got), Ok(6));
    world.host.tcp(handle).send_slice(b"last words").unwrap();
    assert!(world.run(5, |world| world.peer(0).data.contains_key(&connection)));
    assert!(!world.peer(0).closed.contains_key(&connection));
    world.host.tcp(handle).close();
    assert!(world.run(5, |world| world.peer(0).closed.contains_key(&connection)));
    assert_eq!(world.peer(0).data[&connection], b"last words");
    // The host finishes; the box still sends.
    let (handle, connection) = world.connection(STACK4, 80);
    world.host.tcp(handle).send_slice(b"request").unwrap();
    world.host.tcp(handle).close();
    assert!(world.run(5, |world| world.peer(0).finished.contains(&connection)));
    assert_eq!(world.peer(0).data[&connection], b"request");
    world.command(0, Command::Send { connection, data: &bytes(40_000) });
    world.command(0, Command::Finish { connection });
    let mut got = 0;
    assert!(world.run(5, |world| {
        let socket = world.host.tcp(handle);
        while socket.can_recv() {
            got += socket.recv(|data| (data.len(), data.len())).unwrap();
        }
        got == 40_000 && world.peer(0).closed.contains_key(&connection)
    }));
    assert_eq!(world.peer(0).closed[&connection], "");
}

#[test]
fn data_that_came_before_the_end_is_kept_for_a_slow_box() {
    let mut world = World::new(Quality::CLEAN, 1);
    world.credit = false;
    world.listen(80);
    let (handle, connection) = world.connection(STACK4, 80);
    let data = bytes(80_000);
    let mut sent = 0;
    world.command(0, Command::Finish { connection });
    world.run(5, |world| {
        let socket = world.host.tcp(handle);
        if socket.can_send() && sent < data.len() {
            sent += socket.send_slice(&data[sent..]).unwrap();
        }
        if sent == data.len() {
            socket.close();
        }
        false
    });
    world.pass(120);
    assert!(!world.peer(0).closed.contains_key(&connection));
    world.command(0, Command::Credit { connection, bytes: 65_536 });
    assert!(world.run(5, |world| world.peer(0).closed.contains_key(&connection)));
    assert!(world.peer(0).data[&connection] == data);
    assert!(world.peer(0).finished.contains(&connection));
}

#[test]
fn aborts_of_either_side() {
    let mut world = World::new(Quality::CLEAN, 1);
    world.listen(80);
    let (handle, connection) = world.connection(STACK4, 80);
    world.command(0, Command::Abort { connection });
    assert!(world.run(5, |world| world.host.tcp(handle).state() == State::Closed));
    assert_eq!(world.peer(0).closed[&connection], "aborted");
    let (handle, connection) = world.connection(STACK4, 80);
    world.host.tcp(handle).abort();
    assert!(world.run(5, |world| world.peer(0).closed.contains_key(&connection)));
    assert_eq!(world.peer(0).closed[&connection], "reset by the remote side");
    assert_eq!((world.stack.connections(), world.stack.memory()), (0, 0));
}

#[test]
fn a_machine_that_vanishes_is_noticed() {
    let mut world = World::with(Quality::CLEAN, 1, &settings(&[("keep-alive", "10")]));
    world.listen(80);
    let (_, connection) = world.connection(STACK4, 80);
    world.pass(300);
    assert!(!world.peer(0).closed.contains_key(&connection), "an idle connection was ended");
    world.to_stack.quality.loss = 100;
    assert!(world.run(120, |world| world.peer(0).closed.contains_key(&connection)));
    assert_eq!(world.peer(0).closed[&connection], "timed out");
    assert_eq!(world.stack.connections(), 0);
}

#[test]
fn a_large_window_is_scaled() {
    let quality = Quality { delay: 100 * MILLISECOND, ..Quality::CLEAN };
    let large = settings(&[("receive-buffer", "512 KiB"), ("send-buffer", "512 KiB"), ("buffers", "64 MiB")]);
    let mut world = World::with(quality, 1, &large);
    world.listen(80);
    let handle = world.host.connect_with(STACK4, 80, 512 << 10);
    assert!(world.run(5, |world| world.host.tcp(handle).may_send()));
    let data = bytes(512 << 10);
    assert_eq!(world.host.tcp(handle).send_slice(&data), Ok(data.len()));
    assert!(world.run(60, |world| world.peer(0).data.values().any(|got| got.len() == data.len())));
    let seen: Vec<_> = world.sent.iter().filter_map(|frame| common::frames::read_tcp(frame)).collect();
    assert_eq!(seen[0].scale, Some(4));
    assert!(seen[1..].iter().any(|seen| usize::from(seen.window) << 4 > 400_000));
}

#[test]
fn a_peer_without_room_closes_the_window_and_loses_nothing() {
    let mut world = World::new(Quality::CLEAN, 1);
    world.listen(80);
    let (handle, connection) = world.connection(STACK4, 80);
    world.full.insert(0);
    let data = bytes(500_000);
    let mut sent = 0;
    let mut push = |world: &mut World| {
        let socket = world.host.tcp(handle);
        if socket.can_send() && sent < data.len() {
            sent += socket.send_slice(&data[sent..]).unwrap();
        }
        world.peer(0).data.get(&connection).is_some_and(|got| got.len() == data.len())
    };
    assert!(!world.run(30, &mut push));
    assert!(!world.peer(0).data.contains_key(&connection));
    world.full.clear();
    world.stack.room();
    assert!(world.run(60, &mut push));
    assert!(world.peer(0).data[&connection] == data);
}

/// RFC 9293 section 3.10.7.4, RFC 6298 section 5.4: the FIN is sent again, whatever is acknowledged again meanwhile.
#[test]
fn a_fin_that_is_lost_comes_again() {
    for address in ["10.0.0.66", "fd00::66"] {
        let mut world = World::new(Quality::CLEAN, 1);
        world.listen(80);
        let (mut remote, connection) = Remote::open(&mut world, address, 5_000);
        world.command(0, Command::Send { connection, data: b"answer" });
        world.run(1, |world| remote.heard(world).iter().any(|seen| seen.payload > 0));
        remote.next = remote.next.wrapping_add(6);
        remote.say(&mut world, TcpControl::None, 0, Some(0), b"");
        world.command(0, Command::Finish { connection });
        world.run(1, |world| remote.heard(world).last().is_some_and(|seen| seen.control == TcpControl::Fin));
        world.sent.clear();
        for _ in 0..5 {
            remote.say(&mut world, TcpControl::None, 0, Some(0), b"");
        }
        let again = |world: &mut World| remote.heard(world).iter().any(|seen| seen.control == TcpControl::Fin);
        assert!(world.run(30, again), "{address}");
    }
}
