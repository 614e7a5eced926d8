//! A box's hold on a network card, which two instances share while one of them finishes what it has open.

use crate::{
    arrows::channel::{Ready, Refused, Service, Signal},
    platform::Nic,
};
use alloc::{
    sync::{Arc, Weak},
    task::Wake,
    vec::Vec,
};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use spin::Mutex;
use wit::{
    Batch, Peer, Records,
    nic::{Attach, Command, Event, MAX_FRAME},
};

/// Bytes of frames that wait for a box while another empties the card. More are dropped, as on any wire.
const WAITING: usize = 256 << 10;

pub struct Tap {
    line: Arc<Line>,
    signal: Arc<Signal>,
    /// the flag of the box's port
    ready: Ready,
    /// What arrives is this box's alone, and nothing waits in the inbox.
    alone: AtomicBool,
    open: AtomicBool,
    /// The box leaves connections of others alone: another may have the card beside it.
    shares: AtomicBool,
    inbox: Mutex<Inbox>,
}

#[derive(Default)]
struct Inbox {
    waiting: Batch,
    /// what the box was last told
    shared: bool,
}

/// A card, and who has it.
struct Line {
    card: Arc<dyn Nic>,
    taps: Mutex<Vec<Weak<Tap>>>,
}

impl Tap {
    /// For a box with this signal. It gets nothing before [`Tap::open`]. `others`: taps that there are, of which some may
    /// be of the same card.
    pub fn new<'a>(
        card: Arc<dyn Nic>,
        signal: &Arc<Signal>,
        ready: Ready,
        others: impl IntoIterator<Item = &'a Arc<Tap>>,
    ) -> Arc<Self> {
        let same = |tap: &&Arc<Tap>| core::ptr::addr_eq(Arc::as_ptr(&tap.line.card), Arc::as_ptr(&card));
        let line = others.into_iter().find(same).map(|tap| tap.line.clone());
        Arc::new(Tap {
            line: line.unwrap_or_else(|| Arc::new(Line { card, taps: Mutex::default() })),
            signal: signal.clone(),
            ready,
            alone: AtomicBool::new(false),
            open: AtomicBool::new(false),
            shares: AtomicBool::new(false),
            inbox: Mutex::default(),
        })
    }

    /// What arrives from now on is for this box, and for those others that share it. Nothing if that is so already.
    pub fn open(self: &Arc<Self>) {
        if self.open.swap(true, Relaxed) {
            return;
        }
        let mut taps = self.line.taps.lock();
        taps.retain(|tap| {
            let Some(tap) = tap.upgrade() else { return false };
            tap.shares.load(Relaxed) || !tap.close()
        });
        taps.push(Arc::downgrade(self));
        self.line.changed(&taps);
    }

    /// The box may have others beside it.
    pub fn share(&self) {
        self.shares.store(true, Relaxed);
    }

    /// The box is no more.
    pub fn leave(&self) {
        if self.close() {
            let mut taps = self.line.taps.lock();
            taps.retain(|tap| tap.upgrade().is_some_and(|tap| tap.open.load(Relaxed)));
            self.line.changed(&taps);
        }
    }

    /// True if it was open.
    fn close(&self) -> bool {
        self.alone.store(false, Relaxed);
        self.inbox.lock().waiting = Batch::new();
        self.open.swap(false, Relaxed)
    }

    #[cold]
    fn receive_shared(&self, batch: &mut Batch, limit: usize) {
        if !self.open.load(Relaxed) {
            return;
        }
        let mut arrived = Batch::new();
        self.line.card.receive(&mut arrived, limit);
        let taps = self.line.holders();
        if !arrived.is_empty() {
            for tap in &taps {
                tap.put(arrived.as_bytes());
                if !core::ptr::eq(&**tap, self) {
                    tap.signal.raise(tap.ready);
                }
            }
        }
        let mut inbox = self.inbox.lock();
        batch.append(inbox.waiting.as_bytes());
        inbox.waiting = Batch::new();
        self.alone.store(taps.len() == 1, Relaxed);
    }

    fn put(&self, frames: &[u8]) {
        let mut inbox = self.inbox.lock();
        if inbox.waiting.len() + frames.len() <= WAITING {
            inbox.waiting.append(frames);
        }
    }

    /// Tells the box whether it has the card with others, if it does not know.
    fn tell(&self, shared: bool) {
        let mut inbox = self.inbox.lock();
        if core::mem::replace(&mut inbox.shared, shared) != shared {
            Event::Shared { others: u32::from(shared) }.encode(&mut inbox.waiting);
        }
        drop(inbox);
        // what waits is taken the slow way, which finds out whether the next may be the fast one
        self.alone.store(false, Relaxed);
        self.signal.raise(self.ready);
    }
}

impl Service for Tap {
    fn attach(&self) -> Vec<u8> {
        let card = &self.line.card;
        let octets = card.address();
        let address = octets.iter().fold(0, |address, octet| address << 8 | u64::from(*octet));
        Attach { address, mtu: card.mtu() }.encode()
    }

    fn renew(&self) {
        if self.open.load(Relaxed) {
            let shared = {
                let mut inbox = self.inbox.lock();
                inbox.waiting.clear();
                core::mem::take(&mut inbox.shared)
            };
            if shared {
                self.tell(true);
            }
        }
    }

    fn send(&self, batch: &[u8]) -> Result<bool, Refused> {
        for record in Records::new(batch) {
            let record = record?;
            // kinds to come are passed over, here and by the card
            let is_too_long = record.kind == Command::FRAME && record.bytes.len() > MAX_FRAME;
            if is_too_long || record.kind >= Peer::FIRST_KIND {
                return Err(Refused::Reserved { kind: record.kind });
            }
        }
        self.line.card.transmit(Records::new(batch));
        Ok(true)
    }

    #[inline]
    fn receive(&self, batch: &mut Batch, limit: usize) {
        if self.alone.load(Relaxed) {
            return self.line.card.receive(batch, limit);
        }
        self.receive_shared(batch, limit);
    }

    fn holds(&self) -> u64 {
        WAITING as u64
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Line {
    fn holders(&self) -> Vec<Arc<Tap>> {
        self.taps.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Others have the card than before.
    fn changed(&self, taps: &[Weak<Tap>]) {
        let holders: Vec<Arc<Tap>> = taps.iter().filter_map(Weak::upgrade).collect();
        holders.iter().for_each(|tap| tap.tell(holders.len() > 1));
        match &*holders {
            [] => {}
            [one] => self.card.set_waker(&one.signal.waker(one.ready)),
            _ => self.card.set_waker(&Arc::new(All(taps.to_vec())).into()),
        }
    }
}

/// Wakes everybody who has the card.
struct All(Vec<Weak<Tap>>);

impl Wake for All {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.iter().filter_map(Weak::upgrade).for_each(|tap| tap.signal.raise(tap.ready));
    }
}
