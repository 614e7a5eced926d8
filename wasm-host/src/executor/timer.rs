//! Deadlines. A sleeper owns a timer. Of all timers that are set there is a list in the order of their times, where each
//! has at most one entry, which goes when the timer does: what one sleeper sets costs the others nothing.

use crate::{
    platform::Nanos,
    sync::{
        AtomicU64, Mutex,
        Ordering::{Acquire, Relaxed, Release},
    },
};
use alloc::{collections::BTreeMap, sync::Arc};
use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

const NEVER: Nanos = Nanos::MAX;

/// When, and the timer's number.
type Key = (Nanos, u64);

#[derive(Debug)]
pub struct Timers {
    /// Whoever holds a timer's state may take this, and not the other way round.
    entries: Mutex<BTreeMap<Key, Arc<Slot>>>,
    /// No timer is due before this.
    first: AtomicU64,
    next: AtomicU64,
}

/// One deadline, and whom to wake then.
#[derive(Debug)]
pub struct Timer {
    number: u64,
    slot: Arc<Slot>,
    all: Arc<Timers>,
}

#[derive(Debug, Default)]
struct Slot(Mutex<State>);

#[derive(Debug)]
struct State {
    deadline: Nanos,
    /// When its entry in the list is due: not after the deadline. A later deadline leaves the entry where it is, which
    /// is what a box that sets a timer at each of its turns pays.
    entry: Option<Nanos>,
    waker: Option<Waker>,
}

impl Default for State {
    fn default() -> Self {
        State { deadline: NEVER, entry: None, waker: None }
    }
}

impl Default for Timers {
    fn default() -> Self {
        Timers { entries: Mutex::default(), first: AtomicU64::new(NEVER), next: AtomicU64::new(0) }
    }
}

impl Timers {
    pub fn timer(self: &Arc<Self>) -> Arc<Timer> {
        let number = self.next.fetch_add(1, Relaxed);
        Arc::new(Timer { number, slot: Arc::default(), all: self.clone() })
    }

    /// The earliest time at which `expire` may have something to do.
    pub fn next(&self) -> Option<Nanos> {
        Some(self.first.load(Acquire)).filter(|&first| first != NEVER)
    }

    /// Wakes those whose deadline has come.
    pub fn expire(&self, now: Nanos) {
        if now < self.first.load(Acquire) {
            return;
        }
        while let Some((key, slot)) = self.pop(now) {
            let mut state = slot.0.lock();
            // another entry was made meanwhile
            if state.entry != Some(key.0) {
                continue;
            }
            state.entry = None;
            if state.deadline > now {
                self.enter(key.1, &slot, &mut state);
                continue;
            }
            state.deadline = NEVER;
            let waker = state.waker.take();
            drop(state);
            waker.into_iter().for_each(Waker::wake);
        }
    }

    /// Takes the first entry that is due.
    fn pop(&self, now: Nanos) -> Option<(Key, Arc<Slot>)> {
        let mut entries = self.entries.lock();
        let due = entries.first_entry().filter(|entry| entry.key().0 <= now).map(|entry| entry.remove_entry());
        self.look(&entries);
        due
    }

    fn enter(&self, number: u64, slot: &Arc<Slot>, state: &mut State) {
        if state.deadline == NEVER {
            return;
        }
        state.entry = Some(state.deadline);
        let mut entries = self.entries.lock();
        entries.insert((state.deadline, number), slot.clone());
        self.look(&entries);
    }

    /// What it was, for the caller to drop when nothing is locked any more.
    fn remove(&self, key: Key) -> Option<Arc<Slot>> {
        let mut entries = self.entries.lock();
        let removed = entries.remove(&key);
        self.look(&entries);
        removed
    }

    fn look(&self, entries: &BTreeMap<Key, Arc<Slot>>) {
        self.first.store(entries.first_key_value().map_or(NEVER, |(key, _)| key.0), Release);
    }

    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.entries.lock().len()
    }
}

impl Timer {
    /// What one holds of the node's memory, in bytes, with its place in the list.
    pub const SIZE: usize = 256;

    /// One more, for another sleeper.
    pub fn another(&self) -> Arc<Timer> {
        self.all.timer()
    }

    /// Wakes `waker` at `deadline` or soon after. Replaces what was set before.
    pub fn set(&self, deadline: Nanos, waker: &Waker) {
        let mut state = self.slot.0.lock();
        state.deadline = deadline;
        // the last of another sleeper: dropped when nothing is locked
        let old = match &state.waker {
            Some(old) if old.will_wake(waker) => None,
            _ => state.waker.replace(waker.clone()),
        };
        if state.entry.is_none_or(|entry| deadline < entry) {
            let before = state.entry.take().and_then(|entry| self.all.remove((entry, self.number)));
            self.all.enter(self.number, &self.slot, &mut state);
            drop(before);
        }
        drop(state);
        drop(old);
    }

    pub fn clear(&self) {
        self.slot.0.lock().deadline = NEVER;
    }

    fn expired(&self) -> bool {
        self.slot.0.lock().deadline == NEVER
    }

    /// Sleeps until `deadline`.
    pub fn sleep_until(self: &Arc<Self>, deadline: Nanos) -> Sleep {
        Sleep { timer: self.clone(), deadline, set: false }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let entry = self.slot.0.lock().entry.take();
        drop(entry.and_then(|entry| self.all.remove((entry, self.number))));
    }
}

pub struct Sleep {
    timer: Arc<Timer>,
    deadline: Nanos,
    set: bool,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.set && self.timer.expired() {
            return Poll::Ready(());
        }
        self.timer.set(self.deadline, cx.waker());
        self.set = true;
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.timer.clear();
    }
}
