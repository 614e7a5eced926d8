//! The cryptography that a platform lends: a [`Table`] of functions with a C interface, and what is safe to call of it.
//!
//! The table is what lies between code that uses vector registers and a kernel that is compiled without them: only pointers and
//! integers cross it. Whoever fills it can be exchanged for another. Nothing here is an algorithm.
#![no_std]
#![deny(unsafe_code)]

extern crate alloc;

mod call;
mod table;
pub mod vectors;

pub use call::{AeadKey, Crypto, Secret, SigningKey};
pub use table::{PLACE, Place, Table};

use core::fmt;

/// Bytes of a nonce (RFC 5116, section 3.2).
pub const NONCE: usize = 12;
/// Bytes by which what is sealed is longer.
pub const TAG: usize = 16;
/// The most bytes that one call seals or opens, signs or verifies: a record of TLS with all that its versions add (RFC 5246, section
/// 6.2.3). What it takes is at most some tens of microseconds, in which nothing else runs.
pub const MAX_DATA: usize = (1 << 14) + 2_048;
/// The most bytes of additional data: those of a record's header are 5 or 13.
pub const MAX_ADDITIONAL: usize = 1_024;
/// The most bytes of a public key: a point of P-256, uncompressed (SEC 1, section 2.3.3).
pub const MAX_PUBLIC: usize = 65;
/// The most bytes of a signature: ECDSA with P-256, in DER.
pub const MAX_SIGNATURE: usize = 72;
/// Bytes of a secret on which two have agreed, and of a private key.
pub const SECRET: usize = 32;

/// Authenticated encryption (RFC 5116, RFC 8439).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Aead {
    Aes128Gcm = 0,
    Aes256Gcm = 1,
    ChaCha20Poly1305 = 2,
}

impl Aead {
    /// Bytes of a key.
    pub const fn key(self) -> usize {
        match self {
            Aead::Aes128Gcm => 16,
            Aead::Aes256Gcm | Aead::ChaCha20Poly1305 => 32,
        }
    }
}

/// Groups of a key exchange: RFC 7748, and P-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Group {
    X25519 = 0,
    P256 = 1,
}

/// Why a call has done nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// An argument is longer than it may be, or has not the length that it must have.
    Length,
    /// What was given is none: it is not what was sealed with that key, no point of the curve, no key, no signature of it.
    Invalid,
    /// The platform has no memory for it.
    Memory,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refused::Length => "an argument is not of a length that it may have",
            Refused::Invalid => "what was given is not valid",
            Refused::Memory => "there is no memory for it",
        })
    }
}

impl core::error::Error for Refused {}
