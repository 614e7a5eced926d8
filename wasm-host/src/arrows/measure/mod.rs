//! What goes over an arrow is counted: requests, errors, bytes, and how long answers take.
//!
//! Counting must cost next to nothing: no memory, no locks, and the clock is read once for a batch that begins or ends
//! something.

mod histogram;
mod open;
#[cfg(test)]
mod tests;

pub use histogram::{Histogram, quantile};

use super::{Kinds, Protocol, channel::End};
use crate::{
    executor::Bell,
    platform::{Nanos, Platform},
};
use alloc::boxed::Box;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use open::Open;
use wit::Record;

/// Statuses from here on say that the service is at fault (RFC 9110, section 15.6).
const SERVER_ERROR: u16 = 500;

/// What has gone in one direction.
#[derive(Debug, Default)]
pub struct Traffic {
    /// of calls, one each
    pub batches: AtomicU64,
    pub records: AtomicU64,
    pub bytes: AtomicU64,
    /// batches that found the other's inbox full, and had to wait
    pub full: AtomicU64,
}

/// The figures of one arrow.
pub struct Meter {
    platform: &'static dyn Platform,
    kinds: Kinds,
    /// the kinds of records that each end sends, and that are counted
    of_interest: [u64; 2],
    sent: [Traffic; 2],
    /// requests, lookups or calls
    requests: AtomicU64,
    /// connections that were opened, of an arrow to a network
    connections: AtomicU64,
    errors: AtomicU64,
    /// rings when something has failed
    failure: Bell,
    open: Option<Box<Open>>,
}

/// What is counted of one batch.
#[derive(Debug, Default)]
pub struct Seen {
    /// read when it is needed first
    now: Nanos,
    asked: u32,
    opened: u32,
    failed: u32,
}

impl Seen {
    #[inline]
    fn now(&mut self, platform: &dyn Platform) -> Nanos {
        if self.now == 0 {
            self.now = platform.now();
        }
        self.now
    }
}

impl Meter {
    pub fn of_protocol(protocol: &Protocol, platform: &'static dyn Platform) -> Self {
        Self::new(protocol.kinds, protocol.is_of_requests().then(Open::new), platform)
    }

    pub fn of_calls(platform: &'static dyn Platform) -> Self {
        Self::new(Kinds::default(), Some(Open::new()), platform)
    }

    fn new(kinds: Kinds, open: Option<Box<Open>>, platform: &'static dyn Platform) -> Self {
        let (requests, connections, errors) = Default::default();
        let of_interest = [kinds.asks | kinds.cancels, kinds.opens | kinds.ends | kinds.fails | kinds.answers];
        let failure = Bell::default();
        Meter { platform, kinds, of_interest, sent: Default::default(), requests, connections, errors, failure, open }
    }

    /// A bit for each kind of record, of those from one end, that [`Meter::see`] looks at.
    #[inline]
    pub fn of_interest(&self, from: End) -> u64 {
        self.of_interest[from as usize]
    }

    /// A record of a batch that is about to be passed on. Seen again, because the batch found no room, it counts once.
    #[inline]
    pub fn see(&self, from: End, record: &Record<'_>, seen: &mut Seen) {
        let bit = Kinds::bit(record.kind);
        if self.of_interest[from as usize] & bit != 0 {
            self.note(from, record, bit, seen);
        }
    }

    #[inline]
    fn note(&self, from: End, record: &Record<'_>, bit: u64, seen: &mut Seen) {
        let kinds = &self.kinds;
        match from {
            End::Client => {
                let Some(open) = &self.open else { return };
                if bit & kinds.asks != 0 {
                    seen.asked += 1;
                    open.begin(record.id, seen.now(self.platform));
                } else {
                    open.cancel(record.id);
                }
            }
            End::Service => {
                if bit & kinds.answers != 0 {
                    seen.failed += u32::from(is_error(record.bytes));
                    return;
                }
                if bit & kinds.ends != 0
                    && let Some(open) = &self.open
                {
                    open.end(record.id, seen.now(self.platform));
                }
                seen.failed += u32::from(bit & kinds.fails != 0);
                seen.opened += u32::from(bit & kinds.opens != 0);
            }
        }
    }

    /// A batch of so many records and bytes was passed on, all of which were seen.
    #[inline]
    pub fn sent(&self, from: End, bytes: usize, records: u64, seen: &Seen) {
        let traffic = &self.sent[from as usize];
        traffic.batches.fetch_add(1, Relaxed);
        traffic.records.fetch_add(records, Relaxed);
        traffic.bytes.fetch_add(bytes as u64, Relaxed);
        match from {
            End::Client => drop(self.requests.fetch_add(seen.asked.into(), Relaxed)),
            End::Service if seen.failed | seen.opened != 0 => {
                self.failed(seen.failed.into());
                self.connections.fetch_add(seen.opened.into(), Relaxed);
            }
            End::Service => {}
        }
    }

    /// The other's inbox was full.
    pub fn found_full(&self, from: End) {
        self.sent[from as usize].full.fetch_add(1, Relaxed);
    }

    /// The node itself has refused so many records of the client.
    pub fn refused(&self, count: u64) {
        self.errors.fetch_add(count, Relaxed);
    }

    /// What a client asks of a service that is down fails.
    #[cold]
    pub fn lost(&self, seen: &Seen) {
        self.requests.fetch_add(seen.asked.into(), Relaxed);
        self.errors.fetch_add(seen.asked.into(), Relaxed);
        if let Some(open) = &self.open {
            open.clear();
        }
    }

    /// One end is gone. What the other has not answered has failed.
    pub fn ended(&self, end: End) {
        let Some(open) = &self.open else { return };
        let left = open.clear();
        if end == End::Service {
            self.errors.fetch_add(left, Relaxed);
        }
    }

    pub fn now(&self) -> u64 {
        self.platform.now()
    }

    /// A call that began at `began` is over. `result`: the bytes of its result, or None if it has failed.
    pub fn called(&self, began: u64, params: usize, result: Option<usize>) {
        self.requests.fetch_add(1, Relaxed);
        let count = |end: End, bytes: usize| {
            let traffic = &self.sent[end as usize];
            traffic.batches.fetch_add(1, Relaxed);
            traffic.records.fetch_add(1, Relaxed);
            traffic.bytes.fetch_add(bytes as u64, Relaxed);
        };
        count(End::Client, params);
        match result {
            Some(bytes) => count(End::Service, bytes),
            None => self.failed(1),
        }
        if let Some(open) = &self.open {
            open.latency.add(self.now().saturating_sub(began));
        }
    }

    pub fn traffic(&self, from: End) -> &Traffic {
        &self.sent[from as usize]
    }

    /// Requests, lookups or calls; None where there are none.
    pub fn requests(&self) -> Option<u64> {
        self.open.is_some().then(|| self.requests.load(Relaxed))
    }

    /// Those of them that are under way, 256 at most.
    pub fn under_way(&self) -> Option<u64> {
        self.open.as_ref().map(|open| open.count())
    }

    fn failed(&self, count: u64) {
        if count > 0 {
            self.errors.fetch_add(count, Relaxed);
            self.failure.ring();
        }
    }

    /// Rings when something has failed.
    pub fn failure(&self) -> &Bell {
        &self.failure
    }

    /// Connections that were opened; None where there are none.
    pub fn connections(&self) -> Option<u64> {
        (self.kinds.opens != 0).then(|| self.connections.load(Relaxed))
    }

    /// Of handlers: statuses from 500 on, and requests without an answer; of calls: those that failed, not those that
    /// returned an error; of networks: what was refused.
    pub fn errors(&self) -> u64 {
        self.errors.load(Relaxed)
    }

    /// From a request's record to that with which its answer ends.
    pub fn latency(&self) -> Option<&Histogram> {
        self.open.as_ref().map(|open| &open.latency)
    }
}

/// Whether a response's record has a status that says so.
#[inline]
fn is_error(response: &[u8]) -> bool {
    response.first_chunk().is_some_and(|status| u16::from_le_bytes(*status) >= SERVER_ERROR)
}
