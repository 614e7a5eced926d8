//! `pearwood:box/entropy`: randomness, and the time of day.

use crate::{arrows::Bytes, boxes::State};
use alloc::vec;
use wasmtime::{Result, StoreContextMut, component::Linker};

/// The most bytes that one call yields.
const MAX: u32 = 4_096;

pub fn link(linker: &mut Linker<State>) -> Result<()> {
    let mut interface = linker.instance("pearwood:box/entropy@0.2.0")?;
    interface.func_wrap("get", |cx: StoreContextMut<'_, State>, (length,): (u32,)| {
        let mut bytes = vec![0; length.min(MAX) as usize];
        cx.data().platform.fill_random(&mut bytes);
        Ok((Bytes::from(bytes),))
    })?;
    interface.func_wrap("wall-clock", |cx: StoreContextMut<'_, State>, (): ()| Ok((cx.data().platform.wall_clock(),)))
}
