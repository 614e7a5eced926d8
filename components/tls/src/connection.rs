//! A connection between the network and the box that it is for.

use crate::certificates::Asked;
use crate::session::Session;
use core::net::Ipv6Addr;
use hashbrown::HashMap;
use rustls::pki_types::ServerName;
use slab::Slab;
use support::Buffer;
use wit::INITIAL_CREDIT;
use wit::tcp::Endpoint;

/// What a box has asked for: a connection to a host.
#[derive(Debug)]
pub struct Dialed {
    pub client: u32,
    /// the client's own
    pub ticket: u32,
    /// in lower case
    pub host: String,
    pub name: ServerName<'static>,
    pub port: u16,
}

pub struct Connection {
    /// The peer that has brought it, and its number there.
    pub net: u32,
    pub number: u32,
    pub remote: Endpoint,
    pub port: u16,
    pub session: Session,
    /// whoever it counts as one of: see [`source_of`]
    pub source: u128,
    /// This side has made it.
    pub is_own: bool,
    /// Who has asked for it, if this side makes it, until that is answered.
    pub dialed: Option<Dialed>,
    pub asked: Asked,
    /// What has come of the header of the PROXY protocol, as long as that is awaited.
    pub header: Option<Vec<u8>>,
    /// The peer that it is for, once the handshake is over, and until that has been told of the end.
    pub client: Option<u32>,
    /// its number there
    pub own: u32,

    /// encrypted, and not taken by the network
    pub out: Buffer,
    /// from the client, and not yet encrypted
    pub plain: Buffer,
    /// bytes that the network takes
    pub net_credit: u32,
    /// bytes that the client takes
    pub client_credit: u32,
    /// bytes that the client may send
    pub allowance: u32,
    /// bytes of the client's that are on their way, and that it was not told of
    pub owed: u32,
    /// bytes from the network that were used up, and that it was not told of
    pub used: u32,

    /// It waits for its turn to go on with the handshake.
    pub is_queued: bool,
    /// The other side sends no more: it has said so, and the client was told.
    pub peer_closed: bool,
    /// The network has told of the end of what comes, said or not.
    pub net_finished: bool,
    /// The network has forgotten it; what has come is still to be passed on.
    pub net_gone: bool,
    /// The client sends no more.
    pub client_finished: bool,
    /// That was said to the other side
    pub close_sent: bool,
    /// ... and to the network.
    pub finish_sent: bool,

    /// when something last came or went
    pub active_at: u64,
    /// when it has to be over, or to get on
    pub deadline: u64,
    /// bytes of memory that its buffers had when they were last counted
    pub held: usize,
}

impl Connection {
    pub fn new(net: u32, number: u32, remote: Endpoint, port: u16, session: Session, now: u64) -> Self {
        Connection {
            net,
            number,
            remote,
            port,
            session,
            source: source_of(remote.address),
            is_own: false,
            dialed: None,
            asked: Asked::default(),
            header: None,
            client: None,
            own: 0,
            out: Buffer::new(),
            plain: Buffer::new(),
            net_credit: INITIAL_CREDIT,
            client_credit: INITIAL_CREDIT,
            allowance: INITIAL_CREDIT,
            owed: 0,
            used: 0,
            is_queued: false,
            peer_closed: false,
            net_finished: false,
            net_gone: false,
            client_finished: false,
            close_sent: false,
            finish_sent: false,
            active_at: now,
            deadline: u64::MAX,
            held: 0,
        }
    }

    /// It is a client's, or to be.
    pub fn is_of(&self, client: u32) -> bool {
        self.client == Some(client) || self.dialed.as_ref().is_some_and(|dialed| dialed.client == client)
    }

    /// It is neither before its handshake nor being ended.
    pub fn is_open(&self) -> bool {
        self.client.is_some()
    }

    /// Bytes of memory for what waits.
    pub fn memory(&self) -> usize {
        self.session.capacity() + self.out.capacity() + self.plain.capacity()
    }
}

/// What counts as one client: an IPv4 address, or a network of IPv6, in which a client chooses its addresses.
pub fn source_of(address: Ipv6Addr) -> u128 {
    let bits = u128::from(address);
    if address.to_ipv4_mapped().is_some() { bits } else { bits & !0 << 64 }
}

/// ... and a box that this side makes connections for. It is beside all addresses that clients have (RFC 4291, section 2.7).
pub fn source_of_box(client: u32) -> u128 {
    0xff << 120 | u128::from(client)
}

/// All connections, by key; the key by what the network knows them by; and by what their clients do.
#[derive(Default)]
pub struct Connections {
    slab: Slab<Connection>,
    keys: HashMap<(u32, u32), usize>,
    /// how many each source has
    sources: HashMap<u128, usize>,
    /// counts numbers that clients were given
    given: u32,
}

/// Keys fit in so many bits of a number that a client is given; the others make it another one each time.
const KEY_BITS: u32 = 16;
pub const MAX: usize = 1 << KEY_BITS;

impl Connections {
    /// # Panics
    /// If there are [`MAX`].
    pub fn insert(&mut self, mut connection: Connection) -> usize {
        *self.sources.entry(connection.source).or_default() += 1;
        let place = (connection.net, connection.number);
        let entry = self.slab.vacant_entry();
        let key = entry.key();
        assert!(key < MAX, "{key} connections");
        self.given = self.given.wrapping_add(1);
        connection.own = self.given << KEY_BITS | key as u32;
        entry.insert(connection);
        self.keys.insert(place, key);
        key
    }

    /// The key of what the network calls by a number.
    pub fn of_net(&self, net: u32, number: u32) -> Option<usize> {
        self.keys.get(&(net, number)).copied()
    }

    /// The key of what a client calls by a number.
    pub fn of_client(&self, client: u32, own: u32) -> Option<usize> {
        let key = own as usize & (MAX - 1);
        self.slab.get(key).filter(|it| it.own == own && it.client == Some(client)).map(|_| key)
    }

    pub fn get(&mut self, key: usize) -> Option<&mut Connection> {
        self.slab.get_mut(key)
    }

    /// The network has forgotten it, and may use its number for another.
    pub fn leave_net(&mut self, key: usize) {
        if let Some(connection) = self.slab.get(key) {
            self.keys.remove(&(connection.net, connection.number));
        }
    }

    pub fn remove(&mut self, key: usize) -> Option<Connection> {
        let connection = self.slab.try_remove(key)?;
        let place = (connection.net, connection.number);
        if self.keys.get(&place) == Some(&key) {
            self.keys.remove(&place);
        }
        self.leave(connection.source);
        Some(connection)
    }

    fn leave(&mut self, source: u128) {
        if let Some(count) = self.sources.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.sources.remove(&source);
            }
        }
    }

    /// A connection is from elsewhere.
    pub fn set_remote(&mut self, key: usize, remote: Endpoint) {
        if let Some(connection) = self.slab.get_mut(key) {
            connection.remote = remote;
            let before = core::mem::replace(&mut connection.source, source_of(remote.address));
            *self.sources.entry(connection.source).or_default() += 1;
            self.leave(before);
        }
    }

    pub fn len(&self) -> usize {
        self.slab.len()
    }

    pub fn is_empty(&self) -> bool {
        self.slab.is_empty()
    }

    pub fn of_source(&self, source: u128) -> usize {
        self.sources.get(&source).copied().unwrap_or_default()
    }

    pub fn iter(&self) -> impl Iterator<Item = (usize, &Connection)> {
        self.slab.iter()
    }

    /// The keys of those that something is true of.
    pub fn which(&self, is_it: impl Fn(&Connection) -> bool) -> Vec<usize> {
        self.slab.iter().filter(|(_, connection)| is_it(connection)).map(|(key, _)| key).collect()
    }
}
