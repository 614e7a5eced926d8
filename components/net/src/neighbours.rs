//! Which cards neighbours have, beside what smoltcp remembers, which cannot be asked: for the next instance of the box.

use crate::heritage::Neighbour;
use crate::link::{Link, from_mapped};
use core::net::{Ipv4Addr, Ipv6Addr};
use smoltcp::iface::SocketSet;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::*;

const ETHERNET_HEADER: usize = 14;

/// As many as smoltcp remembers.
const COUNT: usize = 64;

/// The latest last.
#[derive(Debug, Default)]
pub struct Neighbours(Vec<Neighbour>);

impl Neighbours {
    /// Notes who has sent a frame of ARP or neighbour discovery.
    pub fn learn(&mut self, frame: &[u8]) {
        if let Some(neighbour) = sender(frame).filter(is_sound) {
            self.0.retain(|known| known.address != neighbour.address);
            if self.0.len() == COUNT {
                self.0.remove(0);
            }
            self.0.push(neighbour);
        }
    }

    pub fn all(&self) -> &[Neighbour] {
        &self.0
    }

    /// Takes over what another instance knew.
    pub fn inherit(&mut self, now: u64, neighbours: &[Neighbour], link: &mut Link) {
        let mut nobody = SocketSet::new(Vec::new());
        for neighbour in neighbours.iter().rev().take(COUNT).rev().filter(|neighbour| is_sound(neighbour)) {
            let own = link.source_for(&from_mapped(neighbour.address));
            if let Some(frame) = own.and_then(|own| answer(neighbour, own, link)) {
                self.learn(&frame);
                link.ingress(now, &frame, &mut nobody);
            }
        }
    }
}

/// Whether a frame answers a question for a card.
pub fn is_answer(frame: &[u8]) -> bool {
    match frame.get(12..ETHERNET_HEADER) {
        Some([0x08, 0x06]) => frame.get(20..22) == Some(&[0, 2]),
        Some([0x86, 0xdd]) => frame.get(54) == Some(&136),
        _ => false,
    }
}

fn is_sound(neighbour: &Neighbour) -> bool {
    let special = match neighbour.address.to_ipv4_mapped() {
        Some(four) => four.is_unspecified() || four.is_multicast() || four.is_broadcast() || four.is_loopback(),
        None => {
            let six = neighbour.address;
            six.is_unspecified() || six.is_multicast() || six.is_loopback()
        }
    };
    !special && EthernetAddress(neighbour.card).is_unicast()
}

fn sender(frame: &[u8]) -> Option<Neighbour> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    match frame.ethertype() {
        EthernetProtocol::Arp => {
            let ArpRepr::EthernetIpv4 { source_hardware_addr, source_protocol_addr, .. } =
                ArpRepr::parse(&ArpPacket::new_checked(frame.payload()).ok()?).ok()?
            else {
                return None;
            };
            let address = source_protocol_addr.to_ipv6_mapped();
            Some(Neighbour { address, card: source_hardware_addr.0 })
        }
        EthernetProtocol::Ipv6 => {
            let ip = Ipv6Packet::new_checked(frame.payload()).ok()?;
            let (source, destination) = (ip.src_addr(), ip.dst_addr());
            let icmp = Icmpv6Packet::new_checked(ip.payload()).ok()?;
            let message = Icmpv6Repr::parse(&source, &destination, &icmp, &ChecksumCapabilities::default()).ok()?;
            let lladdr = match message {
                Icmpv6Repr::Ndisc(
                    NdiscRepr::NeighborAdvert { lladdr, .. } | NdiscRepr::NeighborSolicit { lladdr, .. },
                ) if ip.hop_limit() == 255 => lladdr?,
                _ => return None,
            };
            Some(Neighbour { address: source, card: lladdr.as_bytes().try_into().ok()? })
        }
        _ => None,
    }
}

/// The frame by which a neighbour tells its card to an address of this machine.
fn answer(neighbour: &Neighbour, own: IpAddress, link: &Link) -> Option<Vec<u8>> {
    let (card, theirs) = (EthernetAddress(link.card.address), EthernetAddress(neighbour.card));
    let ethernet = |length: usize, protocol| {
        let mut bytes = vec![0; ETHERNET_HEADER + length];
        let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
        frame.set_src_addr(theirs);
        frame.set_dst_addr(card);
        frame.set_ethertype(protocol);
        bytes
    };
    match (from_mapped(neighbour.address), own) {
        (IpAddress::Ipv4(address), IpAddress::Ipv4(own)) => Some(arp(address, own, theirs, card, ethernet)),
        (IpAddress::Ipv6(address), IpAddress::Ipv6(own)) => Some(advertisement(address, own, theirs, ethernet)),
        _ => None,
    }
}

fn arp(
    address: Ipv4Addr,
    own: Ipv4Addr,
    theirs: EthernetAddress,
    card: EthernetAddress,
    ethernet: impl FnOnce(usize, EthernetProtocol) -> Vec<u8>,
) -> Vec<u8> {
    let arp = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Reply,
        source_hardware_addr: theirs,
        source_protocol_addr: address,
        target_hardware_addr: card,
        target_protocol_addr: own,
    };
    let mut bytes = ethernet(arp.buffer_len(), EthernetProtocol::Arp);
    arp.emit(&mut ArpPacket::new_unchecked(&mut bytes[ETHERNET_HEADER..]));
    bytes
}

fn advertisement(
    address: Ipv6Addr,
    own: Ipv6Addr,
    theirs: EthernetAddress,
    ethernet: impl FnOnce(usize, EthernetProtocol) -> Vec<u8>,
) -> Vec<u8> {
    let message = Icmpv6Repr::Ndisc(NdiscRepr::NeighborAdvert {
        flags: NdiscNeighborFlags::SOLICITED | NdiscNeighborFlags::OVERRIDE,
        target_addr: address,
        lladdr: Some(theirs.into()),
    });
    let ip = Ipv6Repr {
        src_addr: address,
        dst_addr: own,
        next_header: IpProtocol::Icmpv6,
        payload_len: message.buffer_len(),
        hop_limit: 255,
    };
    let mut bytes = ethernet(ip.buffer_len() + message.buffer_len(), EthernetProtocol::Ipv6);
    let mut packet = Ipv6Packet::new_unchecked(&mut bytes[ETHERNET_HEADER..]);
    ip.emit(&mut packet);
    let mut icmp = Icmpv6Packet::new_unchecked(packet.payload_mut());
    message.emit(&address, &own, &mut icmp, &ChecksumCapabilities::default());
    bytes
}
