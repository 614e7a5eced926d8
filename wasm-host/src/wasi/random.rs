//! `wasi:random` of all versions: all of it from the node's CSPRNG, that which may be insecure too.

use crate::boxes::State;
use alloc::{vec, vec::Vec};
use wasmtime::{Result, bail};

/// The most bytes that one call yields.
const MAX: u64 = 1 << 20;

impl State {
    pub(super) fn random_bytes(&mut self, length: u64) -> Result<Vec<u8>> {
        if length > MAX {
            bail!("asked for {length} random bytes at once; there are {MAX} at most");
        }
        self.wasi.pass(length as usize)?;
        let mut bytes = vec![0; length as usize];
        self.platform.fill_random(&mut bytes);
        Ok(bytes)
    }

    pub(super) fn random_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.platform.fill_random(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

/// The face of a version. `$most`: how many bytes a call yields of those that are asked for.
macro_rules! face {
    ($most:expr, $seed:ident) => {
        use super::bindings::wasi::random::{insecure, insecure_seed, random};
        use crate::boxes::State;
        use alloc::vec::Vec;
        use wasmtime::Result;

        impl random::Host for State {
            fn get_random_bytes(&mut self, length: u64) -> Result<Vec<u8>> {
                self.random_bytes(length.min($most))
            }

            fn get_random_u64(&mut self) -> Result<u64> {
                Ok(self.random_u64())
            }
        }

        impl insecure::Host for State {
            fn get_insecure_random_bytes(&mut self, length: u64) -> Result<Vec<u8>> {
                self.random_bytes(length.min($most))
            }

            fn get_insecure_random_u64(&mut self) -> Result<u64> {
                Ok(self.random_u64())
            }
        }

        impl insecure_seed::Host for State {
            fn $seed(&mut self) -> Result<(u64, u64)> {
                Ok((self.random_u64(), self.random_u64()))
            }
        }
    };
}

pub(super) use face;
