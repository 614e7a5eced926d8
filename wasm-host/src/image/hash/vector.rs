//! BLAKE3 by the library's vector code, chosen here: on a machine without an operating system the library does not look
//! for vector registers, and its portable code takes three times the instructions.
//!
//! It may be called wherever vector registers hold nothing that is still wanted: not by interrupt handlers.
//! The tree: <https://github.com/BLAKE3-team/BLAKE3-specs>, sections 2.1 and 2.2.

use super::{Hash, hash};
use alloc::vec::Vec;
use blake3::{
    BLOCK_LEN, CHUNK_LEN, IncrementCounter, OUT_LEN,
    hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root},
    platform::Platform,
};

/// Chunks that are hashed at a time.
const CHUNKS: usize = 16;
const GROUP: usize = CHUNKS * CHUNK_LEN;

/// Section 2.2.
const IV: [u32; 8] = [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];
/// Section 2.2: what kind of node is hashed.
const CHUNK_START: u8 = 1 << 0;
const CHUNK_END: u8 = 1 << 1;
const PARENT: u8 = 1 << 2;

/// The same as [`hash`], with SSE4.1, which every node has: see [`crate::engine::CPU_FLAGS`].
pub fn vector_hash(bytes: &[u8]) -> Hash {
    Pieces::default().finish(bytes)
}

/// The same with AVX2, which the processor must have: half the instructions.
pub fn wide_vector_hash(bytes: &[u8]) -> Hash {
    Pieces { platform: Platform::AVX2, ..Pieces::default() }.finish(bytes)
}

/// The hash of bytes that come piece by piece and are kept, so that the last piece costs no more than another.
#[derive(Debug)]
pub struct Pieces {
    platform: Platform,
    /// The values of complete subtrees, the largest first: one for each bit that is set in the number of groups.
    subtrees: Vec<ChainingValue>,
    groups: usize,
}

impl Default for Pieces {
    fn default() -> Self {
        Pieces { platform: Platform::SSE41, subtrees: Vec::new(), groups: 0 }
    }
}

impl Pieces {
    /// Takes in what is new of `bytes`, which are all that have come so far.
    pub fn advance(&mut self, bytes: &[u8]) {
        // The last bytes are left to the portable code, since only at the end it is known which node is the root.
        let groups = bytes.len().saturating_sub(1) / GROUP;
        let (all, _) = bytes.as_chunks::<GROUP>();
        for group in all.get(self.groups..groups).unwrap_or_default() {
            let mut value = group_value(self.platform, group, (self.groups * CHUNKS) as u64);
            self.groups += 1;
            for _ in 0..self.groups.trailing_zeros() {
                if let Some(left) = self.subtrees.pop() {
                    value = merge_subtrees_non_root(&left, &value, Mode::Hash);
                }
            }
            self.subtrees.push(value);
        }
    }

    /// `bytes`: all of them.
    pub fn finish(mut self, bytes: &[u8]) -> Hash {
        self.advance(bytes);
        let at = self.groups * GROUP;
        if at == 0 {
            return hash(bytes);
        }
        let rest = bytes.get(at..).unwrap_or_default();
        let mut right = blake3::Hasher::new().set_input_offset(at as u64).update(rest).finalize_non_root();
        while let Some(left) = self.subtrees.pop() {
            if self.subtrees.is_empty() {
                return Hash(*merge_subtrees_root(&left, &right, Mode::Hash).as_bytes());
            }
            right = merge_subtrees_non_root(&left, &right, Mode::Hash);
        }
        hash(bytes)
    }
}

/// The chaining value of a subtree of `CHUNKS` chunks, of which the first is number `first`.
fn group_value(platform: Platform, group: &[u8; GROUP], first: u64) -> ChainingValue {
    let (chunks, _) = group.as_chunks::<CHUNK_LEN>();
    let chunks: [&[u8; CHUNK_LEN]; CHUNKS] = core::array::from_fn(|index| &chunks[index]);
    let mut values = [0; CHUNKS * OUT_LEN];
    platform.hash_many(&chunks, &IV, first, IncrementCounter::Yes, 0, CHUNK_START, CHUNK_END, &mut values);
    let mut count = CHUNKS;
    while count > 1 {
        let children = values;
        let (pairs, _) = children.as_chunks::<BLOCK_LEN>();
        let pairs: [&[u8; BLOCK_LEN]; CHUNKS / 2] = core::array::from_fn(|index| &pairs[index]);
        count /= 2;
        let parents = &mut values[..count * OUT_LEN];
        platform.hash_many(&pairs[..count], &IV, 0, IncrementCounter::No, PARENT, 0, 0, parents);
    }
    let mut value = [0; OUT_LEN];
    value.copy_from_slice(&values[..OUT_LEN]);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_the_library_says() {
        let bytes: Vec<u8> = (0..40 * GROUP as u32).map(|index| (index % 251) as u8 ^ (index >> 10) as u8).collect();
        let mut lengths: Vec<usize> = [0, 1, 64, 1024, 1025, GROUP - 1, GROUP, GROUP + 1].into();
        lengths.extend((1..40).flat_map(|groups| [groups * GROUP, groups * GROUP + 1, groups * GROUP + 5_000]));
        for length in lengths {
            assert_eq!(vector_hash(&bytes[..length]), hash(&bytes[..length]), "{length} bytes");
            if std::is_x86_feature_detected!("avx2") {
                assert_eq!(wide_vector_hash(&bytes[..length]), hash(&bytes[..length]), "{length} bytes, AVX2");
            }
        }
    }

    #[test]
    fn it_does_not_matter_how_the_pieces_are_cut() {
        let bytes: Vec<u8> = (0..9 * GROUP as u32 + 77).map(|index| (index % 253) as u8).collect();
        for step in [1_000, GROUP - 1, GROUP, 30 << 10, bytes.len()] {
            let mut pieces = Pieces::default();
            for end in (step..bytes.len()).step_by(step) {
                pieces.advance(&bytes[..end]);
            }
            assert_eq!(pieces.finish(&bytes), hash(&bytes), "in pieces of {step}");
        }
    }
}
