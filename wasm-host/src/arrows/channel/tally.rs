//! Counts the answers of a handler while it is on trial.

use crate::{arrows::measure::SERVER_ERROR, executor::Bell};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use wit::{Records, http::Event};

#[derive(Debug, Default)]
pub struct Tally {
    answers: AtomicU64,
    failures: AtomicU64,
    /// rings at each failure
    pub bell: Bell,
}

impl Tally {
    /// Answers, and those of them that failed.
    pub fn counts(&self) -> (u64, u64) {
        (self.answers.load(Relaxed), self.failures.load(Relaxed))
    }

    #[cold]
    pub(super) fn count(&self, batch: &[u8]) {
        let mut failed = 0;
        for record in Records::new(batch).flatten() {
            match Event::decode(&record) {
                Ok(Event::Response { status, .. }) => {
                    self.answers.fetch_add(1, Relaxed);
                    failed += u64::from(status >= SERVER_ERROR);
                }
                // of a response that has begun, it counts as a second one
                Ok(Event::Failed { .. }) => {
                    self.answers.fetch_add(1, Relaxed);
                    failed += 1;
                }
                _ => {}
            }
        }
        if failed > 0 {
            self.failures.fetch_add(failed, Relaxed);
            self.bell.ring();
        }
    }
}
