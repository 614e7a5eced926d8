//! The cryptography that is linked in: the same function table, with the same check, as `crypto/tests/vectors.rs` has on Linux.

use super::Fixture;
use crate::{clock, crypto::table};
use ::crypto::vectors::{Given, check, check_signatures};

/// Of Project Wycheproof's vectors some of each kind: that file of tests writes them.
const VECTORS: &str = include_str!("../../crypto/vectors.txt");

#[allow(unsafe_code)]
mod library {
    // SAFETY: the static library defines it, of this type.
    unsafe extern "C" {
        pub fn pearwood_crypto_given(
            group: u32,
            private: *const [u8; ::crypto::SECRET],
            place: *mut ::crypto::Place,
        ) -> u32;
    }
}

pub fn agrees(_: &Fixture) {
    let given: Given = library::pearwood_crypto_given;
    let count = check(table(), given, VECTORS).unwrap_or_else(|why| panic!("{why}"));
    log::info!("selftest: {count} vectors");
    check_signatures(table()).unwrap_or_else(|why| panic!("{why}"));
}

/// The clock of boxes' time slices interrupts whatever runs: for half a second, in the midst of this.
pub fn agrees_interrupted(fixture: &Fixture) {
    let end = clock::now() + 500_000_000;
    while clock::now() < end {
        agrees_once(fixture);
    }
}

fn agrees_once(_: &Fixture) {
    // those of AES and ChaCha20 have all vector registers in use
    let records = VECTORS.lines().take(40);
    for line in records {
        check(table(), library::pearwood_crypto_given, line).unwrap_or_else(|why| panic!("{why}"));
    }
}
