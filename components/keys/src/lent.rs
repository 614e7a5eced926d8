//! What the node lends of its processor: the interface `pearwood:hardware/crypto`. Where it does, it signs.

use p256::ecdsa::SigningKey;
use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};
use zeroize::Zeroizing;

/// Whoever lends it.
pub trait Lent: Send + Sync {
    /// A key of P-256 that signs with SHA-256: a number of 32 bytes and its point, uncompressed. None: not now.
    fn signer(&self, private: &[u8], public: &[u8]) -> Option<Box<dyn Signer>>;
}

/// A key on the node.
pub trait Signer: Send + Sync {
    /// The signature in DER.
    fn sign(&self, message: &[u8]) -> Option<Vec<u8>>;
}

struct Here {
    lent: Box<dyn Lent>,
    /// of the keys that have signed, by their names
    signers: Mutex<BTreeMap<String, Of>>,
}

/// A signer, and its public key.
type Of = (Vec<u8>, Box<dyn Signer>);

static HERE: OnceLock<Here> = OnceLock::new();

/// From now on it is used. Only the first counts.
pub fn lend(lent: Box<dyn Lent>) {
    drop(HERE.set(Here { lent, signers: Mutex::default() }));
}

/// A signature that the node has made. None: it does not, or not now.
pub fn sign(name: &str, key: &SigningKey, message: &[u8]) -> Option<Vec<u8>> {
    let here = HERE.get()?;
    let point = key.verifying_key().to_sec1_point(false);
    let public = point.as_bytes();
    let mut signers = here.signers.lock().unwrap_or_else(PoisonError::into_inner);
    if signers.get(name).is_none_or(|(known, _)| known != public) {
        let private = Zeroizing::new(<[u8; 32]>::from(key.to_bytes()));
        signers.insert(name.into(), (public.into(), here.lent.signer(&private[..], public)?));
    }
    signers.get(name)?.1.sign(message)
}
