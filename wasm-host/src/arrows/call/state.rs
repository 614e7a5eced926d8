//! What a queue's lock guards: calls, the instances that serve, the resources that callers hold.
//!
//! Nothing here wakes anyone: wakers are handed out, to be woken when the lock is open again.

use super::{
    CallError, Caller, Limits,
    handles::{Argument, Handle, Held, Passed},
    message::Message,
    queue::Path,
};
use crate::{executor::Task, platform::Nanos};
use alloc::{collections::VecDeque, sync::Arc, vec::Vec};
use core::task::Waker;
use slab::Slab;
use wasmtime::component::ResourceAny;

pub(super) struct State {
    pub life: Life,
    pub calls: Slab<Call>,
    pub waiting: VecDeque<usize>,
    /// oldest first
    pub servers: Vec<Server>,
    pub next_server: u64,
    pub handles: Slab<Handle>,
    pub handover: Handover,
    pub watcher: Option<Waker>,
    /// until when the watcher sleeps
    pub watched: Nanos,
}

/// Whether calls wait because one instance hands its state over to another.
pub(super) enum Handover {
    No,
    /// The instance is to save when it has finished its call.
    Asked,
    Saving,
    /// Nothing is begun until another instance has come, or the old one goes on.
    Saved(Result<Vec<u8>, Arc<str>>),
    Taken,
}

pub(super) enum Life {
    /// No instance has served yet.
    Starting,
    Up,
    Down {
        reason: Arc<str>,
        since: Nanos,
    },
    Closed {
        reason: Arc<str>,
    },
}

pub(super) struct Call {
    pub function: usize,
    /// None once an instance works on it
    pub caller: Option<Arc<Caller>>,
    pub path: Path,
    pub deadline: Nanos,
    pub phase: Phase,
    /// the caller's
    pub waker: Option<Waker>,
}

pub(super) enum Phase {
    /// `server`: where the resources among the parameters live
    Waiting {
        params: Message<Argument>,
        server: Option<u64>,
    },
    Running {
        expired: bool,
    },
    /// An instance works on it, but nobody waits for the result.
    Abandoned,
    Done(Result<Answer, CallError>),
}

/// A result, and the instance in which its resources live.
pub(super) struct Answer {
    pub message: Message<ResourceAny>,
    pub server: u64,
}

/// An instance of the callee that takes calls.
pub(super) struct Server {
    pub id: u64,
    /// what it works on, and since when
    pub work: Option<(Job, Nanos)>,
    /// Another takes its place: it takes no more calls but those on resources that live in it.
    pub retired: bool,
    pub stuck: bool,
    /// resources that nobody holds any more
    pub drops: Vec<ResourceAny>,
    pub waker: Option<Waker>,
    /// what it runs in, if another task may have it go on
    pub task: Option<Arc<Task>>,
}

/// An instance that slept, and has something to do.
pub(super) struct Roused {
    waker: Waker,
    task: Option<Arc<Task>>,
}

impl Roused {
    /// Has it go on: at once if `lend` has its task do so, or else when its turn comes.
    pub fn go(self, lend: impl FnOnce(&Arc<Task>) -> bool) {
        if !self.task.is_some_and(|task| lend(&task)) {
            self.waker.wake();
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Job {
    Call(usize),
    Drop,
    Save,
}

/// Resources that a caller passes, as the callee knows them.
#[derive(Default)]
pub(super) struct Resolved {
    pub arguments: Vec<Argument>,
    /// where they live
    pub server: Option<u64>,
    /// why one of them is no more
    pub dead: Option<Arc<str>>,
}

impl Default for State {
    fn default() -> Self {
        State {
            life: Life::Starting,
            calls: Slab::new(),
            waiting: VecDeque::new(),
            servers: Vec::new(),
            next_server: 0,
            handles: Slab::new(),
            handover: Handover::No,
            watcher: None,
            watched: Nanos::MAX,
        }
    }
}

impl State {
    pub fn server(&mut self, id: u64) -> Option<&mut Server> {
        self.servers.iter_mut().find(|server| server.id == id)
    }

    /// Instances that have nothing to do.
    pub fn idle(&self) -> usize {
        self.servers.iter().filter(|server| server.work.is_none() && !server.retired).count()
    }

    /// Wakes an instance that sleeps, if calls wait.
    pub fn rouse(&mut self) -> Option<Waker> {
        if self.waiting.is_empty() {
            return None;
        }
        self.sleeper(None)?.waker.take()
    }

    /// An instance that sleeps and may take a call: one that is for the instance `id`, if that is given.
    fn sleeper(&mut self, id: Option<u64>) -> Option<&mut Server> {
        if id.is_none() && self.is_paused() {
            return None;
        }
        let wanted = |server: &Server| id.map_or(!server.retired, |id| server.id == id);
        let sleeps = |server: &Server| server.work.is_none() && server.waker.is_some();
        self.servers.iter_mut().find(|server| wanted(server) && sleeps(server))
    }

    /// Whether nothing is begun because a state is handed over.
    pub fn is_paused(&self) -> bool {
        !matches!(self.handover, Handover::No)
    }

    /// Whether resources live in an instance that somebody holds, or is to use.
    pub fn is_held(&self, id: u64) -> bool {
        self.handles.iter().any(|(_, handle)| handle.server == id && handle.dead.is_none())
            || self.calls.iter().any(|(_, call)| match &call.phase {
                Phase::Waiting { server, .. } => *server == Some(id),
                Phase::Done(Ok(answer)) => answer.server == id && !answer.message.handles.is_empty(),
                _ => false,
            })
    }

    /// Resources of the box that others hold, or are about to.
    pub fn lent(&self) -> usize {
        let posted = self.calls.iter().map(|(_, call)| match &call.phase {
            Phase::Done(Ok(answer)) => answer.message.handles.len(),
            _ => 0,
        });
        self.handles.len() + posted.sum::<usize>()
    }

    /// Has the watcher look again if it sleeps beyond `due`.
    pub fn arm(&mut self, due: Nanos) -> Option<Waker> {
        if due < self.watched { self.watcher.take() } else { None }
    }

    /// When a waiting call ends by itself.
    pub fn due(&self, call: &Call, limits: &Limits) -> Nanos {
        match &self.life {
            Life::Down { since, .. } => call.deadline.min(since.saturating_add(limits.restart)),
            _ => call.deadline,
        }
    }

    /// The call's number, whom to wake for it, and the watcher if it is to look again.
    pub fn enqueue(&mut self, call: Call, limits: &Limits) -> (usize, Option<Roused>, Option<Waker>) {
        let due = self.due(&call, limits);
        let id = match call.phase {
            Phase::Waiting { server, .. } => server,
            _ => None,
        };
        let index = self.calls.insert(call);
        self.waiting.push_back(index);
        let roused = self.sleeper(id).and_then(|it| Some(Roused { waker: it.waker.take()?, task: it.task.clone() }));
        (index, roused, self.arm(due))
    }

    /// Ends a call that waits or runs, for its caller.
    pub fn fail(&mut self, index: usize, error: CallError) -> [Option<Waker>; 2] {
        let Some(call) = self.calls.get_mut(index) else { return [None, None] };
        let waker = call.waker.take();
        let before = core::mem::replace(&mut call.phase, Phase::Done(Err(error)));
        match before {
            Phase::Waiting { params, server } => {
                self.waiting.retain(|&waiting| waiting != index);
                let server = server.and_then(|server| self.discard_moved(server, &params.handles));
                [waker, server]
            }
            Phase::Running { .. } => [waker, None],
            // Nobody waits.
            Phase::Abandoned | Phase::Done(_) => {
                self.calls.remove(index);
                [None, None]
            }
        }
    }

    /// Fails calls that wait, those that `error` has something to say of.
    pub fn fail_waiting(&mut self, error: impl Fn(&Self, &Call) -> Option<CallError>) -> Vec<Waker> {
        let mut wakers = Vec::new();
        for index in self.waiting.iter().copied().collect::<Vec<_>>() {
            if let Some(error) = self.calls.get(index).and_then(|call| error(self, call)) {
                wakers.extend(self.fail(index, error).into_iter().flatten());
            }
        }
        wakers
    }

    pub fn close(&mut self, reason: &Arc<str>) -> Vec<Waker> {
        self.life = Life::Closed { reason: reason.clone() };
        let mut wakers = self.fail_waiting(|_, _| Some(CallError::Closed { reason: reason.clone() }));
        wakers.extend(self.servers.iter_mut().filter_map(|server| server.waker.take()));
        wakers.extend(self.watcher.take());
        wakers
    }

    /// What the callee knows of the resources that a caller passes. What the caller moves leaves the table in any case.
    pub fn resolve(&mut self, passed: &[Passed]) -> Resolved {
        let mut resolved = Resolved::default();
        for &Passed { place, moved } in passed {
            let place = place as usize;
            match self.handles.get(place) {
                Some(Handle { dead: None, resource, server, .. }) => {
                    resolved.arguments.push(Argument { resource: *resource, moved });
                    resolved.server = Some(*server);
                }
                Some(Handle { dead: Some(reason), .. }) => resolved.dead = Some(reason.clone()),
                None => resolved.dead = Some("it was moved before".into()),
            }
            if moved {
                self.handles.try_remove(place);
            }
        }
        resolved
    }

    pub fn hold(&mut self, resources: Vec<ResourceAny>, server: u64, owner: u64) -> Vec<Held> {
        let lives = self.servers.iter().any(|known| known.id == server);
        let dead = (!lives).then(|| Arc::from("the instance has ended"));
        let hold = |resource| {
            let place = self.handles.insert(Handle { resource, server, owner, dead: dead.clone() });
            Held(place as u32)
        };
        resources.into_iter().map(hold).collect()
    }

    pub fn discard_moved(&mut self, server: u64, arguments: &[Argument]) -> Option<Waker> {
        let moved = arguments.iter().filter(|argument| argument.moved);
        self.discard(server, moved.map(|argument| argument.resource).collect())
    }

    /// Has an instance drop resources of its own.
    pub fn discard(&mut self, server: u64, resources: Vec<ResourceAny>) -> Option<Waker> {
        if resources.is_empty() {
            return None;
        }
        let server = self.server(server)?;
        server.drops.extend(resources);
        if server.work.is_none() { server.waker.take() } else { None }
    }

    pub fn release(&mut self, place: usize) -> Option<Waker> {
        let handle = self.handles.try_remove(place)?;
        if handle.dead.is_some() {
            return None;
        }
        self.discard(handle.server, alloc::vec![handle.resource])
    }

    pub fn release_all(&mut self, owner: u64) -> Vec<Waker> {
        let places: Vec<usize> =
            self.handles.iter().filter(|(_, handle)| handle.owner == owner).map(|(place, _)| place).collect();
        places.into_iter().filter_map(|place| self.release(place)).collect()
    }
}
