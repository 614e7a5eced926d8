//! `pearwood:hardware/nic`: a network card.

mod tap;
#[cfg(test)]
mod tests;

pub use tap::Tap;

use crate::{arrows::Bytes, boxes::State};
use alloc::sync::Arc;
use wasmtime::{
    Result, StoreContextMut, bail,
    component::{ComponentType, Lift, Linker, Lower, WasmList},
};

const INTERFACE: &str = "pearwood:hardware/nic@0.1.0";

/// Bytes of frames that one call hands over.
const BATCH: usize = 128 << 10;

#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct Info {
    address: alloc::vec::Vec<u8>,
    mtu: u16,
}

pub fn link(linker: &mut Linker<State>) -> Result<()> {
    let mut interface = linker.instance(INTERFACE)?;
    interface.func_wrap("describe", |cx: StoreContextMut<'_, State>, (): ()| {
        let nic = tap(cx.data())?.card();
        Ok((Info { address: nic.address().to_vec(), mtu: nic.mtu() },))
    })?;
    interface.func_wrap("receive", |cx: StoreContextMut<'_, State>, (): ()| Ok((receive(cx.data())?,)))?;
    interface.func_wrap("transmit", |cx: StoreContextMut<'_, State>, (frames,): (WasmList<u8>,)| {
        transmit(cx.data(), frames.as_le_slice(&cx))
    })
}

pub fn transmit(state: &State, frames: &[u8]) -> Result<()> {
    let nic = tap(state)?.card();
    for record in wit::Records::new(frames) {
        let record = record?;
        if record.kind != wit::nic::FRAME || record.bytes.len() > wit::nic::MAX_FRAME {
            bail!("sent a record of kind {} and {} bytes to a network card", record.kind, record.bytes.len());
        }
    }
    nic.transmit(wit::Records::new(frames));
    Ok(())
}

/// The frames that have arrived.
pub fn receive(state: &State) -> Result<Bytes> {
    let nic = tap(state)?;
    let mut bytes = Bytes::lend(&state.frames);
    let mut batch = wit::Batch::reuse(core::mem::take(bytes.buffer()));
    nic.receive(&mut batch, BATCH);
    *bytes.buffer() = batch.into_bytes();
    Ok(bytes)
}

fn tap(state: &State) -> Result<&Arc<Tap>> {
    match state.handle.nics.first() {
        Some(nic) => Ok(nic),
        None => bail!("has no arrow to a network card"),
    }
}
