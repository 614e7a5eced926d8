//! What a store carries: the box's own side of its arrows.

use super::{BoxHandle, Budget, Charge, Pieces, Stage, footprint};
use crate::{
    arrows::call::{self, Calls},
    executor::{CpuTime, Task, Timer},
    grants,
    platform::{Nanos, Platform},
    wasi,
};
use alloc::{boxed::Box, sync::Arc};
use core::{
    future::Future,
    pin::pin,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};
use wasmtime::{ResourceLimiter, Result, Store, UpdateDeadline, bail};

/// CPU time after which a box that never waits counts as caught in a loop.
const WATCHDOG: Nanos = 5_000_000_000;

/// Handles of the component model that an instance may hold in any case, and resources of other boxes.
pub const HANDLES: usize = 4_096;

/// Handles that an instance of a box with that memory limit may hold. Some languages let go of those that a request brings
/// only when it is over, a handful for each part of a body: so more memory means more of them.
pub fn handles(memory: u64) -> usize {
    HANDLES.max(usize::try_from(memory / 2_048).unwrap_or(usize::MAX))
}

pub struct State {
    pub handle: Arc<BoxHandle>,
    pub platform: &'static dyn Platform,
    pub timer: Arc<Timer>,
    /// what its faces of WASI keep
    pub wasi: wasi::Context,
    /// its keys that are on the node
    pub lent: grants::Keys,
    memory: MemoryLimit,
    /// of its files, if they are on a disk
    pieces: Option<Arc<Pieces>>,
    calls: Calls,
    /// of one instance of a pool; others have the task for themselves
    meter: Option<Arc<CpuTime>>,
    /// of an instance that works on several things at once
    turns: Option<Arc<Turns>>,
    /// CPU time of the task when the box last waited
    waited_at: Nanos,
    /// It has come to where it waits for the first time.
    has_waited: bool,
    /// It had its place when it was made, or has been given it.
    is_placed: bool,
    /// for what the node holds of it beside its memories
    _paid: Charge,
}

/// When an instance that works on several things at once has last waited, as its task sees it.
#[derive(Debug, Default)]
pub struct Turns {
    /// CPU time of the task
    waited_at: AtomicU64,
    preempted: AtomicBool,
}

impl Turns {
    /// Whether the last turn ended because the instance was made to wait.
    pub fn take_preempted(&self) -> bool {
        self.preempted.swap(false, Relaxed)
    }

    /// `cpu`: what the instance has used.
    pub fn waits(&self, cpu: &CpuTime) {
        self.waited_at.store(cpu.total(), Relaxed);
    }
}

/// Measures the CPU time of a part of a task.
pub async fn metered<R>(platform: &dyn Platform, meter: &CpuTime, work: impl Future<Output = R>) -> R {
    let mut work = pin!(work);
    core::future::poll_fn(|cx| {
        meter.begin(platform.now());
        let polled = work.as_mut().poll(cx);
        meter.end(platform.now());
        polled
    })
    .await
}

/// Keeps the linear memories and tables of one store within the box's limit.
pub struct MemoryLimit {
    handle: Arc<BoxHandle>,
    budget: Arc<Budget>,
    used: usize,
    /// how many memories there are, and how large that is which grew last
    memories: usize,
    length: usize,
    /// what it has to leave of the limit
    left: u64,
    refused: bool,
}

impl State {
    /// Of the instance that a box has for as long as it lives.
    ///
    /// # Errors
    /// [`footprint::NoRoom`].
    pub fn new(
        handle: &Arc<BoxHandle>,
        platform: &'static dyn Platform,
        timer: &Arc<Timer>,
        budget: &Arc<Budget>,
    ) -> Result<Self> {
        let paid = footprint::pay(handle, budget, 0)?;
        Ok(Self::within(paid, handle, platform, timer))
    }

    /// Of an instance that shares the box's memory limit with others. `paid`: what the node holds for it.
    pub fn within(paid: Charge, handle: &Arc<BoxHandle>, platform: &'static dyn Platform, timer: &Arc<Timer>) -> Self {
        let budget = &paid.budget().clone();
        State {
            handle: handle.clone(),
            platform,
            timer: timer.clone(),
            wasi: wasi::Context::new(budget, handles(handle.spec.memory)),
            lent: grants::Keys::new(budget, handles(handle.spec.memory)),
            memory: MemoryLimit::new(handle, budget),
            pieces: None,
            calls: Calls::new(HANDLES, budget),
            meter: None,
            turns: None,
            waited_at: handle.cpu().map_or(0, CpuTime::total),
            has_waited: true,
            is_placed: handle.birth.is_placed(),
            _paid: paid,
        }
    }

    /// An instance that shares its task with others is held to its own CPU time.
    pub fn metered(mut self, meter: &Arc<CpuTime>) -> Self {
        (self.meter, self.waited_at) = (Some(meter.clone()), meter.total());
        self
    }

    /// From here on it gets memory only if so much of the box's limit is left after it, for the other instances.
    pub fn leave(&mut self, left: u64) {
        self.memory.left = left;
    }

    /// Whether it was refused memory for its memories or tables.
    pub fn was_refused(&self) -> bool {
        self.memory.refused
    }

    /// How large its linear memory is, in bytes, if it has exactly one.
    pub fn only_memory(&self) -> Option<usize> {
        (self.memory.memories == 1).then_some(self.memory.length)
    }

    /// An instance that works on several things at once waits when none of them goes on.
    pub fn turning(mut self, turns: &Arc<Turns>) -> Self {
        self.turns = Some(turns.clone());
        self
    }

    fn cpu(&self) -> Option<&CpuTime> {
        self.meter.as_deref().or_else(|| self.handle.cpu())
    }

    /// What its `run` does from here on counts: when it first waits, the box is ready.
    pub fn begins(&mut self) {
        self.has_waited = false;
    }

    /// The box has come to where it waits: it is not caught in a loop.
    pub fn waits(&mut self) {
        self.waited_at = self.cpu().map_or(0, CpuTime::total);
        if !self.has_waited {
            self.has_waited = true;
            self.handle.birth.reach(Stage::Ready);
        }
    }

    /// Counts bytes that the node holds on the box's behalf as memory of the box.
    pub fn charge(&self, bytes: u64) -> Result<Charge> {
        let charge = usize::try_from(bytes).ok().and_then(|bytes| Charge::new(&self.memory.budget, bytes));
        let Some(charge) = charge else {
            self.handle.memory_refused();
            bail!("asked for a transfer of {bytes} bytes");
        };
        Ok(charge)
    }

    /// A charge of nothing yet, for what grows while its length becomes known.
    pub fn no_charge(&self) -> Charge {
        Charge::none(&self.memory.budget)
    }

    /// What it has of its files that are on a disk.
    pub fn pieces(&mut self) -> Arc<Pieces> {
        self.pieces.get_or_insert_with(|| Pieces::new(&self.memory.budget)).clone()
    }

    /// Makes a store for the box, with its limits in force.
    pub fn into_store(self, engine: &wasmtime::Engine) -> Store<State> {
        let handles = handles(self.handle.spec.memory);
        let memory = usize::try_from(self.handle.spec.memory).unwrap_or(usize::MAX);
        let most = if self.handle.footprint().has_wasi { footprint::TRANSFER } else { memory };
        let mut store = Store::new(engine, self);
        // what one call may make the node copy
        store.set_hostcall_fuel(most.min(store.hostcall_fuel()));
        store.set_max_component_handles(handles);
        store.limiter(|state| &mut state.memory);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|cx| cx.data().preempt());
        store
    }

    /// At each tick that finds the box running.
    fn preempt(&self) -> Result<UpdateDeadline> {
        let used = self.cpu().map_or(0, |cpu| cpu.at(self.platform.now()));
        let waited_at = match &self.turns {
            Some(turns) => {
                turns.preempted.store(true, Relaxed);
                turns.waited_at.load(Relaxed)
            }
            None => self.waited_at,
        };
        if used.saturating_sub(waited_at) > WATCHDOG {
            bail!("ran for {} s without waiting (watchdog)", WATCHDOG / 1_000_000_000);
        }
        Ok(UpdateDeadline::Yield(1))
    }
}

impl call::Host for State {
    fn calls(&mut self) -> &mut Calls {
        &mut self.calls
    }

    fn waits(&mut self) {
        State::waits(self);
    }

    fn task(&self) -> Option<Arc<Task>> {
        self.handle.task().cloned()
    }

    fn lend_turn(&self, to: &Arc<Task>) -> bool {
        to.run_within(self.cpu(), || self.platform.now())
    }

    fn copies(&self) -> usize {
        if self.handle.footprint().has_wasi { footprint::TRANSFER } else { 0 }
    }

    fn unplaced(&self) -> Option<call::Placed> {
        let handle = (!self.is_placed).then(|| self.handle.clone())?;
        Some(Box::pin(async move { handle.birth.placed().await }))
    }
}

/// A table's element is a pointer.
const ELEMENT: usize = core::mem::size_of::<usize>();

impl MemoryLimit {
    fn new(handle: &Arc<BoxHandle>, budget: &Arc<Budget>) -> Self {
        let (handle, budget) = (handle.clone(), budget.clone());
        MemoryLimit { handle, budget, used: 0, memories: 0, length: 0, left: 0, refused: false }
    }

    fn grow(&mut self, current: usize, desired: usize) -> bool {
        let more = desired.saturating_sub(current);
        let granted = self.budget.take_leaving(more as u64, self.left);
        if granted {
            self.used += more;
            self.handle.memory_is(self.budget.used());
        } else {
            self.refused = true;
            self.handle.memory_refused();
        }
        granted
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        self.budget.give(self.used as u64);
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        let granted = maximum.is_none_or(|maximum| desired <= maximum) && self.grow(current, desired);
        if granted {
            // one that is made begins with nothing; one that stays so counts twice, when it grows
            self.memories += usize::from(current == 0);
            self.length = desired;
        }
        Ok(granted)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        let within = maximum.is_none_or(|maximum| desired <= maximum);
        Ok(within && self.grow(current.saturating_mul(ELEMENT), desired.saturating_mul(ELEMENT)))
    }
}
