//! Deadlines. A sleeper owns a timer; setting it costs a few instructions, and the list of all is looked through only
//! when the first of them is due.

use crate::platform::Nanos;
use alloc::{sync::Arc, sync::Weak, vec::Vec};
use core::{
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    task::{Context, Poll, Waker},
};
use spin::Mutex;

const NEVER: Nanos = Nanos::MAX;

#[derive(Debug)]
pub struct Timers {
    timers: Mutex<Vec<Weak<Timer>>>,
    /// No timer is due before this.
    first: AtomicU64,
}

/// One deadline, and whom to wake then.
#[derive(Debug)]
pub struct Timer {
    deadline: AtomicU64,
    waker: Mutex<Option<Waker>>,
    all: Arc<Timers>,
}

impl Default for Timers {
    fn default() -> Self {
        Timers { timers: Mutex::default(), first: AtomicU64::new(NEVER) }
    }
}

impl Timers {
    pub fn timer(self: &Arc<Self>) -> Arc<Timer> {
        let timer = Arc::new(Timer { deadline: AtomicU64::new(NEVER), waker: Mutex::new(None), all: self.clone() });
        self.timers.lock().push(Arc::downgrade(&timer));
        timer
    }

    /// The earliest time at which `expire` may have something to do.
    pub fn next(&self) -> Option<Nanos> {
        Some(self.first.load(Relaxed)).filter(|&first| first != NEVER)
    }

    /// Wakes those whose deadline has come.
    pub fn expire(&self, now: Nanos) {
        if now < self.first.load(Relaxed) {
            return;
        }
        let mut first = NEVER;
        self.timers.lock().retain(|timer| {
            let Some(timer) = timer.upgrade() else { return false };
            let deadline = timer.deadline.load(Relaxed);
            if deadline > now {
                first = first.min(deadline);
            } else {
                timer.deadline.store(NEVER, Relaxed);
                if let Some(waker) = timer.waker.lock().take() {
                    waker.wake();
                }
            }
            true
        });
        self.first.store(first, Relaxed);
    }
}

impl Timer {
    /// One more, for another sleeper.
    pub fn another(&self) -> Arc<Timer> {
        self.all.timer()
    }

    /// Wakes `waker` at `deadline` or soon after. Replaces what was set before.
    pub fn set(&self, deadline: Nanos, waker: &Waker) {
        self.deadline.store(deadline, Relaxed);
        self.all.first.fetch_min(deadline, Relaxed);
        let mut slot = self.waker.lock();
        if !slot.as_ref().is_some_and(|old| old.will_wake(waker)) {
            *slot = Some(waker.clone());
        }
    }

    pub fn clear(&self) {
        self.deadline.store(NEVER, Relaxed);
    }

    fn expired(&self) -> bool {
        self.deadline.load(Relaxed) == NEVER
    }

    /// Sleeps until `deadline`.
    pub fn sleep_until(self: &Arc<Self>, deadline: Nanos) -> Sleep {
        Sleep { timer: self.clone(), deadline, set: false }
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
