//! DHCP, router advertisements, ARP, neighbour discovery and ping.

mod common;

use common::frames;
use common::host::CARD;
use common::wire::{Quality, SECOND};
use common::*;
use pearwood_net::Settings;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::State;
use smoltcp::socket::udp;
use smoltcp::wire::*;
use wit::tcp::{Command, Endpoint};

fn automatic() -> World {
    World::with(Quality::CLEAN, 1, &Settings::read([("hostname", "pear")]).unwrap())
}

/// A DHCP server on the host. It leases 10.0.0.50 for ten minutes.
struct Server {
    handle: SocketHandle,
    seen: Vec<DhcpMessageType>,
    hostname: Option<Vec<u8>>,
    silent: bool,
    router: Ipv4Address,
    mtu: Option<u16>,
    asked_for: Vec<u8>,
}

impl Server {
    fn new(world: &mut World) -> Self {
        let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 16], vec![0; 16_384]);
        let mut socket = udp::Socket::new(buffer(), buffer());
        socket.bind(67).unwrap();
        let handle = world.host.sockets.add(socket);
        Server {
            handle,
            seen: Vec::new(),
            hostname: None,
            silent: false,
            router: Ipv4Address::new(10, 0, 0, 1),
            mtu: None,
            asked_for: Vec::new(),
        }
    }

    fn serve(&mut self, world: &mut World) {
        let socket: &mut udp::Socket = world.host.sockets.get_mut(self.handle);
        while let Ok((message, _)) = socket.recv() {
            let message = message.to_vec();
            let packet = DhcpPacket::new_checked(&message[..]).unwrap();
            let asked = DhcpRepr::parse(&packet).unwrap();
            self.seen.push(asked.message_type);
            self.asked_for = asked.parameter_request_list.unwrap_or_default().to_vec();
            self.hostname = packet.options().find(|option| option.kind == 12).map(|option| option.data.to_vec());
            if self.silent {
                continue;
            }
            let dns = heapless_servers();
            let mtu = self.mtu.map(u16::to_be_bytes);
            let options = mtu.as_ref().map(|data| [DhcpOption { kind: 26, data }]);
            let reply = DhcpRepr {
                message_type: match asked.message_type {
                    DhcpMessageType::Discover => DhcpMessageType::Offer,
                    _ => DhcpMessageType::Ack,
                },
                your_ip: Ipv4Address::new(10, 0, 0, 50),
                server_ip: Ipv4Address::new(10, 0, 0, 1),
                server_identifier: Some(Ipv4Address::new(10, 0, 0, 1)),
                router: Some(self.router),
                subnet_mask: Some(Ipv4Address::new(255, 255, 255, 0)),
                lease_duration: Some(600),
                dns_servers: Some(dns),
                requested_ip: None,
                client_identifier: None,
                parameter_request_list: None,
                max_size: None,
                additional_options: options.as_ref().map_or(&[], |options| &options[..]),
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

fn heapless_servers<const N: usize>() -> heapless::Vec<Ipv4Address, N> {
    heapless::Vec::from_slice(&[Ipv4Address::new(10, 0, 0, 1)]).unwrap()
}

#[test]
fn a_lease_is_taken_renewed_and_given_up() {
    let mut world = automatic();
    let mut server = Server::new(&mut world);
    world.listen(80);
    assert!(world.run(10, |world| {
        server.serve(world);
        server.seen.len() == 2
    }));
    assert_eq!(server.seen, [DhcpMessageType::Discover, DhcpMessageType::Request]);
    assert_eq!(server.hostname.as_deref(), Some(&b"pear"[..]));
    let (handle, connection) = world.connection("10.0.0.50", 80);
    let lines: Vec<String> = world.stack.log().map(|(_, line)| line).collect();
    assert_eq!(lines, ["address 10.0.0.50/24 by DHCP"]);
    // Two lease times later it is still ours, by renewal alone, and the connection has lived on.
    world.run(1300, |world| {
        server.serve(world);
        false
    });
    assert!(server.seen.len() >= 5);
    assert!(server.seen[2..].iter().all(|kind| *kind == DhcpMessageType::Request));
    assert_eq!(world.host.tcp(handle).state(), State::Established);
    // The server is gone: so is, in the end, the address.
    server.silent = true;
    assert!(world.run(700, |world| {
        server.serve(world);
        world.peer(0).closed.contains_key(&connection)
    }));
    assert_eq!(world.peer(0).closed[&connection], "this machine's address changed");
    assert_eq!(world.stack.connections(), 0);
    assert!(world.stack.log().any(|(_, line)| line == "the DHCP lease is lost"));
    // It comes back.
    server.silent = false;
    world.run(30, |world| {
        server.serve(world);
        false
    });
    world.connection("10.0.0.50", 80);
}

#[test]
fn a_router_that_cannot_be_one_is_not_used() {
    for router in [[0, 0, 0, 0], [255, 255, 255, 255], [224, 0, 0, 1], [10, 0, 0, 255], [192, 0, 2, 1], [10, 0, 0, 50]]
    {
        let mut world = automatic();
        let mut server = Server::new(&mut world);
        server.router = Ipv4Address::from(router);
        world.run(10, |world| {
            server.serve(world);
            false
        });
        let to = Endpoint { address: "::ffff:192.0.2.1".parse().unwrap(), port: 80 };
        world.command(0, Command::Connect { ticket: 1, to });
        world.pass(1);
        assert_eq!(world.peer(0).refused, [(1, "no route to the address".into())], "{router:?}");
    }
}

/// A Router Advertisement with a prefix and a name server.
fn advertisement(lifetime: u16, prefix: &str, valid: u32) -> Vec<u8> {
    let mut message = vec![134, 0, 0, 0, 64, 0];
    message.extend_from_slice(&lifetime.to_be_bytes());
    message.extend_from_slice(&[0; 8]);
    message.extend_from_slice(&[3, 4, 64, 0xc0]);
    message.extend_from_slice(&valid.to_be_bytes());
    message.extend_from_slice(&valid.to_be_bytes());
    message.extend_from_slice(&[0; 4]);
    message.extend_from_slice(&prefix.parse::<Ipv6Address>().unwrap().octets());
    message.extend_from_slice(&[25, 3, 0, 0, 0, 0, 4, 0]);
    message.extend_from_slice(&HOST6.parse::<Ipv6Address>().unwrap().octets());
    frames::icmp6("fe80::1", "ff02::1", &message)
}

fn solicitations(world: &World) -> usize {
    world.sent.iter().filter(|frame| frame[12..14] == [0x86, 0xdd] && frame[54] == 133).count()
}

#[test]
fn an_address_by_router_advertisement() {
    let mut world = automatic();
    world.listen(80);
    world.pass(1);
    assert_eq!(solicitations(&world), 1);
    world.to_stack.send(world.now, &advertisement(1800, "fd00::", 86_400));
    world.pass(1);
    let own = "fd00::ff:fe00:2";
    world.connection(own, 80);
    // Beyond the link, by the router; its own name server is known too.
    let to = Endpoint { address: "2001:db8::77".parse().unwrap(), port: 80 };
    world.command(0, Command::Connect { ticket: 1, to });
    world.pass(1);
    assert_eq!(world.peer(0).refused, []);
    assert_eq!(solicitations(&world), 1);
    // The router goes away: no route, but the address stays.
    world.to_stack.send(world.now, &advertisement(0, "fd00::", 86_400));
    world.pass(1);
    world.command(0, Command::Connect { ticket: 2, to });
    world.pass(1);
    assert_eq!(world.peer(0).refused.pop(), Some((2, "no route to the address".into())));
    world.connection(own, 80);
    // An advertisement cannot take the address away at once, only in two hours.
    world.to_stack.send(world.now, &advertisement(1800, "fd00::", 0));
    world.pass(3600);
    world.connection(own, 80);
    world.pass(2 * 3600);
    let handle = world.host.connect(own, 80);
    world.pass(10);
    assert_eq!(world.host.tcp(handle).state(), State::SynSent);
}

#[test]
fn advertisements_that_cannot_be_a_routers_are_ignored() {
    let mut world = automatic();
    let good = advertisement(1800, "fd00::", 86_400);
    let mut forwarded = good.clone();
    forwarded[21] = 254;
    let mut corrupt = good.clone();
    corrupt[80] ^= 1;
    let message = &good[54..];
    for frame in [forwarded, corrupt, frames::icmp6("fd00::1", "ff02::1", message), good[..100].to_vec()] {
        world.to_stack.send(world.now, &frame);
    }
    world.pass(1);
    assert_eq!(world.stack.log().count(), 0);
    world.to_stack.send(world.now, &good);
    world.pass(1);
    assert_eq!(world.stack.log().count(), 1);
}

#[test]
fn soliciting_becomes_rare_but_never_ends() {
    let mut world = automatic();
    let mut wakes = 0;
    world.run(24 * 3600, |_| {
        wakes += 1;
        false
    });
    let solicitations = solicitations(&world);
    assert!((20..60).contains(&solicitations), "{solicitations}");
    // DHCP asks every few seconds, the report comes each minute.
    assert!(wakes < 80_000, "{wakes}");
}

/// Echo replies sent, over IPv4 and IPv6.
fn echoes(world: &World) -> (usize, usize) {
    let count = |kind: [u8; 2], at: usize, reply: u8| {
        world
            .sent
            .iter()
            .filter(|frame| frame[12..14] == kind && frame[at] == reply && frame.ends_with(b"payload"))
            .count()
    };
    (count([0x08, 0x00], 34, 0), count([0x86, 0xdd], 54, 129))
}

#[test]
fn pings_are_answered() {
    let mut world = World::new(Quality::CLEAN, 1);
    let solicit = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &STACK6.parse::<Ipv6Address>().unwrap().octets(), &[1, 1], &CARD];
    world.to_stack.send(world.now, &frames::icmp6(HOST6, "ff02::1:ff00:2", &solicit.concat()));
    world.to_stack.send(world.now, &frames::arp(HOST4, CARD, STACK4));
    world.pass(1);
    world.to_stack.send(world.now, &frames::icmp4(HOST4, STACK4, b"\x08\0\0\0\0\x01\0\x02payload"));
    world.to_stack.send(world.now, &frames::icmp6(HOST6, STACK6, b"\x80\0\0\0\0\x01\0\x02payload"));
    world.to_stack.send(world.now, &frames::icmp6(HOST6, "ff02::1", b"\x80\0\0\0\0\x01\0\x02payload"));
    world.pass(1);
    assert_eq!(echoes(&world), (1, 2));
}

#[test]
fn datagrams_to_nobody_are_unreachable_unless_they_went_to_a_group() {
    let mut world = World::new(Quality::CLEAN, 1);
    world.to_stack.send(world.now, &frames::arp(HOST4, CARD, STACK4));
    world.pass(10);
    world.sent.clear();
    world.to_stack.send(world.now, &frames::udp((HOST4, 5), (STACK4, 6), b"x"));
    world.pass(1);
    let unreachable = world.sent.iter().filter(|frame| frame[23] == 1 && frame[34..36] == [3, 3]).count();
    assert_eq!((unreachable, world.sent.len()), (1, 1));
    world.sent.clear();
    for to in ["10.0.0.255", "255.255.255.255", "224.0.0.1", "ff02::1"] {
        let from = if to.contains(':') { HOST6 } else { HOST4 };
        world.to_stack.send(world.now, &frames::udp((from, 5), (to, 6), b"x"));
    }
    world.pass(1);
    assert_eq!(world.sent.len(), 0);
}

#[test]
fn switches_and_neighbours_are_told() {
    let mut world = World::new(Quality::CLEAN, 1);
    world.pass(10);
    // Gratuitous ARP requests, as many as RFC 5227 section 2.3 says.
    let claims = world.sent.iter().filter(|frame| frame[12..14] == [8, 6] && frame[28..32] == frame[38..42]).count();
    assert_eq!(claims, 2);
    // An MLDv2 report: hop-by-hop options, then message 143 with the groups of both addresses.
    let is_report = |frame: &&Vec<u8>| frame[12..14] == [0x86, 0xdd] && frame[20] == 0 && frame[62] == 143;
    assert_eq!(world.sent.iter().filter(is_report).count(), 1);
    world.sent.clear();
    world.to_stack.send(world.now, &frames::icmp6("fe80::1", "ff02::1", &[&[130, 0, 0, 0][..], &[0; 24]].concat()));
    world.pass(1);
    let report = world.sent.iter().find(is_report).expect("no report");
    let groups: Vec<Ipv6Address> =
        report[70..].chunks(20).map(|r| <[u8; 16]>::try_from(&r[4..]).unwrap().into()).collect();
    // Of fd00::2 and fe80::ff:fe00:2 it is the same.
    assert_eq!(groups, ["ff02::1:ff00:2".parse::<Ipv6Address>().unwrap()]);
    assert_eq!(report[18..20], [0, 36]);
    let packet = Icmpv6Packet::new_checked(&report[62..]).unwrap();
    let source = <[u8; 16]>::try_from(&report[22..38]).unwrap().into();
    assert!(packet.verify_checksum(&source, &"ff02::16".parse().unwrap()));
}

#[test]
fn packets_for_other_machines_are_not_taken() {
    let mut world = World::new(Quality::CLEAN, 1);
    let solicit = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &STACK6.parse::<Ipv6Address>().unwrap().octets(), &[1, 1], &CARD];
    world.to_stack.send(world.now, &frames::icmp6(HOST6, "ff02::1:ff00:2", &solicit.concat()));
    world.pass(10);
    world.sent.clear();
    // smoltcp compares only the last two octets.
    world.to_stack.send(world.now, &frames::icmp6(HOST6, "2001:db8::2", b"\x80\0\0\0\0\x01\0\x02payload"));
    world.to_stack.send(world.now, &frames::udp((HOST6, 5), ("2001:db8::2", 6), b"x"));
    let mut other = frames::icmp6(HOST6, STACK6, b"\x80\0\0\0\0\x01\0\x02payload");
    other[5] = 77;
    world.to_stack.send(world.now, &other);
    world.pass(1);
    assert_eq!(world.sent.len(), 0);
}

#[test]
fn connections_wait_for_the_neighbour_and_go_on_when_it_answers() {
    let mut world = World::new(Quality::CLEAN, 1);
    let handle = world.host.listen(25);
    let to = Endpoint { address: "::ffff:10.0.0.1".parse().unwrap(), port: 25 };
    let began = world.now;
    world.command(0, Command::Connect { ticket: 9, to });
    assert!(world.run(10, |world| world.host.tcp(handle).may_send()));
    // Not a second later, when smoltcp would look again by itself.
    assert!(world.now - began < SECOND / 2);
}

/// N3: DHCP's option 26 (RFC 2132 section 5.1).
#[test]
fn the_mtu_of_a_lease() {
    for (mtu, size) in [(None, 1460), (Some(1480u16), 1440), (Some(576), 1240), (Some(9000), 1460)] {
        let mut world = automatic();
        let mut server = Server::new(&mut world);
        server.mtu = mtu;
        world.listen(80);
        world.run(10, |world| {
            server.serve(world);
            false
        });
        assert!(server.asked_for.contains(&26), "{:?}", server.asked_for);
        world.sent.clear();
        world.connection("10.0.0.50", 80);
        let sizes: Vec<u16> = world.sent.iter().filter_map(|f| frames::read_tcp(f)).filter_map(|s| s.size).collect();
        assert_eq!(sizes, [size], "{mtu:?}");
    }
}

/// N6: RFC 1122 section 2.3.2.2, RFC 4861 section 7.2.2. Nobody is asked for a card before.
#[test]
fn the_first_echo_request_of_each_neighbour_is_answered() {
    for (from, to, request) in [
        (0, STACK4, &b"\x08\0\0\0\0\x01\0\x02payload"[..]),
        (0, STACK6, b"\x80\0\0\0\0\x01\0\x02payload"),
        (0, "ff02::1", b"\x80\0\0\0\0\x01\0\x02payload"),
        // from beyond the router
        (1, STACK4, b"\x08\0\0\0\0\x01\0\x02payload"),
    ] {
        let four = to == STACK4;
        let mut world = World::new(Quality::CLEAN, 1);
        world.pass(10);
        for round in 0..3 {
            // Many at once, and one each 70 seconds.
            for n in 0..20 {
                let from = match (four, from) {
                    (true, 0) => format!("10.0.0.{}", 100 + n),
                    (true, _) => format!("192.0.2.{}", 100 + n),
                    _ => format!("fd00::{}", 100 + n),
                };
                let frame = if four { frames::icmp4(&from, to, request) } else { frames::icmp6(&from, to, request) };
                world.to_stack.send(world.now, &frame);
            }
            world.sent.clear();
            world.pass(1);
            let (answers4, answers6) = echoes(&world);
            assert_eq!(answers4 + answers6, 20, "{to}, round {round}");
            assert!(world.sent.iter().all(|frame| frame[..6] == CARD), "the card that asked");
            assert!(world.sent.iter().all(|frame| read_echo(frame)), "checksums");
            world.pass(70);
        }
    }
}

/// Whether the checksums of an echo reply are right.
fn read_echo(frame: &[u8]) -> bool {
    if frame[12..14] == [8, 0] {
        let ip = Ipv4Packet::new_checked(&frame[14..]).unwrap();
        ip.verify_checksum() && Icmpv4Packet::new_checked(ip.payload()).unwrap().verify_checksum()
    } else {
        let ip = Ipv6Packet::new_checked(&frame[14..]).unwrap();
        Icmpv6Packet::new_checked(ip.payload()).unwrap().verify_checksum(&ip.src_addr(), &ip.dst_addr())
    }
}

/// N6: the same for a port that nobody listens on.
#[test]
fn the_first_segment_of_each_neighbour_to_a_closed_port_is_answered() {
    let mut world = World::new(Quality::CLEAN, 1);
    world.pass(1);
    for n in 0..20 {
        let (from, to) = ((&*format!("10.0.0.{}", 100 + n), 5000), (STACK4, 81));
        let syn = frames::Tcp { from, to, control: TcpControl::Syn, sequence: 7, acknowledge: None, payload: b"" };
        world.to_stack.send(world.now, &frames::tcp(&syn));
    }
    world.pass(1);
    let resets = world.sent.iter().filter_map(|frame| frames::read_tcp(frame));
    let resets = resets.filter(|seen| seen.control == TcpControl::Rst && seen.acknowledge == Some(8));
    assert_eq!(resets.count(), 20);
}

/// RFC 1122 section 3.2.1.3: nobody has these addresses, and no answer goes to them.
#[test]
fn packets_from_impossible_sources_are_dropped() {
    let mut world = World::new(Quality::CLEAN, 1);
    world.listen(80);
    world.pass(10);
    world.sent.clear();
    for from in ["127.0.0.1", "224.0.0.1", "255.255.255.255", "10.0.0.255", STACK4, "::1", "ff02::1", STACK6] {
        let six = from.contains(':');
        let to = if six { STACK6 } else { STACK4 };
        let echo = if six { frames::icmp6 } else { frames::icmp4 };
        let request: &[u8] = if six { b"\x80\0\0\0\0\x01\0\x02payload" } else { b"\x08\0\0\0\0\x01\0\x02payload" };
        world.to_stack.send(world.now, &echo(from, to, request));
        world.to_stack.send(world.now, &frames::udp((from, 5), (to, 6), b"x"));
        for port in [80, 81] {
            let (from, to) = ((from, 5000), (to, port));
            let syn = frames::Tcp { from, to, control: TcpControl::Syn, sequence: 7, acknowledge: None, payload: b"" };
            world.to_stack.send(world.now, &frames::tcp(&syn));
        }
        world.pass(1);
        assert_eq!((world.sent.len(), world.stack.connections()), (0, 0), "{from}");
    }
}

/// An IPv6 frame of the host's with what stands between the header and the payload, and what that payload is.
fn extended(first: u8, headers: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut frame = [&plain[..54], headers, &plain[54..]].concat();
    let length = (frame.len() - 54) as u16;
    frame[18..20].copy_from_slice(&length.to_be_bytes());
    frame[20] = first;
    frame
}

/// RFC 8200 section 4.
#[test]
fn ipv6_packets_with_extension_headers_and_in_fragments_are_taken() {
    let mut world = World::new(Quality::CLEAN, 1);
    world.listen(80);
    world.pass(10);
    world.sent.clear();
    let echo = frames::icmp6(HOST6, STACK6, b"\x80\0\0\0\0\x01\0\x02payload");
    // destination options; routing with nowhere left to go; the only fragment of its datagram
    for (first, header) in
        [(60, [58, 0, 1, 4, 0, 0, 0, 0]), (43, [58, 0, 2, 0, 0, 0, 0, 0]), (44, [58, 0, 0, 0, 0, 0, 0, 9])]
    {
        world.to_stack.send(world.now, &extended(first, &header, &echo));
    }
    // two fragments, the second first
    let head = &echo[..54];
    world.to_stack.send(world.now, &extended(44, &[58, 0, 0, 8, 0, 0, 0, 7], &[head, &echo[62..]].concat()));
    world.pass(1);
    assert_eq!(echoes(&world), (0, 3));
    world.to_stack.send(world.now, &extended(44, &[58, 0, 0, 1, 0, 0, 0, 7], &echo[..62]));
    world.pass(1);
    assert_eq!(echoes(&world), (0, 4));
    // A connection.
    let syn = frames::Tcp {
        from: (HOST6, 5000),
        to: (STACK6, 80),
        control: TcpControl::Syn,
        sequence: 7,
        acknowledge: None,
        payload: b"",
    };
    world.to_stack.send(world.now, &extended(60, &[6, 0, 1, 4, 0, 0, 0, 0], &frames::tcp(&syn)));
    world.pass(1);
    let answers = world.sent.iter().filter_map(|frame| frames::read_tcp(frame));
    assert_eq!(answers.filter(|seen| seen.control == TcpControl::Syn && seen.acknowledge == Some(8)).count(), 1);
    // An option that its sender wants to hear of if nobody knows it: the packet comes back.
    world.sent.clear();
    let option = extended(60, &[58, 0, 0xbe, 4, 0, 0, 0, 0], &echo);
    world.to_stack.send(world.now, &option);
    world.pass(1);
    let [problem] = &world.sent[..] else { panic!("{:?}", world.sent) };
    assert_eq!((problem[54..56].to_vec(), problem[58..62].to_vec()), (vec![4, 2], vec![0, 0, 0, 42]));
    assert_eq!(problem[62..], option[14..]);
    assert!(read_echo(problem));
    // RFC 6980: who asks for a neighbour in fragments is up to something.
    world.sent.clear();
    let solicit = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &STACK6.parse::<Ipv6Address>().unwrap().octets(), &[1, 1], &CARD];
    let solicit = frames::icmp6(HOST6, "ff02::1:ff00:2", &solicit.concat());
    world.to_stack.send(world.now, &extended(44, &[58, 0, 0, 0, 0, 0, 0, 5], &solicit));
    world.pass(1);
    assert_eq!(world.sent.len(), 0);
    world.to_stack.send(world.now, &extended(60, &[58, 0, 1, 4, 0, 0, 0, 0], &solicit));
    world.pass(1);
    assert_eq!(world.sent.len(), 1);
}

/// RFC 4443 section 2.4 (e), RFC 7112 section 5.
#[test]
fn icmpv6_errors_are_sent_about_what_may_be_complained_about() {
    let mut world = World::new(Quality::CLEAN, 1);
    world.pass(10);
    let solicit = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &STACK6.parse::<Ipv6Address>().unwrap().octets(), &[1, 1], &CARD];
    world.to_stack.send(world.now, &frames::icmp6(HOST6, "ff02::1:ff00:2", &solicit.concat()));
    world.pass(1);
    let unknown = |to| frames::ip(HOST6, to, IpProtocol::Unknown(253), 64, b"whatever");
    let echo = |from, to| frames::icmp6(from, to, b"\x80\0\0\0\0\x01\0\x02payload");
    let unreachable = frames::icmp6(HOST6, STACK6, &[&[1, 4, 0, 0, 0, 0, 0, 0][..], &[0x60; 48]].concat());
    let redirect = frames::icmp6(HOST6, STACK6, &[137; 40]);
    // An option that its sender wants to hear of if nobody knows it, and one of which a group's sender does not.
    let [told, not_of_groups] = [[58, 0, 0xbe, 4, 0, 0, 0, 0], [58, 0, 0xfe, 4, 0, 0, 0, 0]];
    let routing = [58, 0, 9, 1, 0, 0, 0, 0];
    let to_many = |mut frame: Vec<u8>| {
        frame[..6].copy_from_slice(&[0x33, 0x33, 0, 0, 0, 1]);
        frame
    };
    let first_fragment = extended(44, &[6, 0, 0, 1, 0, 0, 0, 7], &[&echo(HOST6, STACK6)[..54], &[0; 16]].concat());
    for (what, frame, expected) in [
        ("an unknown protocol", unknown(STACK6), Some(1)),
        ("an unknown protocol to a group", unknown("ff02::1"), None),
        ("an unknown protocol in a frame to many", to_many(unknown(STACK6)), None),
        ("an option", extended(60, &told, &echo(HOST6, STACK6)), Some(2)),
        ("an option to a group", extended(60, &told, &echo(HOST6, "ff02::1")), Some(2)),
        ("an option in a frame to many", to_many(extended(60, &told, &echo(HOST6, STACK6))), Some(2)),
        ("another option to a group", extended(60, &not_of_groups, &echo(HOST6, "ff02::1")), None),
        ("a route", extended(43, &routing, &echo(HOST6, STACK6)), Some(0)),
        ("a route in a frame to many", to_many(extended(43, &routing, &echo(HOST6, STACK6))), None),
        ("an option of nobody's", extended(60, &told, &echo("::", STACK6)), None),
        ("an option of nobody's to a group", extended(60, &told, &echo("::", "ff02::1")), None),
        ("an echo request of nobody's to a group", echo("::", "ff02::1"), None),
        ("an option of an error", extended(60, &told, &unreachable), None),
        ("an option of a redirect", extended(60, &told, &redirect), None),
        ("a route of an error", extended(43, &routing, &unreachable), None),
        ("a first fragment with half a header", first_fragment.clone(), Some(3)),
        ("the same in a frame to many", to_many(first_fragment), None),
    ] {
        world.sent.clear();
        world.to_stack.send(world.now, &frame);
        world.pass(1);
        let codes: Vec<u8> =
            world.sent.iter().filter(|f| f[12..14] == [0x86, 0xdd] && f[54] == 4).map(|f| f[55]).collect();
        assert_eq!(codes, Vec::from_iter(expected), "{what}");
        assert!(world.sent.iter().all(|frame| read_echo(frame)), "{what}: checksums");
    }
}
