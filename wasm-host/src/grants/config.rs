//! `pearwood:box/config`: the box's own settings.

use crate::boxes::{State, footprint};
use wasmtime::{Result, StoreContextMut, component::Linker};

pub fn link(linker: &mut Linker<State>) -> Result<()> {
    let mut interface = linker.instance("pearwood:box/config@0.2.0")?;
    interface.func_wrap("get", |cx: StoreContextMut<'_, State>, (): ()| Ok((cx.data().handle.spec.config.clone(),)))?;
    interface.func_wrap("memory", |cx: StoreContextMut<'_, State>, (): ()| Ok((footprint::left(&cx.data().handle),)))
}
