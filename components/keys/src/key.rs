//! A private key, of any algorithm that there is.

use crate::config::Algorithm;
use crate::store::Random;
use ed25519_dalek as ed25519;
use p256::{
    SecretKey,
    ecdsa::{self, DerSignature, signature::Signer},
    pkcs8::{DecodePrivateKey, EncodePublicKey},
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

/// Bytes of a private key.
pub(crate) const SECRET: usize = 32;

pub(crate) enum Key {
    P256(ecdsa::SigningKey),
    Ed25519(Box<ed25519::SigningKey>),
}

impl Key {
    pub fn make(algorithm: Algorithm, random: Random<'_>) -> Result<Self, String> {
        loop {
            let mut secret = Secret([0; SECRET]);
            random(&mut secret.0)?;
            // of P-256, one number in 2^32 is none
            if let Ok(key) = Key::read(algorithm, &secret) {
                return Ok(key);
            }
        }
    }

    pub fn read(algorithm: Algorithm, secret: &Secret) -> Result<Self, String> {
        match algorithm {
            Algorithm::P256 => {
                let secret = SecretKey::from_slice(&secret.0).map_err(|_| "a key on the disk is none")?;
                Ok(Key::P256(secret.into()))
            }
            Algorithm::Ed25519 => Ok(Key::Ed25519(Box::new(ed25519::SigningKey::from_bytes(&secret.0)))),
        }
    }

    /// A private key in PEM: PKCS #8 (RFC 5958; RFC 8410 for Ed25519) or SEC 1 (RFC 5915).
    pub fn read_pem(pem: &str) -> Result<Self, String> {
        let pem = pem.trim();
        let p256 = || SecretKey::from_pkcs8_pem(pem).ok().or_else(|| SecretKey::from_sec1_pem(pem).ok());
        let edwards = || ed25519::SigningKey::from_pkcs8_pem(pem).ok();
        let key = p256().map(|secret| Key::P256(secret.into()));
        let key = key.or_else(|| edwards().map(|key| Key::Ed25519(Box::new(key))));
        key.ok_or_else(|| {
            "`new`, `new-ed25519`, or a private key of ECDSA with P-256 or of Ed25519 in PEM is meant".into()
        })
    }

    pub fn algorithm(&self) -> Algorithm {
        match self {
            Key::P256(_) => Algorithm::P256,
            Key::Ed25519(_) => Algorithm::Ed25519,
        }
    }

    pub fn secret(&self) -> Secret {
        match self {
            Key::P256(key) => Secret(key.to_bytes().into()),
            Key::Ed25519(key) => Secret(key.to_bytes()),
        }
    }

    /// The signature, as certificates and handshakes have it: of ECDSA in DER, with a random number that comes from the key and the
    /// message (RFC 6979); of Ed25519 64 bytes (RFC 8032).
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Key::P256(key) => {
                let signature: DerSignature = key.sign(message);
                signature.as_bytes().to_vec()
            }
            Key::Ed25519(key) => ed25519::Signer::sign(&**key, message).to_bytes().to_vec(),
        }
    }

    /// The public key without what says of which algorithm it is: of P-256 the point, uncompressed.
    pub fn public(&self) -> Vec<u8> {
        match self {
            Key::P256(key) => key.verifying_key().to_sec1_point(false).as_bytes().to_vec(),
            Key::Ed25519(key) => key.verifying_key().to_bytes().to_vec(),
        }
    }

    /// The public key (SubjectPublicKeyInfo, DER).
    pub fn public_key(&self) -> Result<Vec<u8>, String> {
        let der = match self {
            Key::P256(key) => key.verifying_key().to_public_key_der(),
            Key::Ed25519(key) => key.verifying_key().to_public_key_der(),
        };
        der.map(|der| der.as_bytes().to_vec()).map_err(|error| error.to_string())
    }
}

/// What a private key is made of: of P-256 a number, of Ed25519 a seed.
#[derive(Serialize, Deserialize)]
pub(crate) struct Secret([u8; SECRET]);

#[cfg(test)]
impl From<[u8; SECRET]> for Secret {
    fn from(bytes: [u8; SECRET]) -> Self {
        Secret(bytes)
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
