//! A client's connection, or a stream of one of HTTP/2, which is like a connection with a single request.

use crate::server::Origin;
use crate::{session::Session, stream::Stream};
use core::net::Ipv6Addr;
use hashbrown::HashMap;
use message::chunked;
use slab::Slab;
use std::{collections::VecDeque, rc::Rc};
use support::Buffer;
use wit::tcp::Endpoint;

#[derive(Debug)]
pub struct Connection {
    /// The TCP peer, and its number for the connection.
    pub peer: u32,
    pub number: u32,
    pub remote: Endpoint,
    /// what it is for, if that is known
    pub origin: Option<Rc<Origin>>,
    /// TLS, or the like, is between the client and this.
    pub is_secured: bool,
    /// The client has shown a certificate, so that its requests are its own without saying so.
    pub is_known_client: bool,
    /// It speaks HTTP/2.
    pub session: Option<Box<Session>>,
    /// It is no connection but a stream of one.
    pub stream: Option<Box<Stream>>,

    pub reading: Reading,
    /// What came and could not be used yet: part of a head, or what waits for a handler.
    pub input: Buffer,
    /// That much of `input` is known not to hold the end of a head, or of a trailer section.
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
    /// Until when the client has sent the body fast enough: see [`paced`].
    pub read_at: u64,
    /// ... and has taken the response fast enough
    pub wrote_at: u64,
    /// when to look whether something takes too long
    pub deadline: u64,
    /// It is one too many, and is only being told so.
    pub is_surplus: bool,
}

/// Bytes of a body that nobody wants which are read to keep the connection.
pub const PATIENCE: u64 = 256 << 10;

#[derive(Debug, Clone, Copy)]
pub enum Reading {
    /// Before anything else: the header of the PROXY protocol.
    Proxy,
    /// Nothing has come yet that says whether it is HTTP/2.
    Start,
    /// Between requests, or in a head.
    Head,
    /// A stream's head is there, and is read once its handler has room.
    Waiting,
    /// A body that ends with its stream.
    Open,
    /// Frames of HTTP/2.
    Frames,
    /// In a body of which this much is left.
    Length(u64),
    Chunked(chunked::Decoder),
    /// In what follows a chunked body.
    Trailers,
    /// After an answer 101: until the client finishes.
    Stream,
    /// What comes is dropped.
    Nothing,
}

impl Connection {
    /// One of which nothing has come yet, and that has no credit. `name`: the TCP peer, and its number for the connection.
    pub fn new(name: (u32, u32), remote: Endpoint, is_secured: bool, now: u64) -> Self {
        Connection {
            peer: name.0,
            number: name.1,
            remote,
            origin: None,
            is_secured,
            is_known_client: false,
            session: None,
            stream: None,
            reading: Reading::Head,
            input: Buffer::new(),
            scanned: 0,
            known: 0,
            used: 0,
            body_of: None,
            body_bytes: 0,
            patience: 0,
            awaits_room: false,
            exchanges: VecDeque::new(),
            exclusive: false,
            credit: 0,
            client_finished: false,
            closing: false,
            finished: false,
            since: now,
            read_at: now,
            wrote_at: now,
            deadline: u64::MAX,
            is_surplus: false,
        }
    }

    /// Whatever the client sends from now on is dropped, and the connection ends after the last response.
    pub fn stop_reading(&mut self) {
        self.reading = Reading::Nothing;
        self.closing = true;
        self.body_of = None;
        self.scanned = 0;
        self.awaits_room = false;
    }

    /// It is a connection of HTTP/2, or a stream of one.
    #[inline]
    pub fn is_of_2(&self) -> bool {
        self.stream.is_some() || self.session.is_some()
    }

    /// A stream is over but for what the client still sends, which is read for some time: some take it amiss if it is not.
    pub fn lingers(&self) -> bool {
        self.stream.is_some() && !self.client_finished && self.patience > 0
    }

    /// The rest of the body is not read only to keep the connection: it is too long, or may be.
    pub fn is_too_much_to_drop(&self) -> bool {
        matches!(self.reading, Reading::Chunked(_)) || matches!(self.reading, Reading::Length(left) if left > PATIENCE)
    }

    /// What counts as one client: an IPv4 address, or a network of IPv6, in which a client chooses its addresses.
    pub fn client(&self) -> u128 {
        client_of(self.remote.address)
    }
}

pub fn client_of(address: Ipv6Addr) -> u128 {
    let bits = u128::from(address);
    if address.to_ipv4_mapped().is_some() { bits } else { bits & !0 << 64 }
}

/// Bytes of a body that are worth all the time that a client may take, so credit is given back in steps of no less.
pub const CREDIT_STEP: u32 = 16 << 10;

/// Until when a client has been fast enough that was so until `at`, and has now sent or taken `bytes`; the least rate is
/// [`CREDIT_STEP`] in `time`. What is faster is not saved up for later.
pub fn paced(at: u64, now: u64, bytes: usize, time: u64) -> u64 {
    let worth = u128::from(time) * bytes as u128 / u128::from(CREDIT_STEP);
    now.min(at.saturating_add(u64::try_from(worth).unwrap_or(u64::MAX)))
}

/// All connections, by key; and the key by what TCP knows them by.
#[derive(Debug)]
pub struct Connections {
    slab: Slab<Connection>,
    /// how many of them are streams
    streams: usize,
    keys: HashMap<u64, usize>,
    /// how many each client has
    clients: HashMap<u128, usize>,
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
        Connections {
            slab: Slab::new(),
            streams: 0,
            keys: HashMap::new(),
            clients: HashMap::new(),
            recent: vec![NOTHING; RECENT].into(),
        }
    }
}

impl Connections {
    pub fn insert(&mut self, connection: Connection) -> usize {
        if connection.stream.is_some() {
            self.streams += 1;
            return self.slab.insert(connection);
        }
        let name = name_of(connection.peer, connection.number);
        *self.clients.entry(connection.client()).or_default() += 1;
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

    #[inline]
    pub fn peek(&self, key: usize) -> Option<&Connection> {
        self.slab.get(key)
    }

    pub fn remove(&mut self, key: usize) -> Option<Connection> {
        let connection = self.slab.try_remove(key)?;
        if connection.stream.is_some() {
            self.streams -= 1;
            return Some(connection);
        }
        self.keys.remove(&name_of(connection.peer, connection.number));
        self.leave(connection.client());
        self.recent[connection.number as usize % RECENT] = NOTHING;
        Some(connection)
    }

    fn leave(&mut self, client: u128) {
        if let Some(count) = self.clients.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                self.clients.remove(&client);
            }
        }
    }

    /// A connection is from elsewhere.
    pub fn set_remote(&mut self, key: usize, remote: Endpoint) {
        if let Some(connection) = self.slab.get_mut(key) {
            let before = connection.client();
            connection.remote = remote;
            *self.clients.entry(connection.client()).or_default() += 1;
            self.leave(before);
        }
    }

    /// Connections, without streams.
    pub fn len(&self) -> usize {
        self.slab.len() - self.streams
    }

    pub fn of_client(&self, client: u128) -> usize {
        self.clients.get(&client).copied().unwrap_or_default()
    }

    /// All clients, and how many each has.
    pub fn clients(&self) -> impl Iterator<Item = (u128, usize)> {
        self.clients.iter().map(|(client, count)| (*client, *count))
    }

    pub fn iter(&self) -> impl Iterator<Item = (usize, &Connection)> {
        self.slab.iter()
    }

    pub fn keys(&self) -> Vec<usize> {
        self.slab.iter().map(|(key, _)| key).collect()
    }
}
