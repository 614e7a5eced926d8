//! `pearwood:box/heir`: the state goes to the instance that takes the place of the box, which goes on.

use crate::{
    arrows::Bounded,
    boxes::{MAX_STATE, State, within},
};
use wasmtime::{Result, StoreContextMut, component::Linker, error::Context as _};

pub fn link(linker: &mut Linker<State>) -> Result<()> {
    let mut interface = linker.instance("pearwood:box/heir@0.2.0")?;
    interface.func_wrap("give", |cx: StoreContextMut<'_, State>, (state,): (Bounded<MAX_STATE>,)| {
        let handle = &cx.data().handle;
        within(state.0, handle.spec.memory).and_then(|state| handle.give(state)).context("pearwood:box/heir")
    })
}
