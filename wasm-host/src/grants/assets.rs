//! `pearwood:box/assets`: the box's files, read where they lie in the image.

use crate::{
    arrows::{Bytes, channel::Ready},
    boxes::{Fault, State, log::Level},
    image::{Asset, Piece},
};
use alloc::{boxed::Box, format, string::String, vec::Vec};
use core::task::Poll;
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
    interface.func_wrap("fetch", |mut cx: StoreContextMut<'_, State>, (index, offset, length): (u32, u64, u32)| {
        Ok((fetch(cx.data_mut(), index, offset, length)?,))
    })?;
    interface.func_wrap_async("read", |mut cx: StoreContextMut<'_, State>, read: (u32, u64, u32)| {
        Box::new(async move { Ok((wait(&mut cx, read).await?,)) })
    })
}

/// What there is of a file from `offset` on. None: it is being read from the disk. An error: it cannot be had, which the box's
/// log says.
type Fetched = core::result::Result<Option<Bytes>, ()>;

fn fetch(state: &mut State, index: u32, offset: u64, length: u32) -> Result<Fetched> {
    let (length, assets) = (length.min(MAX), state.handle.assets());
    let Some(asset) = assets.get(index as usize) else { return Ok(Ok(Some(Bytes::from(Vec::new())))) };
    let Some(piece) = asset.piece(offset) else {
        return Ok(match asset.read(offset, length.into()) {
            Ok(bytes) => Ok(Some(Bytes::copied(bytes, state.charge(bytes.len() as u64)?)?)),
            Err(error) => {
                state.handle.write(Level::Error, &format!("{error}"));
                Err(())
            }
        });
    };
    let pieces = state.pieces();
    // before the piece is there: what it costs may be what the piece would give back
    let Ok(charge) = state.charge(u64::from(length).min(piece.length as u64)) else {
        state.handle.write(Level::Error, &complaint(&asset, &piece, Fault::NoRoom(length as usize)));
        return Ok(Err(()));
    };
    let waker = || state.handle.signal.waker(Ready::ROOM);
    let copy = |bytes: &[u8]| Bytes::copied(part(bytes, offset - piece.offset, length), charge);
    match pieces.get(&piece, waker, copy) {
        Poll::Pending => Ok(Ok(None)),
        Poll::Ready(Ok(bytes)) => Ok(Ok(Some(bytes?))),
        Poll::Ready(Err(fault)) => {
            state.handle.write(Level::Error, &complaint(&asset, &piece, fault));
            Ok(Err(()))
        }
    }
}

fn part(bytes: &[u8], from: u64, length: u32) -> &[u8] {
    let rest = usize::try_from(from).ok().and_then(|from| bytes.get(from..)).unwrap_or_default();
    &rest[..rest.len().min(length as usize)]
}

fn complaint(asset: &Asset<'_, '_>, piece: &Piece, fault: Fault) -> String {
    format!("asset {}, block {} (of 64 KiB): {fault}", asset.path(), piece.block)
}

/// The same, of all that was asked for: the box waits for what is not there.
async fn wait(cx: &mut StoreContextMut<'_, State>, (index, offset, length): (u32, u64, u32)) -> Result<Bytes> {
    let (length, assets) = (length.min(MAX), cx.data().handle.assets());
    let Some(asset) = assets.get(index as usize) else { return Ok(Bytes::from(Vec::new())) };
    if !assets.are_on_disk() {
        let bytes = asset.read(offset, length.into()).map_err(Error::new)?;
        let charge = cx.data().charge(bytes.len() as u64)?;
        return Bytes::copied(bytes, charge);
    }
    let length = asset.size().saturating_sub(offset).min(length.into());
    let charge = cx.data().charge(length)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length as usize)?;
    while (bytes.len() as u64) < length {
        let at = offset + bytes.len() as u64;
        let Some(piece) = asset.piece(at) else { break };
        let left = (length - bytes.len() as u64) as u32;
        let pieces = cx.data_mut().pieces();
        let read = core::future::poll_fn(|task| {
            let waker = || task.waker().clone();
            pieces.get(&piece, waker, |piece_bytes| bytes.extend_from_slice(part(piece_bytes, at - piece.offset, left)))
        });
        read.await.map_err(|fault| Error::msg(complaint(&asset, &piece, fault)))?;
    }
    Ok(Bytes::charged(bytes, charge))
}
