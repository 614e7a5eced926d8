//! The front of a box that others call.

use super::{
    CallError, Caller, MAX_CALL_BYTES,
    fit::Link,
    handles::{Argument, Calls, Held, Passed},
    message::Message,
    pending::Pending,
    state::{Answer, Call, Life, Phase, Resolved, Roused, State},
};
use crate::{executor::Bell, interface::InterfaceName, platform::Nanos};
use alloc::{sync::Arc, vec::Vec};
use core::{
    fmt,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    task::Waker,
};
use spin::Mutex;
use wasmtime::{Engine, Result, component::types};

/// How a box may be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// calls that may wait
    pub queue: usize,
    /// bytes of the parameters or of the result of one call, as encoded; at most [`MAX_CALL_BYTES`]
    pub bytes: usize,
    /// how long a caller waits for its result
    pub deadline: Nanos,
    /// how long calls wait for an instance after the last one ended
    pub restart: Nanos,
    /// its instances may work within their caller's turn
    pub within: bool,
    /// how long an instance may work on one call before it counts as stuck and ends
    pub stuck: Nanos,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            queue: 128,
            bytes: MAX_CALL_BYTES,
            deadline: 30_000_000_000,
            restart: 1_000_000_000,
            within: false,
            stuck: 60_000_000_000,
        }
    }
}

/// The time, monotonic.
pub type Clock = Arc<dyn Fn() -> Nanos + Send + Sync>;

/// Calls on their way to a box, whichever instance of it serves. A clone is the same queue.
#[derive(Clone)]
pub struct CallQueue(pub(super) Arc<Shared>);

pub(super) struct Shared {
    pub id: u32,
    pub name: Arc<str>,
    pub limits: Limits,
    pub clock: Clock,
    pub engine: Engine,
    pub state: Mutex<State>,
    pub functions: Mutex<Functions>,
    /// rings when a state is saved, and when an instance leaves
    pub bell: Bell,
}

/// What callers have been given.
pub(super) struct Functions {
    /// The callee's type, as of the instance that serves.
    pub exporter: types::Component,
    /// The type of the version that is about to come, which new callers have to fit.
    pub next: Option<types::Component>,
    pub links: Vec<Link>,
    pub all: Vec<Function>,
}

#[derive(Clone)]
pub(super) struct Function {
    pub interface: InterfaceName,
    pub name: Arc<str>,
}

/// How many there are.
#[cfg(test)]
pub struct Stats {
    pub waiting: usize,
    pub running: usize,
    /// resources of the box that others hold
    pub handles: usize,
}

impl CallQueue {
    /// The queue of the box `name`, whose component is of type `component`.
    pub fn new(name: &str, engine: &Engine, component: types::Component, limits: Limits, clock: Clock) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        CallQueue(Arc::new(Shared {
            id: NEXT.fetch_add(1, Relaxed),
            name: name.into(),
            limits,
            clock,
            engine: engine.clone(),
            state: Mutex::default(),
            functions: Mutex::new(Functions { exporter: component, next: None, links: Vec::new(), all: Vec::new() }),
            bell: Bell::default(),
        }))
    }

    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    pub(super) fn id(&self) -> u32 {
        self.0.id
    }

    pub(super) fn now(&self) -> Nanos {
        (self.0.clock)()
    }

    /// Whether an instance serves.
    #[cfg(test)]
    pub fn is_up(&self) -> bool {
        matches!(self.0.state.lock().life, Life::Up)
    }

    #[cfg(test)]
    pub fn stats(&self) -> Stats {
        let state = self.0.state.lock();
        let running =
            state.servers.iter().filter(|server| matches!(server.work, Some((super::state::Job::Call(_), _))));
        Stats { waiting: state.waiting.len(), running: running.count(), handles: state.handles.len() }
    }

    /// Whether every function that callers are linked to is in `component`, a version of the box that may come next.
    pub fn check(&self, component: &types::Component) -> Result<()> {
        let mut functions = self.0.functions.lock();
        functions.links.retain(|link| link.alive.strong_count() > 0);
        functions.links.iter().try_for_each(|link| link.check(&self.0.engine, component, &self.0.name))
    }

    /// A version of this type is about to come: who is linked from now on is to fit it. None: it does not come.
    pub fn expect(&self, component: Option<types::Component>) {
        self.0.functions.lock().next = component;
    }

    /// No instance will serve any more: fails the calls that wait, and later ones at once. Those that an instance works
    /// on end as they will.
    pub fn close(&self, reason: &str) {
        let reason: Arc<str> = reason.into();
        let wakers = self.0.state.lock().close(&reason);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// The number of a function, for [`CallQueue::submit`].
    pub(super) fn function(&self, interface: &InterfaceName, name: &str) -> usize {
        let all = &mut self.0.functions.lock().all;
        let known = all.iter().position(|known| known.interface == *interface && *known.name == *name);
        known.unwrap_or_else(|| {
            all.push(Function { interface: interface.clone(), name: name.into() });
            all.len() - 1
        })
    }

    /// The most bytes that the parameters or the result of one call may be.
    pub(super) fn most(&self) -> usize {
        self.0.limits.bytes.min(MAX_CALL_BYTES)
    }

    /// Puts a call in the queue, unless it is `refused` already. Resources that it moves are the caller's no more, even
    /// if this fails.
    pub(super) fn submit(
        &self,
        function: usize,
        caller: &Arc<Caller>,
        params: Message<Passed>,
        refused: Result<(), CallError>,
        now: Nanos,
        calls: &mut Calls,
    ) -> Result<(Pending, Option<Roused>), CallError> {
        let limits = &self.0.limits;
        let path = calls.path.then(self.0.id);
        let mut state = self.0.state.lock();
        let moved = params.handles.iter().filter(|handle| handle.moved).count();
        calls.give(moved);
        let Resolved { arguments, server, dead } = state.resolve(&params.handles);
        let dead = dead.map(|reason| CallError::DeadHandle { reason });
        if let Some(error) = dead.or(refused.err()).or_else(|| self.refusal(&state, calls, path.is_none(), now)) {
            let waker = server.and_then(|server| state.discard_moved(server, &arguments));
            drop(state);
            waker.into_iter().for_each(Waker::wake);
            return Err(error);
        }
        let message = params.with_handles::<Argument>(arguments);
        let (call, roused, watcher) = state.enqueue(
            Call {
                function,
                caller: Some(caller.clone()),
                path: path.unwrap_or_default(),
                deadline: now.saturating_add(limits.deadline),
                phase: Phase::Waiting { params: message, server },
                waker: None,
            },
            limits,
        );
        drop(state);
        watcher.into_iter().for_each(Waker::wake);
        Ok((Pending::new(self.clone(), call), roused))
    }

    fn refusal(&self, state: &State, calls: &Calls, too_deep: bool, now: Nanos) -> Option<CallError> {
        let limits = &self.0.limits;
        match &state.life {
            Life::Closed { reason } => return Some(CallError::Closed { reason: reason.clone() }),
            Life::Down { reason, since } if now >= since.saturating_add(limits.restart) => {
                return Some(CallError::Restarting { reason: reason.clone() });
            }
            _ => {}
        }
        if calls.path.has(self.0.id) {
            return Some(CallError::Cycle);
        }
        if too_deep {
            return Some(CallError::TooDeep { limit: Path::DEPTH });
        }
        let is_full = state.waiting.len() >= limits.queue.saturating_add(state.idle());
        is_full.then_some(CallError::Full { waiting: state.waiting.len() })
    }

    /// Puts the resources of an answer in the table, for the store that `calls` is of.
    pub(super) fn hold(&self, answer: Answer, calls: &mut Calls) -> Result<Message<Held>, CallError> {
        let Answer { mut message, server } = answer;
        let limit = self.most();
        let error = if message.total > limit {
            CallError::ResultTooLarge { limit }
        } else if message.bytes.len() != message.total {
            CallError::NoMemoryForResult
        } else if !calls.take(message.handles.len(), self) {
            CallError::TooManyHandles { limit: calls.limit() }
        } else if message.handles.is_empty() {
            return Ok(message.with_handles(Vec::new()));
        } else {
            let resources = core::mem::take(&mut message.handles);
            let held = self.0.state.lock().hold(resources.into_vec(), server, calls.owner());
            return Ok(message.with_handles(held));
        };
        self.discard(server, message.handles.into_vec());
        Err(error)
    }

    /// Drops resources that nobody holds, in their own store.
    pub(super) fn discard(&self, server: u64, resources: Vec<wasmtime::component::ResourceAny>) {
        let waker = self.0.state.lock().discard(server, resources);
        waker.into_iter().for_each(Waker::wake);
    }

    /// A holder has dropped its handle.
    pub(super) fn release(&self, place: u32) {
        let waker = self.0.state.lock().release(place as usize);
        waker.into_iter().for_each(Waker::wake);
    }

    /// A holder is gone.
    pub(super) fn release_all(&self, owner: u64) {
        let wakers = self.0.state.lock().release_all(owner);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl fmt::Debug for CallQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallQueue").field("name", &self.0.name).finish_non_exhaustive()
    }
}

/// The boxes that wait for a call: each has called the next.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Path {
    queues: [u32; Path::DEPTH],
    len: usize,
}

impl Path {
    pub const DEPTH: usize = 8;

    pub fn has(&self, queue: u32) -> bool {
        self.queues[..self.len].contains(&queue)
    }

    /// The path one call further, unless it is as long as may be.
    fn then(mut self, queue: u32) -> Option<Path> {
        *self.queues.get_mut(self.len)? = queue;
        self.len += 1;
        Some(self)
    }
}
