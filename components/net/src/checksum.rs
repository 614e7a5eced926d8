//! The internet checksum (RFC 1071) over TCP segments, in lanes that compilers turn into SIMD.
//!
//! It replaces smoltcp's, which is told not to look at TCP checksums: every segment that is received is verified here
//! before smoltcp sees it, and every segment that is sent gets its checksum here.

use crate::packet::Segment;

const LANES: usize = 16;

/// The one's complement sum of native-endian 16-bit words, not folded. An odd last byte is padded with a zero.
pub fn sum(bytes: &[u8]) -> u64 {
    let mut lanes = [0u32; LANES];
    let (blocks, rest) = bytes.as_chunks::<{ LANES * 2 }>();
    // A lane gets at most 65,535 per block: with frames under 128 KiB it cannot overflow.
    for block in blocks {
        for (lane, word) in lanes.iter_mut().zip(block.as_chunks::<2>().0) {
            *lane += u32::from(u16::from_ne_bytes(*word));
        }
    }
    let mut total: u64 = lanes.iter().map(|&lane| u64::from(lane)).sum();
    let (words, odd) = rest.as_chunks::<2>();
    for word in words {
        total += u64::from(u16::from_ne_bytes(*word));
    }
    if let [last] = odd {
        total += u64::from(u16::from_ne_bytes([*last, 0]));
    }
    total
}

fn fold(mut sum: u64) -> u16 {
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// The folded sum over a segment and its pseudo-header (RFC 9293 section 3.1, RFC 8200 section 8.1).
fn segment_sum(frame: &[u8], segment: &Segment) -> u16 {
    const TCP: u16 = 6;
    let length = segment.end - segment.start;
    // Segments are shorter than 64 KiB, so the IPv6 pseudo-header's upper length bits are zero and both forms agree.
    let pseudo = sum(&frame[segment.addresses.clone()]) + u64::from((length as u16).to_be()) + u64::from(TCP.to_be());
    fold(pseudo + sum(&frame[segment.start..segment.end]))
}

/// Whether the segment's checksum is right.
pub fn verify(frame: &[u8], segment: &Segment) -> bool {
    segment_sum(frame, segment) == 0xffff
}

/// Writes the segment's checksum into the frame.
pub fn fill(frame: &mut [u8], segment: &Segment) {
    let field = segment.start + 16..segment.start + 18;
    frame[field.clone()].fill(0);
    let checksum = !segment_sum(frame, segment);
    frame[field].copy_from_slice(&checksum.to_ne_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 1071 section 4.1, one byte pair at a time.
    fn reference(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
        }
        while sum >> 16 != 0 {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }

    #[test]
    fn agrees_with_the_reference_at_every_length() {
        let bytes: Vec<u8> = (0..300u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for length in 0..bytes.len() {
            let bytes = &bytes[..length];
            assert_eq!(fold(sum(bytes)).to_be(), reference(bytes), "length {length}");
        }
        assert_eq!(fold(sum(&[0xff; 9_000])).to_be(), reference(&[0xff; 9_000]));
    }
}
