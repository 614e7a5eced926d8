//! TCP segments that smoltcp has written: their checksums, and long ones split into frames, as cards with segmentation
//! offload do, and as the path to their destination needs.
//!
//! smoltcp's work is per segment. It hands over as much of a connection's data at once as may be sent, and here is only
//! the header repeated.

use crate::checksum;
use crate::link::SentSegment;
use crate::outgoing::Outgoing;
use core::ops::Range;

const ETHERNET_HEADER: usize = 14;
const IPV4_HEADER: usize = 20;
/// The longest Ethernet, IPv4 and TCP headers together.
const LONGEST: usize = ETHERNET_HEADER + 60 + 60;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const PUSH: u8 = 0x08;

/// Bytes of frame up to which smoltcp hands segments over. A multiple of the usual segment, and the length that the IP
/// header says is still right.
pub const LONG: usize = ETHERNET_HEADER + 40 + 44 * 1460;

/// A segment in a frame of smoltcp's, which ends with it.
#[derive(Debug)]
pub struct Written {
    addresses: Range<usize>,
    /// the TCP header begins here
    start: usize,
    /// the payload begins here
    data: usize,
    end: usize,
    pub sequence: u32,
    pub acknowledged: u32,
    flags: u8,
}

impl Written {
    /// `None`: it is something else.
    #[inline]
    pub fn read(frame: &[u8]) -> Option<Self> {
        const TCP: u8 = 6;
        let (addresses, start) = match (frame.get(12..14)?, frame.get(14)?, frame.get(20)?, frame.get(23)?) {
            ([0x08, 0x00], 0x45, _, &TCP) => (26..34, 34),
            ([0x86, 0xdd], _, &TCP, _) => (22..54, 54),
            _ => return None,
        };
        let header = frame.get(start..)?.first_chunk::<20>()?;
        let word = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let data = start + usize::from(header[12] >> 4) * 4;
        let (sequence, acknowledged, flags) = (word(4), word(8), header[13]);
        (data <= frame.len()).then_some(Written {
            addresses,
            start,
            data,
            end: frame.len(),
            sequence,
            acknowledged,
            flags,
        })
    }

    /// Whether this carries nothing but an acknowledgement.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.data == self.end && self.flags & (FIN | SYN | RST) == 0
    }

    /// Whether this opens a connection.
    pub fn synchronizes(&self) -> bool {
        self.flags & SYN != 0
    }

    /// Where the options of TCP begin.
    pub fn options(&self) -> usize {
        self.start + 20
    }

    /// The sequence number after this segment.
    #[inline]
    pub fn next(&self) -> u32 {
        let controls = u32::from(self.flags & SYN != 0) + u32::from(self.flags & FIN != 0);
        self.sequence.wrapping_add((self.end - self.data) as u32).wrapping_add(controls)
    }

    /// Changes the sequence number, if there is another, and fills in the checksum.
    #[inline]
    pub fn complete(&mut self, frame: &mut [u8], sequence: Option<u32>) {
        if let Some(sequence) = sequence {
            self.sequence = sequence;
            frame[self.start + 4..self.start + 8].copy_from_slice(&sequence.to_be_bytes());
        }
        checksum::fill(frame, self.addresses.clone(), self.start);
    }

    /// Bytes of data that fit into a frame of `limit` bytes, at most `size`.
    pub fn fitting(&self, size: usize, limit: usize) -> usize {
        size.min(limit.saturating_sub(self.data)).max(1)
    }

    /// What there is to remember of it, if it goes out with at most `size` bytes of data in a frame.
    #[inline]
    pub fn sent(&self, size: usize) -> SentSegment {
        let size = size.min(self.end - self.data);
        SentSegment { sequence: self.sequence, next: self.next(), acknowledged: self.acknowledged, size }
    }

    /// Writes frames with at most `size` bytes of data each, and tells how many.
    pub fn split(&self, frame: &[u8], size: usize, outgoing: &mut Outgoing) -> u64 {
        let mut header = [0; LONGEST];
        let Some(header) = header.get_mut(..self.data) else { return 0 };
        header.copy_from_slice(&frame[..self.data]);
        let (ip, tcp) = (ETHERNET_HEADER, self.start);
        let mut rest = &frame[self.data..self.end];
        let mut sequence = self.sequence;
        let mut count = 0;
        while !rest.is_empty() {
            let (data, after) = rest.split_at(rest.len().min(size));
            rest = after;
            let length = self.data - tcp + data.len();
            if tcp - ip == IPV4_HEADER {
                header[ip + 2..ip + 4].copy_from_slice(&((IPV4_HEADER + length) as u16).to_be_bytes());
                checksum::fill_header(&mut header[ip..tcp]);
            } else {
                header[ip + 4..ip + 6].copy_from_slice(&(length as u16).to_be_bytes());
            }
            header[tcp + 4..tcp + 8].copy_from_slice(&sequence.to_be_bytes());
            header[tcp + 13] = if rest.is_empty() { self.flags } else { self.flags & !(FIN | PUSH) };
            header[tcp + 16..tcp + 18].fill(0);
            let pseudo = checksum::pseudo_header(&header[self.addresses.clone()], length);
            let sum = checksum::field(pseudo + checksum::sum(&header[tcp..]) + checksum::sum(data));
            header[tcp + 16..tcp + 18].copy_from_slice(&sum);
            let frame = outgoing.frame(header.len() + data.len());
            let (front, back) = frame.split_at_mut(header.len());
            front.copy_from_slice(header);
            back.copy_from_slice(data);
            sequence = sequence.wrapping_add(data.len() as u32);
            count += 1;
        }
        count
    }
}
