//! `pearwood:box/caller`: who calls a box, and what the arrow says by which it does.

use crate::arrows::call::Host as _;
use crate::boxes::State;
use alloc::{string::String, vec::Vec};
use wasmtime::{
    Result, StoreContextMut,
    component::{ComponentType, Linker, Lower},
};

#[derive(ComponentType, Lower)]
#[component(record)]
struct Caller {
    #[component(name = "box-name")]
    box_name: String,
    words: Vec<(String, String)>,
}

pub fn link(linker: &mut Linker<State>) -> Result<()> {
    let mut interface = linker.instance("pearwood:box/caller@0.2.0")?;
    interface.func_wrap("get", |mut cx: StoreContextMut<'_, State>, (): ()| {
        let caller = cx.data_mut().calls().caller();
        Ok((caller.map(|caller| Caller { box_name: String::from(&*caller.name), words: caller.words.clone() }),))
    })
}
