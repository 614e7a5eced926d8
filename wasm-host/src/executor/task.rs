//! One task: its future, its right to run, what it used.

use super::{NORMAL_WEIGHT, Ready, TaskFuture, elapsed};
use crate::{
    platform::Nanos,
    sync::{
        AtomicBool, AtomicU64, Mutex, MutexGuard,
        Ordering::{Acquire, Relaxed, Release},
    },
};
use alloc::sync::Arc;
use core::task::{Context, Waker};

pub struct Task {
    future: Mutex<Option<TaskFuture>>,
    weight: u64,
    /// CPU time divided by the task's share: whoever has least runs next.
    pass: AtomicU64,
    queued: AtomicBool,
    ended: AtomicBool,
    cpu: CpuTime,
    ready: Arc<Ready>,
}

/// CPU time, readable while it runs.
#[derive(Debug, Default)]
pub struct CpuTime {
    total: AtomicU64,
    /// when the current turn began, and one more; 0 between turns
    since: AtomicU64,
    turns: AtomicU64,
}

impl CpuTime {
    pub fn total(&self) -> Nanos {
        self.total.load(Relaxed)
    }

    /// How often the task was given the CPU.
    pub fn turns(&self) -> u64 {
        self.turns.load(Relaxed)
    }

    /// A turn begins.
    pub fn begin(&self, now: Nanos) {
        self.since.store(now + 1, Relaxed);
    }

    /// The turn ends. Returns how long it was.
    pub fn end(&self, now: Nanos) -> Nanos {
        let used = elapsed(self.since.swap(0, Relaxed), now + 1);
        self.total.store(self.total() + used, Relaxed);
        self.turns.store(self.turns() + 1, Relaxed);
        used
    }

    /// So much of the turn that goes on was another's.
    pub fn skip(&self, nanos: Nanos) {
        self.since.store(self.since.load(Relaxed) + nanos, Relaxed);
    }

    /// With the turn that goes on at `now`.
    pub fn at(&self, now: Nanos) -> Nanos {
        let since = self.since.load(Relaxed);
        let turn = if since == 0 { 0 } else { elapsed(since, now + 1) };
        self.total() + turn
    }
}

impl Task {
    pub(super) fn new(weight: u32, future: TaskFuture, ready: &Arc<Ready>) -> Arc<Self> {
        Arc::new(Task {
            future: Mutex::new(Some(future)),
            weight: weight.max(1).into(),
            pass: AtomicU64::new(0),
            queued: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            cpu: CpuTime::default(),
            ready: ready.clone(),
        })
    }

    pub fn cpu(&self) -> &CpuTime {
        &self.cpu
    }

    /// Drops the task's future at its next turn.
    pub fn end(self: &Arc<Self>) {
        self.ended.store(true, Relaxed);
        self.wake();
    }

    /// Gives the task a turn, in which it sees all that came before this call.
    pub fn wake(self: &Arc<Self>) {
        // released also where the task is queued already: whoever runs it acquires from the last that woke it, and so from
        // all
        if !self.queued.swap(true, Release) {
            self.ready.push(self.clone());
        }
    }

    pub(super) fn pass(&self) -> u64 {
        self.pass.load(Relaxed)
    }

    /// Gives the task a turn within the turn of another, whose time stands still meanwhile: what it is woken for comes of
    /// the other, which waits for it. False: it has its turn already, or is about to have it.
    pub fn run_within(self: &Arc<Self>, other: Option<&CpuTime>, clock: impl Fn() -> Nanos) -> bool {
        if self.queued.load(Relaxed) {
            return false;
        }
        let Some(future) = self.future.try_lock() else { return false };
        let (begun, before) = (clock(), self.cpu.total());
        self.turn(future, begun, 0, clock);
        if let Some(other) = other {
            other.skip(self.cpu.total() - before);
        }
        true
    }

    /// Gives the task a turn, and returns its pass before it, and when it ended.
    pub(super) fn run(self: Arc<Self>, now: Nanos, floor: u64, clock: impl Fn() -> Nanos) -> (u64, Nanos) {
        // read as well as written: a plain store would not acquire what those who found it queued have released
        self.queued.swap(false, Acquire);
        self.turn(self.future.lock(), now, floor, clock)
    }

    fn turn(
        self: &Arc<Self>,
        mut future: MutexGuard<'_, Option<TaskFuture>>,
        now: Nanos,
        floor: u64,
        clock: impl Fn() -> Nanos,
    ) -> (u64, Nanos) {
        if self.ended.load(Relaxed) {
            *future = None;
        }
        let Some(running) = future.as_mut() else { return (floor, now) };
        self.cpu.begin(now);
        let waker = Waker::from(self.clone());
        if running.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            *future = None;
        }
        let ended = clock();
        let used = self.cpu.end(ended);
        let start = self.pass().max(floor);
        self.pass.store(start + used * u64::from(NORMAL_WEIGHT) / self.weight, Relaxed);
        (start, ended)
    }
}

impl alloc::task::Wake for Task {
    fn wake(self: Arc<Self>) {
        Task::wake(&self);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        Task::wake(self);
    }
}
