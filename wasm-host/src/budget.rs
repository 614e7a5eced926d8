//! A box's memory limit, and what counts against it.

use alloc::sync::{Arc, Weak};
use core::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};
use spin::Mutex;

/// What all instances of a box, and what the node holds for them, may use together.
#[derive(Debug)]
pub struct Budget {
    limit: u64,
    used: AtomicU64,
    /// what is given back where the budget would not suffice
    spare: Mutex<Weak<dyn Spare>>,
}

/// What is held only as long as nothing else needs its memory.
pub trait Spare: Send + Sync + fmt::Debug {
    /// Gives so many bytes back to the budget, or as many as there are.
    fn give_back(&self, bytes: u64);
}

/// Nothing.
#[derive(Debug)]
struct Nothing;

impl Spare for Nothing {
    fn give_back(&self, _: u64) {}
}

impl Budget {
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Budget { limit, used: AtomicU64::new(0), spare: Mutex::new(Weak::<Nothing>::new()) })
    }

    /// From now on, this gives back what it holds where something else needs it.
    pub fn lends_to(&self, spare: &Arc<impl Spare + 'static>) {
        let spare: Weak<dyn Spare> = Arc::<_>::downgrade(spare) as Weak<_>;
        *self.spare.lock() = spare;
    }

    pub fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Takes all of `bytes` or nothing.
    pub fn take(&self, bytes: u64) -> bool {
        self.take_leaving(bytes, 0)
    }

    /// The same, if so much is left after it.
    pub fn take_leaving(&self, bytes: u64, left: u64) -> bool {
        self.take_free(bytes, left) || self.take_spare(bytes, left)
    }

    #[cold]
    fn take_spare(&self, bytes: u64, left: u64) -> bool {
        let Some(spare) = self.spare.lock().upgrade() else { return false };
        let needed = self.used().saturating_add(bytes).saturating_sub(self.limit.saturating_sub(left));
        spare.give_back(needed);
        self.take_free(bytes, left)
    }

    /// The same, of what nobody has: nothing is given back for it.
    pub fn take_free(&self, bytes: u64, left: u64) -> bool {
        let most = self.limit.saturating_sub(left);
        let taken = |used: u64| used.checked_add(bytes).filter(|used| *used <= most);
        self.used.fetch_update(Relaxed, Relaxed, taken).is_ok()
    }

    pub fn give(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Relaxed);
    }
}

/// Bytes of a budget that are in use for as long as this lives.
#[derive(Debug)]
pub struct Charge {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Charge {
    pub fn none(budget: &Arc<Budget>) -> Self {
        Charge { budget: budget.clone(), bytes: 0 }
    }

    /// None: the budget has not that much left.
    pub fn new(budget: &Arc<Budget>, bytes: usize) -> Option<Self> {
        Self::leaving(budget, bytes, 0)
    }

    /// Of what nobody has: nothing is given back for it.
    pub fn free(budget: &Arc<Budget>, bytes: usize) -> Option<Self> {
        let bytes = bytes as u64;
        budget.take_free(bytes, 0).then(|| Charge { budget: budget.clone(), bytes })
    }

    /// None: the budget would not have `left` left.
    pub fn leaving(budget: &Arc<Budget>, bytes: usize, left: u64) -> Option<Self> {
        let bytes = bytes as u64;
        budget.take_leaving(bytes, left).then(|| Charge { budget: budget.clone(), bytes })
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// False: the budget has not that much left, and nothing has changed.
    pub fn resize(&mut self, bytes: usize) -> bool {
        let bytes = bytes as u64;
        if bytes <= self.bytes {
            self.budget.give(self.bytes - bytes);
        } else if !self.budget.take(bytes - self.bytes) {
            return false;
        }
        self.bytes = bytes;
        true
    }

    /// Grows to that many bytes, if it is less. False: the budget has not that much left.
    pub fn cover(&mut self, bytes: usize) -> bool {
        self.cover_leaving(bytes, 0)
    }

    /// The same, if the budget has `left` left after it.
    pub fn cover_leaving(&mut self, bytes: usize, left: u64) -> bool {
        let more = (bytes as u64).saturating_sub(self.bytes);
        let covered = more == 0 || self.budget.take_leaving(more, left);
        self.bytes += if covered { more } else { 0 };
        covered
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.give(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charges_share_a_budget_and_give_back() {
        let budget = Budget::new(100);
        let mut first = Charge::new(&budget, 60).unwrap();
        assert!(Charge::new(&budget, 41).is_none());
        let second = Charge::new(&budget, 40).unwrap();
        assert!(!first.resize(61) && first.resize(10));
        assert_eq!(budget.used(), 50);
        drop((first, second));
        assert_eq!(budget.used(), 0);
        assert!(!budget.take(u64::MAX));
        assert!(!budget.take_leaving(51, 50) && Charge::leaving(&budget, 1, 100).is_none());
        assert!(!budget.take_leaving(1, u64::MAX) && budget.take_leaving(50, 50) && budget.take(50));
    }
}
