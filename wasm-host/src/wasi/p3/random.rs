//! `wasi:random`: all of it from the node's CSPRNG, that which may be insecure too.

use super::bindings::wasi::random::{insecure, insecure_seed, random};
use crate::boxes::State;
use alloc::vec::Vec;
use wasmtime::Result;

/// The most bytes that one call yields: this version lets it be fewer than were asked for.
const MAX: u64 = 64 << 10;

impl random::Host for State {
    fn get_random_bytes(&mut self, most: u64) -> Result<Vec<u8>> {
        self.random_bytes(most.min(MAX))
    }

    fn get_random_u64(&mut self) -> Result<u64> {
        Ok(self.random_u64())
    }
}

impl insecure::Host for State {
    fn get_insecure_random_bytes(&mut self, most: u64) -> Result<Vec<u8>> {
        self.random_bytes(most.min(MAX))
    }

    fn get_insecure_random_u64(&mut self) -> Result<u64> {
        Ok(self.random_u64())
    }
}

impl insecure_seed::Host for State {
    fn get_insecure_seed(&mut self) -> Result<(u64, u64)> {
        Ok((self.random_u64(), self.random_u64()))
    }
}
