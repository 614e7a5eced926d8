//! The arrow `pearwood:hardware/crypto`.

use crate::lent::{Lent, Signer, lend};
use sdk::bindings::pearwood::{box0_2_0::log, hardware::crypto};

/// Uses it where it is, and says where it is not.
pub fn take() {
    if crypto::has().contains(crypto::Features::HERE) {
        lend(Box::new(Processor));
    } else {
        let why = "pearwood:hardware/crypto is not there: this box computes its signatures in wasm, many times slower";
        log::write(log::Level::Info, why);
    }
}

struct Processor;

impl Lent for Processor {
    fn signer(&self, private: &[u8], public: &[u8]) -> Option<Box<dyn Signer>> {
        Some(Box::new(crypto::Signer::make(private, public).ok()?))
    }
}

impl Signer for crypto::Signer {
    fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        crypto::Signer::sign(self, message).ok()
    }
}
