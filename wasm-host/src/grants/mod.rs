//! What the node itself gives to boxes, as host functions. None trusts what a box passes.

mod assets;
mod block;
mod caller;
mod config;
mod control;
mod crypto;
mod entropy;
mod figures;
mod heir;
mod log;
pub mod net;
mod nic;
mod ports;
mod secret;

pub use block::Blocks;
pub use control::Control;
pub use crypto::Keys;
pub use net::Known;
pub use nic::Tap;

use crate::{boxes::State, interface::InterfaceName, platform::Platform};
use alloc::string::String;
use wasmtime::{
    Result,
    component::{Linker, types::Component},
};

/// Interfaces of the node that it lends to boxes with an arrow for them. Others can do without: they get functions that say so.
pub const LENT: [&str; 1] = [crypto::INTERFACE];

/// What every box has of itself.
pub fn own(linker: &mut Linker<State>) -> Result<()> {
    ports::link(linker)?;
    log::link(linker)?;
    caller::link(linker)?;
    figures::link(linker)?;
    config::link(linker)?;
    assets::link(linker)?;
    entropy::link(linker)?;
    heir::link(linker)?;
    secret::link(linker)
}

/// Links those of [`LENT`] that a component imports. `arrows`: those that it has an arrow for.
pub fn lent(
    linker: &mut Linker<State>,
    component: &Component,
    arrows: &[String],
    platform: &'static dyn Platform,
) -> Result<()> {
    let engine = linker.engine().clone();
    let imports = component.imports(&engine).filter_map(|(import, _)| InterfaceName::parse(import));
    for import in imports.filter(|import| import.path() == crypto::INTERFACE) {
        let has_arrow =
            arrows.iter().filter_map(|name| InterfaceName::parse(name)).any(|name| name.compatible(&import));
        crypto::link(linker, if has_arrow { platform.crypto() } else { None })?;
    }
    Ok(())
}
