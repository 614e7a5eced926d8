//! Resources that one box owns and another holds.
//!
//! The callee's store knows a resource as a `ResourceAny`. The caller's store knows it by a number, its place in the
//! table that the callee's queue keeps. The caller's own handles, which its code sees, are wasmtime's matter: no code
//! can name a resource that it was not given.

use super::{
    lift::LiftHandle,
    lower::LowerHandle,
    queue::{CallQueue, Path},
};
use crate::boxes::BoxHandle;
use alloc::{sync::Arc, vec::Vec};
use core::{
    mem::MaybeUninit,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};
use wasmtime::{
    Result, ValRaw, bail,
    component::{
        __internal::{InterfaceType, LiftContext, LowerContext},
        Lift, Lower, ResourceAny,
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
    fn lower<T: 'static>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        slot: &mut MaybeUninit<ValRaw>,
    ) -> Result<()> {
        self.resource.linear_lower_to_flat(cx, ty, slot)
    }

    fn store<T: 'static>(&self, cx: &mut LowerContext<'_, T>, ty: InterfaceType, at: usize) -> Result<()> {
        self.resource.linear_lower_to_memory(cx, ty, at)
    }
}

impl Held {
    fn enter<T: 'static>(self, cx: &mut LowerContext<'_, T>, ty: InterfaceType) -> Result<u32> {
        match ty {
            InterfaceType::Own(table) => cx.guest_resource_lower_own(table, self.0),
            // A result never holds a borrow.
            _ => bail!("not an owned resource"),
        }
    }
}

impl LowerHandle for Held {
    fn lower<T: 'static>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        slot: &mut MaybeUninit<ValRaw>,
    ) -> Result<()> {
        let index = self.enter(cx, ty)?;
        slot.write(ValRaw::u32(index));
        Ok(())
    }

    fn store<T: 'static>(&self, cx: &mut LowerContext<'_, T>, ty: InterfaceType, at: usize) -> Result<()> {
        let index = self.enter(cx, ty)?;
        u32::linear_lower_to_memory(&index, cx, InterfaceType::U32, at)
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

/// What a store must have in its data to call, and to be called, over these arrows.
pub trait Host: Send + 'static {
    fn calls(&mut self) -> &mut Calls;

    /// The box begins to wait for a call's result, or to work on a call: it is not caught in a loop.
    fn waits(&mut self) {}

    /// The box that must have its place among the others before it calls any, if it has not.
    fn unplaced(&self) -> Option<Arc<BoxHandle>> {
        None
    }
}

/// What a store holds of other boxes. Dropped with the store, it gives everything back.
pub struct Calls {
    owner: u64,
    limit: usize,
    held: usize,
    /// the call that the store's box works on, and what led to it
    pub(super) path: Path,
    queues: Vec<CallQueue>,
}

impl Calls {
    /// `handles`: how many resources of other boxes this store may hold at a time.
    pub fn new(handles: usize) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let owner = NEXT.fetch_add(1, Relaxed);
        Calls { owner, limit: handles, held: 0, path: Path::default(), queues: Vec::new() }
    }

    /// How many resources of other boxes the store holds.
    pub fn held(&self) -> usize {
        self.held
    }

    pub(super) fn owner(&self) -> u64 {
        self.owner
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Counts resources that the store will hold, if it may.
    pub(super) fn take(&mut self, count: usize, from: &CallQueue) -> bool {
        let granted = count <= self.limit.saturating_sub(self.held);
        if granted && count > 0 {
            self.held += count;
            if !self.queues.iter().any(|queue| queue.id() == from.id()) {
                self.queues.push(from.clone());
            }
        }
        granted
    }

    pub(super) fn give(&mut self, count: usize) {
        self.held = self.held.saturating_sub(count);
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        for queue in &self.queues {
            queue.release_all(self.owner);
        }
    }
}
