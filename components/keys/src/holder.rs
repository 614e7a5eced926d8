//! The keys, and what they do.

use crate::certificate::{self, Authority};
use crate::config::{Algorithm, Config, Origin, check_key_name};
use crate::key::{Key, SECRET, Secret};
use crate::store::{Disk, Random, Store};
use crate::{lent, purpose};
use p256::ecdsa::Signature;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use zeroize::Zeroizing;

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
    /// of ECDSA with P-256
    keys: BTreeMap<String, Made>,
    /// of Ed25519. A name may be here and there: the settings say which of both it is.
    edwards: BTreeMap<String, Key>,
    /// what a client of certificate authorities has to know again
    client: Vec<u8>,
    /// what a box of after has written
    rest: Zeroizing<Vec<u8>>,
}

/// A key that was made here, and what a certificate authority has signed for it (DER, its own first).
struct Made {
    key: Key,
    chain: Vec<Vec<u8>>,
}

impl<D> fmt::Debug for Keys<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

impl<D> Keys<D> {
    fn names(&self) -> impl Iterator<Item = &String> {
        self.own.keys().chain(self.kept.keys.keys()).chain(self.kept.edwards.keys())
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
                let authority = Key::make(Algorithm::P256, random)?;
                let (keys, edwards, rest) = (BTreeMap::new(), BTreeMap::new(), Zeroizing::default());
                Kept { authority, account: None, keys, edwards, client: Vec::new(), rest }
            }
        };
        let mut own = BTreeMap::new();
        for (name, origin) in &config.keys {
            if let Origin::Pem(pem) = origin {
                own.insert(name.clone(), Key::read_pem(pem)?);
            }
        }
        let mut version = [0; 8];
        random(&mut version)?;
        let (version, challenges) = (u64::from_le_bytes(version), BTreeMap::new());
        let mut keys = Keys { config, store, own, kept, challenges, version, period: None, told };
        let mut is_more = is_new;
        for (name, origin) in &keys.config.keys {
            match origin {
                Origin::New(Algorithm::P256) if !keys.kept.keys.contains_key(name) => {
                    keys.kept.keys.insert(name.clone(), Made::new(random)?);
                }
                Origin::New(Algorithm::Ed25519) if !keys.kept.edwards.contains_key(name) => {
                    keys.kept.edwards.insert(name.clone(), Key::make(Algorithm::Ed25519, random)?);
                }
                _ => continue,
            }
            is_more = true;
        }
        if is_more {
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
        let made = self.kept.keys.get(name).map(|made| &made.key);
        let edwards = self.kept.edwards.get(name);
        let key = match (self.config.keys.get(name), made, edwards) {
            (Some(Origin::Pem(_)), ..) => self.own.get(name),
            (Some(Origin::New(Algorithm::Ed25519)), ..) => edwards,
            (Some(Origin::New(Algorithm::P256)), ..) => made,
            // which one was in use last is not known
            (None, Some(_), Some(_)) => {
                return Err(format!(
                    "the key `{name}` is there twice, of ECDSA and of Ed25519: say `new` or `new-ed25519` for it in config.keys"
                ));
            }
            (None, ..) => made.or(edwards),
        };
        key.ok_or_else(|| {
            /// Names that are told.
            const TOLD: usize = 16;
            let names: BTreeSet<&str> = self.names().map(String::as_str).collect();
            let names = Vec::from_iter(names);
            let more = if names.len() > TOLD { ", and others" } else { "" };
            format!("there is no such key: there are {}{more}", names[..names.len().min(TOLD)].join(", "))
        })
    }

    /// A key that certificate authorities may be asked about.
    fn for_authorities(&self, name: &str) -> Result<&Key, String> {
        let key = self.key(name)?;
        if key.algorithm() == Algorithm::Ed25519 {
            return Err(format!(
                "the key `{name}` is one of Ed25519, for which authorities that browsers trust sign no certificates: one of ECDSA is meant"
            ));
        }
        Ok(key)
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
        self.for_authorities(name)?;
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
        let kept = self.kept.keys.get(name).filter(|made| core::ptr::eq(&raw const made.key, key));
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
        let lent = if let Key::P256(signing) = key { lent::sign(name, signing, message) } else { None };
        Ok(lent.unwrap_or_else(|| key.sign(message)))
    }

    /// See `prove` of `pearwood:keys/tls`: the key, and the certificate.
    pub fn prove(&self, name: &str) -> Option<(String, Vec<u8>)> {
        self.challenges.get(&name.to_ascii_lowercase()).cloned()
    }

    /// See `account` of `pearwood:keys/acme`.
    pub fn account(&mut self, random: Random<'_>) -> Result<[u8; 64], String> {
        if self.kept.account.is_none() {
            self.kept.account = Some(Key::make(Algorithm::P256, random)?);
            if let Err(why) = self.keep(random) {
                self.kept.account = None;
                return Err(why);
            }
        }
        self.account_key().map(|(_, public)| public)
    }

    fn account_key(&self) -> Result<(&Key, [u8; 64]), String> {
        let key = self.kept.account.as_ref().ok_or("there is no account: ask for its public key first")?;
        let point = key.public();
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
        if self.names().any(|known| known == name) {
            return self.for_authorities(name).map(drop);
        }
        if self.kept.keys.len() + self.kept.edwards.len() >= MAX_KEYS {
            return Err(format!("there may be {MAX_KEYS} keys"));
        }
        self.kept.keys.insert(name.into(), Made::new(random)?);
        let kept = self.keep(random);
        if kept.is_err() {
            self.kept.keys.remove(name);
        }
        kept
    }

    /// See `request` of `pearwood:keys/acme`.
    pub fn request(&self, name: &str, names: &[String]) -> Result<Vec<u8>, String> {
        certificate::request(self.for_authorities(name)?, names)
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
        self.for_authorities(name)?;
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
        let certificate = certificate::challenge(self.for_authorities(name)?, &host, digest)?;
        if self.challenges.len() >= MAX_CHALLENGES && !self.challenges.contains_key(&host) {
            return Err(format!("there may be {MAX_CHALLENGES} challenges at once"));
        }
        self.challenges.insert(host, (name.into(), certificate));
        Ok(())
    }
}

impl Made {
    fn new(random: Random<'_>) -> Result<Self, String> {
        Ok(Made { key: Key::make(Algorithm::P256, random)?, chain: Vec::new() })
    }
}

/// What is on the disk, as it is encoded. What the client has kept follows, then the names and secrets of keys of Ed25519,
/// and then what is not known here: that is written again as it was, so that nothing is lost by going back to an earlier box.
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
        let edwards: Vec<_> = self.edwards.iter().map(|(name, key)| (name, key.secret())).collect();
        let state = (state, &self.client, edwards);
        let size = postcard::experimental::serialized_size(&state).map_err(|error| error.to_string())?;
        // it does not grow: what grows leaves what it had where nobody wipes it
        let mut bytes = Zeroizing::new(vec![0; size + self.rest.len()]);
        let (known, rest) = bytes.split_at_mut(size);
        postcard::to_slice(&state, known).map_err(|error| error.to_string())?;
        rest.copy_from_slice(&self.rest);
        Ok(bytes)
    }

    fn read(bytes: &[u8]) -> Result<Self, String> {
        let wrong = |error: postcard::Error| format!("the keys on the disk are of another form: {error}");
        let (state, rest): (State, _) = postcard::take_from_bytes(bytes).map_err(wrong)?;
        // what a box of before has not written
        let (client, rest) = match rest {
            [] => (Vec::new(), rest),
            _ => postcard::take_from_bytes(rest).map_err(wrong)?,
        };
        let (edwards, rest): (Vec<(String, Secret)>, _) = match rest {
            [] => (Vec::new(), rest),
            _ => postcard::take_from_bytes(rest).map_err(wrong)?,
        };
        let read = |secret: &Secret| Key::read(Algorithm::P256, secret);
        let made = |(name, secret, chain): (String, Secret, _)| Ok((name, Made { key: read(&secret)?, chain }));
        let edwards = edwards.into_iter().map(|(name, secret)| Ok((name, Key::read(Algorithm::Ed25519, &secret)?)));
        Ok(Kept {
            authority: read(&state.authority)?,
            account: state.account.as_ref().map(read).transpose()?,
            edwards: edwards.collect::<Result<_, String>>()?,
            keys: state.keys.into_iter().map(made).collect::<Result<_, String>>()?,
            client,
            rest: Zeroizing::new(rest.to_vec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A box of before has not written what a client has kept.
    #[test]
    fn a_disk_of_before_is_read() {
        let key = || Secret::from([7; SECRET]);
        let chain = vec![vec![1, 2, 3]];
        let state = State { authority: key(), account: Some(key()), keys: vec![("a".into(), key(), chain.clone())] };
        let mut kept = Kept::read(&postcard::to_allocvec(&state).unwrap()).unwrap();
        assert_eq!((&kept.keys["a"].chain, kept.client.len(), kept.account.is_some()), (&chain, 0, true));
        kept.client = b"an order".to_vec();
        // so far a box did write that knows no other keys
        let before = (state, &kept.client);
        assert!(Kept::read(&postcard::to_allocvec(&before).unwrap()).unwrap().edwards.is_empty());
        kept.edwards.insert("a".into(), Key::read(Algorithm::Ed25519, &key()).unwrap());
        let written = kept.write().unwrap();
        let again = Kept::read(&written).unwrap();
        assert_eq!((&again.keys["a"].chain, &again.client), (&chain, &kept.client));
        assert_eq!(again.edwards["a"].public(), kept.edwards["a"].public());
        // and a box of before reads what this one has written
        let (_, rest) = postcard::take_from_bytes::<State>(&written).unwrap();
        assert_eq!(postcard::from_bytes::<Vec<u8>>(rest).unwrap(), kept.client);
        // what a box of after writes behind it stays
        let mut more = written.to_vec();
        more.extend(b"what is not known here");
        let mut again = Kept::read(&more).unwrap();
        assert_eq!(*again.write().unwrap(), more);
        again.client.clear();
        assert!(again.write().unwrap().ends_with(b"what is not known here"));
    }
}
