//! What a received frame is, as far as the stack must know before it hands the frame to smoltcp.

use crate::checksum;
use crate::extensions::is_extension;
use core::hash::{Hash, Hasher};
use core::net::{Ipv4Addr, Ipv6Addr};
use core::ops::Range;

const ETHERNET_HEADER: usize = 14;
const IPV6_HEADER: usize = 40;
const TCP_HEADER: usize = 20;

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
/// RFC 792: type and code.
const FRAGMENTATION_NEEDED: [u8; 2] = [3, 4];
const TCP: u8 = 6;
const UDP: u8 = 17;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    Tcp(Segment),
    /// The payload of an ICMPv6 Router Advertisement is in this range of the frame; its checksum is not yet verified.
    RouterAdvertisement(Range<usize>),
    /// An ICMP message "fragmentation needed" or an ICMPv6 message "packet too big" in this range of the frame; its
    /// checksum is not yet verified.
    TooBig(Range<usize>),
    /// An ICMP or ICMPv6 echo request in this range of the frame, right after an IP header without options; its checksum
    /// is not yet verified.
    Echo(Range<usize>),
    /// A Multicast Listener Query.
    GroupQuery,
    /// ARP or neighbour discovery: connections that wait for a neighbour may go on after it.
    Neighbour,
    Udp {
        port: u16,
        multicast: bool,
    },
    /// IPv6 with extension headers.
    Extended,
    /// Anything else that smoltcp may look at: ICMP, fragments of it, unknown protocols.
    Other,
    /// Not to be processed, and why.
    Drop(&'static str),
}

/// Both ends of a TCP connection. IPv4 addresses are in their IPv6-mapped form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flow {
    pub remote: Ipv6Addr,
    pub local: Ipv6Addr,
    pub remote_port: u16,
    pub local_port: u16,
}

impl Hash for Flow {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // The upper half of the local address tells connections of one machine hardly apart; equality looks at it.
        let [remote, local] = [self.remote.to_bits(), self.local.to_bits()];
        state.write_u64((remote >> 64) as u64);
        state.write_u64(remote as u64);
        state.write_u64(local as u64 ^ (u64::from(self.remote_port) << 48 | u64::from(self.local_port) << 32));
    }
}

/// A TCP segment within a frame. Its checksum is not yet verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    pub flow: Flow,
    /// the source and destination address of the IP header
    pub addresses: Range<usize>,
    /// the TCP header begins here
    pub start: usize,
    /// the payload begins here
    pub data: usize,
    /// the payload ends here
    pub end: usize,
    pub sequence: u32,
    pub acknowledged: u32,
    flags: u8,
}

impl Segment {
    const FIN: u8 = 0x01;
    const SYN: u8 = 0x02;
    const RST: u8 = 0x04;
    const PSH: u8 = 0x08;
    const ACK: u8 = 0x10;

    pub fn is_fin(&self) -> bool {
        self.flags & Self::FIN != 0
    }

    pub fn is_syn(&self) -> bool {
        self.flags & Self::SYN != 0
    }

    pub fn is_rst(&self) -> bool {
        self.flags & Self::RST != 0
    }

    /// Whether this asks for a new connection: SYN and neither ACK nor RST.
    pub fn opens(&self) -> bool {
        self.flags & (Self::SYN | Self::ACK | Self::RST) == Self::SYN
    }

    /// Whether the acknowledgement number means something.
    pub fn acknowledges(&self) -> bool {
        self.flags & Self::ACK != 0
    }

    /// Whether this may end a handshake: ACK and neither SYN nor RST.
    pub fn is_acknowledgement(&self) -> bool {
        self.flags & (Self::SYN | Self::ACK | Self::RST) == Self::ACK
    }

    /// bytes of data
    pub fn payload(&self) -> usize {
        self.end - self.data
    }

    /// Whether this says all that `earlier` says, and acknowledges more: then nobody needs that.
    #[inline]
    pub fn supersedes(&self, earlier: &Segment) -> bool {
        let newer = self.acknowledged.wrapping_sub(earlier.acknowledged) as i32 > 0;
        newer && self.flow == earlier.flow && self.sequence == earlier.sequence
    }

    /// Whether this carries data and does nothing else.
    #[inline]
    pub fn is_plain_data(&self) -> bool {
        self.data < self.end && self.flags & !Self::PSH == Self::ACK
    }

    /// Whether this is an acknowledgement without data or options.
    #[inline]
    pub fn is_plain_acknowledgement(&self) -> bool {
        self.data == self.end && self.data - self.start == TCP_HEADER && self.flags == Self::ACK
    }

    /// The sequence number after this segment.
    pub fn next(&self) -> u32 {
        let controls = u32::from(self.is_syn()) + u32::from(self.is_fin());
        self.sequence.wrapping_add(self.payload() as u32).wrapping_add(controls)
    }
}

impl Packet {
    /// Reads a frame's headers as far as the transport protocol. Never panics, whatever the bytes.
    pub fn classify(frame: &[u8]) -> Packet {
        match frame.get(12..ETHERNET_HEADER) {
            Some([0x08, 0x00]) => match plain_tcp4(frame).or_else(|| ipv4(frame)) {
                Some(packet) if is_intact(frame) => packet,
                Some(packet @ Packet::Drop(_)) => packet,
                _ => Packet::Drop("malformed IPv4"),
            },
            Some([0x86, 0xdd]) => ipv6(frame).unwrap_or(Packet::Drop("malformed IPv6")),
            Some([0x08, 0x06]) => Packet::Neighbour,
            _ => Packet::Drop("not IP"),
        }
    }
}

/// Whether the checksum of an IPv4 header is right.
#[inline]
fn is_intact(frame: &[u8]) -> bool {
    let end = |version_and_length: &u8| ETHERNET_HEADER + usize::from(version_and_length & 0x0f) * 4;
    let header = frame.get(ETHERNET_HEADER).and_then(|first| frame.get(ETHERNET_HEADER..end(first)));
    header.is_some_and(checksum::verify_header)
}

/// Whether an IP packet carries ICMP.
pub fn is_icmp(frame: &[u8]) -> bool {
    match frame.get(12..ETHERNET_HEADER) {
        Some([0x08, 0x00]) => frame.get(23) == Some(&ICMP),
        _ => frame.get(20) == Some(&ICMPV6),
    }
}

/// The source address of an IP packet.
pub fn source(frame: &[u8]) -> Option<Ipv6Addr> {
    match frame.get(12..ETHERNET_HEADER)? {
        [0x08, 0x00] => frame.get(26..30)?.as_array::<4>().map(|octets| Ipv4Addr::from(*octets).to_ipv6_mapped()),
        [0x86, 0xdd] => frame.get(22..38)?.as_array::<16>().map(|octets| Ipv6Addr::from(*octets)),
        _ => None,
    }
}

/// Whether a frame has an IPv6 packet.
pub fn is_ipv6(frame: &[u8]) -> bool {
    frame.get(12..ETHERNET_HEADER) == Some(&[0x86, 0xdd])
}

/// Whether an IPv6 packet is for many machines.
pub fn is_to_group(frame: &[u8]) -> bool {
    is_ipv6(frame) && frame.get(38) == Some(&0xff)
}

/// Whether an IPv6 packet is for another machine. smoltcp takes any whose last two octets are those of an own address.
pub fn to_stranger(frame: &[u8], own: impl FnOnce(Ipv6Addr) -> bool) -> bool {
    let Some([0x86, 0xdd, packet @ ..]) = frame.get(12..) else { return false };
    let destination = packet.get(24..40).and_then(|octets| <[u8; 16]>::try_from(octets).ok());
    destination.map(Ipv6Addr::from).is_some_and(|address| !address.is_multicast() && !own(address))
}

fn u16_at(frame: &[u8], at: usize) -> Option<u16> {
    frame.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes)
}

fn u32_at(frame: &[u8], at: usize) -> Option<u32> {
    frame.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}

/// What nearly every frame is: TCP over IPv4 without IP options. `None`: look closer.
#[inline]
fn plain_tcp4(frame: &[u8]) -> Option<Packet> {
    let head: &[u8; 54] = frame.first_chunk()?;
    let end = ETHERNET_HEADER + usize::from(u16::from_be_bytes([head[16], head[17]]));
    let data = 34 + usize::from(head[46] >> 4) * 4;
    let fragment = u16::from_be_bytes([head[20], head[21]]) & 0x3fff != 0;
    if head[14] != 0x45 || head[23] != TCP || fragment || end > frame.len() || data < 54 || data > end {
        return None;
    }
    let address = |at: usize| Ipv4Addr::new(head[at], head[at + 1], head[at + 2], head[at + 3]).to_ipv6_mapped();
    let half = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let flow = Flow { remote: address(26), local: address(30), remote_port: half(34), local_port: half(36) };
    Some(Packet::Tcp(Segment {
        flow,
        addresses: 26..34,
        start: 34,
        data,
        end,
        sequence: word(38),
        acknowledged: word(42),
        flags: head[47],
    }))
}

/// RFC 791 section 3.1.
fn ipv4(frame: &[u8]) -> Option<Packet> {
    let header = frame.get(ETHERNET_HEADER..ETHERNET_HEADER + 20)?;
    let start = ETHERNET_HEADER + usize::from(header[0] & 0x0f) * 4;
    let end = ETHERNET_HEADER + usize::from(u16_at(header, 2)?);
    if header[0] >> 4 != 4 || start < ETHERNET_HEADER + 20 || start > end || end > frame.len() {
        return None;
    }
    // "More fragments", or an offset.
    let fragment = u16_at(header, 6)? & 0x3fff != 0;
    match header[9] {
        // TCP avoids fragmentation (RFC 9293 section 3.7.1), and reassembly is not on the way of its frames.
        TCP if fragment => Some(Packet::Drop("TCP in fragments")),
        TCP => {
            let source: [u8; 4] = header[12..16].try_into().ok()?;
            let destination: [u8; 4] = header[16..20].try_into().ok()?;
            let addresses = ETHERNET_HEADER + 12..ETHERNET_HEADER + 20;
            let mapped = |octets: [u8; 4]| Ipv4Addr::from(octets).to_ipv6_mapped();
            tcp(frame, start, end, addresses, mapped(source), mapped(destination))
        }
        UDP if !fragment => {
            Some(Packet::Udp { port: u16_at(frame.get(..end)?, start + 2)?, multicast: header[16] & 0xf0 == 0xe0 })
        }
        ICMP if !fragment && frame.get(start..end)?.get(..2) == Some(&FRAGMENTATION_NEEDED) => {
            Some(Packet::TooBig(start..end))
        }
        ICMP if !fragment && start == ETHERNET_HEADER + 20 && frame.get(start..end)?.first() == Some(&8) => {
            Some(Packet::Echo(start..end))
        }
        _ => Some(Packet::Other),
    }
}

/// RFC 8200 section 3.
fn ipv6(frame: &[u8]) -> Option<Packet> {
    let header = frame.get(ETHERNET_HEADER..ETHERNET_HEADER + IPV6_HEADER)?;
    let start = ETHERNET_HEADER + IPV6_HEADER;
    let end = start + usize::from(u16_at(header, 4)?);
    if header[0] >> 4 != 6 || end > frame.len() {
        return None;
    }
    let source: [u8; 16] = header[8..24].try_into().ok()?;
    let destination: [u8; 16] = header[24..40].try_into().ok()?;
    match header[6] {
        protocol if is_extension(protocol) => Some(Packet::Extended),
        TCP => {
            let addresses = ETHERNET_HEADER + 8..ETHERNET_HEADER + 40;
            tcp(frame, start, end, addresses, Ipv6Addr::from(source), Ipv6Addr::from(destination))
        }
        UDP => Some(Packet::Udp { port: u16_at(frame.get(..end)?, start + 2)?, multicast: destination[0] == 0xff }),
        ICMPV6 if start < end => Some(match frame[start] {
            2 => Packet::TooBig(start..end),
            128 => Packet::Echo(start..end),
            130 => Packet::GroupQuery,
            134 => Packet::RouterAdvertisement(start..end),
            135 | 136 => Packet::Neighbour,
            _ => Packet::Other,
        }),
        _ => Some(Packet::Other),
    }
}

/// RFC 9293 section 3.1.
fn tcp(
    frame: &[u8],
    start: usize,
    end: usize,
    addresses: Range<usize>,
    source: Ipv6Addr,
    destination: Ipv6Addr,
) -> Option<Packet> {
    let header = frame.get(start..end)?.get(..TCP_HEADER)?;
    let data = start + usize::from(header[12] >> 4) * 4;
    if data < start + TCP_HEADER || data > end {
        return Some(Packet::Drop("malformed TCP"));
    }
    let flow =
        Flow { remote: source, local: destination, remote_port: u16_at(header, 0)?, local_port: u16_at(header, 2)? };
    Some(Packet::Tcp(Segment {
        flow,
        addresses,
        start,
        data,
        end,
        sequence: u32_at(header, 4)?,
        acknowledged: u32_at(header, 8)?,
        flags: header[13],
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cut_of_a_segment_is_dropped() {
        let mut frame = vec![0; 14 + 20 + 20 + 5];
        frame[12] = 8;
        frame[14] = 0x45;
        frame[17] = 45;
        frame[23] = TCP;
        frame[26..30].copy_from_slice(&[10, 0, 0, 1]);
        frame[34 + 12] = 0x50;
        frame[34 + 13] = Segment::SYN;
        assert_eq!(Packet::classify(&frame), Packet::Drop("malformed IPv4"), "its checksum is wrong");
        checksum::fill_header(&mut frame[14..34]);
        let Packet::Tcp(segment) = Packet::classify(&frame) else { panic!("no segment") };
        assert_eq!((segment.start, segment.data, segment.end), (34, 54, 59));
        assert_eq!(segment.flow.remote, Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped());
        assert!(segment.opens());
        for cut in 0..frame.len() {
            assert!(matches!(Packet::classify(&frame[..cut]), Packet::Drop(_)), "cut at {cut}");
        }
    }

    #[test]
    fn the_short_way_agrees_with_the_long_one() {
        let mut state = 1u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let mut plain = 0;
        for _ in 0..20_000 {
            let mut frame: Vec<u8> = (0..40 + usize::from(random()) / 2).map(|_| random()).collect();
            (frame[12], frame[13], frame[14], frame[16]) = (8, 0, 0x45 | random() & 1, 0);
            (frame[20], frame[21], frame[23]) = (random() & 0x60, 0, TCP);
            if let Some(packet) = plain_tcp4(&frame) {
                assert_eq!(Some(packet), ipv4(&frame));
                plain += 1;
            }
        }
        assert!(plain > 500, "{plain}");
    }

    #[test]
    fn fragments_of_tcp_are_dropped() {
        let mut frame = vec![0; 14 + 40];
        frame[12] = 8;
        frame[14] = 0x45;
        frame[17] = 40;
        frame[23] = TCP;
        frame[20] = 0x20;
        assert_eq!(Packet::classify(&frame), Packet::Drop("TCP in fragments"));
        frame[20] = 0;
        frame[21] = 1;
        assert_eq!(Packet::classify(&frame), Packet::Drop("TCP in fragments"));
    }
}
