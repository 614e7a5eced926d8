//! Frames that tell the network of this machine's addresses, or ask for them: which multicast groups it listens to, which
//! card has an address, whether anybody else has it, which routers there are.

use super::routers::link_local;
use crate::link::Link;
use core::net::Ipv6Addr;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, Icmpv6Packet, Icmpv6Repr,
    IpProtocol, Ipv4Address, Ipv6Packet, Ipv6Repr, NdiscNeighborFlags, NdiscRepr,
};

const ETHERNET_HEADER: usize = 14;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// RFC 3810 section 5.2.14.
const ALL_MLD_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);
const ALL_MLD_ROUTERS_ETHERNET: EthernetAddress = EthernetAddress([0x33, 0x33, 0, 0, 0, 0x16]);
/// Hop-by-hop options: ICMPv6 follows, Router Alert for MLD (RFC 2711), two bytes of padding.
const HOP_BY_HOP: [u8; 8] = [58, 0, 5, 2, 0, 0, 1, 0];
const REPORT: u8 = 143;
/// "Everything sent to this group": RFC 3810 section 5.2.12.
const CHANGE_TO_EXCLUDE: u8 = 4;

/// RFC 4291 section 2.7.1.
pub fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]))
}

/// Reports that this machine listens for its neighbours' solicitations (MLDv2, RFC 3810 section 5.2), without which a
/// switch that looks at such reports may keep them away. smoltcp's own reports say the opposite.
pub fn report_groups(addresses: impl Iterator<Item = Ipv6Addr>, link: &mut Link) {
    let mut groups: Vec<Ipv6Addr> = addresses.map(solicited_node).collect();
    groups.sort_unstable();
    groups.dedup();
    let mut message = vec![REPORT, 0, 0, 0, 0, 0, 0, groups.len() as u8];
    for group in groups {
        message.extend_from_slice(&[CHANGE_TO_EXCLUDE, 0, 0, 0]);
        message.extend_from_slice(&group.octets());
    }
    // RFC 3590 section 4.
    let source = Some(link_local(link.card.address)).filter(|own| link.owns(*own)).unwrap_or(Ipv6Addr::UNSPECIFIED);
    Icmpv6Packet::new_unchecked(&mut message[..]).fill_checksum(&source, &ALL_MLD_ROUTERS);
    let ip = Ipv6Repr {
        src_addr: source,
        dst_addr: ALL_MLD_ROUTERS,
        next_header: IpProtocol::HopByHop,
        payload_len: HOP_BY_HOP.len() + message.len(),
        hop_limit: 1,
    };
    let card = EthernetAddress(link.card.address);
    link.emit(ETHERNET_HEADER + ip.buffer_len() + ip.payload_len, |buffer| {
        let mut ethernet = EthernetFrame::new_unchecked(buffer);
        ethernet.set_src_addr(card);
        ethernet.set_dst_addr(ALL_MLD_ROUTERS_ETHERNET);
        ethernet.set_ethertype(EthernetProtocol::Ipv6);
        let mut packet = Ipv6Packet::new_unchecked(ethernet.payload_mut());
        ip.emit(&mut packet);
        let (options, rest) = packet.payload_mut().split_at_mut(HOP_BY_HOP.len());
        options.copy_from_slice(&HOP_BY_HOP);
        rest.copy_from_slice(&message);
    });
}

/// Tells neighbours that remember another card for this address (RFC 5227 section 3).
pub fn claim(address: Ipv4Address, link: &mut Link) {
    arp(ArpOperation::Request, address, EthernetAddress::BROADCAST, EthernetAddress([0; 6]), address, link);
}

/// Asks whether anybody has this address (RFC 5227 section 2.1.1).
pub fn probe4(address: Ipv4Address, link: &mut Link) {
    let nobody = Ipv4Address::UNSPECIFIED;
    arp(ArpOperation::Request, nobody, EthernetAddress::BROADCAST, EthernetAddress([0; 6]), address, link);
}

/// Tells a card that asked so that this machine has the address.
pub fn answer(address: Ipv4Address, card: [u8; 6], link: &mut Link) {
    let card = EthernetAddress(card);
    if card.is_unicast() {
        arp(ArpOperation::Reply, address, card, card, Ipv4Address::UNSPECIFIED, link);
    }
}

fn arp(
    operation: ArpOperation,
    source: Ipv4Address,
    destination: EthernetAddress,
    target_card: EthernetAddress,
    target: Ipv4Address,
    link: &mut Link,
) {
    let card = EthernetAddress(link.card.address);
    let arp = ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: card,
        source_protocol_addr: source,
        target_hardware_addr: target_card,
        target_protocol_addr: target,
    };
    link.emit(ETHERNET_HEADER + arp.buffer_len(), |buffer| {
        let mut ethernet = EthernetFrame::new_unchecked(buffer);
        ethernet.set_src_addr(card);
        ethernet.set_dst_addr(destination);
        ethernet.set_ethertype(EthernetProtocol::Arp);
        arp.emit(&mut ArpPacket::new_unchecked(ethernet.payload_mut()));
    });
}

/// Asks whether anybody has this address (RFC 4862 section 5.4.2).
pub fn probe6(address: Ipv6Addr, link: &mut Link) {
    let message = Icmpv6Repr::Ndisc(NdiscRepr::NeighborSolicit { target_addr: address, lladdr: None });
    discovery(&message, Ipv6Addr::UNSPECIFIED, solicited_node(address), link);
}

/// Tells all neighbours that this machine has the address (RFC 4861 section 7.2.4).
pub fn advertise(address: Ipv6Addr, link: &mut Link) {
    let card = EthernetAddress(link.card.address);
    let message = Icmpv6Repr::Ndisc(NdiscRepr::NeighborAdvert {
        flags: NdiscNeighborFlags::OVERRIDE,
        target_addr: address,
        lladdr: Some(card.into()),
    });
    discovery(&message, address, ALL_NODES, link);
}

/// RFC 4861 section 4.1. From an address that others are still asked for this machine does not say its card (RFC 4429
/// section 3.2).
pub fn solicit_routers(link: &mut Link) {
    let card = EthernetAddress(link.card.address);
    let own = link_local(link.card.address);
    let source = if link.owns(own) { own } else { Ipv6Addr::UNSPECIFIED };
    let lladdr = (link.owns(own) && !link.sent.tentative.contains(&own)).then(|| card.into());
    discovery(&Icmpv6Repr::Ndisc(NdiscRepr::RouterSolicit { lladdr }), source, ALL_ROUTERS, link);
}

/// Sends a message of neighbour discovery to a group.
fn discovery(message: &Icmpv6Repr<'_>, source: Ipv6Addr, group: Ipv6Addr, link: &mut Link) {
    let card = EthernetAddress(link.card.address);
    let ip = Ipv6Repr {
        src_addr: source,
        dst_addr: group,
        next_header: IpProtocol::Icmpv6,
        payload_len: message.buffer_len(),
        hop_limit: 255,
    };
    // RFC 2464 section 7.
    let [.., a, b, c, d] = group.octets();
    link.emit(ETHERNET_HEADER + ip.buffer_len() + message.buffer_len(), |buffer| {
        let mut ethernet = EthernetFrame::new_unchecked(buffer);
        ethernet.set_src_addr(card);
        ethernet.set_dst_addr(EthernetAddress([0x33, 0x33, a, b, c, d]));
        ethernet.set_ethertype(EthernetProtocol::Ipv6);
        let mut packet = Ipv6Packet::new_unchecked(ethernet.payload_mut());
        ip.emit(&mut packet);
        let mut icmp = Icmpv6Packet::new_unchecked(packet.payload_mut());
        message.emit(&source, &group, &mut icmp, &ChecksumCapabilities::default());
    });
}
