//! A box's end of all arrows of one channel interface.

use super::{Channel, End, Ready, Resolved, Signal, grant};
use crate::{arrows::Bytes, system::grant::NetGrant};
use alloc::{sync::Arc, sync::Weak, vec::Vec};
use core::{
    fmt,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};
use spin::{Mutex, Once};
use wit::{Batch, Malformed, Peer, Record, Records};

pub struct Port {
    channel: Channel,
    end: End,
    signal: Arc<Signal>,
    /// shared by all ports of the box
    resolved: Arc<Resolved>,
    /// bytes that may wait in the inbox; one batch is always taken by an empty one
    limit: usize,
    inbox: Mutex<Inbox>,
    /// the buffer that the inbox swaps with, so that steady traffic does not allocate
    spare: Arc<Mutex<Vec<u8>>>,
    peers: Once<Vec<Link>>,
    /// whether the box is running
    up: AtomicBool,
}

#[derive(Default)]
struct Inbox {
    waiting: Vec<u8>,
    /// the peer named by the last `peer` record in `waiting`
    last: Option<u32>,
}

/// One arrow, seen from one of its ends.
struct Link {
    port: Weak<Port>,
    /// the number of this end among that port's peers
    number: u32,
    /// what `attach` says to this end
    attach: Vec<u8>,
    /// on the client's side: what the client may do
    grant: Option<NetGrant>,
    /// the peer's inbox was full; it raises `room` when it is taken
    blocked: AtomicBool,
    traffic: Traffic,
}

/// What has gone over an arrow in one direction.
#[derive(Debug, Default)]
pub struct Traffic {
    pub batches: AtomicU64,
    pub records: AtomicU64,
    pub bytes: AtomicU64,
}

/// A batch that no honest box sends. It ends the box that did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    Malformed,
    Reserved { kind: u8 },
    NoPeer { peer: u32, peers: u32 },
}

impl From<Malformed> for Refused {
    fn from(_: Malformed) -> Self {
        Refused::Malformed
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Malformed => f.write_str("sent a malformed batch"),
            Refused::Reserved { kind } => write!(f, "sent a record of kind {kind}, which only the node may"),
            Refused::NoPeer { peer, peers } => write!(f, "sent to peer {peer}, but has {peers}"),
        }
    }
}

impl core::error::Error for Refused {}

impl Port {
    /// `limit`: bytes that may wait here.
    pub fn new(channel: Channel, end: End, signal: &Arc<Signal>, resolved: &Arc<Resolved>, limit: usize) -> Arc<Self> {
        Arc::new(Port {
            channel,
            end,
            signal: signal.clone(),
            resolved: resolved.clone(),
            limit,
            inbox: Mutex::default(),
            spare: Arc::default(),
            peers: Once::new(),
            up: AtomicBool::new(false),
        })
    }

    pub fn channel(&self) -> Channel {
        self.channel
    }

    pub fn end(&self) -> End {
        self.end
    }

    /// The interface that a box imports to hold this end, without a version.
    pub const fn interface(&self) -> &'static str {
        match self.end {
            End::Client => self.channel.client(),
            End::Service => self.channel.service(),
        }
    }

    /// The flag that says that something waits here.
    pub const fn ready(&self) -> Ready {
        Ready::of(self.channel, self.end)
    }

    fn links(&self) -> &[Link] {
        self.peers.get().map_or(&[], Vec::as_slice)
    }

    /// What has been sent to each peer.
    pub fn traffic(&self) -> impl Iterator<Item = &Traffic> {
        self.links().iter().map(|link| &link.traffic)
    }

    /// Passes a batch to a peer. False: its inbox is full and nothing was taken.
    pub fn send(&self, peer: u32, batch: &[u8]) -> Result<bool, Refused> {
        let links = self.links();
        let Some(link) = links.get(peer as usize) else {
            return Err(Refused::NoPeer { peer, peers: links.len() as u32 });
        };
        let mut denied = false;
        let mut records = 0;
        for record in Records::new(batch) {
            let record = record?;
            if record.kind >= Peer::FIRST_KIND {
                return Err(Refused::Reserved { kind: record.kind });
            }
            if self.end == End::Client {
                denied |= self.check(link, &record)?.is_some();
            }
            records += 1;
        }
        if batch.is_empty() {
            return Ok(true);
        }
        // What is sent to a box that is down is lost, as `attach` will say.
        let Some(target) = link.port.upgrade().filter(|target| target.up.load(Relaxed)) else { return Ok(true) };
        let taken =
            if denied { self.send_granted(peer, link, &target, batch)? } else { target.deliver(link.number, batch) };
        if taken {
            link.traffic.batches.fetch_add(1, Relaxed);
            link.traffic.records.fetch_add(records, Relaxed);
            link.traffic.bytes.fetch_add(batch.len() as u64, Relaxed);
        } else {
            link.blocked.store(true, Relaxed);
        }
        Ok(taken)
    }

    #[inline]
    fn check(&self, link: &Link, record: &Record<'_>) -> Result<Option<Batch>, Malformed> {
        grant::check(self.channel, link.grant.as_ref(), &self.resolved, record)
    }

    /// Passes on what the grant permits of a batch, and answers the rest in the service's place.
    fn send_granted(&self, peer: u32, link: &Link, target: &Port, batch: &[u8]) -> Result<bool, Malformed> {
        let (mut granted, mut answers) = (Batch::new(), Batch::new());
        for record in Records::new(batch) {
            let record = record?;
            match self.check(link, &record)? {
                None => granted.push(record.kind, record.id, record.bytes),
                Some(refusal) => answers.append(refusal.as_bytes()),
            }
        }
        let taken = granted.is_empty() || target.deliver(link.number, granted.as_bytes());
        if taken {
            self.put(peer, answers.as_bytes());
        }
        Ok(taken)
    }

    /// Appends a batch from a peer unless the inbox is full.
    fn deliver(&self, peer: u32, batch: &[u8]) -> bool {
        if self.channel == Channel::Names && self.end == End::Client {
            self.resolved.learn(batch);
        }
        let mut inbox = self.inbox.lock();
        if !inbox.waiting.is_empty() && inbox.waiting.len() + batch.len() > self.limit {
            return false;
        }
        inbox.append(peer, batch);
        drop(inbox);
        self.signal.raise(self.ready());
        true
    }

    /// Appends what the node itself has to say, whatever the limit.
    fn put(&self, peer: u32, batch: &[u8]) {
        self.inbox.lock().append(peer, batch);
        self.signal.raise(self.ready());
    }

    fn tell(&self, record: Peer<'_>) {
        let mut batch = Batch::new();
        record.encode(&mut batch);
        let mut inbox = self.inbox.lock();
        inbox.waiting.extend_from_slice(batch.as_bytes());
        inbox.last = None;
        drop(inbox);
        self.signal.raise(self.ready());
    }

    /// Takes all that waits.
    pub fn receive(&self) -> Bytes {
        let mut bytes = Bytes::lend(&self.spare);
        let mut inbox = self.inbox.lock();
        core::mem::swap(&mut inbox.waiting, bytes.buffer());
        inbox.last = None;
        drop(inbox);
        if !bytes.buffer().is_empty() {
            self.make_room();
        }
        bytes
    }

    /// Wakes those that found the inbox full.
    fn make_room(&self) {
        for link in self.links() {
            let Some(peer) = link.port.upgrade() else { continue };
            if let Some(back) = peer.links().get(link.number as usize)
                && back.blocked.load(Relaxed)
                && back.blocked.swap(false, Relaxed)
            {
                peer.signal.raise(Ready::Room);
            }
        }
    }

    /// The box starts: it and its peers that are up learn of each other.
    pub fn attach(&self) {
        *self.inbox.lock() = Inbox::default();
        self.up.store(true, Relaxed);
        for (number, link) in self.links().iter().enumerate() {
            let Some(peer) = link.port.upgrade().filter(|peer| peer.up.load(Relaxed)) else { continue };
            link.blocked.store(false, Relaxed);
            self.tell(Peer::Attach(number as u32, &link.attach));
            let back = peer.links().get(link.number as usize);
            peer.tell(Peer::Attach(link.number, back.map_or(&[], |back| &back.attach)));
        }
    }

    /// The box has ended: what waits for it is dropped, and its peers are told why.
    pub fn detach(&self, why: &str) {
        if !self.up.swap(false, Relaxed) {
            return;
        }
        *self.inbox.lock() = Inbox::default();
        for link in self.links() {
            if let Some(peer) = link.port.upgrade().filter(|peer| peer.up.load(Relaxed)) {
                peer.tell(Peer::Detach(link.number, why.as_bytes()));
                if let Some(back) = peer.links().get(link.number as usize)
                    && back.blocked.swap(false, Relaxed)
                {
                    peer.signal.raise(Ready::Room);
                }
            }
        }
    }
}

impl Inbox {
    #[inline]
    fn append(&mut self, peer: u32, batch: &[u8]) {
        if self.last != Some(peer) {
            let head = u64::from(Peer::IS) << 24 | u64::from(peer) << 32;
            self.waiting.extend_from_slice(&head.to_le_bytes());
            self.last = Some(peer);
        }
        self.waiting.extend_from_slice(batch);
    }
}

/// One arrow to be: from a client's port to a service's.
pub struct Arrow {
    pub client: Arc<Port>,
    pub service: Arc<Port>,
    /// what `attach` says to the client
    pub attach: Vec<u8>,
    /// what the client may do
    pub grant: Option<NetGrant>,
}

/// Joins ports by arrows. Peers are numbered in the order in which a port's arrows come. Done once for each port,
/// before any box runs.
pub fn join(arrows: Vec<Arrow>) {
    let mut all: Vec<(Arc<Port>, Vec<Link>)> = Vec::new();
    for Arrow { client, service, attach, grant } in arrows {
        let (at_client, at_service) = (place(&mut all, &client), place(&mut all, &service));
        let (here, there) = (all[at_client].1.len() as u32, all[at_service].1.len() as u32);
        all[at_client].1.push(Link { attach, grant, ..Link::to(&service, there) });
        all[at_service].1.push(Link::to(&client, here));
    }
    for (port, links) in all {
        port.peers.call_once(|| links);
    }
}

fn place(all: &mut Vec<(Arc<Port>, Vec<Link>)>, port: &Arc<Port>) -> usize {
    all.iter().position(|(known, _)| Arc::ptr_eq(known, port)).unwrap_or_else(|| {
        all.push((port.clone(), Vec::new()));
        all.len() - 1
    })
}

impl Link {
    fn to(port: &Arc<Port>, number: u32) -> Self {
        Link {
            port: Arc::downgrade(port),
            number,
            attach: Vec::new(),
            grant: None,
            blocked: AtomicBool::new(false),
            traffic: Traffic::default(),
        }
    }
}
