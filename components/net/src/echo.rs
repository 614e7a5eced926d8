//! Answers of ICMP: to echo requests (RFC 1122 section 3.2.2.6, RFC 4443 section 4.2) and to IPv6 packets that make no
//! sense, to the card that they came from.
//!
//! smoltcp looks for the neighbour first, and loses the request meanwhile. So the first of each neighbour would never be
//! answered, nor those from beyond a router that has not been heard of for a minute.

use crate::extensions::{Problem, is_error};
use crate::link::Link;
use core::net::Ipv6Addr;
use core::ops::Range;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, Icmpv4Packet, Icmpv6Packet, IpProtocol, Ipv4Packet, Ipv6Packet,
    Ipv6Repr,
};

const ETHERNET_HEADER: usize = 14;
const HOP_LIMIT: u8 = 64;
const REPLY4: u8 = 0;
const REPLY6: u8 = 129;

/// Tells the sender of an IPv6 packet what is wrong with it (RFC 4443 section 3.4). `group`: its frame went to many.
pub fn complain(frame: &[u8], group: bool, problem: Problem, link: &mut Link) {
    const PARAMETER_PROBLEM: u8 = 4;
    /// Of the packet there is as much as fits into the least that every network carries.
    const QUOTED: usize = 1280 - 48;
    let Some(packet) = frame.get(ETHERNET_HEADER..) else { return };
    let Ok(ip) = Ipv6Packet::new_checked(packet) else { return };
    let (to, quoted) = (ip.src_addr(), &packet[..packet.len().min(QUOTED)]);
    let Some(own) = own(to, ip.dst_addr(), link) else { return };
    // RFC 4443 section 2.4 (e).
    let to_group = (group || ip.dst_addr().is_multicast()) && problem.code != Problem::OPTION;
    if to_group || is_error(frame) {
        return;
    }
    let repr = Ipv6Repr {
        src_addr: own,
        dst_addr: to,
        next_header: IpProtocol::Icmpv6,
        payload_len: 8 + quoted.len(),
        hop_limit: HOP_LIMIT,
    };
    let (card, theirs) = (EthernetAddress(link.card.address), EthernetFrame::new_unchecked(frame).src_addr());
    link.emit(ETHERNET_HEADER + repr.buffer_len() + repr.payload_len, |buffer| {
        let mut ethernet = EthernetFrame::new_unchecked(buffer);
        ethernet.set_src_addr(card);
        ethernet.set_dst_addr(theirs);
        ethernet.set_ethertype(EthernetProtocol::Ipv6);
        let mut packet = Ipv6Packet::new_unchecked(ethernet.payload_mut());
        repr.emit(&mut packet);
        let message = packet.payload_mut();
        message[..2].copy_from_slice(&[PARAMETER_PROBLEM, problem.code]);
        message[4..8].copy_from_slice(&problem.pointer.to_be_bytes());
        message[8..].copy_from_slice(quoted);
        Icmpv6Packet::new_unchecked(message).fill_checksum(&own, &to);
    });
}

/// From which of its addresses this machine answers a packet. None: it is not for this machine, or has no sender, for which
/// smoltcp has no address but a panic.
fn own(from: Ipv6Addr, to: Ipv6Addr, link: &Link) -> Option<Ipv6Addr> {
    if from.is_unspecified() || from.is_multicast() {
        return None;
    }
    let own = if to.is_multicast() { link.interface.get_source_address_ipv6(&from) } else { to };
    link.owns(own).then_some(own)
}

/// Answers the request in this range of a frame, whose IP header has neither options nor extensions. False if it is not
/// for this machine, or its checksum is wrong.
pub fn answer(frame: &[u8], message: Range<usize>, link: &mut Link) -> bool {
    let most = ETHERNET_HEADER + usize::from(link.card.mtu);
    let Some(request) = frame.get(..message.end).filter(|request| request.len() <= most) else { return false };
    let card = EthernetAddress(link.card.address);
    let head = |reply: &mut [u8]| {
        reply.copy_from_slice(request);
        let mut ethernet = EthernetFrame::new_unchecked(reply);
        ethernet.set_dst_addr(ethernet.src_addr());
        ethernet.set_src_addr(card);
    };
    match request.get(ETHERNET_HEADER).map(|first| first >> 4) {
        Some(4) => {
            let ip = Ipv4Packet::new_unchecked(&request[ETHERNET_HEADER..]);
            let (source, destination) = (ip.src_addr(), ip.dst_addr());
            let sound = Icmpv4Packet::new_checked(&request[message.clone()]).is_ok_and(|m| m.verify_checksum());
            if !sound || source.is_unspecified() || !link.owns(destination.to_ipv6_mapped()) {
                return false;
            }
            link.emit(request.len(), |reply| {
                head(reply);
                reply[message.start] = REPLY4;
                let mut ip = Ipv4Packet::new_unchecked(&mut reply[ETHERNET_HEADER..]);
                ip.set_src_addr(destination);
                ip.set_dst_addr(source);
                ip.set_hop_limit(HOP_LIMIT);
                Icmpv4Packet::new_unchecked(&mut reply[message]).fill_checksum();
            });
        }
        _ => {
            let ip = Ipv6Packet::new_unchecked(&request[ETHERNET_HEADER..]);
            let (source, destination) = (ip.src_addr(), ip.dst_addr());
            let Some(own) = own(source, destination, link) else { return false };
            let checked = Icmpv6Packet::new_checked(&request[message.clone()]);
            let sound = checked.is_ok_and(|m| m.verify_checksum(&source, &destination));
            if !sound {
                return false;
            }
            link.emit(request.len(), |reply| {
                head(reply);
                reply[message.start] = REPLY6;
                let mut ip = Ipv6Packet::new_unchecked(&mut reply[ETHERNET_HEADER..]);
                ip.set_src_addr(own);
                ip.set_dst_addr(source);
                ip.set_hop_limit(HOP_LIMIT);
                Icmpv6Packet::new_unchecked(&mut reply[message]).fill_checksum(&own, &source);
            });
        }
    }
    true
}
