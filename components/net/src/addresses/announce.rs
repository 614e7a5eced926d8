//! Frames that tell the network of this machine's addresses: which multicast groups it listens to, and which card has
//! an IPv4 address now.

use super::routers::link_local;
use crate::link::Link;
use core::net::Ipv6Addr;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, Icmpv6Packet, IpProtocol,
    Ipv4Address, Ipv6Packet, Ipv6Repr,
};

const ETHERNET_HEADER: usize = 14;

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
    let source = link_local(link.card.address);
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
    let card = EthernetAddress(link.card.address);
    let arp = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: card,
        source_protocol_addr: address,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: address,
    };
    link.emit(ETHERNET_HEADER + arp.buffer_len(), |buffer| {
        let mut ethernet = EthernetFrame::new_unchecked(buffer);
        ethernet.set_src_addr(card);
        ethernet.set_dst_addr(EthernetAddress::BROADCAST);
        ethernet.set_ethertype(EthernetProtocol::Arp);
        arp.emit(&mut ArpPacket::new_unchecked(ethernet.payload_mut()));
    });
}
