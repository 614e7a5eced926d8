//! Unpredictable numbers for ports, query identifiers and hash tables, from a seed that the node gives.

use foldhash::fast::FixedState;
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

/// Bytes of the node's entropy that a stack starts from.
pub type Seed = [u8; 32];

pub struct Random(ChaCha8Rng);

impl Random {
    pub fn new(seed: Seed) -> Self {
        Random(ChaCha8Rng::from_seed(seed))
    }

    pub fn u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    pub fn u16(&mut self) -> u16 {
        self.0.next_u32() as u16
    }

    /// A port of the dynamic range (RFC 6335 section 6).
    pub fn ephemeral_port(&mut self) -> u16 {
        0xc000 | self.u16()
    }

    /// A hash that a remote machine cannot aim collisions at.
    pub fn hasher(&mut self) -> FixedState {
        FixedState::with_seed(self.u64())
    }
}
