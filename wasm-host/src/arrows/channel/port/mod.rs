//! A box's end of all arrows of one channel interface.

mod inbox;
mod life;
mod refused;

pub use refused::Refused;

use super::{Arrow, Channel, End, Ready, Resolved, Signal, Tally, grant, peers::Peers};
use crate::arrows::{Bytes, measure::Seen};
use alloc::{sync::Arc, vec::Vec};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use inbox::Inbox;
use spin::Mutex;
use wit::{Batch, Malformed, Peer, Record, Records};

pub struct Port {
    channel: Channel,
    end: End,
    /// the name of the box
    owner: Arc<str>,
    signal: Arc<Signal>,
    /// shared by all ports of the box
    resolved: Arc<Resolved>,
    /// bytes that may wait in the inbox; one batch is always taken by an empty one
    limit: usize,
    inbox: Mutex<Inbox>,
    /// the buffer that the inbox swaps with, so that steady traffic does not allocate
    spare: Arc<Mutex<Vec<u8>>>,
    /// Whoever holds this may take an inbox, and not the other way round.
    peers: Mutex<Peers>,
    /// what the box answers is counted
    counted: AtomicBool,
    tally: Mutex<Option<Arc<Tally>>>,
    /// whether the box is running
    up: AtomicBool,
}

impl Port {
    /// `owner` is the box's name; `limit`: bytes that may wait here.
    pub fn new(
        channel: Channel,
        end: End,
        owner: &Arc<str>,
        signal: &Arc<Signal>,
        resolved: &Arc<Resolved>,
        limit: usize,
    ) -> Arc<Self> {
        Arc::new(Port {
            channel,
            end,
            owner: owner.clone(),
            signal: signal.clone(),
            resolved: resolved.clone(),
            limit,
            inbox: Mutex::default(),
            spare: Arc::default(),
            peers: Mutex::default(),
            counted: AtomicBool::new(false),
            tally: Mutex::default(),
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

    /// The name of the box that it belongs to.
    pub fn owner(&self) -> &Arc<str> {
        &self.owner
    }

    pub(super) fn signal(&self) -> &Signal {
        &self.signal
    }

    /// Whether the box is running.
    pub fn is_up(&self) -> bool {
        self.up.load(Relaxed)
    }

    /// The arrows that there are, in the order of the peers' numbers.
    pub fn arrows(&self) -> Vec<Arc<Arrow>> {
        self.peers.lock().iter().cloned().collect()
    }

    pub(super) fn reserve(&self) -> u32 {
        let mut peers = self.peers.lock();
        let taken = self.inbox.lock().taken;
        peers.reserve(taken)
    }

    pub(super) fn set(&self, number: u32, arrow: Arc<Arrow>) {
        self.peers.lock().set(number, arrow);
    }

    /// The peer is gone for good.
    pub(super) fn remove(&self, number: u32, arrow: &Arrow, why: &str) {
        let mut peers = self.peers.lock();
        let told = self.inbox.lock().taken;
        let removed = peers.remove(number, arrow, told);
        drop(peers);
        if removed && self.is_up() {
            self.tell(Peer::Detach(number, why.as_bytes()));
        }
    }

    /// Passes a batch to a peer. False: its inbox is full and nothing was taken.
    pub fn send(&self, peer: u32, batch: &[u8]) -> Result<bool, Refused> {
        let peers = self.peers.lock();
        let Some(joined) = peers.get(peer) else {
            return Err(Refused::NoPeer { peer, peers: peers.len() as u32 });
        };
        // What is sent to one that is gone is lost, as `detach` has said or will say.
        let Some(arrow) = joined else { return Ok(true) };
        let mut denied = false;
        let (mut records, mut seen) = (0, Seen::default());
        let of_interest = arrow.meter.as_ref().map_or(0, |meter| meter.of_interest(self.end));
        for record in Records::new(batch) {
            let record = record?;
            if record.kind >= Peer::FIRST_KIND {
                let arrow = arrow.clone();
                drop(peers);
                return self.reserved(&arrow, record.kind, batch);
            }
            if self.end == End::Client {
                denied |= self.check(arrow, &record)?.is_some();
            }
            if of_interest >> (record.kind & 63) & 1 != 0
                && let Some(meter) = &arrow.meter
            {
                meter.see(self.end, &record, &mut seen);
            }
            records += 1;
        }
        if batch.is_empty() {
            return Ok(true);
        }
        let (near, far) = match self.end {
            End::Client => (&arrow.client, &arrow.service),
            End::Service => (&arrow.service, &arrow.client),
        };
        // What is sent to a box that is down is lost, as `attach` will say.
        if !far.port.is_up() {
            if let Some(meter) = &arrow.meter
                && self.end == End::Client
            {
                meter.lost(&seen);
            }
            return Ok(true);
        }
        let taken = if denied { self.send_granted(peer, arrow, batch)? } else { far.port.deliver(far.number, batch) };
        if taken {
            if self.counted.load(Relaxed)
                && let Some(tally) = &*self.tally.lock()
            {
                tally.count(batch);
            }
            if let Some(meter) = &arrow.meter {
                meter.sent(self.end, batch.len(), records, &seen);
            }
        } else {
            near.blocked.store(true, Relaxed);
            if let Some(meter) = &arrow.meter {
                meter.found_full(self.end);
            }
        }
        Ok(taken)
    }

    /// A box lets go of a peer that retires. It has nothing else to say to the node.
    #[cold]
    fn reserved(&self, arrow: &Arc<Arrow>, kind: u8, batch: &[u8]) -> Result<bool, Refused> {
        let mut records = Records::new(batch);
        let only = (records.next(), records.next());
        let releases = kind == Peer::RELEASE && matches!(only, (Some(Ok(_)), None));
        if !releases || !arrow.half(self.end).retiring.load(Relaxed) {
            return Err(Refused::Reserved { kind });
        }
        arrow.release(self.end);
        Ok(true)
    }

    #[inline]
    fn check(&self, arrow: &Arrow, record: &Record<'_>) -> Result<Option<Batch>, Malformed> {
        grant::check(self.channel, arrow.grant.as_ref(), &self.resolved, record)
    }

    /// Counts the answers of a handler from now on.
    pub fn tally(&self) -> Arc<Tally> {
        let tally = Arc::<Tally>::default();
        *self.tally.lock() = Some(tally.clone());
        self.counted.store(true, Relaxed);
        tally
    }

    pub fn end_tally(&self) {
        self.counted.store(false, Relaxed);
        *self.tally.lock() = None;
    }

    /// Passes on what the grant permits of a batch, and answers the rest in the service's place.
    fn send_granted(&self, peer: u32, arrow: &Arrow, batch: &[u8]) -> Result<bool, Malformed> {
        let service = &arrow.service;
        let (mut granted, mut answers) = (Batch::new(), Batch::new());
        let mut refused = 0;
        for record in Records::new(batch) {
            let record = record?;
            match self.check(arrow, &record)? {
                None => granted.push(record.kind, record.id, record.bytes),
                Some(refusal) => {
                    answers.append(refusal.as_bytes());
                    refused += 1;
                }
            }
        }
        let taken = granted.is_empty() || service.port.deliver(service.number, granted.as_bytes());
        if taken {
            self.put(peer, answers.as_bytes());
            if let Some(meter) = &arrow.meter {
                meter.refused(refused);
            }
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

    pub(super) fn tell(&self, record: Peer<'_>) {
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
        inbox.taken += 1;
        drop(inbox);
        if !bytes.buffer().is_empty() {
            self.make_room();
        }
        bytes
    }

    /// Wakes those that found the inbox full.
    fn make_room(&self) {
        for arrow in self.peers.lock().iter() {
            self.far(arrow).unblock();
        }
    }

    #[inline]
    fn far<'a>(&self, arrow: &'a Arrow) -> &'a super::arrow::Half {
        match self.end {
            End::Client => &arrow.service,
            End::Service => &arrow.client,
        }
    }
}
