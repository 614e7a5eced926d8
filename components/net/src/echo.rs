//! Answers to echo requests (RFC 1122 section 3.2.2.6, RFC 4443 section 4.2), to the card that asked.
//!
//! smoltcp looks for the neighbour first, and loses the request meanwhile. So the first of each neighbour would never be
//! answered, nor those from beyond a router that has not been heard of for a minute.

use crate::link::Link;
use core::ops::Range;
use smoltcp::wire::{EthernetAddress, EthernetFrame, Icmpv4Packet, Icmpv6Packet, Ipv4Packet, Ipv6Packet};

const ETHERNET_HEADER: usize = 14;
const HOP_LIMIT: u8 = 64;
const REPLY4: u8 = 0;
const REPLY6: u8 = 129;

/// Answers the request in this range of a frame, whose IP header has neither options nor extensions. False if it is not
/// for this machine, or its checksum is wrong.
pub fn answer(frame: &[u8], message: Range<usize>, link: &mut Link) -> bool {
    let Some(request) = frame.get(..message.end) else { return false };
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
            let own =
                if destination.is_multicast() { link.interface.get_source_address_ipv6(&source) } else { destination };
            let checked = Icmpv6Packet::new_checked(&request[message.clone()]);
            let sound = checked.is_ok_and(|m| m.verify_checksum(&source, &destination));
            if !sound || source.is_unspecified() || !link.owns(own) {
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
