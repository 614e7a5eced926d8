//! Keys that sign, and key files: PKCS #8 and SubjectPublicKeyInfo in PEM (RFC 8410), as other tools write them.

extern crate std;

use super::{Endorsement, PublicKey};
use alloc::string::{String, ToString};
use core::fmt;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, KeypairBytes};
use ed25519_dalek::{Signer, SigningKey};
use std::io::Write;
use std::path::Path;

/// A key to sign images with.
pub struct SecretKey(SigningKey);

/// Why there is no key: the file, and what is wrong.
#[derive(Debug)]
pub struct KeyError(String);

impl KeyError {
    fn file(path: &Path, why: impl fmt::Display) -> Self {
        KeyError(alloc::format!("{}: {why}", path.display()))
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for KeyError {}

impl SecretKey {
    /// A new key, from the operating system's randomness.
    pub fn generate() -> Result<Self, KeyError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| KeyError(error.to_string()))?;
        Ok(Self::from_seed(&seed))
    }

    pub fn from_seed(seed: &[u8; 32]) -> Self {
        SecretKey(SigningKey::from_bytes(seed))
    }

    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// What is signed begins with what tells it from all else that this key signs: an image with its magic, a statement
    /// with its purpose.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }

    /// Vouches for another key.
    pub fn endorse(&self, key: &PublicKey) -> Endorsement {
        Endorsement { key: *key, by: self.public(), signature: self.sign(&Endorsement::statement(key)) }
    }

    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let text = std::fs::read_to_string(path).map_err(|error| KeyError::file(path, error))?;
        SigningKey::from_pkcs8_pem(&text)
            .map(SecretKey)
            .map_err(|error| KeyError::file(path, alloc::format!("no ed25519 private key in PEM: {error}")))
    }

    /// Writes a new file that only its owner can read.
    pub fn save(&self, path: &Path) -> Result<(), KeyError> {
        // version 1, without the public key: some tools do not read version 2
        let pair = KeypairBytes { secret_key: self.0.to_bytes(), public_key: None };
        let pem = pair.to_pkcs8_pem(LineEnding::LF).map_err(|error| KeyError::file(path, error))?;
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(|error| KeyError::file(path, error))?;
        file.write_all(pem.as_bytes()).and_then(|()| file.sync_all()).map_err(|error| KeyError::file(path, error))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey of {}", self.public().id())
    }
}

impl PublicKey {
    /// Reads a key in PEM, or in hexadecimal.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let text = std::fs::read_to_string(path).map_err(|error| KeyError::file(path, error))?;
        if let Ok(key) = text.parse() {
            return Ok(key);
        }
        let key = ed25519_dalek::VerifyingKey::from_public_key_pem(&text)
            .map_err(|error| KeyError::file(path, alloc::format!("no ed25519 public key in PEM: {error}")))?;
        PublicKey::from_bytes(key.as_bytes()).ok_or_else(|| KeyError::file(path, "a weak key"))
    }

    pub fn to_pem(&self) -> Result<String, KeyError> {
        self.0.to_public_key_pem(LineEnding::LF).map_err(|error| KeyError(error.to_string()))
    }
}
