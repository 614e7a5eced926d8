//! A client's connection.

use crate::chunked;
use hashbrown::HashMap;
use slab::Slab;
use std::collections::VecDeque;
use support::Buffer;
use wit::tcp::Endpoint;

#[derive(Debug)]
pub struct Connection {
    /// The TCP peer, and its number for the connection.
    pub peer: u32,
    pub number: u32,
    pub remote: Endpoint,

    pub reading: Reading,
    /// What came and could not be used yet: part of a head, or what waits for a handler.
    pub input: Buffer,
    /// That much of `input` is known not to hold the end of a head.
    pub scanned: usize,
    /// where the headers of the last request were kept
    pub known: u8,
    /// bytes used that TCP has no credit for yet
    pub used: u32,
    /// The exchange that the body being read belongs to; `None`: nobody wants it.
    pub body_of: Option<u32>,
    /// bytes of the body so far, if it is chunked
    pub body_bytes: u64,
    /// bytes of an unwanted body that are read before the connection is given up instead
    pub patience: u64,
    /// The next request is read whole and waits for room at its handler.
    pub awaits_room: bool,

    /// exchanges in the order of their requests, which is the order of the responses
    pub exchanges: VecDeque<u32>,
    /// The last exchange is of an unsafe method, or waits for a client that waits: no other until it is over.
    pub exclusive: bool,
    /// bytes that TCP takes
    pub credit: u32,

    /// The client sends no more.
    pub client_finished: bool,
    /// No more requests are read; when the last response is sent, the connection is finished.
    pub closing: bool,
    /// This side has finished.
    pub finished: bool,

    /// when it became idle, or the head's first byte came, or this side finished
    pub since: u64,
    pub read_at: u64,
    pub wrote_at: u64,
    /// when to look whether something takes too long
    pub deadline: u64,
    /// It is one too many, and is only being told so.
    pub is_surplus: bool,
}

#[derive(Debug, Clone, Copy)]
pub enum Reading {
    /// Between requests, or in a head.
    Head,
    /// In a body of which this much is left.
    Length(u64),
    Chunked(chunked::Decoder),
    /// What comes is dropped.
    Nothing,
}

impl Connection {
    /// Whatever the client sends from now on is dropped, and the connection ends after the last response.
    pub fn stop_reading(&mut self) {
        self.reading = Reading::Nothing;
        self.closing = true;
        self.body_of = None;
        self.scanned = 0;
        self.awaits_room = false;
    }

    /// What it takes to make room for another: nothing of a request would be lost.
    pub fn is_expendable(&self) -> bool {
        if self.finished {
            return !self.is_surplus;
        }
        self.exchanges.is_empty() && matches!(self.reading, Reading::Head) && !self.awaits_room
    }
}

/// All connections, by key; and the key by what TCP knows them by.
#[derive(Debug)]
pub struct Connections {
    slab: Slab<Connection>,
    keys: HashMap<u64, usize>,
    /// What was looked up last, by the lower bits of the number.
    recent: Box<[(u64, usize)]>,
}

const RECENT: usize = 256;
const NOTHING: (u64, usize) = (u64::MAX, usize::MAX);

fn name_of(peer: u32, number: u32) -> u64 {
    u64::from(peer) << 32 | u64::from(number)
}

impl Default for Connections {
    fn default() -> Self {
        Connections { slab: Slab::new(), keys: HashMap::new(), recent: vec![NOTHING; RECENT].into() }
    }
}

impl Connections {
    pub fn insert(&mut self, connection: Connection) -> usize {
        let name = name_of(connection.peer, connection.number);
        let key = self.slab.insert(connection);
        self.keys.insert(name, key);
        key
    }

    #[inline]
    pub fn key(&mut self, peer: u32, number: u32) -> Option<usize> {
        let name = name_of(peer, number);
        let recent = &mut self.recent[number as usize % RECENT];
        if recent.0 != name {
            *recent = (name, *self.keys.get(&name)?);
        }
        Some(recent.1)
    }

    #[inline]
    pub fn get(&mut self, key: usize) -> Option<&mut Connection> {
        self.slab.get_mut(key)
    }

    pub fn remove(&mut self, key: usize) -> Option<Connection> {
        let connection = self.slab.try_remove(key)?;
        self.keys.remove(&name_of(connection.peer, connection.number));
        self.recent[connection.number as usize % RECENT] = NOTHING;
        Some(connection)
    }

    pub fn len(&self) -> usize {
        self.slab.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = (usize, &Connection)> {
        self.slab.iter()
    }

    pub fn keys(&self) -> Vec<usize> {
        self.slab.iter().map(|(key, _)| key).collect()
    }
}
