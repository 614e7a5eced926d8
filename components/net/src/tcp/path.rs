//! How long the frames of one connection may be, as far as its path has shown.
//!
//! Mostly a router says so. Where nobody does, this is found by trying (after RFC 4821): when long frames have been in
//! flight at two timeouts, and none as long has arrived between them, frames get shorter.

use crate::link::SentSegment;
use crate::packet::Flow;

const ETHERNET_HEADER: usize = 14;
/// Bytes of packets to try when larger ones do not seem to arrive. The second is for IPv4: every path of IPv6 carries
/// the first.
const SMALLER: [u16; 2] = [1280, 576];
/// After so many timeouts, as long as no long frame has arrived, and once there is something that works: any network
/// loses some.
const ENOUGH: u8 = 2;
const ENOUGH_OF_PROVEN: u8 = 4;

#[derive(Debug)]
pub struct Path {
    /// bytes of the longest frame
    pub limit: usize,
    /// bytes of the headers of IP and TCP
    headers: u16,
    /// bytes of data from which a frame is long: those that the next smaller packet does not carry
    long: usize,
    /// the most data that a frame had so far
    longest: usize,
    /// the sequence number of what was sent last
    start: u32,
    /// the sequence numbers of the latest long frame
    latest: Option<(u32, u32)>,
    /// part of it has been sent again since in a shorter one
    spoiled: bool,
    /// since a frame of the longest arrived
    timeouts: u8,
    enough: u8,
    /// the limit was lowered, and nothing has been acknowledged since
    trial: bool,
}

impl Path {
    pub fn new(flow: &Flow) -> Self {
        let mut path = Path {
            limit: usize::MAX,
            headers: if flow.remote.to_ipv4_mapped().is_some() { 40 } else { 60 },
            long: 0,
            longest: 0,
            start: 0,
            latest: None,
            spoiled: false,
            timeouts: 0,
            enough: ENOUGH,
            trial: false,
        };
        path.lower(u16::MAX);
        path
    }

    /// Bytes of data that a segment may have, if that is known.
    pub fn size(&self) -> Option<u16> {
        let headers = ETHERNET_HEADER + usize::from(self.headers);
        u16::try_from(self.limit - headers).ok().filter(|_| self.limit < ETHERNET_HEADER + usize::from(u16::MAX))
    }

    /// Takes notice of the largest packet that gets through. True if that is less than was known.
    pub fn lower(&mut self, mtu: u16) -> bool {
        let limit = ETHERNET_HEADER + usize::from(mtu);
        let lower = limit < self.limit;
        self.limit = self.limit.min(limit);
        let next = self.smaller();
        self.long = next.map_or(usize::MAX, |mtu| usize::from(mtu - self.headers) + 1);
        lower
    }

    /// The next smaller packet to try.
    fn smaller(&self) -> Option<u16> {
        const OF_IPV6: usize = 1;
        let count = if self.headers == 40 { SMALLER.len() } else { OF_IPV6 };
        SMALLER[..count].iter().find(|mtu| ETHERNET_HEADER + usize::from(**mtu) < self.limit).copied()
    }

    /// Data has been sent for the first time.
    #[inline]
    pub fn sent(&mut self, segment: &SentSegment) {
        self.start = segment.sequence;
        if segment.size >= self.long {
            self.longest = self.longest.max(segment.size);
            (self.latest, self.spoiled) =
                (Some((segment.sequence, segment.sequence.wrapping_add(segment.size as u32))), false);
        }
    }

    /// Data has been sent again, while there is no acknowledgement of `unacknowledged`: after a timeout, if it has `waited`
    /// as long.
    #[cold]
    #[inline(never)]
    pub fn sent_again(&mut self, segment: &SentSegment, unacknowledged: u32, waited: bool) {
        let flying = |&(_, end): &(u32, u32)| end.wrapping_sub(unacknowledged) as i32 > 0;
        self.latest = self.latest.filter(flying);
        // What follows a timeout goes on from where that began.
        let timeout = waited && segment.sequence.wrapping_sub(self.start) as i32 <= 0;
        if timeout && self.latest.is_some() {
            self.timeouts = self.timeouts.saturating_add(1);
            if (self.timeouts >= self.enough || self.trial)
                && let Some(mtu) = self.smaller()
            {
                self.trial = self.lower(mtu);
                (self.enough, self.longest) = (ENOUGH_OF_PROVEN, 0);
                self.timeouts = 1;
            }
        }
        self.spoiled |= self.latest.is_some_and(|(_, end)| end.wrapping_sub(segment.sequence) as i32 > 0);
        self.sent(segment);
    }

    /// Everything before this sequence number has been acknowledged. The largest packet, if it has just been found.
    #[inline]
    pub fn acknowledged(&mut self, unacknowledged: u32) -> Option<u16> {
        if self.timeouts == 0 { None } else { self.recovers(unacknowledged) }
    }

    #[cold]
    #[inline(never)]
    fn recovers(&mut self, unacknowledged: u32) -> Option<u16> {
        if let Some((start, end)) = self.latest
            && !self.spoiled
            && unacknowledged.wrapping_sub(end) as i32 >= 0
            && end.wrapping_sub(start) as usize >= self.longest
        {
            (self.timeouts, self.enough) = (0, ENOUGH_OF_PROVEN);
        }
        core::mem::take(&mut self.trial).then_some((self.limit - ETHERNET_HEADER) as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    /// Timeouts of short segments say nothing of the path, wherever the sequence numbers are.
    #[test]
    fn short_segments_make_no_path_narrow() {
        let address = Ipv4Addr::new(192, 0, 2, 7).to_ipv6_mapped();
        let segment = |sequence: u32, size| SentSegment {
            sequence,
            next: sequence.wrapping_add(size as u32),
            acknowledged: 0,
            size,
        };
        for first in [0_u32, 1 << 30, 1 << 31, 3 << 30, u32::MAX - 100] {
            let mut path = Path::new(&Flow { local: address, remote: address, local_port: 80, remote_port: 9 });
            path.lower(1500);
            let short = segment(first, 200);
            path.sent(&short);
            (0..5).for_each(|_| path.sent_again(&short, first, true));
            assert_eq!((path.acknowledged(first.wrapping_add(200)), path.size()), (None, Some(1460)), "{first}");
            // long ones do
            let long = segment(first.wrapping_add(200), 1460);
            path.sent(&long);
            (0..2).for_each(|_| path.sent_again(&long, first.wrapping_add(200), true));
            assert_eq!(path.size(), Some(1240), "{first}");
        }
    }
}
