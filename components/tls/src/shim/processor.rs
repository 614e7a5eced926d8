//! The arrow `pearwood:hardware/crypto`.

use crate::provider::lent::{Aead, Group, Key, Lent, Secret, lend};
use sdk::bindings::pearwood::{
    box0_2_0::log,
    hardware::crypto::{self, Features},
};

/// Uses it where it is, and says where it is not.
pub fn take() {
    let features = crypto::has();
    if features.contains(Features::HERE) {
        lend(Box::new(Processor { fast_aes: features.contains(Features::FAST_AES) }));
    } else {
        let why =
            "pearwood:hardware/crypto is not there: this box computes its cryptography in wasm, many times slower";
        log::write(log::Level::Info, why);
    }
}

struct Processor {
    fast_aes: bool,
}

impl Lent for Processor {
    fn fast_aes(&self) -> bool {
        self.fast_aes
    }

    fn key(&self, aead: Aead, key: &[u8]) -> Option<Box<dyn Key>> {
        let aead = match aead {
            Aead::Aes128Gcm => crypto::Aead::Aes128Gcm,
            Aead::Aes256Gcm => crypto::Aead::Aes256Gcm,
            Aead::ChaCha20Poly1305 => crypto::Aead::Chacha20Poly1305,
        };
        Some(Box::new(crypto::Key::make(aead, key).ok()?))
    }

    fn secret(&self, group: Group) -> Option<Box<dyn Secret>> {
        let group = match group {
            Group::X25519 => crypto::Group::X25519,
            Group::P256 => crypto::Group::P256,
        };
        let secret = crypto::Secret::make(group).ok()?;
        Some(Box::new(Exchange { public: secret.public().ok()?, secret }))
    }
}

impl Key for crypto::Key {
    fn seal(&self, nonce: &[u8; 12], additional: &[u8], data: &mut [u8]) -> Option<[u8; 16]> {
        let sealed = crypto::Key::seal(self, nonce, additional, data).ok()?;
        let (encrypted, tag) = sealed.split_last_chunk()?;
        data.copy_from_slice(encrypted);
        Some(*tag)
    }

    fn open(&self, nonce: &[u8; 12], additional: &[u8], sealed: &mut [u8]) -> Option<usize> {
        let opened = crypto::Key::open(self, nonce, additional, sealed).ok()?;
        sealed[..opened.len()].copy_from_slice(&opened);
        Some(opened.len())
    }
}

struct Exchange {
    secret: crypto::Secret,
    public: Vec<u8>,
}

impl Secret for Exchange {
    fn public(&self) -> &[u8] {
        &self.public
    }

    fn agree(self: Box<Self>, public: &[u8]) -> Option<Vec<u8>> {
        crypto::Secret::agree(self.secret, public).ok()
    }
}
