//! The internet checksum (RFC 1071) over TCP segments, in lanes that compilers turn into SIMD.
//!
//! It replaces smoltcp's, which is told not to look at TCP checksums: every segment that is received is verified here
//! before smoltcp sees it, and every segment that is sent gets its checksum here.

use crate::packet::Segment;

/// Bytes that are summed at a time.
const BLOCK: usize = 32;

/// The one's complement sum of native-endian 16-bit words, not folded. An odd last byte is padded with a zero.
#[inline]
pub fn sum(bytes: &[u8]) -> u64 {
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    sum_blocks(blocks) + sum_rest(rest)
}

/// The sum of less than a block. Two words at once are as good: 65,536 is 1 in this arithmetic.
#[inline]
fn sum_rest(mut rest: &[u8]) -> u64 {
    let mut total = 0;
    let double = |bytes: [u8; 8]| {
        let bytes = u64::from_ne_bytes(bytes);
        (bytes & 0xffff_ffff) + (bytes >> 32)
    };
    if let Some((sixteen, after)) = rest.split_first_chunk::<16>() {
        let (first, second) = (sixteen.first_chunk::<8>(), sixteen.last_chunk::<8>());
        total += first.map_or(0, |bytes| double(*bytes)) + second.map_or(0, |bytes| double(*bytes));
        rest = after;
    }
    if let Some((eight, after)) = rest.split_first_chunk::<8>() {
        total += double(*eight);
        rest = after;
    }
    if let Some((four, after)) = rest.split_first_chunk::<4>() {
        total += u64::from(u32::from_ne_bytes(*four));
        rest = after;
    }
    if let Some((two, after)) = rest.split_first_chunk::<2>() {
        total += u64::from(u16::from_ne_bytes(*two));
        rest = after;
    }
    if let [last] = rest {
        total += u64::from(u16::from_ne_bytes([*last, 0]));
    }
    total
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
fn sum_blocks(blocks: &[[u8; BLOCK]]) -> u64 {
    const LANES: usize = 8;
    let mut lanes = [0u32; LANES];
    // A lane gets at most 131,070 per block: with less than a megabyte it cannot overflow.
    for block in blocks {
        for words in block.as_chunks::<{ 2 * LANES }>().0 {
            for (lane, word) in lanes.iter_mut().zip(words.as_chunks::<2>().0) {
                *lane += u32::from(u16::from_ne_bytes(*word));
            }
        }
    }
    lanes.iter().map(|&lane| u64::from(lane)).sum()
}

/// Multiplies by one and adds neighbours, which is one instruction of x86-64, but signed: so every word is lowered by
/// 32,768, and at the end the whole raised again.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[allow(unsafe_code)]
fn sum_blocks(blocks: &[[u8; BLOCK]]) -> u64 {
    use core::arch::wasm32::*;
    const WORDS: usize = BLOCK / 2;
    let (sign, one) = (u16x8_splat(0x8000), i16x8_splat(1));
    let mut lanes = i32x4_splat(0);
    // A lane changes by at most 131,072 per block: with less than half a megabyte it cannot overflow.
    for block in blocks {
        for half in 0..BLOCK / 16 {
            // SAFETY: the load is within the block's 32 bytes, and may be unaligned.
            let words = unsafe { v128_load(block.as_ptr().add(half * 16).cast()) };
            lanes = i32x4_add(lanes, i32x4_dot_i16x8(v128_xor(words, sign), one));
        }
    }
    let pairs = i64x2_add(i64x2_extend_low_i32x4(lanes), i64x2_extend_high_i32x4(lanes));
    let lowered = i64x2_extract_lane::<0>(pairs) + i64x2_extract_lane::<1>(pairs);
    (lowered + (blocks.len() * WORDS) as i64 * 0x8000) as u64
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
