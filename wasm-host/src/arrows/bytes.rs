//! Bytes on their way into a box, lowered as one block.
//!
//! wasmtime lowers a `Vec<u8>` as a `list<u8>` one element at a time (2.75 instructions per byte in the kernel). This is
//! the same type to the component, and a `memcpy` to the machine. [`Bounded`] is the way out, with a limit.
#![allow(unsafe_code)]

use alloc::{sync::Arc, vec::Vec};
use core::mem::MaybeUninit;
use spin::Mutex;
use wasmtime::{
    Result, bail,
    component::{
        __internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext, LowerContext},
        ComponentType, Lift, Lower,
    },
    error::Context as _,
};

/// A `list<u8>` for a box. Its buffer goes back to where it was taken from when the box has its copy.
pub struct Bytes {
    buffer: Vec<u8>,
    home: Option<Arc<Mutex<Vec<u8>>>>,
}

impl Bytes {
    /// Lends the buffer of `home`, which is empty meanwhile.
    pub fn lend(home: &Arc<Mutex<Vec<u8>>>) -> Self {
        Bytes { buffer: core::mem::take(&mut home.lock()), home: Some(home.clone()) }
    }

    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Copies the bytes into memory that the guest's allocator gives. Yields where that is, and the guest's memory.
    pub fn store<'a, T>(&self, cx: &'a mut LowerContext<'_, T>) -> Result<([u32; 2], &'a mut [u8])> {
        let length = u32::try_from(self.buffer.len()).context("more bytes than a box can address")?;
        if self.buffer.is_empty() {
            return Ok(([1, 0], cx.as_slice_mut()));
        }
        // `realloc` checks that what the guest answers lies within its memory.
        let place = cx.realloc(0, 0, 1, self.buffer.len())?;
        let memory = cx.as_slice_mut();
        memory[place..][..self.buffer.len()].copy_from_slice(&self.buffer);
        Ok(([u32::try_from(place)?, length], memory))
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(buffer: Vec<u8>) -> Self {
        Bytes { buffer, home: None }
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        if let Some(home) = &self.home {
            self.buffer.clear();
            *home.lock() = core::mem::take(&mut self.buffer);
        }
    }
}

type Flat = <[u8] as ComponentType>::Lower;

// SAFETY: everything that describes the type is that of `[u8]`, which wasmtime implements for `list<u8>`.
unsafe impl ComponentType for Bytes {
    type Lower = Flat;
    const ABI: CanonicalAbiInfo = <[u8] as ComponentType>::ABI;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        <[u8] as ComponentType>::typecheck(ty, types)
    }
}

// SAFETY: the pointer and length written are those of a region that `realloc` gave and checked, in the two forms that
// the canonical ABI has for `list<u8>`: two flat i32 values, or eight little-endian bytes in memory.
unsafe impl Lower for Bytes {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        _ty: InterfaceType,
        dst: &mut MaybeUninit<Flat>,
    ) -> Result<()> {
        let (list, _) = self.store(cx)?;
        dst.write(list.map(wasmtime::ValRaw::u32));
        Ok(())
    }

    fn linear_lower_to_memory<T>(&self, cx: &mut LowerContext<'_, T>, _ty: InterfaceType, offset: usize) -> Result<()> {
        let ([place, length], memory) = self.store(cx)?;
        let pair = u64::from(place) | u64::from(length) << 32;
        memory[offset..][..8].copy_from_slice(&pair.to_le_bytes());
        Ok(())
    }
}

/// A `list<u8>` from a box, of at most `MAX` bytes.
pub struct Bounded<const MAX: usize>(pub Vec<u8>);

// SAFETY: everything that describes the type is that of `[u8]`, which wasmtime implements for `list<u8>`.
unsafe impl<const MAX: usize> ComponentType for Bounded<MAX> {
    type Lower = Flat;
    const ABI: CanonicalAbiInfo = <[u8] as ComponentType>::ABI;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        <[u8] as ComponentType>::typecheck(ty, types)
    }
}

/// Copies the bytes out of the box's memory.
fn fetch(cx: &LiftContext<'_>, place: u32, length: u32, max: usize) -> Result<Vec<u8>> {
    let (place, length) = (place as usize, length as usize);
    if length > max {
        bail!("{length} bytes where at most {max} may be");
    }
    let Some(bytes) = cx.memory().get(place..).and_then(|rest| rest.get(..length)) else {
        bail!("a list of {length} bytes outside the memory");
    };
    let mut copy = Vec::new();
    copy.try_reserve_exact(length).context("the node has no memory for it")?;
    copy.extend_from_slice(bytes);
    Ok(copy)
}

// SAFETY: pointer and length are read in the two forms that the canonical ABI has for `list<u8>`, and what they name is
// read with bounds checks.
unsafe impl<const MAX: usize> Lift for Bounded<MAX> {
    fn linear_lift_from_flat(cx: &mut LiftContext<'_>, _ty: InterfaceType, src: &Flat) -> Result<Self> {
        fetch(cx, src[0].get_u32(), src[1].get_u32(), MAX).map(Bounded)
    }

    fn linear_lift_from_memory(cx: &mut LiftContext<'_>, _ty: InterfaceType, bytes: &[u8]) -> Result<Self> {
        let pair = bytes.first_chunk().map(|pair| u64::from_le_bytes(*pair)).unwrap_or_default();
        fetch(cx, pair as u32, (pair >> 32) as u32, MAX).map(Bounded)
    }
}
