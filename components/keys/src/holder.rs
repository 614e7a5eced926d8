//! The keys, and what they do.

use crate::config::{Config, Origin};
use crate::{certificate, lent, purpose};
use p256::{
    SecretKey,
    ecdsa::{DerSignature, SigningKey, signature::Signer},
    pkcs8::{DecodePrivateKey, EncodePublicKey},
};
use std::collections::BTreeMap;
use std::fmt;
use zeroize::Zeroizing;

/// Bytes of a private key.
const SECRET: usize = 32;
/// Of the form in which keys are handed over.
const VERSION: u8 = 1;

/// Private keys by name. None leaves it but to the instance that takes its place.
pub struct Keys {
    keys: BTreeMap<String, Key>,
}

pub(crate) struct Key {
    signing: SigningKey,
    /// It was made here, so another instance does not find it in its settings.
    is_made: bool,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.keys()).finish()
    }
}

impl Keys {
    /// The keys of the settings: those that are to be made are those that the instance before has left, if it has, or else of `random`.
    ///
    /// # Errors
    /// There is no randomness, or `left` is of another form.
    pub fn new(
        config: &Config,
        left: Option<&[u8]>,
        mut random: impl FnMut(&mut [u8]) -> Result<(), String>,
    ) -> Result<Self, String> {
        let mut left = left.map(read).transpose()?.unwrap_or_default();
        let mut keys = BTreeMap::new();
        for (name, origin) in &config.keys {
            let (secret, is_made) = match origin {
                Origin::Pem(pem) => (read_pem(pem)?, false),
                Origin::New => (left.remove(name).map_or_else(|| make(&mut random), Ok)?, true),
            };
            keys.insert(name.clone(), Key { signing: SigningKey::from(secret), is_made });
        }
        Ok(Keys { keys })
    }

    /// The keys that were made here, for the instance that takes this one's place.
    pub fn write(&self) -> Zeroizing<Vec<u8>> {
        let made: Vec<_> = self.keys.iter().filter(|(_, key)| key.is_made).collect();
        let length = made.iter().map(|(name, _)| 4 + name.len() + SECRET).sum::<usize>();
        let mut state = Zeroizing::new(Vec::with_capacity(1 + length));
        state.push(VERSION);
        for (name, key) in made {
            state.extend_from_slice(&(name.len() as u32).to_le_bytes());
            state.extend_from_slice(name.as_bytes());
            state.extend_from_slice(&Zeroizing::new(<[u8; SECRET]>::from(key.signing.to_bytes()))[..]);
        }
        state
    }

    fn key(&self, name: &str) -> Result<&Key, String> {
        self.keys.get(name).ok_or_else(|| {
            let names: Vec<&str> = self.keys.keys().map(String::as_str).collect();
            format!("there is no such key: there are {}", names.join(", "))
        })
    }

    /// The public key (SubjectPublicKeyInfo, DER).
    pub fn public_key(&self, name: &str) -> Result<Vec<u8>, String> {
        let der = self.key(name)?.signing.verifying_key().to_public_key_der();
        der.map(|der| der.as_bytes().to_vec()).map_err(|error| error.to_string())
    }

    /// See `self-signed` of `pearwood:keys/tls`.
    pub fn self_signed(&self, name: &str, names: &[String]) -> Result<Vec<u8>, String> {
        certificate::self_signed(self.key(name)?, names)
    }

    /// See `sign` of `pearwood:keys/tls`.
    pub fn sign(&self, name: &str, message: &[u8]) -> Result<Vec<u8>, String> {
        let key = self.key(name)?;
        if !purpose::is_of_tls(message) {
            return Err("this is not what a server of TLS signs".into());
        }
        // Without the node's signature there is its own. A certificate is always signed by the latter, which is the same each time.
        Ok(lent::sign(name, &key.signing, message).unwrap_or_else(|| key.sign(message)))
    }
}

impl Key {
    /// The signature (DER), of which the random number comes from the key and the message (RFC 6979).
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature: DerSignature = self.signing.sign(message);
        signature.as_bytes().to_vec()
    }

    /// The public point, uncompressed.
    pub fn point(&self) -> Vec<u8> {
        self.signing.verifying_key().to_sec1_point(false).as_bytes().to_vec()
    }
}

fn make(random: &mut impl FnMut(&mut [u8]) -> Result<(), String>) -> Result<SecretKey, String> {
    loop {
        let mut secret = Zeroizing::new([0; SECRET]);
        random(&mut *secret)?;
        // one number in 2^32 is none
        if let Ok(secret) = SecretKey::from_slice(&*secret) {
            return Ok(secret);
        }
    }
}

/// A private key in PEM: PKCS #8 (RFC 5958) or SEC 1 (RFC 5915).
pub(crate) fn read_pem(pem: &str) -> Result<SecretKey, String> {
    let pem = pem.trim();
    let read = SecretKey::from_pkcs8_pem(pem).ok().or_else(|| SecretKey::from_sec1_pem(pem).ok());
    read.ok_or_else(|| "`new`, or a private key of ECDSA with P-256 in PEM is meant".into())
}

/// What another instance has left.
fn read(state: &[u8]) -> Result<BTreeMap<String, SecretKey>, String> {
    let malformed = || "the keys of the instance before are of a form that this one does not know".to_string();
    let (&VERSION, mut rest) = state.split_first().ok_or_else(malformed)? else { return Err(malformed()) };
    let mut keys = BTreeMap::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length) as usize;
        let (name, after) = after.split_at_checked(length).ok_or_else(malformed)?;
        let (secret, after) = after.split_at_checked(SECRET).ok_or_else(malformed)?;
        let name = str::from_utf8(name).map_err(|_| malformed())?;
        keys.insert(name.into(), SecretKey::from_slice(secret).map_err(|_| malformed())?);
        rest = after;
    }
    if rest.is_empty() { Ok(keys) } else { Err(malformed()) }
}
