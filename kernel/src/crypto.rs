//! The cryptography that the node lends: the static library of `crypto/`, and what that takes of the kernel. Why its vector registers
//! harm nobody is said there.
#![allow(unsafe_code)]

use crypto::{Crypto, Table};

// SAFETY: the library has it, with this type (`crypto/src/kernel.rs`).
unsafe extern "C" {
    /// Of the library: the table, which lasts as long as the kernel.
    fn pearwood_crypto() -> *const Table;
}

/// What the processor computes.
pub fn table() -> Crypto {
    // SAFETY: it takes nothing, and points at a static, whose functions do what the table says.
    unsafe { Crypto::new(&*pearwood_crypto()) }
}

/// # Safety
/// So many bytes can be written there.
#[unsafe(no_mangle)]
unsafe extern "C" fn pearwood_crypto_random(start: *mut u8, length: usize) {
    // SAFETY: the library's buffer, which it has given a value before.
    crate::entropy::fill(unsafe { core::slice::from_raw_parts_mut(start, length) });
}

#[unsafe(no_mangle)]
extern "C" fn pearwood_crypto_panic() -> ! {
    panic!("the cryptography has failed")
}
