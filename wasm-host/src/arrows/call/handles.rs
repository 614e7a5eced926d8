//! Resources that one box owns and another holds.
//!
//! The callee's store knows a resource as a `ResourceAny`. The caller's store knows it by a number, its place in the
//! table that the callee's queue keeps. The caller's own handles, which its code sees, are wasmtime's matter: no code
//! can name a resource that it was not given.

use super::{
    Caller,
    lift::LiftHandle,
    lower::LowerHandle,
    queue::{CallQueue, Path},
    typed,
};
use crate::{
    budget::{Budget, Charge},
    executor::Task,
};
use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::{
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};
use wasmtime::{
    Result, ValRaw, bail,
    component::{
        __internal::{InterfaceType, LiftContext, LowerContext},
        Lift, ResourceAny,
    },
};

/// A resource that leaves its holder: for good, or for the time of the call.
#[derive(Debug, Clone, Copy)]
pub struct Passed {
    pub place: u32,
    pub moved: bool,
}

/// The same resource as it comes back to the callee.
#[derive(Debug, Clone, Copy)]
pub struct Argument {
    pub resource: ResourceAny,
    pub moved: bool,
}

/// A resource that its new holder gets: its place in the table.
#[derive(Debug, Clone, Copy)]
pub struct Held(pub u32);

impl LiftHandle for Passed {
    fn lift(cx: &mut LiftContext<'_>, ty: InterfaceType, index: u32) -> Result<Self> {
        match ty {
            InterfaceType::Own(table) => {
                let (place, _, _) = cx.guest_resource_lift_own(table, index)?;
                Ok(Passed { place, moved: true })
            }
            InterfaceType::Borrow(table) => {
                Ok(Passed { place: cx.guest_resource_lift_borrow(table, index)?, moved: false })
            }
            _ => bail!("not a resource"),
        }
    }
}

impl LiftHandle for ResourceAny {
    fn lift(cx: &mut LiftContext<'_>, ty: InterfaceType, index: u32) -> Result<Self> {
        ResourceAny::linear_lift_from_flat(cx, ty, &ValRaw::u32(index))
    }
}

impl LowerHandle for Argument {
    fn lower<T: 'static>(&self, cx: &mut LowerContext<'_, T>, ty: InterfaceType) -> Result<u32> {
        typed::index(&self.resource, cx, ty)
    }
}

impl LowerHandle for Held {
    fn lower<T: 'static>(&self, cx: &mut LowerContext<'_, T>, ty: InterfaceType) -> Result<u32> {
        match ty {
            InterfaceType::Own(table) => cx.guest_resource_lower_own(table, self.0),
            // A result never holds a borrow.
            _ => bail!("not an owned resource"),
        }
    }
}

/// An entry of the table that a callee's queue keeps.
pub(super) struct Handle {
    pub resource: ResourceAny,
    /// which of the callee's instances it lives in
    pub server: u64,
    /// which store holds it
    pub owner: u64,
    /// why it is no more, if it is no more
    pub dead: Option<Arc<str>>,
}

/// Ends when a box has its place.
pub type Placed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a store must have in its data to call, and to be called, over these arrows.
pub trait Host: Send + 'static {
    fn calls(&mut self) -> &mut Calls;

    /// The box begins to wait for a call's result, or to work on a call: it is not caught in a loop.
    fn waits(&mut self) {}

    /// The task that the box runs in.
    fn task(&self) -> Option<Arc<Task>> {
        None
    }

    /// Has another box's task go on, which waits for this one. False: it cannot now.
    fn lend_turn(&self, _to: &Arc<Task>) -> bool {
        false
    }

    /// Bytes that functions of the host may copy out of the box, which it has paid for.
    fn copies(&self) -> usize {
        0
    }

    /// If the box has to come to its place among the others before it calls any: until it has.
    fn unplaced(&self) -> Option<Placed> {
        None
    }
}

/// What a store holds of other boxes. Dropped with the store, it gives everything back.
pub struct Calls {
    owner: u64,
    limit: usize,
    held: usize,
    /// for the entries of what it holds
    charge: Charge,
    /// the call that the store's box works on, and what led to it
    pub(super) path: Path,
    caller: Option<Arc<Caller>>,
    queues: Vec<CallQueue>,
}

impl Calls {
    /// `handles`: how many resources of other boxes this store may hold at a time. `budget`: what pays for these, and for
    /// what the store's box sends.
    pub fn new(handles: usize, budget: &Arc<Budget>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let owner = NEXT.fetch_add(1, Relaxed);
        Calls {
            owner,
            limit: handles,
            held: 0,
            charge: Charge::none(budget),
            path: Path::default(),
            caller: None,
            queues: Vec::new(),
        }
    }

    /// How many resources of other boxes the store holds.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Who has made the call that the box works on.
    pub fn caller(&self) -> Option<&Caller> {
        self.caller.as_deref()
    }

    pub(super) fn works_for(&mut self, caller: Option<Arc<Caller>>, path: Path) {
        (self.caller, self.path) = (caller, path);
    }

    /// What the node holds of something that the box sends.
    pub(super) fn pay(&self, bytes: usize) -> Option<Charge> {
        Charge::new(self.charge.budget(), bytes)
    }

    /// What a result may take: up to half of what the budget has left. A box that works on a call needs some, too.
    pub(super) fn pay_ahead(&self, most: usize) -> Option<Charge> {
        let budget = self.charge.budget();
        let left = usize::try_from(budget.limit().saturating_sub(budget.used())).unwrap_or(usize::MAX);
        self.pay(most.min(left / 2))
    }

    pub(super) fn owner(&self) -> u64 {
        self.owner
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Counts resources that the store will hold, if it may.
    pub(super) fn take(&mut self, count: usize, from: &CallQueue) -> bool {
        if count == 0 {
            return true;
        }
        let held = self.held + count;
        let granted = held <= self.limit && self.charge.resize(held * ENTRY);
        if granted {
            self.held = held;
            if !self.queues.iter().any(|queue| queue.id() == from.id()) {
                self.queues.push(from.clone());
            }
        }
        granted
    }

    pub(super) fn give(&mut self, count: usize) {
        if count > 0 {
            self.held = self.held.saturating_sub(count);
            self.charge.resize(self.held * ENTRY);
        }
    }
}

/// What the node holds for a resource in another store than its own: an entry of the queue's table, and one in the table
/// of the store that it lives in.
const ENTRY: usize = 2 * size_of::<Handle>();

impl Drop for Calls {
    fn drop(&mut self) {
        for queue in &self.queues {
            queue.release_all(self.owner);
        }
    }
}
