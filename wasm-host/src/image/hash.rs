//! BLAKE3.

#[cfg(target_arch = "x86_64")]
mod vector;

#[cfg(target_arch = "x86_64")]
pub use vector::{Pieces, vector_hash, wide_vector_hash};

#[cfg(not(target_arch = "x86_64"))]
pub use whole::Pieces;

use core::fmt;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Hash(pub [u8; 32]);

/// Computes a BLAKE3. A machine may have a quicker one than [`hash`].
pub type Hasher = fn(&[u8]) -> Hash;

/// The portable one where the library knows of no vector registers: about 17 instructions for each byte.
pub fn hash(bytes: &[u8]) -> Hash {
    Hash(*blake3::hash(bytes).as_bytes())
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where there is no vector code: all at once, at the end.
#[cfg(not(target_arch = "x86_64"))]
mod whole {
    use super::{Hash, hash};

    #[derive(Debug, Default)]
    pub struct Pieces;

    impl Pieces {
        pub fn advance(&mut self, _: &[u8]) {}

        pub fn finish(self, bytes: &[u8]) -> Hash {
            hash(bytes)
        }
    }
}
