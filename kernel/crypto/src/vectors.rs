//! Key exchange with given private keys, as published vectors have them. ring makes such keys of what it is given as randomness, which
//! its own tests use; all else of it is what [`TABLE`](crate::TABLE) does.
//! The linker takes it into the kernel that tests itself only.
#![allow(unsafe_code, deprecated)]

use crate::ring_table;
use crypto::{Place, SECRET};
use ring::{agreement::EphemeralPrivateKey, test::rand::FixedSliceRandom};

/// Makes a private key, as `secret` of the table does.
///
/// # Safety
/// `private` can be read, and the place is the caller's for a new key.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pearwood_crypto_given(group: u32, private: *const [u8; SECRET], place: *mut Place) -> u32 {
    let Some(algorithm) = ring_table::group(group) else { return 0 };
    // SAFETY: the caller's contract.
    unsafe {
        let random = FixedSliceRandom { bytes: &*private };
        ring_table::put(place, EphemeralPrivateKey::generate(algorithm, &random))
    }
}
