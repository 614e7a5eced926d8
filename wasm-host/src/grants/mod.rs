//! What the node itself gives to boxes, as host functions. None trusts what a box passes.

mod assets;
mod block;
mod config;
mod control;
mod entropy;
mod heir;
mod log;
pub mod net;
mod nic;
mod ports;
mod secret;

pub use block::Blocks;
pub use control::Control;
pub use net::Known;
pub use nic::Tap;

use crate::boxes::State;
use wasmtime::{Result, component::Linker};

/// What every box has of itself.
pub fn own(linker: &mut Linker<State>) -> Result<()> {
    ports::link(linker)?;
    log::link(linker)?;
    config::link(linker)?;
    assets::link(linker)?;
    entropy::link(linker)?;
    heir::link(linker)?;
    secret::link(linker)
}
