//! Accounts: all of them in memory, and each in a sector of the disk.

use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Sessions of one account at a time: the oldest ends when there is another.
const SESSIONS: usize = 3;

/// Sectors, each of which is written as a whole or not at all.
pub trait Store {
    fn sector_size(&self) -> usize;
    fn sectors(&self) -> u64;
    /// # Errors
    /// In words.
    fn read(&mut self, first: u64, count: u64) -> Result<Vec<u8>, String>;
    /// Returns when it is durable.
    ///
    /// # Errors
    /// In words.
    fn write(&mut self, at: u64, sector: &[u8]) -> Result<(), String>;
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub name: String,
    /// as Argon2 writes it
    pub password: String,
    /// the hash of what the browser keeps, and until when it counts, in seconds since 1970
    pub sessions: Vec<(String, u64)>,
}

pub struct Accounts<S> {
    store: S,
    /// by the sector
    list: Vec<Account>,
    names: HashMap<String, usize>,
}

impl<S: Store> Accounts<S> {
    /// # Errors
    /// The disk cannot be read, or has something else on it.
    pub fn load(mut store: S) -> Result<Self, String> {
        /// Sectors that are read at once.
        const PIECE: u64 = 128;
        let mut accounts = Vec::new();
        let size = store.sector_size();
        'all: for first in (0..store.sectors()).step_by(PIECE as usize) {
            let read = store.read(first, PIECE.min(store.sectors() - first))?;
            for (at, sector) in (first..).zip(read.chunks(size)) {
                let end = sector.iter().position(|byte| *byte == 0).unwrap_or(size);
                if end == 0 {
                    break 'all;
                }
                let account: Account = serde_json::from_slice(&sector[..end])
                    .map_err(|error| format!("sector {at} of the disk is no account: {error}"))?;
                accounts.push(account);
            }
        }
        let names =
            accounts.iter().enumerate().map(|(at, account): (_, &Account)| (account.name.clone(), at)).collect();
        Ok(Accounts { store, list: accounts, names })
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn find(&self, name: &str) -> Option<&Account> {
        self.names.get(name).and_then(|at| self.list.get(*at))
    }

    /// Whose session that is, now.
    pub fn of_session(&self, hash: &str, now: u64) -> Option<&Account> {
        let is_it = |(known, until): &(String, u64)| known == hash && *until > now;
        self.list.iter().find(|account| account.sessions.iter().any(is_it))
    }

    /// Whether there is a place for another.
    pub fn has_room(&self) -> bool {
        (self.list.len() as u64) < self.store.sectors()
    }

    /// # Errors
    /// It is not stored, and there is no such account.
    pub fn add(&mut self, account: Account) -> Result<(), String> {
        let at = self.list.len();
        self.write(at, &account)?;
        self.names.insert(account.name.clone(), at);
        self.list.push(account);
        Ok(())
    }

    /// # Errors
    /// It is not stored, and the session does not count.
    pub fn begin_session(&mut self, name: &str, hash: String, now: u64, until: u64) -> Result<(), String> {
        self.change(name, |account| {
            account.sessions.retain(|(_, until)| *until > now);
            let surplus = (account.sessions.len() + 1).saturating_sub(SESSIONS);
            account.sessions.drain(..surplus);
            account.sessions.push((hash, until));
        })
    }

    /// # Errors
    /// It is not stored, and the session goes on.
    pub fn end_session(&mut self, name: &str, hash: &str) -> Result<(), String> {
        self.change(name, |account| account.sessions.retain(|(known, _)| known != hash))
    }

    fn change(&mut self, name: &str, change: impl FnOnce(&mut Account)) -> Result<(), String> {
        let at = *self.names.get(name).ok_or("there is no such account")?;
        let mut account = self.list[at].clone();
        change(&mut account);
        self.write(at, &account)?;
        self.list[at] = account;
        Ok(())
    }

    fn write(&mut self, at: usize, account: &Account) -> Result<(), String> {
        let mut sector = serde_json::to_vec(account).map_err(|error| error.to_string())?;
        let size = self.store.sector_size();
        if sector.len() > size {
            return Err("an account is larger than a sector".into());
        }
        sector.resize(size, 0);
        self.store.write(at as u64, &sector)
    }
}
