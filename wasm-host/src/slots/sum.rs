//! The hash of a slot's image: the BLAKE3 of the BLAKE3s of its chunks, one after the other.
//!
//! So it can be made of a stream by a [`Hasher`], which takes all of its bytes at once, and an image can be held against
//! it without being in memory.

use super::CHUNK;
use crate::image::{Hash, Hasher};
use alloc::vec::Vec;

/// A hash in the making.
pub struct Sum {
    hasher: Hasher,
    chunks: Vec<u8>,
}

impl Sum {
    pub fn new(hasher: Hasher) -> Self {
        Sum { hasher, chunks: Vec::new() }
    }

    /// The next chunk: [`CHUNK`] bytes, or what is left at the end.
    pub fn chunk(&mut self, bytes: &[u8]) {
        debug_assert!(bytes.len() <= CHUNK);
        self.chunks.extend_from_slice(&(self.hasher)(bytes).0);
    }

    pub fn finish(self) -> Hash {
        (self.hasher)(&self.chunks)
    }
}
