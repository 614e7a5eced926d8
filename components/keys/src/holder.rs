//! The keys, and what they do.

use crate::certificate::{self, Authority};
use crate::config::{Config, Origin, check_key_name};
use crate::store::{Disk, Random, Store};
use crate::{lent, purpose};
use p256::{
    SecretKey,
    ecdsa::{DerSignature, Signature, SigningKey, signature::Signer},
    pkcs8::{DecodePrivateKey, EncodePublicKey},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use zeroize::{Zeroize, Zeroizing};

/// Bytes of a private key.
const SECRET: usize = 32;
/// Keys that there may be, beside those of the settings.
const MAX_KEYS: usize = 1_024;
/// Certificates of a chain, and the most bytes of them.
const MAX_CHAIN: usize = 8;
const MAX_CHAIN_BYTES: usize = 32 << 10;
const MAX_CHALLENGES: usize = 100;
/// The most bytes that a client of certificate authorities has kept.
const MAX_CLIENT: usize = 64 << 10;

/// Private keys by name, and their certificates. None leaves it.
pub struct Keys<D> {
    config: Config,
    store: Store<D>,
    /// those of the settings
    own: BTreeMap<String, Key>,
    kept: Kept,
    /// by host name: the key, and what it proves
    challenges: BTreeMap<String, (String, Vec<u8>)>,
    version: u64,
    /// that of the certificates which are made now
    period: Option<u64>,
    told: Vec<String>,
}

/// What is on the disk.
struct Kept {
    authority: Key,
    account: Option<Key>,
    keys: BTreeMap<String, Made>,
    /// what a client of certificate authorities has to know again
    client: Vec<u8>,
}

/// A key that was made here, and what a certificate authority has signed for it (DER, its own first).
struct Made {
    key: Key,
    chain: Vec<Vec<u8>>,
}

/// A key of ECDSA with P-256.
pub(crate) struct Key {
    signing: SigningKey,
}

impl<D> fmt::Debug for Keys<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.own.keys().chain(self.kept.keys.keys())).finish()
    }
}

impl<D: Disk> Keys<D> {
    /// The keys of the settings, and those that the disk has. What is not there yet is made of `random`, and kept on the disk.
    ///
    /// # Errors
    /// There is no randomness, or what the disk has cannot be read.
    pub fn open(config: Config, disk: D, secret: &[u8; SECRET], random: Random<'_>) -> Result<Self, String> {
        let mut told = Vec::new();
        let (store, state) = Store::open(disk, secret, config.discard.as_deref(), &mut told)?;
        let is_new = state.is_none();
        let kept = match state {
            Some(state) => Kept::read(&state)?,
            None => {
                let authority = Key::make(random)?;
                Kept { authority, account: None, keys: BTreeMap::new(), client: Vec::new() }
            }
        };
        let mut own = BTreeMap::new();
        for (name, origin) in &config.keys {
            if let Origin::Pem(pem) = origin {
                own.insert(name.clone(), Key { signing: read_pem(pem)?.into() });
            }
        }
        let mut version = [0; 8];
        random(&mut version)?;
        let (version, challenges) = (u64::from_le_bytes(version), BTreeMap::new());
        let mut keys = Keys { config, store, own, kept, challenges, version, period: None, told };
        let wanted = keys
            .config
            .keys
            .iter()
            .filter(|(name, origin)| matches!(origin, Origin::New) && !keys.kept.keys.contains_key(*name));
        let wanted: Vec<String> = wanted.map(|(name, _)| name.clone()).collect();
        for name in &wanted {
            keys.kept.keys.insert(name.clone(), Made { key: Key::make(random)?, chain: Vec::new() });
        }
        if is_new || !wanted.is_empty() {
            keys.keep(random)?;
        }
        Ok(keys)
    }

    fn keep(&mut self, random: Random<'_>) -> Result<(), String> {
        self.version = self.version.wrapping_add(1);
        self.store.keep(&self.kept.write()?, random, &mut self.told)
    }

    /// What is worth a line of the log since the last call.
    pub fn take_told(&mut self) -> Vec<String> {
        core::mem::take(&mut self.told)
    }

    fn key(&self, name: &str) -> Result<&Key, String> {
        self.own.get(name).or_else(|| self.kept.keys.get(name).map(|made| &made.key)).ok_or_else(|| {
            /// Names that are told.
            const TOLD: usize = 16;
            let names: Vec<&str> = self.own.keys().chain(self.kept.keys.keys()).map(String::as_str).collect();
            let more = if names.len() > TOLD { ", and others" } else { "" };
            format!("there is no such key: there are {}{more}", names[..names.len().min(TOLD)].join(", "))
        })
    }

    /// That a key is none of the settings.
    fn check_made(&self, name: &str) -> Result<(), String> {
        if self.own.contains_key(name) {
            return Err(format!("the key `{name}` is one of the settings, with certificates of its own"));
        }
        Ok(())
    }

    fn made(&mut self, name: &str) -> Result<&mut Made, String> {
        self.check_made(name)?;
        self.kept.keys.get_mut(name).ok_or_else(|| format!("there is no key `{name}` on the disk"))
    }

    fn authority(&self) -> Authority<'_> {
        Authority::new(&self.kept.authority, &self.config.authority)
    }

    /// The certificate (DER) of the node's own authority, for clients that are to trust it.
    pub fn authority_certificate(&self) -> Result<Vec<u8>, String> {
        self.authority().certificate()
    }

    /// See `public-key` of `pearwood:keys/tls`.
    pub fn public_key(&self, name: &str) -> Result<Vec<u8>, String> {
        self.key(name)?.public_key()
    }

    /// See `version` of `pearwood:keys/tls`. `time`: seconds since 1970, if they are known.
    pub fn version(&mut self, time: Option<u64>) -> u64 {
        let period = certificate::period(time);
        if core::mem::replace(&mut self.period, period) != period {
            self.version = self.version.wrapping_add(1);
        }
        self.version
    }

    /// See `certificate` of `pearwood:keys/tls`.
    pub fn certificate(&self, name: &str, names: &[String], time: Option<u64>) -> Result<Vec<Vec<u8>>, String> {
        let key = self.key(name)?;
        let kept = self.kept.keys.get(name).filter(|_| !self.own.contains_key(name));
        if let Some(Made { chain, .. }) =
            kept.filter(|it| it.chain.first().is_some_and(|own| certificate::covers(own, names)))
        {
            return Ok(chain.clone());
        }
        let authority = self.authority();
        if authority.covers(names) {
            return Ok(vec![authority.sign(key, names, certificate::period(time))?]);
        }
        Ok(vec![certificate::self_signed(key, names)?])
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

    /// See `prove` of `pearwood:keys/tls`: the key, and the certificate.
    pub fn prove(&self, name: &str) -> Option<(String, Vec<u8>)> {
        self.challenges.get(&name.to_ascii_lowercase()).cloned()
    }

    /// See `account` of `pearwood:keys/acme`.
    pub fn account(&mut self, random: Random<'_>) -> Result<[u8; 64], String> {
        if self.kept.account.is_none() {
            self.kept.account = Some(Key::make(random)?);
            if let Err(why) = self.keep(random) {
                self.kept.account = None;
                return Err(why);
            }
        }
        self.account_key().map(|(_, public)| public)
    }

    fn account_key(&self) -> Result<(&Key, [u8; 64]), String> {
        let key = self.kept.account.as_ref().ok_or("there is no account: ask for its public key first")?;
        let point = key.point();
        let public = point.get(1..).and_then(|point| point.try_into().ok()).ok_or("the account's key is broken")?;
        Ok((key, public))
    }

    /// See `sign` of `pearwood:keys/acme`.
    pub fn sign_request(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        let (key, public) = self.account_key()?;
        purpose::check_request(message, &public)?;
        let signature = Signature::from_der(&key.sign(message)).map_err(|error| error.to_string())?;
        Ok(signature.to_bytes().to_vec())
    }

    /// See `make` of `pearwood:keys/acme`.
    pub fn make(&mut self, name: &str, random: Random<'_>) -> Result<(), String> {
        check_key_name(name)?;
        if self.key(name).is_ok() {
            return Ok(());
        }
        if self.kept.keys.len() >= MAX_KEYS {
            return Err(format!("there may be {MAX_KEYS} keys"));
        }
        self.kept.keys.insert(name.into(), Made { key: Key::make(random)?, chain: Vec::new() });
        let kept = self.keep(random);
        if kept.is_err() {
            self.kept.keys.remove(name);
        }
        kept
    }

    /// See `request` of `pearwood:keys/acme`.
    pub fn request(&self, name: &str, names: &[String]) -> Result<Vec<u8>, String> {
        certificate::request(self.key(name)?, names)
    }

    /// See `store` of `pearwood:keys/acme`.
    pub fn store(&mut self, name: &str, chain: Vec<Vec<u8>>, random: Random<'_>) -> Result<(), String> {
        let made = self.made(name)?;
        let bytes: usize = chain.iter().map(Vec::len).sum();
        if !(1..=MAX_CHAIN).contains(&chain.len()) || bytes > MAX_CHAIN_BYTES {
            return Err(format!("a chain has 1 to {MAX_CHAIN} certificates, of {MAX_CHAIN_BYTES} bytes together"));
        }
        if !certificate::is_of(&chain[0], &made.key)? {
            return Err(format!("the certificate is not of the key `{name}`"));
        }
        // the others are those of authorities, which a server hands on as they are
        if !chain[1..].iter().all(|other| certificate::is_der(other)) {
            return Err("a certificate of the chain is no DER".into());
        }
        if made.chain == chain {
            return Ok(());
        }
        let before = core::mem::replace(&mut made.chain, chain);
        let kept = self.keep(random);
        if kept.is_err() {
            self.made(name)?.chain = before;
        }
        kept
    }

    /// See `stored` of `pearwood:keys/acme`.
    pub fn stored(&self, name: &str) -> Result<Vec<Vec<u8>>, String> {
        self.key(name)?;
        // whoever asks would store another one
        self.check_made(name)?;
        Ok(self.kept.keys.get(name).map(|made| made.chain.clone()).unwrap_or_default())
    }

    /// See `remember` of `pearwood:keys/acme`.
    pub fn remember(&mut self, state: Vec<u8>, random: Random<'_>) -> Result<(), String> {
        if state.len() > MAX_CLIENT {
            return Err(format!("a client has at most {MAX_CLIENT} bytes kept"));
        }
        if self.kept.client == state {
            return Ok(());
        }
        // nothing that a certificate depends on: the version stays
        let before = core::mem::replace(&mut self.kept.client, state);
        let kept = self.kept.write().and_then(|state| self.store.keep(&state, random, &mut self.told));
        if kept.is_err() {
            self.kept.client = before;
        }
        kept
    }

    /// See `remembered` of `pearwood:keys/acme`.
    pub fn remembered(&self) -> &[u8] {
        &self.kept.client
    }

    /// See `challenge` of `pearwood:keys/acme`.
    pub fn challenge(&mut self, name: &str, host: &str, digest: Option<&[u8]>) -> Result<(), String> {
        let host = host.to_ascii_lowercase();
        let Some(digest) = digest else {
            self.challenges.remove(&host);
            return Ok(());
        };
        let digest = digest.try_into().map_err(|_| "the digest is one of SHA-256, of 32 bytes")?;
        let certificate = certificate::challenge(self.key(name)?, &host, digest)?;
        if self.challenges.len() >= MAX_CHALLENGES && !self.challenges.contains_key(&host) {
            return Err(format!("there may be {MAX_CHALLENGES} challenges at once"));
        }
        self.challenges.insert(host, (name.into(), certificate));
        Ok(())
    }
}

impl Key {
    fn make(random: Random<'_>) -> Result<Self, String> {
        loop {
            let mut secret = Zeroizing::new([0; SECRET]);
            random(&mut *secret)?;
            // one number in 2^32 is none
            if let Ok(secret) = SecretKey::from_slice(&*secret) {
                return Ok(Key { signing: secret.into() });
            }
        }
    }

    fn read(secret: &Secret) -> Result<Self, String> {
        let secret = SecretKey::from_slice(&secret.0).map_err(|_| "a key on the disk is none")?;
        Ok(Key { signing: secret.into() })
    }

    fn secret(&self) -> Secret {
        Secret(self.signing.to_bytes().into())
    }

    /// The signature (DER), of which the random number comes from the key and the message (RFC 6979).
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature: DerSignature = self.signing.sign(message);
        signature.as_bytes().to_vec()
    }

    /// The public point, uncompressed.
    pub fn point(&self) -> Vec<u8> {
        self.signing.verifying_key().to_sec1_point(false).as_bytes().to_vec()
    }

    /// The public key (SubjectPublicKeyInfo, DER).
    pub fn public_key(&self) -> Result<Vec<u8>, String> {
        let der = self.signing.verifying_key().to_public_key_der();
        der.map(|der| der.as_bytes().to_vec()).map_err(|error| error.to_string())
    }
}

/// A private key in PEM: PKCS #8 (RFC 5958) or SEC 1 (RFC 5915).
pub(crate) fn read_pem(pem: &str) -> Result<SecretKey, String> {
    let pem = pem.trim();
    let read = SecretKey::from_pkcs8_pem(pem).ok().or_else(|| SecretKey::from_sec1_pem(pem).ok());
    read.ok_or_else(|| "`new`, or a private key of ECDSA with P-256 in PEM is meant".into())
}

/// The number that a private key is.
#[derive(Serialize, Deserialize)]
struct Secret([u8; SECRET]);

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// What is on the disk, as it is encoded; what the client has kept follows.
#[derive(Serialize, Deserialize)]
struct State {
    authority: Secret,
    account: Option<Secret>,
    keys: Vec<(String, Secret, Vec<Vec<u8>>)>,
}

impl Kept {
    fn write(&self) -> Result<Zeroizing<Vec<u8>>, String> {
        let keys = self.keys.iter().map(|(name, made)| (name.clone(), made.key.secret(), made.chain.clone()));
        let account = self.account.as_ref().map(Key::secret);
        let state = State { authority: self.authority.secret(), account, keys: keys.collect() };
        let state = (state, &self.client);
        let size = postcard::experimental::serialized_size(&state).map_err(|error| error.to_string())?;
        // it does not grow: what grows leaves what it had where nobody wipes it
        let mut bytes = Zeroizing::new(vec![0; size]);
        postcard::to_slice(&state, &mut bytes).map_err(|error| error.to_string())?;
        Ok(bytes)
    }

    fn read(bytes: &[u8]) -> Result<Self, String> {
        let wrong = |error: postcard::Error| format!("the keys on the disk are of another form: {error}");
        let (state, rest): (State, _) = postcard::take_from_bytes(bytes).map_err(wrong)?;
        // a box of before has not written it
        let client = if rest.is_empty() { Vec::new() } else { postcard::from_bytes(rest).map_err(wrong)? };
        let made = |(name, secret, chain): (String, Secret, _)| Ok((name, Made { key: Key::read(&secret)?, chain }));
        Ok(Kept {
            authority: Key::read(&state.authority)?,
            account: state.account.as_ref().map(Key::read).transpose()?,
            keys: state.keys.into_iter().map(made).collect::<Result<_, String>>()?,
            client,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A box of before has not written what a client has kept.
    #[test]
    fn a_disk_of_before_is_read() {
        let key = || Secret([7; SECRET]);
        let chain = vec![vec![1, 2, 3]];
        let state = State { authority: key(), account: Some(key()), keys: vec![("a".into(), key(), chain.clone())] };
        let mut kept = Kept::read(&postcard::to_allocvec(&state).unwrap()).unwrap();
        assert_eq!((&kept.keys["a"].chain, kept.client.len(), kept.account.is_some()), (&chain, 0, true));
        kept.client = b"an order".to_vec();
        let again = Kept::read(&kept.write().unwrap()).unwrap();
        assert_eq!((&again.keys["a"].chain, again.client), (&chain, kept.client));
    }
}
