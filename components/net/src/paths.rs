//! The largest packets that get through to other machines, where that is less than this machine's card sends
//! (RFC 1191, RFC 8201): what routers have said, and what was found by trying.

use crate::packet::Flow;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::ops::Range;
use smoltcp::wire::{Icmpv4Packet, Icmpv6Packet};
use std::collections::BTreeMap;

const ETHERNET_HEADER: usize = 14;
const TCP: u8 = 6;
const UDP: u8 = 17;
const FRAGMENT: u8 = 44;

/// Destinations remembered; of more, those whose time is up first are forgotten.
const LIMIT: usize = 256;
/// RFC 8201 section 4: afterwards the path may be another.
const LIFETIME: u64 = 600_000_000_000;

/// Bytes of a packet that every path carries (RFC 8200 section 5).
pub const LEAST6: u16 = 1280;
/// The same for IPv4, where the standard's 68 would be an invitation: a connection in frames of some bytes each costs
/// this machine a lot, and whoever has one can ask for it.
pub const LEAST4: u16 = 552;
/// What routers carry that do not say (RFC 1191 section 7.1).
const USUAL4: [u16; 4] = [1492, 1280, 1006, LEAST4];

/// By destination, IPv4 addresses in their IPv6-mapped form: the largest packet in bytes, and until when that holds.
#[derive(Debug, Default)]
pub struct Paths(BTreeMap<Ipv6Addr, (u16, u64)>);

impl Paths {
    /// The largest packet to this destination, if it is known.
    pub fn get(&self, now: u64, to: &Ipv6Addr) -> Option<u16> {
        self.0.get(to).filter(|(_, expires)| *expires > now).map(|(mtu, _)| *mtu)
    }

    pub fn learn(&mut self, now: u64, to: Ipv6Addr, mtu: u16) {
        self.learn_until(to, mtu, now.saturating_add(LIFETIME));
    }

    fn learn_until(&mut self, to: Ipv6Addr, mtu: u16, expires: u64) {
        if self.0.len() >= LIMIT && !self.0.contains_key(&to) {
            let oldest = self.0.iter().min_by_key(|(_, (_, expires))| *expires).map(|(to, _)| *to);
            oldest.and_then(|oldest| self.0.remove(&oldest));
        }
        self.0.insert(to, (mtu, expires));
    }

    pub fn leave(&self) -> Vec<(Ipv6Addr, u16, u64)> {
        self.0.iter().map(|(to, (mtu, expires))| (*to, *mtu, *expires)).collect()
    }

    pub fn inherit(&mut self, now: u64, paths: &[(Ipv6Addr, u16, u64)]) {
        for (to, mtu, expires) in paths {
            let least = if to.to_ipv4_mapped().is_some() { LEAST4 } else { LEAST6 };
            self.learn_until(*to, (*mtu).max(least), (*expires).min(now.saturating_add(LIFETIME)));
        }
    }
}

/// What a router says of a segment, or a datagram, that it could not pass on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooBig {
    pub flow: Flow,
    /// that of the segment
    pub sequence: u32,
    protocol: u8,
    /// bytes of the largest packet that it can pass on
    pub mtu: u16,
}

impl TooBig {
    /// Whether it is about a datagram of UDP.
    pub fn is_datagram(&self) -> bool {
        self.protocol == UDP
    }

    /// Reads an ICMP message "fragmentation needed" or an ICMPv6 message "packet too big" in this range of a frame.
    /// `None` if its checksum is wrong, if it quotes no segment, or one that is no larger than what it asks for.
    pub fn read(frame: &[u8], message: Range<usize>) -> Option<TooBig> {
        let (ip, message) = (frame.get(ETHERNET_HEADER..)?, frame.get(message)?);
        match ip.first()? >> 4 {
            4 => read4(message),
            _ => read6(ip, message),
        }
    }
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes)
}

/// The flow and sequence number of a segment that this machine sent, of which the first eight bytes are there.
fn quoted(segment: &[u8], local: Ipv6Addr, remote: Ipv6Addr) -> Option<(Flow, u32)> {
    let (local_port, remote_port) = (half(segment, 0)?, half(segment, 2)?);
    let sequence = segment.get(4..8)?.try_into().ok().map(u32::from_be_bytes)?;
    Some((Flow { remote, local, remote_port, local_port }, sequence))
}

fn read4(message: &[u8]) -> Option<TooBig> {
    let address = |octets: &[u8]| <[u8; 4]>::try_from(octets).ok().map(|o| Ipv4Addr::from(o).to_ipv6_mapped());
    let packet = message.get(8..)?;
    let header = packet.get(..20)?;
    let data = packet.get(usize::from(header[0] & 0x0f) * 4..)?;
    if !Icmpv4Packet::new_checked(message).ok()?.verify_checksum()
        || header[0] >> 4 != 4
        || !matches!(header[9], TCP | UDP)
    {
        return None;
    }
    let (flow, sequence) = quoted(data, address(&header[12..16])?, address(&header[16..20])?)?;
    let length = half(header, 2)?;
    let mtu = match half(message, 6)? {
        // RFC 1191 section 5: a router that knows nothing of this.
        0 => *USUAL4.iter().find(|usual| **usual < length)?,
        mtu => mtu.max(LEAST4),
    };
    (mtu < length).then_some(TooBig { flow, sequence, protocol: header[9], mtu })
}

fn read6(ip: &[u8], message: &[u8]) -> Option<TooBig> {
    let address = |octets: &[u8]| <[u8; 16]>::try_from(octets).ok().map(Ipv6Addr::from);
    let (source, destination) = (address(ip.get(8..24)?)?, address(ip.get(24..40)?)?);
    let packet = message.get(8..)?;
    let header = packet.get(..40)?;
    let sound = Icmpv6Packet::new_checked(message).ok()?.verify_checksum(&source, &destination);
    // The first fragment of a datagram has the ports.
    let (protocol, data) = match (header[6], &packet[40..]) {
        (FRAGMENT, [UDP, _, 0, 0 | 1, _, _, _, _, data @ ..]) => (UDP, data),
        (protocol, data) => (protocol, data),
    };
    if !sound || header[0] >> 4 != 6 || !matches!(protocol, TCP | UDP) {
        return None;
    }
    let (flow, sequence) = quoted(data, address(&header[8..24])?, address(&header[24..40])?)?;
    let mtu = u32::from_be_bytes(message.get(4..8)?.try_into().ok()?);
    // RFC 8201 section 4: one that asks for less than the least is discarded.
    let fits = (u32::from(LEAST6)..u32::from(half(header, 4)?) + 40).contains(&mtu);
    fits.then_some(TooBig { flow, sequence, protocol, mtu: mtu.try_into().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_on_what_is_remembered_and_for_how_long() {
        let mut paths = Paths::default();
        let address = |n: usize| Ipv6Addr::from_bits(n as u128);
        for n in 0..10_000 {
            paths.learn(n as u64, address(n), 1400);
        }
        assert_eq!(paths.0.len(), LIMIT);
        assert_eq!(paths.get(10_000, &address(9_999)), Some(1400));
        assert_eq!(paths.get(10_000, &address(9_000)), None);
        assert_eq!(paths.get(10_000 + LIFETIME, &address(9_999)), None);
    }
}
