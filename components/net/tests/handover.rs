//! One instance takes the place of another on the same card, which finishes what is open.

mod common;

use common::frames::{self, Tcp};
use common::host::CARD;
use common::wire::{Dice, Quality, SECOND};
use common::*;
use pearwood_net::{Card, Heritage, Settings, Stack};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::State;
use smoltcp::socket::udp;
use smoltcp::wire::*;
use wit::tcp::{Command, Endpoint};

fn is_reset(frame: &[u8]) -> bool {
    frame.get(12..14) == Some(&[0x08, 0x00]) && frame[23] == 6 && frame[47] & 4 != 0
}

/// Neither side has seen anything that it did not expect.
fn assert_undisturbed(world: &World) {
    assert!(!world.sent.iter().any(|frame| is_reset(frame)), "a reset was sent");
    assert!(!world.host_sent.iter().any(|frame| is_reset(frame)), "the host sent a reset");
}

/// Moves data both ways on a connection of the old instance, until the end.
fn finish(world: &mut World, handle: SocketHandle, connection: u32, data: &[u8]) {
    let (mut host_sent, mut box_sent, mut host_got) = (0, 0, Vec::new());
    let done = world.run(600, |world| {
        let socket = world.host.tcp(handle);
        if socket.can_send() {
            host_sent += socket.send_slice(&data[host_sent..]).unwrap();
        }
        while socket.can_recv() {
            socket.recv(|bytes| (bytes.len(), host_got.extend_from_slice(bytes))).unwrap();
        }
        let credit = 65_536 + world.old().tcp[&0].sent.get(&connection).copied().unwrap_or(0) as usize;
        let part = &data[box_sent..data.len().min(credit)];
        if !part.is_empty() {
            world.old_command(0, Command::Send { connection, data: part });
            box_sent += part.len();
        }
        host_got.len() == data.len() && world.old().tcp[&0].data.get(&connection).is_some_and(|d| d.len() == data.len())
    });
    assert!(done && host_got == data && world.old().tcp[&0].data[&connection] == data, "host got {}", host_got.len());
    world.old_command(0, Command::Finish { connection });
    world.host.tcp(handle).close();
    assert!(world.run(120, |world| world.old().tcp[&0].closed.contains_key(&connection)));
    assert_eq!(world.old().tcp[&0].closed[&connection], "");
}

/// The client lets go of the old instance, which is done then.
fn end(world: &mut World) {
    assert!(world.run(30, |world| world.old().released == [0]), "the old instance holds its peer");
    let old = world.old();
    assert!(!old.stack.is_done());
    let mut batch = wit::Batch::new();
    wit::Peer::Detach(0, b"released").encode(&mut batch);
    old.stack.tcp_commands(batch.as_bytes());
    let now = world.now;
    world.old().stack.udp_commands(now, batch.as_bytes());
    world.old().stack.names_commands(now, batch.as_bytes());
    let old = world.end_old();
    assert!(old.stack.is_done());
    assert_eq!((old.stack.connections(), old.stack.memory()), (0, 0));
}

#[test]
fn what_is_open_goes_on_and_what_is_new_goes_to_the_new() {
    for (quality, seed) in (0..12).map(|seed| (if seed < 2 { Quality::CLEAN } else { Quality::BAD }, seed)) {
        let mut world = World::new(quality, seed);
        world.listen(80);
        let to = if seed % 2 == 0 { STACK4 } else { STACK6 };
        let (early, connection) = world.connection(to, 80);
        world.swap(&settings(&[]));
        world.listen(80);
        let (late, other) = world.connection(to, 80);
        finish(&mut world, early, connection, &bytes(60_000 + seed as usize));
        assert_eq!(world.stack.connections(), 1, "the new has never heard of the old one's connection");
        end(&mut world);
        world.command(0, Command::Send { connection: other, data: b"still here" });
        assert!(world.run(60, |world| world.host.tcp(late).recv_queue() == 10));
        assert_undisturbed(&world);
    }
}

/// Handshakes, requests and ends at all times, over a wire that loses, doubles and turns around, while instances follow
/// each other.
#[test]
fn connections_at_any_stage_survive() {
    for seed in 0..20 {
        let mut world = World::new(Quality::BAD, 100 + seed);
        world.listen(80);
        let mut dice = Dice::new(seed);
        let handles: Vec<SocketHandle> = (0..30)
            .map(|_| {
                let handle = world.host.connect(STACK4, 80);
                let until = world.now + dice.below(20_000_000) as u64;
                world.run(1, |world| world.now >= until);
                handle
            })
            .collect();
        world.swap(&settings(&[]));
        let late: Vec<SocketHandle> = (0..10).map(|_| world.host.connect(STACK4, 80)).collect();
        // the port is the new instance's although its box takes its time
        world.run(1, |_| false);
        world.listen(80);
        let all = [&handles[..], &late].concat();
        assert!(world.run(60, |world| all.iter().all(|handle| world.host.tcp(*handle).may_send())), "seed {seed}");
        for handle in &all {
            world.host.tcp(*handle).send_slice(b"hello").unwrap();
        }
        let heard = |channel: &Channel| channel.data.values().filter(|data| **data == b"hello").count();
        assert!(world.run(60, |world| heard(world.peer(0)) + heard(&world.old().tcp[&0]) == all.len()), "seed {seed}");
        let (old, new) = (world.old().tcp[&0].accepted.clone(), world.peer(0).accepted.clone());
        assert_eq!(old.len() + new.len(), all.len(), "each is accepted once");
        for (connection, ..) in old {
            world.old_command(0, Command::Finish { connection });
        }
        for (connection, ..) in new {
            world.command(0, Command::Finish { connection });
        }
        all.iter().for_each(|handle| world.host.tcp(*handle).close());
        assert!(world.run(60, |world| world.old().stack.connections() == 0 && world.stack.connections() == 0));
        end(&mut world);
        assert_undisturbed(&world);
        assert_eq!(world.stack.memory(), 0);
    }
}

#[test]
fn stray_segments_are_reset_only_when_nobody_else_may_know_them() {
    let mut world = World::new(Quality::CLEAN, 3);
    world.listen(80);
    world.connection(STACK4, 80);
    world.swap(&settings(&[]));
    let stray = |world: &mut World, control| {
        let frame = frames::tcp(&Tcp {
            from: (HOST4, 999),
            to: (STACK4, 81),
            control,
            sequence: 5,
            acknowledge: (control != TcpControl::Syn).then_some(7),
            payload: b"",
        });
        let now = world.now;
        world.to_stack.send(now, &frame);
        world.pass(1);
        let resets = world.sent.iter().filter(|frame| is_reset(frame)).count();
        world.sent.clear();
        resets
    };
    assert_eq!(stray(&mut world, TcpControl::Psh), 0, "it may be of the other's");
    assert_eq!(stray(&mut world, TcpControl::Syn), 1, "nobody listens there");
    world.end_old();
    assert_eq!(stray(&mut world, TcpControl::Psh), 1);
}

/// A port that was listened on is not closed for the moment that its box needs to ask for it; for longer it is.
#[test]
fn a_port_is_kept_for_a_while() {
    let mut world = World::new(Quality::CLEAN, 4);
    world.listen(80);
    world.swap(&settings(&[]));
    let handle = world.host.connect(STACK4, 80);
    world.pass(1);
    assert!(world.host.tcp(handle).may_send());
    assert!(world.run(10, |world| world.host.tcp(handle).state() == State::Closed), "nobody comes for it");
    let handle = world.host.connect(STACK4, 80);
    assert!(world.run(2, |world| world.host.tcp(handle).state() == State::Closed));
}

#[test]
fn only_one_answers() {
    let mut world = World::new(Quality::CLEAN, 5);
    world.listen(80);
    world.connection(STACK4, 80);
    // its address is nobody else's, and all have heard it
    world.pass(10);
    world.swap(&settings(&[]));
    world.pass(1);
    world.sent.clear();
    let ping = frames::icmp4(HOST4, STACK4, &[8, 0, 0, 0, 1, 2, 3, 4, 5]);
    let who_has = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: EthernetAddress(CARD),
        source_protocol_addr: HOST4.parse().unwrap(),
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: STACK4.parse().unwrap(),
    };
    let arp = frames::ethernet(EthernetProtocol::Arp, [0xff; 6], who_has.buffer_len(), |buffer| {
        who_has.emit(&mut ArpPacket::new_unchecked(buffer));
    });
    let closed = frames::udp((HOST4, 9), (STACK4, 9999), b"anybody?");
    for frame in [&ping, &arp, &closed] {
        let now = world.now;
        world.to_stack.send(now, frame);
    }
    world.pass(1);
    let kinds = |frame: &Vec<u8>| (frame[12] as u16) << 8 | frame[13] as u16;
    let mut kinds: Vec<u16> = world.sent.iter().map(kinds).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, [0x0800, 0x0806], "an echo and an address, and nothing of the closed port");
}

#[test]
fn a_lease_goes_along_and_is_asked_for_again() {
    let automatic = Settings::read([]).unwrap();
    let mut world = World::with(Quality::CLEAN, 6, &automatic);
    let mut server = Server::new(&mut world);
    assert!(world.run(10, |world| {
        server.serve(world);
        server.leases == 1
    }));
    world.listen(80);
    world.connection("10.0.0.50", 80);
    // its address is nobody else's, and all have heard it
    world.pass(10);
    let before = world.sent.len();
    server.silent = true;
    world.swap(&automatic);
    world.listen(80);
    let (handle, _) = world.connection("10.0.0.50", 80);
    let asked = |frame: &Vec<u8>| frame[12..14] == [8, 6] && frame[21] == 1 && frame[28..32] != frame[38..42];
    assert!(!world.sent[before..].iter().any(asked), "it knows its neighbours");
    // nobody answers: the lease is good for as long as it was granted
    world.run(500, |world| {
        server.serve(world);
        false
    });
    assert!(world.host.tcp(handle).may_send());
    assert!(world.run(200, |world| {
        server.serve(world);
        world.peer(0).closed.len() == 1
    }));
    let lines: Vec<String> = world.stack.log().map(|(_, line)| line).collect();
    assert_eq!(lines, ["the DHCP lease is lost"]);

    // and renewed as soon as somebody does
    server.silent = false;
    let leases = server.leases;
    assert!(world.run(100, |world| {
        server.serve(world);
        server.leases > leases
    }));
    world.connection("10.0.0.50", 80);
}

/// A DHCP server on the host that leases 10.0.0.50 for ten minutes.
struct Server {
    handle: SocketHandle,
    leases: usize,
    silent: bool,
}

impl Server {
    fn new(world: &mut World) -> Self {
        let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 16], vec![0; 16_384]);
        let mut socket = udp::Socket::new(buffer(), buffer());
        socket.bind(67).unwrap();
        Server { handle: world.host.sockets.add(socket), leases: 0, silent: false }
    }

    fn serve(&mut self, world: &mut World) {
        let socket: &mut udp::Socket = world.host.sockets.get_mut(self.handle);
        while let Ok((message, _)) = socket.recv() {
            let message = message.to_vec();
            let packet = DhcpPacket::new_checked(&message[..]).unwrap();
            let asked = DhcpRepr::parse(&packet).unwrap();
            if self.silent {
                continue;
            }
            let discovers = asked.message_type == DhcpMessageType::Discover;
            self.leases += usize::from(!discovers);
            let reply = DhcpRepr {
                message_type: if discovers { DhcpMessageType::Offer } else { DhcpMessageType::Ack },
                your_ip: Ipv4Address::new(10, 0, 0, 50),
                server_ip: Ipv4Address::new(10, 0, 0, 1),
                server_identifier: Some(Ipv4Address::new(10, 0, 0, 1)),
                router: Some(Ipv4Address::new(10, 0, 0, 1)),
                subnet_mask: Some(Ipv4Address::new(255, 255, 255, 0)),
                lease_duration: Some(600),
                requested_ip: None,
                client_identifier: None,
                parameter_request_list: None,
                max_size: None,
                ..asked
            };
            let mut bytes = vec![0; reply.buffer_len()];
            let mut packet = DhcpPacket::new_unchecked(&mut bytes[..]);
            reply.emit(&mut packet).unwrap();
            packet.set_opcode(DhcpOpCode::Reply);
            socket.send_slice(&bytes, (IpAddress::v4(255, 255, 255, 255), 68)).unwrap();
        }
    }
}

/// The new instance takes no port that the old one has in use.
#[test]
fn connections_to_others_do_not_collide() {
    let mut world = World::new(Quality::CLEAN, 7);
    world.host.listen(8080);
    let connect = |ticket| Command::Connect { ticket, to: Endpoint { address: mapped(HOST4), port: 8080 } };
    world.command(0, connect(1));
    assert!(world.run(10, |world| world.peer(0).connected.contains_key(&1)));
    world.swap(&settings(&[]));
    let old = world.old().tcp[&0].connected[&1];
    let state = world.old().stack.leave(0);
    assert_eq!(state.listeners, [], "it has left already");
    for ticket in 2..50 {
        world.host.listen(8080);
        world.command(0, connect(ticket));
        assert!(world.run(10, |world| world.peer(0).connected.contains_key(&ticket)));
    }
    world.old_command(0, Command::Send { connection: old, data: b"x" });
    world.pass(1);
    assert!(!world.old().tcp[&0].closed.contains_key(&old));
    assert_undisturbed(&world);
}

fn mapped(text: &str) -> core::net::Ipv6Addr {
    text.parse::<core::net::Ipv4Addr>().unwrap().to_ipv6_mapped()
}

/// Datagrams are the new instance's from the moment that it takes over, asked for or not; what came before is answered
/// by the old one.
#[test]
fn no_datagram_is_lost() {
    use wit::udp::{Command, Event};
    let command = |command: Command<'_>| {
        let mut batch = wit::Batch::new();
        wit::Peer::Is(0).encode(&mut batch);
        command.encode(&mut batch);
        batch
    };
    // beside what a port and a peer are told
    let data = |batches: Vec<&Vec<u8>>| -> Vec<Vec<u8>> {
        let records = batches.into_iter().flat_map(|batch| wit::Records::new(batch).flatten());
        let data = records.filter_map(|record| match Event::decode(&record) {
            Ok(Event::Datagram { data, .. }) => Some(data.to_vec()),
            _ => None,
        });
        data.collect()
    };
    let old = |world: &mut World| data(world.old().udp.iter().collect());
    let new = |world: &World| data(world.udp.iter().map(|(_, batch)| batch).collect());
    let mut world = World::new(Quality::CLEAN, 9);
    world.stack.udp_commands(world.now, command(Command::Bind { port: 53 }).as_bytes());
    world.pass(1);
    world.swap(&settings(&[]));
    let (now, asks) = (world.now, frames::udp((HOST4, 9), (STACK4, 53), b"who?"));
    world.to_stack.send(now, &asks);
    world.pass(1);
    assert!(old(&mut world).is_empty() && new(&world).is_empty());
    world.stack.udp_commands(world.now, command(Command::Bind { port: 53 }).as_bytes());
    world.pass(1);
    assert_eq!(new(&world), [b"who?"], "it has waited");
    assert!(old(&mut world).is_empty());

    world.sent.clear();
    let to = Endpoint { address: mapped(HOST4), port: 9 };
    let answer = command(Command::Datagram { port: 53, to, data: b"it was me" });
    let now = world.now;
    world.old().stack.udp_commands(now, answer.as_bytes());
    world.pass(1);
    assert!(world.sent.iter().any(|frame| frame.ends_with(b"it was me")));
    // a port that nobody asks for again is nobody's
    world.swap(&settings(&[]));
    world.pass(10);
    world.end_old();
    world.sent.clear();
    world.to_stack.send(world.now, &asks);
    world.pass(1);
    assert!(world.sent.iter().any(|frame| frame[23] == 1 && frame[34] == 3), "it is unreachable");
}

/// Whatever an instance is left, it refuses it or works.
#[test]
fn hostile_states() {
    let mut world = World::with(Quality::CLEAN, 8, &Settings::read([]).unwrap());
    let mut server = Server::new(&mut world);
    assert!(world.run(10, |world| {
        server.serve(world);
        server.leases == 1
    }));
    for port in [80, 443] {
        world.listen(port);
    }
    world.connection("10.0.0.50", 80);
    let sound = world.stack.leave(world.now).write();
    let card = Card { address: STACK_CARD, mtu: 1500 };
    let (mut refused, mut taken) = (0, 0);
    for round in 0..20_000u64 {
        let mut dice = Dice::new(round);
        let mut state = sound.clone();
        for _ in 0..1 + dice.below(6) {
            let at = dice.below(state.len());
            match dice.below(4) {
                0 => state[at] = dice.next() as u8,
                1 => state[at] = [0, 1, 0x7f, 0xe0, 0xff][dice.below(5)],
                2 => state.truncate(at.max(1)),
                _ => state.extend_from_within(at..),
            }
        }
        let Ok(heritage) = Heritage::read(&state) else {
            refused += 1;
            continue;
        };
        taken += 1;
        let mut stack = Stack::new(&Settings::read([]).unwrap(), card, [9; 32], SECOND);
        stack.inherit(SECOND, &heritage);
        for frame in world.host_sent.iter().rev().take(20) {
            let mut batch = wit::Batch::new();
            batch.push(wit::nic::Event::FRAME, 0, frame);
            stack.frames(2 * SECOND, batch.as_bytes());
            stack.step(2 * SECOND);
        }
        stack.step(700 * SECOND);
    }
    assert!(refused > 1_000 && taken > 1_000, "{refused} refused, {taken} taken");
}
