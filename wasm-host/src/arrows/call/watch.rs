//! Deadlines of a queue: of the calls that wait or run, and of the instances that work.

use super::{
    CallError, Limits,
    queue::CallQueue,
    state::{Job, Life, Phase, State},
};
use crate::{executor::Timer, platform::Nanos};
use alloc::{sync::Arc, vec::Vec};
use core::task::{Poll, Waker};

impl CallQueue {
    /// Ends what has taken too long. A node runs this as a task of its own, one for each queue; it returns when the
    /// queue is closed and empty. It wakes seldom: once for each `deadline` while there are calls, not for each call.
    pub async fn watch(&self, timer: Arc<Timer>) {
        core::future::poll_fn(|cx| {
            let now = self.now();
            let mut state = self.0.state.lock();
            let (next, wakers) = state.expire(now, self.limits());
            let over = matches!(state.life, Life::Closed { .. }) && state.calls.is_empty() && state.servers.is_empty();
            state.watched = next;
            state.watcher = (!over).then(|| cx.waker().clone());
            drop(state);
            match next {
                Nanos::MAX => timer.clear(),
                next => timer.set(next, cx.waker()),
            }
            wakers.into_iter().for_each(Waker::wake);
            if over { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl State {
    /// When there will be something to end next, and whom to wake now.
    fn expire(&mut self, now: Nanos, limits: &Limits) -> (Nanos, Vec<Waker>) {
        let mut wakers = self.fail_waiting(|state, call| {
            if state.due(call, limits) > now {
                return None;
            }
            Some(match &state.life {
                Life::Down { reason, .. } => CallError::Restarting { reason: reason.clone() },
                _ => CallError::TimedOut { after: limits.deadline, running: false },
            })
        });
        let mut next = self.waiting.iter().map(|&index| self.due(&self.calls[index], limits)).min();
        let mut at = |due: Nanos| next = Some(next.map_or(due, |next| next.min(due)));
        for server in &mut self.servers {
            let Some((job, since)) = server.work else { continue };
            let stuck = since.saturating_add(limits.stuck);
            if stuck > now {
                at(stuck);
            } else if !server.stuck {
                server.stuck = true;
                wakers.extend(server.waker.take());
            }
            let Job::Call(index) = job else { continue };
            let call = &mut self.calls[index];
            match &mut call.phase {
                Phase::Running { expired: expired @ false } if call.deadline <= now => {
                    *expired = true;
                    wakers.extend(call.waker.take());
                }
                Phase::Running { expired: false } => at(call.deadline),
                _ => {}
            }
        }
        (next.unwrap_or(Nanos::MAX), wakers)
    }
}
