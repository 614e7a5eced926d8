//! `pearwood:hardware/block`: the sectors of a disk that the box's arrow grants.

use crate::{
    arrows::Bytes,
    boxes::State,
    platform::{Disk, DiskError, Extent},
};
use alloc::{boxed::Box, vec::Vec};
use wasmtime::{
    Result, StoreContextMut, bail,
    component::{ComponentType, Lift, Linker, Lower, WasmList},
};

const INTERFACE: &str = "pearwood:hardware/block@0.1.0";

/// The most bytes that one call transfers.
const MAX: u64 = 1 << 20;

#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct Info {
    #[component(name = "sector-size")]
    sector_size: u32,
    sectors: u64,
    #[component(name = "read-only")]
    read_only: bool,
}

#[derive(ComponentType, Lift, Lower, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
enum Error {
    #[component(name = "out-of-range")]
    OutOfRange,
    #[component(name = "unaligned")]
    Unaligned,
    #[component(name = "too-large")]
    TooLarge,
    #[component(name = "read-only")]
    ReadOnly,
    #[component(name = "io")]
    Io,
    #[component(name = "unsupported")]
    Unsupported,
    #[component(name = "gone")]
    Gone,
}

/// What the box is told. That the node is short of memory is none of its errors, and ends it.
fn told<T>(result: Result<T, DiskError>) -> Result<Result<T, Error>> {
    let error = match result {
        Ok(done) => return Ok(Ok(done)),
        Err(DiskError::NoMemory) => bail!("the node has no memory for the transfer"),
        Err(error) => error,
    };
    Ok(Err(Error::from(error)))
}

impl From<DiskError> for Error {
    fn from(error: DiskError) -> Self {
        match error {
            DiskError::OutOfRange => Error::OutOfRange,
            DiskError::Unaligned => Error::Unaligned,
            DiskError::TooLarge => Error::TooLarge,
            DiskError::ReadOnly => Error::ReadOnly,
            DiskError::Io | DiskError::NoMemory => Error::Io,
            DiskError::Unsupported => Error::Unsupported,
            DiskError::Gone => Error::Gone,
        }
    }
}

pub fn link(linker: &mut Linker<State>) -> Result<()> {
    let mut interface = linker.instance(INTERFACE)?;
    interface.func_wrap("describe", |cx: StoreContextMut<'_, State>, (): ()| {
        let geometry = extent(cx.data())?.geometry();
        let (sector_size, sectors, read_only) = (geometry.sector_size, geometry.sectors, geometry.read_only);
        Ok((Info { sector_size, sectors, read_only },))
    })?;
    interface.func_wrap_async("read", |mut cx: StoreContextMut<'_, State>, (first, count): (u64, u32)| {
        Box::new(async move {
            let read = read(cx.data_mut(), first, count).await?;
            Ok((told(read)?.map(Bytes::from),))
        })
    })?;
    interface.func_wrap_async("write", |mut cx: StoreContextMut<'_, State>, (first, data): (u64, WasmList<u8>)| {
        Box::new(async move {
            let fits = extent(cx.data()).map(|extent| fits(extent, first, data.len()))?;
            let copied = fits.and_then(|()| copy(data.as_le_slice(&cx)));
            let written = match copied {
                Ok(data) => write(cx.data_mut(), first, data).await?,
                Err(error) => Err(error),
            };
            Ok((told(written)?,))
        })
    })?;
    interface.func_wrap_async("flush", |mut cx: StoreContextMut<'_, State>, (): ()| {
        Box::new(async move {
            let state = cx.data_mut();
            let flush = extent(state)?.flush();
            state.waits();
            Ok((told(flush.await)?,))
        })
    })
}

/// What the node holds for the box meanwhile counts as the box's memory, as do the bytes when they have arrived there.
async fn read(state: &mut State, first: u64, count: u32) -> Result<Result<Vec<u8>, DiskError>> {
    let extent = extent(state)?;
    let geometry = extent.geometry();
    let bytes = u64::from(count) * u64::from(geometry.sector_size);
    let allowed = match geometry.check(first, count.into()) {
        Ok(()) if bytes > MAX => Err(DiskError::TooLarge),
        other => other,
    };
    if let Err(error) = allowed {
        return Ok(Err(error));
    }
    if count == 0 {
        return Ok(Ok(Vec::new()));
    }
    let read = extent.read(first, count);
    let _charge = state.charge(bytes)?;
    state.waits();
    let read = read.await;
    // a platform that yields anything else is broken, and the box must not see what is not its
    Ok(read.and_then(|read| if read.len() as u64 == bytes { Ok(read) } else { Err(DiskError::Io) }))
}

/// Before anything is copied: whether it could be written.
fn fits(extent: &Extent, first: u64, bytes: usize) -> Result<(), DiskError> {
    extent.geometry().check_write(first, bytes)?;
    if bytes as u64 > MAX { Err(DiskError::TooLarge) } else { Ok(()) }
}

fn copy(data: &[u8]) -> Result<Vec<u8>, DiskError> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(data.len()).map_err(|_| DiskError::NoMemory)?;
    copy.extend_from_slice(data);
    Ok(copy)
}

async fn write(state: &mut State, first: u64, data: Vec<u8>) -> Result<Result<(), DiskError>> {
    if data.is_empty() {
        return Ok(Ok(()));
    }
    let bytes = data.len() as u64;
    let _charge = state.charge(bytes)?;
    let write = extent(state)?.write(first, data);
    state.waits();
    Ok(write.await)
}

fn extent(state: &State) -> Result<&Extent> {
    match state.handle.disks.first() {
        Some(extent) => Ok(extent),
        None => bail!("has no arrow to a disk"),
    }
}
