//! N6: addresses that another machine has as well (RFC 4862 section 5.4, RFC 4429, RFC 5227).

mod common;

use common::frames;
use common::host::CARD;
use common::remote::give;
use common::wire::{Quality, SECOND};
use common::*;
use pearwood_net::{Level, Settings};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::*;
use wit::tcp::{Command, Endpoint};

const OTHER: [u8; 6] = [2, 0, 0, 0, 0, 0x99];
const LINK_LOCAL: &str = "fe80::ff:fe00:2";
const SLAAC: &str = "fd00::ff:fe00:2";

/// An ARP packet of that card's.
fn arp(operation: ArpOperation, card: [u8; 6], from: &str, to: &str) -> Vec<u8> {
    let repr = ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: EthernetAddress(card),
        source_protocol_addr: from.parse().unwrap(),
        target_hardware_addr: EthernetAddress(STACK_CARD),
        target_protocol_addr: to.parse().unwrap(),
    };
    frames::ethernet(EthernetProtocol::Arp, [0xff; 6], repr.buffer_len(), |buffer| {
        repr.emit(&mut ArpPacket::new_unchecked(buffer));
    })
}

fn probe4(card: [u8; 6], address: &str) -> Vec<u8> {
    arp(ArpOperation::Request, card, "0.0.0.0", address)
}

fn octets(address: &str) -> [u8; 16] {
    address.parse::<Ipv6Address>().unwrap().octets()
}

/// From another card than the one that frames are made for.
fn from(card: [u8; 6], mut frame: Vec<u8>) -> Vec<u8> {
    frame[6..12].copy_from_slice(&card);
    frame
}

fn solicited_node(address: &str) -> String {
    let [.., a, b, c] = octets(address);
    format!("ff02::1:ff{a:02x}:{b:02x}{c:02x}")
}

fn probe6(card: [u8; 6], address: &str) -> Vec<u8> {
    let message = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &octets(address)].concat();
    from(card, frames::icmp6("::", &solicited_node(address), &message))
}

fn advertisement6(card: [u8; 6], address: &str) -> Vec<u8> {
    let message = [&[136, 0, 0, 0, 0x20, 0, 0, 0][..], &octets(address), &[2, 1], &card].concat();
    from(card, frames::icmp6(address, "ff02::1", &message))
}

/// What the stack has sent of ARP: the operation, and the addresses of sender and target.
fn arps(world: &World) -> Vec<(ArpOperation, String, String)> {
    let arps = world.sent.iter().filter(|frame| frame[12..14] == [8, 6]).map(|frame| {
        match ArpRepr::parse(&ArpPacket::new_checked(&frame[14..]).unwrap()).unwrap() {
            ArpRepr::EthernetIpv4 { operation, source_protocol_addr, target_protocol_addr, .. } => {
                (operation, source_protocol_addr.to_string(), target_protocol_addr.to_string())
            }
            other => panic!("{other:?}"),
        }
    });
    arps.collect()
}

/// What the stack has sent of neighbour discovery, with its source and destination.
fn discoveries(world: &World, kind: u8) -> Vec<(String, String, Vec<u8>)> {
    let icmp = world.sent.iter().filter(|frame| frame[12..14] == [0x86, 0xdd] && frame[20] == 58 && frame[54] == kind);
    icmp.map(|frame| {
        let ip = Ipv6Packet::new_checked(&frame[14..]).unwrap();
        let message = Icmpv6Packet::new_checked(ip.payload()).unwrap();
        assert!(message.verify_checksum(&ip.src_addr(), &ip.dst_addr()) && ip.hop_limit() == 255);
        (ip.src_addr().to_string(), ip.dst_addr().to_string(), frame[54..].to_vec())
    })
    .collect()
}

/// The errors and warnings of the log.
fn complaints(world: &mut World) -> Vec<String> {
    let lines = world.stack.log().filter(|(level, _)| matches!(level, Level::Error | Level::Warn));
    lines.map(|(_, line)| line).collect()
}

fn serves(world: &mut World, address: &str) -> bool {
    let before = world.peer(0).accepted.len();
    let handle = world.host.connect(address, 80);
    let is_served = |world: &mut World| world.host.tcp(handle).may_send() && world.peer(0).accepted.len() > before;
    let served = world.run(3, is_served);
    world.host.tcp(handle).abort();
    world.pass(1);
    served
}

/// RFC 5227 section 2.1.1 and 2.3, RFC 4862 section 5.4.2: and meanwhile the addresses are used.
#[test]
fn addresses_are_probed_and_then_announced() {
    let mut world = World::new(Quality::CLEAN, 1);
    world.listen(80);
    let began = world.now;
    assert!(serves(&mut world, STACK4) && serves(&mut world, STACK6));
    assert!(world.now - began < 3 * SECOND, "it serves from the start");
    world.pass(15);
    let own = arps(&world).into_iter().filter(|(_, _, target)| target == STACK4);
    let own: Vec<String> = own.map(|(_, source, _)| source).collect();
    assert_eq!(own, ["0.0.0.0", "0.0.0.0", "0.0.0.0", STACK4, STACK4]);
    let probes = discoveries(&world, 135).into_iter().filter(|(source, ..)| source == "::");
    let mut probed: Vec<(String, Vec<u8>)> = probes.map(|(_, to, message)| (to, message[8..].to_vec())).collect();
    probed.sort();
    let group = "ff02::1:ff00:2".to_string();
    assert_eq!(probed, [(group.clone(), octets(STACK6).to_vec()), (group, octets(LINK_LOCAL).to_vec())]);
    assert_eq!(complaints(&mut world), [""; 0]);
    // Nothing is to be done for them any more.
    world.sent.clear();
    world.pass(300);
    assert_eq!(arps(&world).into_iter().filter(|(_, _, target)| target == STACK4).count(), 0);
}

/// RFC 5227 section 2.1.1, RFC 4862 section 5.4.4: the other one is named, and its address left to it.
#[test]
fn an_address_that_another_machine_has_is_not_used() {
    let fixed = "the address 10.0.0.2 is in use by another machine, with the card 02-00-00-00-00-99: not used here; it is \
                 tried again in a minute";
    for (address, answer) in [
        (STACK4, arp(ArpOperation::Reply, OTHER, STACK4, "0.0.0.0")),
        (STACK4, arp(ArpOperation::Request, OTHER, STACK4, HOST4)),
        (STACK6, advertisement6(OTHER, STACK6)),
        // It asks at the same time.
        (STACK6, probe6(OTHER, STACK6)),
    ] {
        let mut world = World::new(Quality::CLEAN, 1);
        world.listen(80);
        let (_, connection) = world.connection(address, 80);
        give(&mut world, &answer);
        world.pass(1);
        assert_eq!(complaints(&mut world), [fixed.replace(STACK4, address)]);
        assert_eq!(world.peer(0).closed[&connection], "this machine's address changed");
        let other = if address == STACK4 { STACK6 } else { STACK4 };
        assert!(!serves(&mut world, address) && serves(&mut world, other), "{address}");
        // After a minute it is asked again, and the other answers.
        world.pass(50);
        for _ in 0..3 {
            world.sent.clear();
            let is_probe = |world: &World| match address {
                STACK4 => arps(world).contains(&(ArpOperation::Request, "0.0.0.0".into(), STACK4.into())),
                _ => discoveries(world, 135).iter().any(|(source, _, m)| source == "::" && m[8..] == octets(STACK6)),
            };
            assert!(world.run(65, |world| is_probe(world)), "{address}");
            if address == STACK4 {
                let handle = world.host.connect(address, 80);
                assert!(!world.run(1, |world| world.host.tcp(handle).may_send()), "not before it is known");
            }
            give(&mut world, &answer);
            assert_eq!(complaints(&mut world).len(), 1);
            world.pass(50);
        }
        // It is gone.
        world.pass(30);
        assert!(serves(&mut world, address), "{address}");
        assert_eq!(complaints(&mut world), [""; 0]);
    }
}

/// RFC 4862 section 5.4: the link-local address, and those of prefixes.
#[test]
fn addresses_that_routers_give_prefixes_for_are_probed_too() {
    let settings = Settings::read([("address", "10.0.0.2/24")]).unwrap();
    let mut world = World::with(Quality::CLEAN, 1, &settings);
    world.listen(80);
    world.pass(10);
    world.sent.clear();
    let mut message = vec![134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(&[3, 4, 64, 0xc0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    message.extend_from_slice(&octets("fd00::"));
    give(&mut world, &frames::icmp6("fe80::1", "ff02::1", &message));
    let probes = discoveries(&world, 135);
    assert_eq!(probes.len(), 1);
    assert_eq!((&*probes[0].0, &probes[0].2[8..]), ("::", &octets(SLAAC)[..]));
    give(&mut world, &advertisement6(OTHER, SLAAC));
    assert!(complaints(&mut world)[0].starts_with(&format!("the address {SLAAC} is in use")));
    // Asked first: a host that waits for one neighbour's card asks for no other's.
    assert!(serves(&mut world, STACK4));
    assert!(!serves(&mut world, SLAAC));
    // The advertisement comes again, as it does every few minutes.
    give(&mut world, &frames::icmp6("fe80::1", "ff02::1", &message));
    assert!(!serves(&mut world, SLAAC));
    world.pass(70);
    assert!(serves(&mut world, SLAAC));
}

/// RFC 4429 sections 3.1 to 3.3: what others remember is not overwritten.
#[test]
fn an_address_that_is_probed_says_nothing_about_this_card() {
    let settings = Settings::read([("address", "10.0.0.2/24")]).unwrap();
    let mut world = World::with(Quality::CLEAN, 1, &settings);
    world.pass(0);
    // Routers are solicited without this card's address.
    let solicitations = discoveries(&world, 133);
    assert_eq!((solicitations.len(), &*solicitations[0].0, solicitations[0].2.len()), (1, LINK_LOCAL, 8));
    let mut world = World::new(Quality::CLEAN, 1);
    let handle = world.host.listen(25);
    let to = Endpoint { address: HOST6.parse().unwrap(), port: 25 };
    world.command(0, Command::Connect { ticket: 9, to });
    let began = world.now;
    let asks = |world: &mut World| discoveries(world, 135).iter().any(|(source, ..)| source != "::");
    assert!(world.run(5, asks) && world.now >= began + SECOND);
    assert!(world.run(5, |world| world.host.tcp(handle).may_send()), "it waits, and goes on");
    // Nor is the host told by answers.
    let advertisements = discoveries(&world, 136);
    assert!(advertisements.iter().all(|(_, _, message)| message[4] & 0x20 == 0), "{advertisements:?}");
}

/// RFC 5227 section 2.1.1 and RFC 4861 section 7.2.4: smoltcp answers neither.
#[test]
fn others_who_probe_are_told() {
    let mut world = World::new(Quality::CLEAN, 1);
    world.pass(15);
    world.sent.clear();
    give(&mut world, &probe4(OTHER, STACK4));
    assert_eq!(arps(&world), [(ArpOperation::Reply, STACK4.into(), "0.0.0.0".into())]);
    assert_eq!(world.sent[0][..6], OTHER);
    for address in [STACK6, LINK_LOCAL] {
        world.sent.clear();
        give(&mut world, &probe6(OTHER, address));
        let [(source, to, message)] = &discoveries(&world, 136)[..] else { panic!("{:?}", world.sent) };
        assert_eq!((&**source, &**to, message[4]), (address, "ff02::1", 0x20));
        assert_eq!(
            (&message[8..24], &message[24..32]),
            (&octets(address)[..], &[&[2, 1][..], &STACK_CARD].concat()[..])
        );
    }
    // of addresses that are nobody's, and what comes back from this machine's own card
    world.sent.clear();
    for frame in
        [probe4(OTHER, "10.0.0.3"), probe4(STACK_CARD, STACK4), probe6(OTHER, "fd00::3"), probe6(STACK_CARD, STACK6)]
    {
        give(&mut world, &frame);
    }
    assert_eq!(world.sent.len(), 0);
    assert_eq!(complaints(&mut world), [""; 0]);
    // It is used from the start, and who asks then is told as well.
    let mut world = World::new(Quality::CLEAN, 1);
    world.pass(0);
    give(&mut world, &probe4(OTHER, STACK4));
    assert!(arps(&world).contains(&(ArpOperation::Reply, STACK4.into(), "0.0.0.0".into())));
    assert_eq!(complaints(&mut world), [""; 0]);
}

/// RFC 5227 section 2.4 (b).
#[test]
fn an_address_in_use_is_defended_once_in_ten_seconds() {
    let mut world = World::new(Quality::CLEAN, 1);
    world.listen(80);
    let (_, connection) = world.connection(STACK4, 80);
    world.pass(15);
    for _ in 0..5 {
        world.sent.clear();
        give(&mut world, &arp(ArpOperation::Reply, OTHER, STACK4, HOST4));
        assert_eq!(arps(&world), [(ArpOperation::Request, STACK4.into(), STACK4.into())]);
        let warning = "another machine, with the card 02-00-00-00-00-99, uses the address 10.0.0.2 of this one as well";
        assert_eq!(complaints(&mut world), [warning]);
        world.pass(11);
    }
    assert!(!world.peer(0).closed.contains_key(&connection));
    give(&mut world, &arp(ArpOperation::Request, OTHER, STACK4, HOST4));
    world.pass(5);
    give(&mut world, &arp(ArpOperation::Request, OTHER, STACK4, HOST4));
    world.pass(1);
    assert_eq!(world.peer(0).closed[&connection], "this machine's address changed");
    assert!(complaints(&mut world)[1].contains("not used here"));
    assert!(!serves(&mut world, STACK4));
    world.pass(80);
    assert!(serves(&mut world, STACK4));
}

/// RFC 4862 section 5.4.4 leaves it at detection before: later there is a line in the log each minute.
#[test]
fn an_ipv6_address_in_use_is_not_given_up() {
    let mut world = World::new(Quality::CLEAN, 1);
    world.listen(80);
    world.pass(15);
    for _ in 0..100 {
        give(&mut world, &advertisement6(OTHER, STACK6));
    }
    assert_eq!(complaints(&mut world).len(), 1);
    assert!(serves(&mut world, STACK6));
}

/// RFC 4861 sections 7.1.1 and 7.1.2: what no neighbour on this link can have sent.
#[test]
fn what_cannot_be_a_neighbours_takes_no_address_away() {
    let forwarded = |mut frame: Vec<u8>| {
        frame[21] = 254;
        frame
    };
    let corrupt = |mut frame: Vec<u8>| {
        frame[60] ^= 1;
        frame
    };
    let with_card = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &octets(STACK6), &[1, 1], &OTHER].concat();
    let solicited = [&[136, 0, 0, 0, 0x60, 0, 0, 0][..], &octets(STACK6), &[2, 1], &OTHER].concat();
    let mut world = World::new(Quality::CLEAN, 1);
    world.pass(0);
    for frame in [
        forwarded(advertisement6(OTHER, STACK6)),
        forwarded(probe6(OTHER, STACK6)),
        corrupt(advertisement6(OTHER, STACK6)),
        corrupt(probe6(OTHER, STACK6)),
        from(OTHER, frames::icmp6("::", "ff02::1:ff00:2", &with_card)),
        from(OTHER, frames::icmp6("::", "ff02::1", &with_card[..24])),
        from(OTHER, frames::icmp6(STACK6, "ff02::1", &solicited)),
        arp(ArpOperation::Unknown(3), OTHER, STACK4, HOST4),
        arp(ArpOperation::Reply, STACK_CARD, STACK4, HOST4),
        arp(ArpOperation::Reply, OTHER, STACK4, HOST4)[..40].to_vec(),
    ] {
        give(&mut world, &frame);
        assert_eq!(complaints(&mut world), [""; 0], "{frame:?}");
    }
}

/// The next instance goes on with addresses that are this machine's for certain, and probes the others.
#[test]
fn a_successor_need_not_probe_again() {
    let mut world = World::new(Quality::CLEAN, 1);
    world.listen(80);
    world.pass(15);
    world.sent.clear();
    world.swap(&settings(&[]));
    world.pass(15);
    assert_eq!(arps(&world), []);
    assert_eq!(discoveries(&world, 135), []);
    give(&mut world, &probe4(OTHER, STACK4));
    assert_eq!(arps(&world), [(ArpOperation::Reply, STACK4.into(), "0.0.0.0".into())], "by one of the two");
    let mut world = World::new(Quality::CLEAN, 1);
    world.listen(80);
    world.pass(0);
    world.swap(&settings(&[]));
    world.sent.clear();
    world.pass(15);
    assert_eq!(arps(&world).into_iter().filter(|(_, source, _)| source == "0.0.0.0").count(), 3);
}

/// RFC 2131 sections 3.1 (5) and 4.4.4: DHCP's address is declined, and another one asked for after ten seconds.
#[test]
fn an_address_by_dhcp_is_declined() {
    let mut world = World::with(Quality::CLEAN, 1, &Settings::read([]).unwrap());
    world.listen(80);
    let mut next = 50;
    let mut declined = Vec::new();
    let mut seen = 0;
    let mut serve = |world: &mut World, next: &mut u8| {
        let sent: Vec<Vec<u8>> = world.sent[seen..].to_vec();
        for frame in sent {
            if frame[12..14] != [8, 0] || frame[23] != 17 || frame[36..38] != [0, 67] {
                continue;
            }
            let packet = DhcpPacket::new_checked(&frame[42..]).unwrap();
            let asked = DhcpRepr::parse(&packet).unwrap();
            let udp = UdpPacket::new_checked(&frame[34..]).unwrap();
            let ends = [IpAddress::v4(0, 0, 0, 0), IpAddress::v4(255, 255, 255, 255)];
            assert!(UdpRepr::parse(&udp, &ends[0], &ends[1], &ChecksumCapabilities::default()).is_ok());
            let message_type = match asked.message_type {
                DhcpMessageType::Discover => DhcpMessageType::Offer,
                DhcpMessageType::Request => DhcpMessageType::Ack,
                DhcpMessageType::Decline => {
                    declined.push((world.now, asked.requested_ip, asked.server_identifier, asked.client_ip));
                    *next += 1;
                    continue;
                }
                other => panic!("{other:?}"),
            };
            let server = Ipv4Address::new(10, 0, 0, 1);
            let reply = DhcpRepr {
                message_type,
                your_ip: Ipv4Address::new(10, 0, 0, *next),
                server_identifier: Some(server),
                router: Some(server),
                subnet_mask: Some(Ipv4Address::new(255, 255, 255, 0)),
                lease_duration: Some(600),
                requested_ip: None,
                client_identifier: None,
                parameter_request_list: None,
                max_size: None,
                additional_options: &[],
                ..asked
            };
            let mut bytes = vec![0; reply.buffer_len()];
            let mut packet = DhcpPacket::new_unchecked(&mut bytes[..]);
            reply.emit(&mut packet).unwrap();
            packet.set_opcode(DhcpOpCode::Reply);
            world.to_stack.send(world.now, &frames::udp((HOST4, 67), ("255.255.255.255", 68), &bytes));
        }
        seen = world.sent.len();
        declined.clone()
    };
    let probed =
        |world: &World, address: &str| arps(world).contains(&(ArpOperation::Request, "0.0.0.0".into(), address.into()));
    assert!(world.run(10, |world| {
        serve(world, &mut next);
        probed(world, "10.0.0.50")
    }));
    world.to_stack.send(world.now, &arp(ArpOperation::Reply, OTHER, "10.0.0.50", "0.0.0.0"));
    let began = world.now;
    assert!(world.run(60, |world| {
        serve(world, &mut next);
        probed(world, "10.0.0.51")
    }));
    let declined = serve(&mut world, &mut next);
    let address = |last| Some(Ipv4Address::new(10, 0, 0, last));
    assert_eq!(declined.len(), 1);
    assert_eq!(declined[0].1, address(50));
    assert_eq!((declined[0].2, declined[0].3), (address(1), Ipv4Address::UNSPECIFIED));
    assert!(world.now - began >= 10 * SECOND);
    assert!(complaints(&mut world)[0].ends_with("not used here; the DHCP server is asked for another"));
    assert!(serves(&mut world, "10.0.0.51") && !serves(&mut world, "10.0.0.50"));
}

/// Whatever anybody claims, there is a bound on what is said of it.
#[test]
fn a_flood_of_claims() {
    let mut world = World::new(Quality::CLEAN, 1);
    world.pass(15);
    world.sent.clear();
    for n in 0..1000u32 {
        let [_, a, b, c] = n.to_be_bytes();
        let card = [2, 9, 9, a, b, c];
        world.to_stack.send(world.now, &arp(ArpOperation::Reply, card, STACK4, HOST4));
        world.to_stack.send(world.now, &advertisement6(card, STACK6));
        world.to_stack.send(world.now, &arp(ArpOperation::Reply, CARD, HOST4, STACK4));
    }
    world.pass(5);
    assert_eq!(complaints(&mut world).len(), 3);
    // It is defended, and then the groups are not the same any more.
    assert_eq!(world.sent.len(), 2);
}
