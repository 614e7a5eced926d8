//! The internet checksum (RFC 1071) over TCP segments, in lanes that compilers turn into SIMD.
//!
//! It replaces smoltcp's, which is told not to look at TCP checksums: every segment that is received is verified here
//! before smoltcp sees it, and every segment that is sent gets its checksum here.

use crate::packet::Segment;
use core::ops::Range;

/// Bytes of a SIMD register.
const LANES: usize = 16;

/// The one's complement sum of native-endian 16-bit words, not folded. An odd last byte is padded with a zero.
#[inline]
pub fn sum(bytes: &[u8]) -> u64 {
    let (lanes, rest) = bytes.as_chunks::<LANES>();
    sum_lanes(lanes) + sum_rest(rest)
}

/// The sum of less than a register. Two words at once are as good: 65,536 is 1 in this arithmetic.
#[inline]
fn sum_rest(mut rest: &[u8]) -> u64 {
    let mut total = 0;
    if let Some((eight, after)) = rest.split_first_chunk::<8>() {
        total += sum_eight(*eight);
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

#[inline]
fn sum_eight(bytes: [u8; 8]) -> u64 {
    let bytes = u64::from_ne_bytes(bytes);
    (bytes & 0xffff_ffff) + (bytes >> 32)
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
fn sum_lanes(registers: &[[u8; LANES]]) -> u64 {
    let mut lanes = [0u32; LANES / 2];
    // A lane gets at most 65,535 per register: with less than half a megabyte it cannot overflow.
    for register in registers {
        for (lane, word) in lanes.iter_mut().zip(register.as_chunks::<2>().0) {
            *lane += u32::from(u16::from_ne_bytes(*word));
        }
    }
    lanes.iter().map(|&lane| u64::from(lane)).sum()
}

/// Multiplies by one and adds neighbours, which is one instruction of x86-64, but signed: so every word is lowered by
/// 32,768, and at the end the whole raised again.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[allow(unsafe_code)]
fn sum_lanes(registers: &[[u8; LANES]]) -> u64 {
    use core::arch::wasm32::*;
    #[inline(always)]
    fn add<const REGISTERS: usize>(lanes: v128, registers: &[[u8; LANES]; REGISTERS]) -> v128 {
        registers.iter().fold(lanes, |lanes, register| {
            // SAFETY: the load is of the register's 16 bytes, and may be unaligned.
            let words = unsafe { v128_load(register.as_ptr().cast()) };
            i32x4_add(lanes, i32x4_dot_i16x8(v128_xor(words, u16x8_splat(0x8000)), i16x8_splat(1)))
        })
    }
    // A lane changes by at most 65,536 per register: with less than half a megabyte it cannot overflow.
    // Enough at a time that the loop itself costs little: each turn is a look at the time slice, which spills registers.
    let (blocks, rest) = registers.as_chunks::<16>();
    let mut lanes = blocks.iter().fold(i32x4_splat(0), add);
    let (blocks, rest) = rest.as_chunks::<4>();
    lanes = blocks.iter().fold(lanes, add);
    lanes = rest.as_chunks::<1>().0.iter().fold(lanes, add);
    let pairs = i64x2_add(i64x2_extend_low_i32x4(lanes), i64x2_extend_high_i32x4(lanes));
    let lowered = i64x2_extract_lane::<0>(pairs) + i64x2_extract_lane::<1>(pairs);
    (lowered + (registers.len() * (LANES / 2)) as i64 * 0x8000) as u64
}

/// To sixteen bits. Without a loop, which costs a box a look at its time slice for every turn.
#[inline]
fn fold(sum: u64) -> u16 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

/// The sum over an IPv4 header.
#[inline]
fn header_sum(header: &[u8]) -> u64 {
    match header.as_array::<20>() {
        Some(header) => header.as_chunks::<4>().0.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum(),
        None => sum(header),
    }
}

/// Whether an IPv4 header's checksum is right (RFC 791 section 3.1).
#[inline]
pub fn verify_header(header: &[u8]) -> bool {
    fold(header_sum(header)) == 0xffff
}

/// Writes the checksum into an IPv4 header.
#[inline]
pub fn fill_header(header: &mut [u8]) {
    if let Some(at) = header.get_mut(10..12) {
        at.fill(0);
        let checksum = field(header_sum(header));
        header[10..12].copy_from_slice(&checksum);
    }
}

/// The sum over the pseudo-header of a TCP segment (RFC 9293 section 3.1, RFC 8200 section 8.1).
#[inline]
pub fn pseudo_header(addresses: &[u8], length: usize) -> u64 {
    const TCP: u16 = 6;
    // Those of IPv4 are not worth the way of longer bytes.
    let addresses = addresses.as_array().map_or_else(|| sum(addresses), |addresses| sum_eight(*addresses));
    // Segments are shorter than 64 KiB, so the IPv6 pseudo-header's upper length bits are zero and both forms agree.
    addresses + u64::from((length as u16).to_be()) + u64::from(TCP.to_be())
}

/// What a checksum field gets for the sum of the rest.
#[inline]
pub fn field(sum: u64) -> [u8; 2] {
    (!fold(sum)).to_ne_bytes()
}

fn segment_sum(addresses: &[u8], segment: &[u8]) -> u64 {
    pseudo_header(addresses, segment.len()) + sum(segment)
}

/// Whether the segment's checksum is right.
pub fn verify(frame: &[u8], segment: &Segment) -> bool {
    fold(segment_sum(&frame[segment.addresses.clone()], &frame[segment.start..segment.end])) == 0xffff
}

/// Writes the checksum of the segment that begins at `start` and is the rest of the frame.
pub fn fill(frame: &mut [u8], addresses: Range<usize>, start: usize) {
    let at = start + 16..start + 18;
    frame[at.clone()].fill(0);
    let checksum = field(segment_sum(&frame[addresses], &frame[start..]));
    frame[at].copy_from_slice(&checksum);
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
