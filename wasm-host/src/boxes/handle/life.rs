//! How a box fares, and what it is told to do.

use super::BoxHandle;
use crate::{executor::Bell, platform::Nanos};
use alloc::{string::String, sync::Arc};
use core::{sync::atomic::Ordering::Relaxed, task::Poll};

/// How a box fares.
#[derive(Debug, Clone, Default)]
pub struct Life {
    pub phase: Phase,
    /// how often it was started again
    pub restarts: u64,
    /// why it ended last, with the backtrace
    pub reason: Option<String>,
    /// when the running instance started
    pub since: Nanos,
    /// someone asked for its end
    asked: Option<Arc<str>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    #[default]
    Starting,
    Running,
    /// It has ended and waits to be started again.
    Backoff,
    /// It was stopped, and waits to be started.
    Stopped,
    /// It returned of its own will.
    Ended,
    /// The platform does its work.
    StandIn,
}

impl BoxHandle {
    pub fn life(&self) -> Life {
        self.life.lock().clone()
    }

    pub(crate) fn live<R>(&self, change: impl FnOnce(&mut Life) -> R) -> R {
        let result = change(&mut self.life.lock());
        self.bell.ring();
        result
    }

    /// Rings when its life changes.
    pub fn bell(&self) -> &Bell {
        &self.bell
    }

    /// No instance of it runs or is about to.
    pub fn is_down(&self) -> bool {
        matches!(self.life.lock().phase, Phase::Backoff | Phase::Stopped | Phase::Ended)
    }

    pub fn has_ended(&self) -> bool {
        self.life.lock().phase == Phase::Ended
    }

    /// Ends the running instance; the supervisor starts another, unless the box retires.
    pub fn restart(&self, why: &str) {
        self.life.lock().asked = Some(why.into());
        self.is_asked.store(true, Relaxed);
        self.wake();
    }

    /// Ends the running instance; there is no other until `start`.
    pub fn stop(&self, why: &str) {
        self.stopped.store(true, Relaxed);
        self.restart(why);
    }

    /// False: it was not stopped.
    pub fn start(&self) -> bool {
        let was_stopped = self.stopped.swap(false, Relaxed);
        self.bell.ring();
        was_stopped
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Relaxed)
    }

    /// Waits while the box is stopped, unless it is to retire.
    pub(in crate::boxes) async fn started(&self) {
        self.bell.until(|| (!self.is_stopped() || self.is_retiring()).then_some(())).await;
        self.life.lock().asked = None;
    }

    /// Ends the box for good.
    pub fn end(&self, why: &str) {
        self.retiring.store(true, Relaxed);
        self.restart(why);
    }

    /// Gives its task a turn, to see what has changed. Before there is one, it will see.
    pub(super) fn wake(&self) {
        if let Some(task) = self.task.get() {
            task.wake();
        }
    }

    /// Waits, in its task, until somebody asks for its end.
    #[inline]
    pub(in crate::boxes) fn end_asked(&self) -> impl Future<Output = Arc<str>> {
        core::future::poll_fn(|_| {
            if !self.is_asked.load(Relaxed) {
                return Poll::Pending;
            }
            self.is_asked.store(false, Relaxed);
            self.life.lock().asked.take().map_or(Poll::Pending, Poll::Ready)
        })
    }
}
