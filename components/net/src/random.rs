//! Unpredictable numbers for ports, query identifiers and hash tables, from a seed that the node gives.

use foldhash::fast::FixedState;
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use std::collections::BTreeSet;

/// Bytes of the node's entropy that a stack starts from.
pub type Seed = [u8; 32];

pub struct Random {
    generator: ChaCha8Rng,
    /// ports that another instance of the box has in use
    avoided: BTreeSet<u16>,
}

impl Random {
    pub fn new(seed: Seed) -> Self {
        Random { generator: ChaCha8Rng::from_seed(seed), avoided: BTreeSet::new() }
    }

    pub fn u64(&mut self) -> u64 {
        self.generator.next_u64()
    }

    pub fn u16(&mut self) -> u16 {
        self.generator.next_u32() as u16
    }

    /// A port of the dynamic range (RFC 6335 section 6).
    pub fn ephemeral_port(&mut self) -> u16 {
        const ATTEMPTS: usize = 64;
        let mut port = 0xc000 | self.u16();
        for _ in 0..ATTEMPTS {
            if !self.avoided.contains(&port) {
                break;
            }
            port = 0xc000 | self.u16();
        }
        port
    }

    /// These ports are another's, until that is gone: then there are none.
    pub fn avoid(&mut self, ports: impl IntoIterator<Item = u16>) {
        self.avoided = ports.into_iter().collect();
    }

    /// A hash that a remote machine cannot aim collisions at.
    pub fn hasher(&mut self) -> FixedState {
        FixedState::with_seed(self.u64())
    }
}
