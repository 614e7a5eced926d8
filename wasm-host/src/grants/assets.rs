//! `pearwood:box/assets`: the box's files, read where they lie in the image.

use crate::{arrows::Bytes, boxes::State};
use alloc::{string::String, vec::Vec};
use wasmtime::{
    Error, Result, StoreContextMut,
    component::{ComponentType, Lift, Linker, Lower},
};

/// The most bytes that one call yields.
const MAX: u32 = 1 << 20;

/// What the hash of an entry holds.
const HASH: usize = 64;

#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct Entry {
    path: String,
    size: u64,
    hash: Vec<u8>,
    modified: u64,
}

pub fn link(linker: &mut Linker<State>) -> Result<()> {
    let mut interface = linker.instance("pearwood:box/assets@0.2.0")?;
    interface.func_wrap("entries", |cx: StoreContextMut<'_, State>, (): ()| {
        let assets = cx.data().handle.assets();
        // what the list is while it is copied to the box
        let bytes = assets.iter().map(|asset| size_of::<Entry>() + asset.path().len() + HASH).sum::<usize>();
        let _charge = cx.data().charge(bytes as u64)?;
        let entries = assets.iter().map(|asset| Entry {
            path: asset.path().into(),
            size: asset.size(),
            hash: asset.hash().0.to_vec(),
            modified: asset.modified(),
        });
        Ok((entries.collect::<Vec<_>>(),))
    })?;
    interface.func_wrap("read", |cx: StoreContextMut<'_, State>, (index, offset, length): (u32, u64, u32)| {
        let assets = cx.data().handle.assets();
        let Some(asset) = assets.get(index as usize) else {
            return Ok((Bytes::from(Vec::new()),));
        };
        let bytes = asset.read(offset, length.min(MAX).into()).map_err(Error::new)?;
        let charge = cx.data().charge(bytes.len() as u64)?;
        Ok((Bytes::copied(bytes, charge)?,))
    })
}
