//! Datagrams between client boxes and another machine.

mod common;

use common::wire::Quality;
use common::*;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::udp;
use smoltcp::wire::{IpAddress, IpProtocol, Ipv4Packet, Ipv6Address, Ipv6Packet, UdpPacket};
use wit::tcp::Endpoint;
use wit::udp::{Command, Event};
use wit::{Batch, Peer, Records};

fn host_socket(world: &mut World, port: u16) -> SocketHandle {
    let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 64], vec![0; 65_536]);
    let mut socket = udp::Socket::new(buffer(), buffer());
    socket.bind(port).unwrap();
    world.host.sockets.add(socket)
}

fn host(world: &mut World, handle: SocketHandle) -> &mut udp::Socket<'static> {
    world.host.sockets.get_mut(handle)
}

fn command(world: &mut World, peer: u32, command: Command<'_>) {
    let mut batch = Batch::new();
    Peer::Is(peer).encode(&mut batch);
    command.encode(&mut batch);
    world.stack.udp_commands(world.now, batch.as_bytes());
}

/// The events of a peer, written down.
fn events(world: &mut World, peer: u32) -> Vec<String> {
    let taken = std::mem::take(&mut world.udp);
    let (own, others): (Vec<_>, Vec<_>) = taken.into_iter().partition(|(p, _)| *p == peer);
    world.udp = others;
    let records = own.iter().flat_map(|(_, packed)| Records::new(packed));
    let event = |event| match event {
        Event::Bound { port } => format!("bound {port}"),
        Event::Refused { port, why } => format!("refused {port}: {why}"),
        Event::Datagram { port, from, data } => {
            format!("{port} from {} {}: {}", from.address, from.port, String::from_utf8_lossy(data))
        }
        other => panic!("{other:?}"),
    };
    records.map(|record| event(Event::decode(&record.unwrap()).unwrap())).collect()
}

#[test]
fn datagrams_both_ways() {
    let mut world = World::new(Quality::CLEAN, 1);
    let handle = host_socket(&mut world, 9);
    command(&mut world, 0, Command::Bind { port: 53 });
    for (stack, mapped, name) in [(STACK4, "::ffff:10.0.0.1", "::ffff:10.0.0.1"), (STACK6, HOST6, HOST6)] {
        let to: IpAddress = stack.parse().unwrap();
        host(&mut world, handle).send_slice(b"question", (to, 53)).unwrap();
        assert!(world.run(5, |world| world.udp.len() > usize::from(name != HOST6)));
        let got = events(&mut world, 0);
        assert_eq!(got.last().unwrap(), &format!("53 from {name} 9: question"));
        let to = Endpoint { address: mapped.parse().unwrap(), port: 9 };
        command(&mut world, 0, Command::Datagram { port: 53, to, data: b"answer" });
        assert!(world.run(5, |world| host(world, handle).can_recv()), "{stack}");
        let (data, from) = host(&mut world, handle).recv().unwrap();
        assert_eq!((data, from.endpoint.port), (&b"answer"[..], 53));
    }
}

#[test]
fn large_datagrams_travel_in_fragments() {
    let mut world = World::new(Quality::CLEAN, 1);
    let handle = host_socket(&mut world, 9);
    command(&mut world, 0, Command::Bind { port: 53 });
    let data = "long ".repeat(1_000);
    let to: IpAddress = STACK4.parse().unwrap();
    host(&mut world, handle).send_slice(data.as_bytes(), (to, 53)).unwrap();
    assert!(world.run(5, |world| world.udp.len() == 2));
    assert_eq!(events(&mut world, 0), ["bound 53", &format!("53 from ::ffff:10.0.0.1 9: {data}")]);
    let to = Endpoint { address: "::ffff:10.0.0.1".parse().unwrap(), port: 9 };
    command(&mut world, 0, Command::Datagram { port: 53, to, data: data.as_bytes() });
    assert!(world.run(5, |world| host(world, handle).can_recv()));
    assert_eq!(host(&mut world, handle).recv().unwrap().0, data.as_bytes());
}

#[test]
fn ports_belong_to_the_box_that_bound_them() {
    let mut world = World::new(Quality::CLEAN, 1);
    world.attach(1);
    command(&mut world, 0, Command::Bind { port: 53 });
    command(&mut world, 0, Command::Bind { port: 53 });
    command(&mut world, 1, Command::Bind { port: 53 });
    command(&mut world, 1, Command::Bind { port: 0 });
    command(&mut world, 1, Command::Bind { port: 68 });
    let to = Endpoint { address: "::ffff:10.0.0.1".parse().unwrap(), port: 9 };
    command(&mut world, 1, Command::Datagram { port: 53, to, data: b"forged" });
    command(&mut world, 1, Command::Unbind { port: 53 });
    world.pass(1);
    assert_eq!(events(&mut world, 0), ["bound 53", "bound 53"]);
    assert_eq!(
        events(&mut world, 1),
        [
            "refused 53: another box has bound this port",
            "refused 0: the port is not available",
            "refused 68: the port is not available"
        ]
    );
    world.detach(0);
    command(&mut world, 1, Command::Bind { port: 53 });
    world.pass(1);
    assert_eq!(events(&mut world, 1), ["bound 53"]);
    command(&mut world, 1, Command::Unbind { port: 53 });
    command(&mut world, 1, Command::Bind { port: 53 });
    world.pass(1);
    assert_eq!(events(&mut world, 1), ["bound 53"]);
}

#[test]
fn no_more_ports_than_the_limit() {
    let mut world = World::new(Quality::CLEAN, 1);
    for port in 1000..1100 {
        command(&mut world, 0, Command::Bind { port });
    }
    world.pass(1);
    let events = events(&mut world, 0);
    assert_eq!(events.iter().filter(|event| event.starts_with("bound")).count(), 64);
    assert_eq!(events[99], "refused 1099: too many ports are bound");
}

#[test]
fn a_box_without_room_loses_datagrams_and_nothing_else() {
    let mut world = World::new(Quality::CLEAN, 1);
    let handle = host_socket(&mut world, 9);
    command(&mut world, 0, Command::Bind { port: 53 });
    world.pass(1);
    world.full.insert(0);
    let to: IpAddress = STACK4.parse().unwrap();
    for _ in 0..100 {
        host(&mut world, handle).send_slice(b"x", (to, 53)).unwrap();
        world.pass(1);
    }
    world.full.clear();
    world.stack.room();
    world.pass(1);
    // One was in the batch that was refused, the others waited in the socket.
    let got = events(&mut world, 0).len();
    assert!((32..=34).contains(&got), "{got}");
    host(&mut world, handle).send_slice(b"y", (to, 53)).unwrap();
    world.pass(1);
    assert_eq!(events(&mut world, 0), ["53 from ::ffff:10.0.0.1 9: y"]);
}

/// What the stack has sent of datagrams to an address: their data, put together, and the lengths of their packets.
fn sent_to(world: &World, to: &str) -> Vec<(Vec<u8>, Vec<usize>)> {
    let to: IpAddress = to.parse().unwrap();
    let mut parts: Vec<(u32, Vec<u8>, bool)> = Vec::new();
    let mut lengths: Vec<(u32, usize)> = Vec::new();
    let mut order: Vec<u32> = Vec::new();
    for frame in &world.sent {
        let (id, offset, more, payload) = match frame[12..14] {
            [8, 0] => {
                let ip = Ipv4Packet::new_checked(&frame[14..]).unwrap();
                assert!(ip.verify_checksum());
                if IpAddress::from(ip.dst_addr()) != to || ip.next_header() != IpProtocol::Udp {
                    continue;
                }
                assert!(!ip.dont_frag());
                (u32::from(ip.ident()), ip.frag_offset().into(), ip.more_frags(), ip.payload().to_vec())
            }
            [0x86, 0xdd] => {
                let ip = Ipv6Packet::new_checked(&frame[14..]).unwrap();
                if IpAddress::from(ip.dst_addr()) != to || !matches!(frame[20], 17 | 44) {
                    continue;
                }
                assert_eq!(frame.len(), 54 + usize::from(ip.payload_len()));
                match frame[20] {
                    17 => (order.len() as u32 + (1 << 20), 0, false, frame[54..].to_vec()),
                    _ => {
                        assert_eq!(frame[54], 17);
                        let place = u16::from_be_bytes([frame[56], frame[57]]);
                        let id = u32::from_be_bytes(frame[58..62].try_into().unwrap());
                        (id, usize::from(place & !7), place & 1 != 0, frame[62..].to_vec())
                    }
                }
            }
            _ => continue,
        };
        if offset == 0 {
            assert!(!order.contains(&id), "an identification again");
            order.push(id);
            parts.push((id, Vec::new(), true));
        }
        let part = parts.iter_mut().find(|(known, ..)| *known == id).expect("the first is first");
        assert_eq!((part.1.len(), part.2), (offset, true));
        part.1.extend_from_slice(&payload);
        part.2 = more;
        lengths.push((id, frame.len() - 14));
    }
    let whole = parts.into_iter().map(|(id, datagram, more)| {
        assert!(!more, "not all of it");
        let packet = UdpPacket::new_checked(&datagram[..]).unwrap();
        let own: IpAddress = if matches!(to, IpAddress::Ipv4(_)) { STACK4 } else { STACK6 }.parse().unwrap();
        assert!(packet.verify_checksum(&own, &to));
        let lengths = lengths.iter().filter(|(of, _)| *of == id).map(|(_, length)| *length).collect();
        (packet.payload().to_vec(), lengths)
    });
    whole.collect()
}

fn send(world: &mut World, to: &str, data: &[u8]) {
    let to = Endpoint { address: to.parse().unwrap(), port: 9 };
    command(world, 0, Command::Datagram { port: 53, to, data });
    world.pass(1);
}

/// RFC 8200 section 4.5, RFC 791 section 3.2: and nothing of one datagram is lost while its neighbour is looked up.
#[test]
fn datagrams_of_any_size_are_sent() {
    for (mapped, to) in [("::ffff:10.0.0.1", HOST4), (HOST6, HOST6)] {
        let mut world = World::new(Quality::CLEAN, 1);
        world.pass(10);
        command(&mut world, 0, Command::Bind { port: 53 });
        for length in [0, 1, 16, 1_432, 1_452, 1_453, 1_472, 1_473, 3_000, 9_000, 40_000, 65_507] {
            world.sent.clear();
            let data = bytes(length);
            send(&mut world, mapped, &data);
            let sent = sent_to(&world, to);
            assert_eq!(sent.len(), 1, "{to} {length}");
            assert!(
                sent[0].0 == data && sent[0].1.iter().all(|length| *length <= 1500),
                "{to} {length}: {:?}",
                sent[0].1
            );
            let header = if to == HOST4 { 28 } else { 48 };
            assert_eq!(sent[0].1.len() == 1, header + length <= 1500, "{to} {length}");
        }
        assert_eq!(world.stack.counters().udp.dropped, 0);
    }
}

/// RFC 8085 section 3.2: who sends more than fits is told, and nothing else is.
#[test]
fn a_datagram_that_is_too_large_is_refused() {
    let mut world = World::new(Quality::CLEAN, 1);
    command(&mut world, 0, Command::Bind { port: 53 });
    world.pass(10);
    for (to, largest) in [("::ffff:10.0.0.1", 65_507), (HOST6, 65_527)] {
        world.pass(1);
        events(&mut world, 0);
        world.sent.clear();
        send(&mut world, to, &vec![7; largest + 1]);
        let why = format!("refused 53: a datagram of {} bytes is not sent: the largest has {largest}", largest + 1);
        assert_eq!(events(&mut world, 0), [why]);
        assert_eq!(world.sent.len(), 0);
        send(&mut world, to, b"small");
        assert_eq!(events(&mut world, 0), [""; 0], "the port is as it was");
    }
    assert_eq!(world.stack.counters().udp.dropped, 2);
}

/// N2: RFC 8201 section 4, for datagrams: of what was sent, and of nothing else.
#[test]
fn datagrams_shrink_when_a_router_says_that_they_are_too_big() {
    let mut world = World::new(Quality::CLEAN, 1);
    command(&mut world, 0, Command::Bind { port: 53 });
    world.pass(1);
    for (sent, lengths) in [(false, vec![1448]), (true, vec![1400, 104])] {
        world.sent.clear();
        if sent {
            send(&mut world, HOST6, &bytes(1_400));
        }
        let quoted = [&[0x60, 0, 0, 0, 5, 0x80, 17, 64][..], &six(STACK6), &six(HOST6), &[0, 53, 0, 9, 5, 0x80, 0, 0]];
        let message = [&[2, 0, 0, 0, 0, 0, 5, 0x78][..], &quoted.concat(), &[0; 1000]].concat();
        common::remote::give(&mut world, &common::frames::icmp6("fd00::3", STACK6, &message));
        world.sent.clear();
        send(&mut world, HOST6, &bytes(1_400));
        assert_eq!(sent_to(&world, HOST6)[0].1, lengths, "after one was sent: {sent}");
    }
    // The first fragment of a larger one.
    let fragment =
        [&[0x60, 0, 0, 0, 5, 0x40, 44, 64][..], &six(STACK6), &six(HOST6), &[17, 0, 0, 1, 0, 0, 0, 1]].concat();
    let message = [&[2, 0, 0, 0, 0, 0, 5, 0][..], &fragment, &[0, 53, 0, 9, 9, 9, 0, 0], &[0; 1000]].concat();
    common::remote::give(&mut world, &common::frames::icmp6("fd00::3", STACK6, &message));
    world.sent.clear();
    send(&mut world, HOST6, &bytes(1_400));
    assert_eq!(sent_to(&world, HOST6)[0].1, [1280, 224]);
    // Another destination's path is another.
    world.sent.clear();
    send(&mut world, "::ffff:10.0.0.1", &bytes(1_400));
    assert_eq!(sent_to(&world, HOST4)[0].1, [1428]);
}

fn six(address: &str) -> [u8; 16] {
    address.parse::<Ipv6Address>().unwrap().octets()
}

/// N6: RFC 4861 section 7.2.2, RFC 1122 section 2.3.2.2, of what this machine begins: it goes out once the neighbour has
/// answered, and not a second later.
#[test]
fn the_first_datagrams_to_a_neighbour_wait_for_it() {
    for (mapped, to) in [("::ffff:10.0.0.1", HOST4), (HOST6, HOST6), ("::ffff:192.0.2.7", "192.0.2.7")] {
        let mut world = World::new(Quality::CLEAN, 1);
        world.pass(10);
        command(&mut world, 0, Command::Bind { port: 53 });
        for round in 0..2 {
            world.sent.clear();
            let began = world.now;
            let datagrams = [bytes(100), bytes(5_000), bytes(101)];
            for data in &datagrams {
                let to = Endpoint { address: mapped.parse().unwrap(), port: 9 };
                command(&mut world, 0, Command::Datagram { port: 53, to, data });
            }
            assert!(world.run(5, |world| sent_frames(world, to) >= 6), "{to} {round}");
            assert!(world.now - began < common::wire::SECOND / 2, "{to} {round}");
            let sent: Vec<Vec<u8>> = sent_to(&world, to).into_iter().map(|(data, _)| data).collect();
            assert!(sent == datagrams, "{to} {round}");
            // By then the neighbour is forgotten.
            world.pass(120);
        }
    }
}

/// Frames of datagrams, and of parts of them, to that address.
fn sent_frames(world: &World, to: &str) -> usize {
    let to: IpAddress = to.parse().unwrap();
    let is_to = |frame: &&Vec<u8>| match to {
        IpAddress::Ipv4(to) => frame[12..14] == [8, 0] && frame[23] == 17 && frame[30..34] == to.octets(),
        IpAddress::Ipv6(to) => {
            frame[12..14] == [0x86, 0xdd] && matches!(frame[20], 17 | 44) && frame[38..54] == to.octets()
        }
    };
    world.sent.iter().filter(is_to).count()
}

/// Whoever sends to where nobody is waits with a bound, and keeps nobody else waiting.
#[test]
fn large_datagrams_to_nobody_are_forgotten() {
    let mut world = World::new(Quality::CLEAN, 1);
    command(&mut world, 0, Command::Bind { port: 53 });
    world.pass(10);
    for n in 0..20 {
        let to = Endpoint { address: format!("::ffff:10.0.0.{}", 100 + n).parse().unwrap(), port: 9 };
        command(&mut world, 0, Command::Datagram { port: 53, to, data: &bytes(60_000) });
    }
    assert!(world.stack.counters().udp.dropped >= 18);
    world.pass(10);
    send(&mut world, HOST6, &bytes(60_000));
    world.pass(1);
    assert_eq!(sent_to(&world, HOST6).len(), 1);
}
