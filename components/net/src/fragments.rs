//! Datagrams that are larger than what the path to their destination carries: in fragments made here (RFC 791 section 3.2,
//! RFC 8200 section 4.5). smoltcp makes none over IPv6, and over IPv4 none for a path.
//!
//! smoltcp sends, and finds the neighbour for, a stand-in with a token for its data. When that is on its way, the fragments
//! take its place behind its headers.
//!
//! Datagrams over IPv4 may be fragmented by others too, as RFC 8085 section 3.2 has it for who does not look for the path's MTU: they
//! have no DF, and an identification.

use crate::checksum;
use crate::memory;
use crate::outgoing::Outgoing;
use core::net::Ipv6Addr;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{EthernetFrame, EthernetProtocol, IpAddress, Ipv4Packet, Ipv6Packet, UdpPacket, UdpRepr};

const ETHERNET_HEADER: usize = 14;
const UDP_HEADER: usize = 8;
const FRAGMENT_HEADER: usize = 8;
const FRAGMENT: u8 = 44;
const UDP: u8 = 17;
const TOKEN: usize = 16;

/// Bytes of data in the largest datagram: over IPv4 the packet has 65,535 bytes with its headers, over IPv6 without them.
pub const LARGEST4: usize = 65_535 - 20 - UDP_HEADER;
pub const LARGEST6: usize = 65_535 - UDP_HEADER;
/// Bytes that wait for neighbours, of all datagrams together.
const ROOM: usize = 128 << 10;

#[derive(Debug, Default)]
pub struct Fragments {
    waiting: Vec<Large>,
    identification: u16,
}

#[derive(Debug)]
struct Large {
    token: [u8; TOKEN],
    /// of both ends the ports, and the destination in its IPv6-mapped form
    ports: (u16, u16),
    to: Ipv6Addr,
    data: Vec<u8>,
    /// bytes of the largest packet
    mtu: u16,
    identification: u32,
    expires: u64,
}

/// A datagram to be sent.
pub struct Datagram<'a> {
    pub ports: (u16, u16),
    pub to: Ipv6Addr,
    pub data: &'a [u8],
    /// bytes of the largest packet to there, if that is known
    pub path: Option<u16>,
}

impl Datagram<'_> {
    /// Whether one packet is enough for it, on a link that carries so many bytes.
    pub fn fits(&self, link: u16) -> bool {
        let header = if self.to.to_ipv4_mapped().is_some() { 20 } else { 40 };
        header + UDP_HEADER + self.data.len() <= self.mtu(link).into()
    }

    fn mtu(&self, link: u16) -> u16 {
        self.path.map_or(link, |path| path.min(link))
    }
}

impl Fragments {
    pub fn new(seed: u64) -> Self {
        Fragments { waiting: Vec::new(), identification: seed as u16 }
    }

    /// Keeps a datagram until its stand-in is sent. What to send in its place; nothing if there is no room.
    pub fn keep(&mut self, datagram: &Datagram<'_>, link: u16, random: [u64; 3], expires: u64) -> Option<[u8; TOKEN]> {
        let held: usize = self.waiting.iter().map(|large| large.data.len()).sum();
        if held + datagram.data.len() > ROOM || !memory::there_is(datagram.data.len()) {
            return None;
        }
        let [first, second, identification] = random;
        let mut token = [0; TOKEN];
        token[..8].copy_from_slice(&first.to_ne_bytes());
        token[8..].copy_from_slice(&second.to_ne_bytes());
        let Datagram { ports, to, data, .. } = *datagram;
        let mtu = datagram.mtu(link);
        let identification = identification as u32;
        self.waiting.push(Large { token, ports, to, data: data.to_vec(), mtu, identification, expires });
        Some(token)
    }

    /// Forgets datagrams whose neighbour was not found.
    pub fn expire(&mut self, now: u64) {
        self.waiting.retain(|large| large.expires > now);
    }

    /// Looks at the last frame, which is a datagram of smoltcp's and `length` bytes long. How many frames there are in its
    /// place.
    #[cold]
    #[inline(never)]
    pub fn complete(&mut self, length: usize, outgoing: &mut Outgoing) -> u64 {
        let frame = outgoing.last(length);
        let Some(sent) = Sent::read(frame) else { return 1 };
        if !self.waiting.is_empty() {
            let data = &frame[sent.udp + UDP_HEADER..];
            let fits = |large: &Large| data == large.token && (sent.ports, sent.to) == (large.ports, large.to);
            if let Some(at) = self.waiting.iter().position(fits) {
                let head = frame[..sent.udp].to_vec();
                outgoing.drop_last(length);
                return self.waiting.swap_remove(at).write(&head, &sent, outgoing);
            }
        }
        if sent.udp == ETHERNET_HEADER + 20 {
            self.identification = self.identification.wrapping_add(1);
            let mut ip = Ipv4Packet::new_unchecked(&mut frame[ETHERNET_HEADER..]);
            ip.set_dont_frag(false);
            ip.set_ident(self.identification);
            checksum::fill_header(&mut frame[ETHERNET_HEADER..sent.udp]);
        }
        1
    }
}

/// What a frame of smoltcp's with a whole datagram says.
struct Sent {
    /// where the UDP header begins
    udp: usize,
    ports: (u16, u16),
    source: IpAddress,
    destination: IpAddress,
    to: Ipv6Addr,
}

impl Sent {
    fn read(frame: &[u8]) -> Option<Sent> {
        let ethernet = EthernetFrame::new_checked(frame).ok()?;
        let (header, source, destination): (usize, IpAddress, IpAddress) = match ethernet.ethertype() {
            EthernetProtocol::Ipv4 => {
                let ip = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
                let whole = !ip.more_frags() && ip.frag_offset() == 0 && ip.header_len() == 20;
                let is_udp = u8::from(ip.next_header()) == UDP;
                (whole && is_udp).then(|| (20, ip.src_addr().into(), ip.dst_addr().into()))?
            }
            EthernetProtocol::Ipv6 => {
                let ip = Ipv6Packet::new_checked(ethernet.payload()).ok()?;
                (u8::from(ip.next_header()) == UDP).then(|| (40, ip.src_addr().into(), ip.dst_addr().into()))?
            }
            _ => return None,
        };
        let udp = UdpPacket::new_checked(ethernet.payload().get(header..)?).ok()?;
        let ports = (udp.src_port(), udp.dst_port());
        let to = crate::link::to_mapped(destination);
        Some(Sent { udp: ETHERNET_HEADER + header, ports, source, destination, to })
    }
}

impl Large {
    /// Writes the fragments, with this before them of Ethernet's and IP's headers.
    fn write(self, head: &[u8], sent: &Sent, outgoing: &mut Outgoing) -> u64 {
        let repr = UdpRepr { src_port: self.ports.0, dst_port: self.ports.1 };
        let mut datagram = vec![0; UDP_HEADER + self.data.len()];
        let mut packet = UdpPacket::new_unchecked(&mut datagram[..]);
        let write = |payload: &mut [u8]| payload.copy_from_slice(&self.data);
        let checksums = ChecksumCapabilities::default();
        repr.emit(&mut packet, &sent.source, &sent.destination, self.data.len(), write, &checksums);
        let four = head.len() == ETHERNET_HEADER + 20;
        let between = if four { 0 } else { FRAGMENT_HEADER };
        // A multiple of eight in each but the last.
        let size = (usize::from(self.mtu).saturating_sub(head.len() - ETHERNET_HEADER + between) & !7).max(8);
        let mut count = 0;
        for (number, part) in datagram.chunks(size).enumerate() {
            let offset = number * size;
            let more = offset + part.len() < datagram.len();
            let frame = outgoing.frame(head.len() + between + part.len());
            frame[..head.len()].copy_from_slice(head);
            frame[head.len() + between..].copy_from_slice(part);
            if four {
                let mut ip = Ipv4Packet::new_unchecked(&mut frame[ETHERNET_HEADER..]);
                ip.set_total_len((20 + part.len()) as u16);
                ip.set_ident(self.identification as u16);
                ip.set_dont_frag(false);
                ip.set_more_frags(more);
                ip.set_frag_offset(offset as u16);
                checksum::fill_header(&mut frame[ETHERNET_HEADER..ETHERNET_HEADER + 20]);
            } else {
                let mut ip = Ipv6Packet::new_unchecked(&mut frame[ETHERNET_HEADER..]);
                ip.set_payload_len((FRAGMENT_HEADER + part.len()) as u16);
                ip.set_next_header(FRAGMENT.into());
                let place = (offset as u16 | u16::from(more)).to_be_bytes();
                let header = &mut frame[head.len()..head.len() + FRAGMENT_HEADER];
                header[..4].copy_from_slice(&[UDP, 0, place[0], place[1]]);
                header[4..].copy_from_slice(&self.identification.to_be_bytes());
            }
            count += 1;
        }
        count
    }
}
