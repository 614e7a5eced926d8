//! Session tickets (RFC 8446, section 4.6.1; RFC 5077): what a client brings to go on with a session, sealed so that nobody else
//! reads or makes one. The keys change, and the instance that takes this one's place goes on with them.

use crate::clock::Clock;
use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit,
    aead::{AeadInOut, Nonce, Tag},
};
use rustls::{crypto::SecureRandom, server::ProducesTickets};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use zeroize::Zeroizing;

const SECOND: u64 = 1_000_000_000;
/// How long tickets are made with one key.
const ROTATION: u64 = 6 * 3600 * SECOND;
/// How long a ticket is good for.
const LIFETIME: u64 = 12 * 3600 * SECOND;
/// Keys that a ticket may still be of.
const KEYS: usize = 1 + LIFETIME.div_ceil(ROTATION) as usize;

const NAME: usize = 16;
const NONCE: usize = 12;
const TAG: usize = 16;
/// Of a key that is handed over: its name, the key, since when it is used.
const WRITTEN: usize = NAME + 32 + 8;
/// Of the form in which keys are handed over.
const VERSION: u8 = 1;

struct Key {
    name: [u8; NAME],
    key: Zeroizing<[u8; 32]>,
    since: u64,
}

pub struct Tickets {
    random: &'static dyn SecureRandom,
    clock: Arc<Clock>,
    /// the newest first
    keys: Mutex<Vec<Key>>,
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets")
    }
}

impl Tickets {
    pub fn new(random: &'static dyn SecureRandom, clock: Arc<Clock>) -> Self {
        Tickets { random, clock, keys: Mutex::default() }
    }

    /// The keys, without those that are too old.
    fn keys(&self) -> MutexGuard<'_, Vec<Key>> {
        let now = self.clock.now();
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.retain(|key| now.saturating_sub(key.since) < ROTATION + LIFETIME);
        keys
    }

    /// The keys, for another instance.
    pub fn write(&self) -> Vec<u8> {
        let keys = self.keys();
        let mut state = Vec::with_capacity(1 + keys.len() * WRITTEN);
        state.push(VERSION);
        for Key { name, key, since } in keys.iter() {
            state.extend_from_slice(name);
            state.extend_from_slice(&**key);
            state.extend_from_slice(&since.to_le_bytes());
        }
        state
    }

    /// Goes on with the keys of another instance.
    ///
    /// # Errors
    /// They are of another form. Clients then do without their tickets.
    pub fn read(&self, state: &[u8]) -> Result<(), &'static str> {
        let malformed = "the ticket keys of the instance before are of a form that this one does not know";
        let Some((&VERSION, rest)) = state.split_first() else { return Err(malformed) };
        let (keys, rest) = rest.as_chunks::<WRITTEN>();
        if !rest.is_empty() || keys.len() > KEYS {
            return Err(malformed);
        }
        let read = |written: &[u8; WRITTEN]| {
            let (name, rest) = written.split_first_chunk::<NAME>()?;
            let (key, since) = rest.split_first_chunk::<32>()?;
            let since = u64::from_le_bytes(since.try_into().ok()?);
            Some(Key { name: *name, key: Zeroizing::new(*key), since: since.min(self.clock.now()) })
        };
        *self.keys() = keys.iter().filter_map(read).collect();
        Ok(())
    }

    /// The newest key, which is made if it is not there.
    fn newest(&self) -> Option<(ChaCha20Poly1305, [u8; NAME])> {
        let now = self.clock.now();
        let mut keys = self.keys();
        if keys.first().is_none_or(|key| now.saturating_sub(key.since) >= ROTATION) {
            let mut new = Key { name: [0; NAME], key: Zeroizing::default(), since: now };
            self.random.fill(&mut new.name).ok()?;
            self.random.fill(&mut *new.key).ok()?;
            keys.insert(0, new);
            keys.truncate(KEYS);
        }
        let key = keys.first()?;
        Some((ChaCha20Poly1305::new((&*key.key).into()), key.name))
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        (LIFETIME / SECOND) as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let (cipher, name) = self.newest()?;
        let mut nonce = [0; NONCE];
        self.random.fill(&mut nonce).ok()?;
        let mut ticket = [&name, &nonce[..], plain].concat();
        let data = &mut ticket[NAME + NONCE..];
        let tag = cipher.encrypt_inout_detached(&nonce.into(), &name, data.into()).ok()?;
        ticket.extend_from_slice(&tag);
        Some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME>()?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE>()?;
        let (data, tag) = rest.split_last_chunk::<TAG>()?;
        let keys = self.keys();
        let key = keys.iter().find(|key| key.name == *name)?;
        let mut plain = data.to_vec();
        let (nonce, tag) = (Nonce::<ChaCha20Poly1305>::from(*nonce), Tag::<ChaCha20Poly1305>::from(*tag));
        let cipher = ChaCha20Poly1305::new((&*key.key).into());
        cipher.decrypt_inout_detached(&nonce, name, plain.as_mut_slice().into(), &tag).ok()?;
        Some(plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Machine;

    fn tickets() -> (Tickets, Arc<Clock>) {
        let clock = Arc::new(Clock::default());
        (Tickets::new(&Machine, clock.clone()), clock)
    }

    #[test]
    fn keys_change_and_tickets_end() {
        let (tickets, clock) = tickets();
        let first = tickets.encrypt(b"session").unwrap();
        assert_eq!(tickets.decrypt(&first).as_deref(), Some(&b"session"[..]));
        let again = tickets.encrypt(b"session").unwrap();
        assert!(again != first && again[..NAME] == first[..NAME], "one key, another nonce");
        clock.set(ROTATION);
        assert_ne!(tickets.encrypt(b"session").unwrap()[..NAME], first[..NAME]);
        clock.set(LIFETIME - 1);
        assert!(tickets.decrypt(&first).is_some(), "as long as the client was told");
        for hour in 12..48 {
            clock.set(hour * 3600 * SECOND);
            tickets.encrypt(b"session").unwrap();
            assert!(tickets.keys().len() <= KEYS);
        }
        assert_eq!(tickets.decrypt(&first), None);
    }

    #[test]
    fn another_instance_goes_on_with_the_keys() {
        let (old, _) = tickets();
        let ticket = old.encrypt(b"session").unwrap();
        let state = old.write();
        let (new, _) = tickets();
        assert_eq!(new.decrypt(&ticket), None);
        new.read(&state).unwrap();
        assert_eq!(new.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        for bad in [&state[1..], &state[..state.len() - 1], &[2], &[], &[VERSION; 1 + WRITTEN * (KEYS + 1)]] {
            assert!(new.read(bad).is_err(), "{} bytes", bad.len());
        }
    }

    #[test]
    fn what_was_changed_is_no_ticket() {
        let (tickets, _) = tickets();
        let ticket = tickets.encrypt(b"session").unwrap();
        for at in 0..ticket.len() {
            let mut other = ticket.clone();
            other[at] ^= 1;
            assert_eq!(tickets.decrypt(&other), None, "byte {at}");
            assert_eq!(tickets.decrypt(&ticket[..at]), None, "{at} bytes");
        }
    }
}
