//! What the node itself gives to boxes, as host functions. None trusts what a box passes.

mod assets;
mod block;
mod config;
mod control;
mod entropy;
mod heir;
mod log;
mod nic;
mod schedule;

pub use nic::Tap;

use crate::boxes::State;
use wasmtime::{Result, component::Linker};

/// What every box has of itself.
pub fn own(linker: &mut Linker<State>) -> Result<()> {
    schedule::link(linker)?;
    log::link(linker)?;
    config::link(linker)?;
    assets::link(linker)?;
    entropy::link(linker)?;
    heir::link(linker)
}

/// The part of a disk that the box's arrow grants.
pub fn block(linker: &mut Linker<State>) -> Result<()> {
    block::link(linker)
}

/// The power over the node.
pub fn control(linker: &mut Linker<State>) -> Result<()> {
    control::link(linker)
}

/// The network card that the box's arrow names.
pub fn nic(linker: &mut Linker<State>) -> Result<()> {
    nic::link(linker)
}
