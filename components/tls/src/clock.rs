//! The time, as the node tells it at each turn. Tickets last as long as the node runs, so it is counted from its start.

use rustls::{pki_types::UnixTime, time_provider::TimeProvider};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Nanoseconds since the node's start.
#[derive(Debug, Default)]
pub struct Clock(AtomicU64);

impl Clock {
    pub fn now(&self) -> u64 {
        self.0.load(Relaxed)
    }

    pub fn set(&self, now: u64) {
        self.0.store(now, Relaxed);
    }
}

impl TimeProvider for Clock {
    /// rustls asks for it to see how old a ticket is.
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_nanos(self.now())))
    }
}
