//! The callee's side of a queue: an instance joins it, takes work, posts results, leaves.

use super::{
    CallError, Caller,
    handles::Argument,
    message::Message,
    queue::{CallQueue, Path},
    state::{Answer, Handover, Job, Life, Phase, Server, State},
};
use crate::executor::Task;
use alloc::{sync::Arc, vec::Vec};
use core::task::{Context, Poll, Waker};
use wasmtime::component::ResourceAny;

/// An instance's place at a queue. Dropped, the instance has ended.
pub(super) struct Seat {
    queue: CallQueue,
    id: u64,
    left: bool,
}

pub(super) enum Work {
    Call {
        index: usize,
        function: usize,
        caller: Option<Arc<Caller>>,
        path: Path,
        params: Message<Argument>,
        /// resources of the box that others hold meanwhile
        lent: usize,
    },
    Drop(ResourceAny),
    /// Hand the state over.
    Save,
    /// Another instance has taken the place of this one.
    Replaced,
    Closed(Arc<str>),
}

impl Seat {
    /// Takes calls from now on. The instance that did so before takes no more.
    pub fn join(queue: &CallQueue, task: Option<Arc<Task>>) -> Self {
        let mut state = queue.0.state.lock();
        let id = state.next_server;
        state.next_server += 1;
        if !matches!(state.life, Life::Closed { .. }) {
            state.life = Life::Up;
        }
        let retired = state.retire();
        let server = Server { id, work: None, retired: false, stuck: false, drops: Vec::new(), waker: None, task };
        state.servers.push(server);
        state.handover = Handover::No;
        drop(state);
        retired.into_iter().for_each(Waker::wake);
        Seat { queue: queue.clone(), id, left: false }
    }

    /// The next thing to do. Resources are dropped before calls are taken.
    pub async fn next(&self) -> Work {
        core::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Work> {
        let mut state = self.queue.0.state.lock();
        let (work, job) = match state.work_for(self.id) {
            Some(work) => work,
            None => {
                if let Some(server) = state.server(self.id) {
                    server.waker = Some(cx.waker().clone());
                }
                return Poll::Pending;
            }
        };
        let now = self.queue.now();
        if let Some(server) = state.server(self.id) {
            server.work = job.map(|job| (job, now));
        }
        let watcher = job.and_then(|_| state.arm(now.saturating_add(self.queue.limits().stuck)));
        drop(state);
        watcher.into_iter().for_each(Waker::wake);
        Poll::Ready(work)
    }

    /// Whether the work has gone on for too long. If not, `cx` is woken when it has.
    pub fn poll_stuck(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.queue.0.state.lock();
        let Some(server) = state.server(self.id) else { return Poll::Ready(()) };
        if server.stuck {
            return Poll::Ready(());
        }
        if !server.waker.as_ref().is_some_and(|old| old.will_wake(cx.waker())) {
            server.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// The work is done.
    pub fn done(&self) {
        let mut state = self.queue.0.state.lock();
        if let Some(server) = state.server(self.id) {
            server.work = None;
        }
    }

    /// The state that was asked for.
    pub fn saved(&self, saved: Result<Vec<u8>, Arc<str>>) {
        let mut state = self.queue.0.state.lock();
        if let Some(server) = state.server(self.id) {
            server.work = None;
        }
        if matches!(state.handover, Handover::Saving) {
            state.handover = Handover::Saved(saved);
        }
        drop(state);
        self.queue.0.bell.ring();
    }

    /// Posts a call's result.
    pub fn post(&self, index: usize, result: Result<Message<ResourceAny>, CallError>) {
        let result = result.map(|message| Answer { message, server: self.id });
        let mut state = self.queue.0.state.lock();
        if let Some(server) = state.server(self.id) {
            server.work = None;
        }
        let waker = state.post(index, result);
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    /// The instance has ended.
    pub fn leave(mut self, reason: &Arc<str>) {
        self.end(reason);
    }

    fn end(&mut self, reason: &Arc<str>) {
        if core::mem::replace(&mut self.left, true) {
            return;
        }
        let now = self.queue.now();
        let wakers = self.queue.0.state.lock().leave(self.id, reason, now);
        wakers.into_iter().for_each(Waker::wake);
        self.queue.0.bell.ring();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.end(&"it was stopped".into());
    }
}

impl State {
    fn work_for(&mut self, id: u64) -> Option<(Work, Option<Job>)> {
        let Some(server) = self.server(id) else { return Some((Work::Replaced, None)) };
        let retired = server.retired;
        if let Some(resource) = server.drops.pop() {
            return Some((Work::Drop(resource), Some(Job::Drop)));
        }
        if let Life::Closed { reason } = &self.life {
            return Some((Work::Closed(reason.clone()), None));
        }
        if !retired && matches!(self.handover, Handover::Asked) {
            self.handover = Handover::Saving;
            return Some((Work::Save, Some(Job::Save)));
        }
        if self.is_paused() && !retired {
            return None;
        }
        let own = |index: &usize| match self.calls[*index].phase {
            Phase::Waiting { server: Some(server), .. } => server == id,
            _ => !retired,
        };
        let Some(place) = self.waiting.iter().position(own) else {
            return (retired && !self.is_held(id)).then_some((Work::Replaced, None));
        };
        let index = self.waiting.remove(place)?;
        let lent = self.lent();
        let call = &mut self.calls[index];
        match core::mem::replace(&mut call.phase, Phase::Running { expired: false }) {
            Phase::Waiting { params, .. } => {
                let (function, caller, path) = (call.function, call.caller.take(), call.path);
                let work = Work::Call { index, function, caller, path, params, lent };
                Some((work, Some(Job::Call(index))))
            }
            // Only those that wait are in `waiting`.
            other => {
                call.phase = other;
                None
            }
        }
    }

    fn post(&mut self, index: usize, result: Result<Answer, CallError>) -> Option<Waker> {
        let call = self.calls.get_mut(index)?;
        if matches!(call.phase, Phase::Abandoned) {
            self.calls.remove(index);
            // Only called by the instance itself, which looks for resources to drop before it sleeps.
            if let Ok(answer) = result {
                self.discard(answer.server, answer.message.handles.into_vec());
            }
            return None;
        }
        call.phase = Phase::Done(result);
        call.waker.take()
    }

    /// The instance that serves begins no other call.
    pub fn retire(&mut self) -> Option<Waker> {
        let server = self.servers.iter_mut().find(|server| !server.retired)?;
        server.retired = true;
        server.waker.take()
    }

    /// The resources of an instance are no more, and calls that pass them fail.
    fn bury(&mut self, id: u64, reason: &Arc<str>) -> Vec<Waker> {
        for (_, handle) in self.handles.iter_mut().filter(|(_, handle)| handle.server == id && handle.dead.is_none()) {
            handle.dead = Some(reason.clone());
        }
        let error = CallError::DeadHandle { reason: reason.clone() };
        self.fail_waiting(|_, call| match call.phase {
            Phase::Waiting { server: Some(server), .. } if server == id => Some(error.clone()),
            _ => None,
        })
    }

    fn leave(&mut self, id: u64, reason: &Arc<str>, now: u64) -> Vec<Waker> {
        let Some(place) = self.servers.iter().position(|server| server.id == id) else { return Vec::new() };
        let mut server = self.servers.remove(place);
        if !server.retired && matches!(self.handover, Handover::Asked | Handover::Saving) {
            self.handover = Handover::Saved(Err(reason.clone()));
        }
        let mut wakers = self.bury(id, reason);
        // Its own, which is not to be dropped within the lock.
        wakers.extend(server.waker.take());
        if let Some((Job::Call(index), _)) = server.work {
            wakers.extend(self.fail(index, CallError::Ended { reason: reason.clone() }).into_iter().flatten());
        }
        let serves = self.servers.iter().any(|server| !server.retired);
        if !serves && matches!(self.life, Life::Up) {
            self.life = Life::Down { reason: reason.clone(), since: now };
        }
        // The instance may have been roused for a call that it did not take.
        wakers.extend(self.rouse());
        wakers.extend(self.watcher.take());
        wakers
    }
}
