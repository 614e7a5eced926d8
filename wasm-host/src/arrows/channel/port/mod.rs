//! A box's end of all arrows of one protocol.

mod inbox;
mod life;
mod refused;

pub use refused::Refused;

use super::{
    Arrow, End, Ready, Service, Signal,
    peers::{Peer as Whom, Peers},
};
use crate::arrows::{Bytes, Kinds, Protocol, measure::Seen};
use alloc::{sync::Arc, vec::Vec};
use core::sync::atomic::{
    AtomicBool,
    Ordering::{Acquire, Relaxed, Release},
};
use inbox::Inbox;
use spin::Mutex;
use wit::{Batch, MAX_BATCH, Peer, Record, Records};

pub struct Port {
    protocol: Protocol,
    end: End,
    number: u8,
    /// the name of the box
    owner: Arc<str>,
    signal: Arc<Signal>,
    /// bytes that may wait in the inbox; one batch is always taken by an empty one
    limit: usize,
    inbox: Mutex<Inbox>,
    /// the buffer that the inbox swaps with, so that steady traffic does not allocate
    spare: Arc<Mutex<Vec<u8>>>,
    /// Whoever holds this may take an inbox, and not the other way round.
    peers: Mutex<Peers>,
    /// some of the peers are services of the node
    has_services: bool,
    /// The box found its own inbox without room for a refusal.
    blocked: AtomicBool,
    /// Somebody has found the inbox full since it was last emptied.
    was_full: AtomicBool,
    /// whether the box is running
    up: AtomicBool,
}

/// What a port is made of.
pub struct Setup<'a> {
    pub protocol: Protocol,
    pub end: End,
    /// by which the box knows it, below [`super::MAX_PORTS`]
    pub number: u8,
    /// the name of the box
    pub owner: &'a Arc<str>,
    pub signal: &'a Arc<Signal>,
    /// bytes that may wait
    pub limit: usize,
    pub services: Vec<Arc<dyn Service>>,
}

/// A batch of which the node refuses something.
struct Split {
    granted: Batch,
    /// what the service would say to the rest
    answers: Batch,
    /// how many records that is
    refused: u64,
}

impl Split {
    /// All was granted so far.
    #[cold]
    fn after(granted: &[u8]) -> Self {
        Split { granted: Batch::from_bytes(granted.to_vec()), answers: Batch::new(), refused: 0 }
    }

    fn refuse(&mut self, refusal: &Batch, batch: &[u8]) -> Result<(), Refused> {
        if self.answers.len() + refusal.len() > MAX_BATCH {
            return Err(Refused::TooLong { bytes: batch.len() });
        }
        self.answers.append(refusal.as_bytes());
        self.refused += 1;
        Ok(())
    }
}

/// Looks at the records of a batch that the gate or the meter wants to see, and at all that follow one that is refused.
struct Look<'a> {
    arrow: &'a Arrow,
    end: End,
    batch: &'a [u8],
    gated: u64,
    split: Option<Split>,
    seen: Seen,
}

impl Look<'_> {
    /// `begin`: where the record begins in the batch.
    // Apart from the loop over all records, which keeps what it needs in registers then.
    #[inline(never)]
    fn at(&mut self, record: &Record<'_>, begin: usize) -> Result<(), Refused> {
        let refusal = if self.gated & Kinds::bit(record.kind) != 0 { self.arrow.check(record)? } else { None };
        if let Some(refusal) = refusal {
            let split = self.split.get_or_insert_with(|| Split::after(&self.batch[..begin]));
            split.refuse(&refusal, self.batch)?;
        } else if let Some(split) = &mut self.split {
            split.granted.push(record.kind, record.id, record.bytes);
        }
        if let Some(meter) = &self.arrow.meter {
            meter.see(self.end, record, &mut self.seen);
        }
        Ok(())
    }
}

impl Port {
    pub fn new(setup: Setup<'_>) -> Arc<Self> {
        let Setup { protocol, end, number, owner, signal, limit, services } = setup;
        Arc::new(Port {
            protocol,
            end,
            number,
            owner: owner.clone(),
            signal: signal.clone(),
            limit,
            inbox: Mutex::default(),
            spare: Arc::default(),
            has_services: !services.is_empty(),
            peers: Mutex::new(Peers::of(services)),
            blocked: AtomicBool::new(false),
            was_full: AtomicBool::new(false),
            up: AtomicBool::new(false),
        })
    }

    pub fn protocol(&self) -> &Protocol {
        &self.protocol
    }

    pub fn end(&self) -> End {
        self.end
    }

    /// The number by which the box knows it.
    pub fn number(&self) -> u8 {
        self.number
    }

    /// The protocol's interface, without a version.
    pub fn interface(&self) -> &str {
        self.protocol.path()
    }

    /// The flag that says that something waits here.
    pub const fn ready(&self) -> Ready {
        Ready::port(self.number)
    }

    /// The name of the box that it belongs to.
    pub fn owner(&self) -> &Arc<str> {
        &self.owner
    }

    /// The most bytes that the node holds for the box here: what waits, what is being received, and what the node's
    /// services hold.
    pub fn holds(&self) -> u64 {
        let services: u64 = self.peers.lock().services().map(|(_, service)| service.holds()).sum();
        2 * self.limit.max(MAX_BATCH) as u64 + services
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
        if batch.len() > MAX_BATCH {
            return Err(Refused::TooLong { bytes: batch.len() });
        }
        let peers = self.peers.lock();
        let arrow = match peers.get(peer) {
            Some(Whom::Box(arrow)) => arrow,
            Some(Whom::Node(service)) => return service.send(batch),
            // What is sent to one that is gone is lost, as `detach` has said or will say.
            Some(Whom::Gone) => return Ok(true),
            None => return Err(Refused::NoPeer { peer, peers: peers.len() as u32 }),
        };
        let (metered, gated) = arrow.of_interest(self.end);
        let gated_here = if self.end == End::Client { gated } else { 0 };
        let mut look = Look { arrow, end: self.end, batch, gated: gated_here, split: None, seen: Seen::default() };
        let of_interest = metered | gated_here;
        let (mut records, mut begin, mut all) = (0, 0, false);
        for record in Records::new(batch) {
            let record = record?;
            if record.kind >= Peer::FIRST_KIND {
                let arrow = arrow.clone();
                drop(peers);
                return self.reserved(&arrow, record.kind, batch);
            }
            if all || of_interest & Kinds::bit(record.kind) != 0 {
                look.at(&record, begin)?;
                all = look.split.is_some();
            }
            begin += wit::batch::HEADER + record.bytes.len();
            records += 1;
        }
        let Look { split, seen, .. } = look;
        if batch.is_empty() {
            return Ok(true);
        }
        let (near, far) = (arrow.half(self.end), arrow.half(self.end.other()));
        // What is sent to a box that is down is lost, as `attach` will say.
        if !far.port.is_up() {
            if let Some(meter) = &arrow.meter
                && self.end == End::Client
            {
                meter.lost(&seen);
            }
            if gated != 0 && self.end == End::Client {
                arrow.undo(split.as_ref().map_or(batch, |split| split.granted.as_bytes()));
            }
            return Ok(true);
        }
        let deliver = || match &split {
            Some(split) => self.send_granted(peer, arrow, split),
            None => far.port.deliver(far.number, batch),
        };
        let mut taken = deliver()?;
        if !taken {
            near.blocked.store(true, Relaxed);
            far.port.was_full.store(true, Release);
            // Again: the other may have emptied its inbox before it could see that.
            taken = deliver()?;
        }
        if taken {
            if gated != 0 && self.end == End::Service {
                arrow.learn(batch);
            }
            if let Some(meter) = &arrow.meter {
                meter.sent(self.end, batch.len(), records, &seen);
            }
        } else {
            if gated != 0 && self.end == End::Client {
                arrow.undo(split.as_ref().map_or(batch, |split| split.granted.as_bytes()));
            }
            if let Some(meter) = &arrow.meter {
                meter.found_full(self.end);
            }
        }
        Ok(taken)
    }

    /// A box releases a peer that retires. It has nothing else to say to the node.
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

    /// Passes on what the grant permits of a batch, and answers the rest in the service's place. The answers are held to
    /// the limit of the box's own inbox: one that does not read them sends no more.
    fn send_granted(&self, peer: u32, arrow: &Arrow, split: &Split) -> Result<bool, Refused> {
        let service = &arrow.service;
        let Split { granted, answers, refused } = split;
        if !self.inbox.lock().has_room(answers.len(), self.limit) {
            self.blocked.store(true, Relaxed);
            self.was_full.store(true, Release);
            return Ok(false);
        }
        let taken = granted.is_empty() || service.port.deliver(service.number, granted.as_bytes())?;
        if taken {
            self.inbox.lock().append(peer, answers.as_bytes())?;
            self.signal.raise(self.ready());
            if let Some(meter) = &arrow.meter {
                meter.refused(*refused);
            }
        }
        Ok(taken)
    }

    /// Appends a batch from a peer unless the inbox is full.
    fn deliver(&self, peer: u32, batch: &[u8]) -> Result<bool, Refused> {
        let mut inbox = self.inbox.lock();
        if !inbox.has_room(batch.len(), self.limit) {
            return Ok(false);
        }
        inbox.append(peer, batch)?;
        drop(inbox);
        self.signal.raise(self.ready());
        Ok(true)
    }

    /// Appends what the node itself has to say, whatever the limit.
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
        if self.has_services {
            self.receive_from_services(bytes.buffer());
        }
        if !bytes.buffer().is_empty() {
            self.make_room();
        }
        bytes
    }

    /// Takes all that waits, and puts it into `space`: how many bytes that are. What does not fit is given as it is.
    pub fn receive_into(&self, space: &mut [u8]) -> Result<usize, Bytes> {
        let mut inbox = self.inbox.lock();
        if self.has_services || inbox.waiting.len() > space.len() {
            drop(inbox);
            let mut bytes = self.receive();
            let Some(space) = space.get_mut(..bytes.buffer().len()) else { return Err(bytes) };
            space.copy_from_slice(bytes.buffer());
            return Ok(space.len());
        }
        let received = inbox.waiting.len();
        space[..received].copy_from_slice(&inbox.waiting);
        inbox.waiting.clear();
        inbox.last = None;
        inbox.taken += 1;
        drop(inbox);
        if received > 0 {
            self.make_room();
        }
        Ok(received)
    }

    fn receive_from_services(&self, buffer: &mut Vec<u8>) {
        let mut batch = Batch::from_bytes(core::mem::take(buffer));
        let peers = self.peers.lock();
        for (number, service) in peers.services() {
            let before = batch.len();
            Peer::Is(number).encode(&mut batch);
            let begin = batch.len();
            service.receive(&mut batch, begin + MAX_BATCH);
            if batch.len() == begin {
                batch.truncate(before);
            }
        }
        *buffer = batch.into_bytes();
    }

    /// Wakes those that found the inbox full.
    #[inline]
    fn make_room(&self) {
        if self.was_full.load(Relaxed) && self.was_full.swap(false, Acquire) {
            self.wake_those_without_room();
        }
    }

    #[cold]
    fn wake_those_without_room(&self) {
        if self.blocked.load(Relaxed) && self.blocked.swap(false, Relaxed) {
            self.signal.raise(Ready::ROOM);
        }
        for arrow in self.peers.lock().iter() {
            self.far(arrow).unblock();
        }
    }

    #[inline]
    fn far<'a>(&self, arrow: &'a Arrow) -> &'a super::arrow::Half {
        arrow.half(self.end.other())
    }
}
