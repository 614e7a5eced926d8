//! The `send` and `receive` of a channel's interfaces, as a box imports them.

use super::Port;
use crate::boxes::State;
use alloc::sync::Arc;
use wasmtime::{
    Result, StoreContextMut,
    component::{Linker, WasmList},
    error::Context as _,
};

/// The version of `pearwood:net` and `pearwood:http` that is spoken here.
const VERSION: &str = "0.1.0";

/// Gives a box its end of a channel.
pub fn link(linker: &mut Linker<State>, port: &Arc<Port>) -> Result<()> {
    let interface = port.interface();
    // boxes of any compatible version find it
    let mut instance = linker.instance(&alloc::format!("{interface}@{VERSION}"))?;
    let to = port.clone();
    instance.func_wrap("send", move |cx: StoreContextMut<'_, State>, (peer, batch): (u32, WasmList<u8>)| {
        let taken = to.send(peer, batch.as_le_slice(&cx)).context(interface)?;
        Ok((taken,))
    })?;
    let from = port.clone();
    instance.func_wrap("receive", move |_: StoreContextMut<'_, State>, (): ()| Ok((from.receive(),)))
}
