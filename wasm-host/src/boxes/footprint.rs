//! What the node holds for an instance beside its memories and tables, which are charged as they grow: charged before
//! the instance is made.

use super::{
    BoxHandle, Budget, Charge, log,
    state::{HANDLES, handles},
};
use crate::{engine::FIBER_STACK, plan::BoxPlan};
use alloc::{format, sync::Arc};
use core::fmt;
use wasmtime::Error;

/// The most bytes of lists and strings that a box passes to functions of WASI in one call: they are copied before the
/// function sees them.
pub const TRANSFER: usize = 144 << 10;

/// What a store holds, with the first handles of the component model.
const STORE: usize = 64 << 10;

/// What a handle takes beside what it stands for.
const HANDLE: usize = 24;

/// Of a box that is linked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Footprint {
    /// What its component's instances take, as [`crate::plan::BoxPlan::instance`] says.
    pub instance: u64,
    /// It calls functions of WASI.
    pub has_wasi: bool,
}

impl Footprint {
    /// Bytes that one instance of the box takes.
    fn bytes(self, spec: &BoxPlan) -> u64 {
        // a copy on its way to the box
        let config: usize = spec.config.iter().map(|(key, value)| key.len() + value.len() + 64).sum();
        let transfer = if self.has_wasi { TRANSFER + config } else { 0 };
        let handles = (handles(spec.memory) - HANDLES) * HANDLE;
        self.instance.saturating_add((FIBER_STACK + STORE + handles + transfer) as u64)
    }
}

/// The box's memory limit leaves no room for an instance.
#[derive(Debug, Clone, Copy)]
pub struct NoRoom {
    limit: u64,
    needed: u64,
}

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (limit, needed) = (self.limit >> 10, self.needed.div_ceil(1 << 10));
        write!(
            f,
            "its memory limit of {limit} KiB leaves no room for an instance, which takes {needed} KiB of the node beside \
             its own memory"
        )
    }
}

impl core::error::Error for NoRoom {}

/// The budget of a box's life: its limit, without what its log holds.
pub fn budget(handle: &BoxHandle) -> Arc<Budget> {
    let budget = Budget::new(handle.own_memory());
    // of a box with less, the instance finds no room
    budget.take((log::HELD as u64).min(handle.own_memory()));
    budget
}

/// What is left of the limit for the memories and tables of one instance.
pub fn left(handle: &BoxHandle) -> u64 {
    let needed = handle.footprint().bytes(&handle.spec);
    handle.own_memory().saturating_sub(log::HELD as u64).saturating_sub(needed)
}

/// Pays for an instance. `spare`: bytes of the limit that are to be left.
///
/// # Errors
/// [`NoRoom`].
pub fn pay(handle: &BoxHandle, budget: &Arc<Budget>, spare: u64) -> Result<Charge, Error> {
    let needed = handle.footprint().bytes(&handle.spec);
    let bytes = usize::try_from(needed).unwrap_or(usize::MAX);
    let no_room = NoRoom { limit: handle.spec.memory, needed };
    Charge::leaving(budget, bytes, spare).ok_or_else(|| Error::new(no_room))
}

/// Whether there is no instance because the box has no memory left, for what the node holds of it or for its memories.
pub fn no_room(handle: &BoxHandle) -> Error {
    let needed = handle.footprint().bytes(&handle.spec);
    Error::new(NoRoom { limit: handle.spec.memory, needed })
}

/// What wasmtime's reason for an instance's end means here, if that says more.
pub fn explain(reason: &str) -> Option<alloc::string::String> {
    if reason.starts_with("too much data is being copied") {
        let most = TRANSFER >> 10;
        return Some(format!(
            "passed too much in one call: lists and strings for WASI's functions have {most} KiB together"
        ));
    }
    // the number is Linux's on all platforms, and only memory that cannot be mapped fails by it
    let no_memory = "the node has no memory left for it: give the node more, or other boxes less";
    reason.contains("os error 12").then(|| no_memory.into())
}

#[cfg(all(test, feature = "build"))]
mod tests;
