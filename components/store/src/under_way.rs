//! The writes that a disk is at. It does them in any order, and reads among them: what overlaps has to wait for what came before.

use std::collections::BTreeMap;
use std::ops::Range;

/// By ticket, the sectors.
#[derive(Debug, Default)]
pub struct UnderWay(BTreeMap<u32, Range<u64>>);

impl UnderWay {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether something is written among these sectors: then they are not to be read or written yet.
    pub fn overlaps(&self, first: u64, count: u64) -> bool {
        self.0.values().any(|other| other.start < first.saturating_add(count) && first < other.end)
    }

    pub fn begin(&mut self, ticket: u32, first: u64, count: u64) {
        self.0.insert(ticket, first..first.saturating_add(count));
    }

    /// False: it is no write.
    pub fn end(&mut self, ticket: u32) -> bool {
        self.0.remove(&ticket).is_some()
    }
}
