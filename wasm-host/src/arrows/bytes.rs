//! Bytes on their way into a box, lowered as one block.
//!
//! wasmtime lowers a `Vec<u8>` as a `list<u8>` one element at a time (2.75 instructions per byte in the kernel). This is
//! the same type to the component, and a `memcpy` to the machine. [`Bounded`] is the way out, with a limit.
#![allow(unsafe_code)]

use crate::budget::Charge;
use alloc::{string::String, sync::Arc, vec::Vec};
use core::mem::MaybeUninit;
use spin::Mutex;
use wasmtime::{
    Result, ValRaw, bail,
    component::{
        __internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext, LowerContext},
        ComponentType, Lift, Lower, WasmStr,
    },
    error::Context as _,
};

/// A `list<u8>` for a box. Its buffer goes back to where it was taken from when the box has its copy.
pub struct Bytes {
    buffer: Vec<u8>,
    home: Option<Arc<Mutex<Vec<u8>>>>,
    /// what pays for the buffer until the box has its copy
    _charge: Option<Charge>,
}

impl Bytes {
    /// Lends the buffer of `home`, which is empty meanwhile.
    pub fn lend(home: &Arc<Mutex<Vec<u8>>>) -> Self {
        Bytes { buffer: core::mem::take(&mut home.lock()), home: Some(home.clone()), _charge: None }
    }

    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Copies the bytes into memory that the guest's allocator gives. Yields where that is, and the guest's memory.
    pub fn store<'a, T>(&self, cx: &'a mut LowerContext<'_, T>) -> Result<([u32; 2], &'a mut [u8])> {
        let bytes = self.buffer.as_slice();
        let length = u32::try_from(bytes.len()).context("more bytes than a box can address")?;
        if bytes.is_empty() {
            return Ok(([1, 0], cx.as_slice_mut()));
        }
        // `realloc` checks that what the guest answers lies within its memory.
        let place = cx.realloc(0, 0, 1, bytes.len())?;
        let memory = cx.as_slice_mut();
        memory[place..][..bytes.len()].copy_from_slice(bytes);
        Ok(([u32::try_from(place)?, length], memory))
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(buffer: Vec<u8>) -> Self {
        Bytes { buffer, home: None, _charge: None }
    }
}

impl Bytes {
    /// A copy of what the node has, which the charge pays for.
    pub fn copied(bytes: &[u8], charge: Charge) -> Result<Self> {
        Ok(Bytes::charged(copy(bytes)?, charge))
    }

    /// What the charge pays for.
    pub fn charged(buffer: Vec<u8>, charge: Charge) -> Self {
        Bytes { buffer, home: None, _charge: Some(charge) }
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
    copy(bytes)
}

fn copy(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes.len()).context("the node has no memory for it")?;
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

/// A `string` from a box, of which at most `MAX` of its encoding's units are taken, whatever its length.
pub struct Cut<const MAX: usize>(pub String);

/// In the encoding `latin1+utf16`, the flag of a length in units of UTF-16 (component model, "Loading").
const UTF16_TAG: u32 = 1 << 31;

impl<const MAX: usize> Cut<MAX> {
    /// The whole must lie within the box's memory; what is beyond the limit is not looked at.
    fn of(cx: &mut LiftContext<'_>, ty: InterfaceType, src: [ValRaw; 2]) -> Result<Self> {
        WasmStr::linear_lift_from_flat(cx, ty, &src)?;
        let (length, tag) = (src[1].get_u32() & !UTF16_TAG, src[1].get_u32() & UTF16_TAG);
        let mut lift = |length: u32| String::linear_lift_from_flat(cx, ty, &[src[0], ValRaw::u32(length | tag)]);
        let most = u32::try_from(MAX).unwrap_or(UTF16_TAG - 1);
        if length <= most {
            return lift(length).map(Cut);
        }
        // a character may lie across the limit: of UTF-8, up to three of its bytes are before it
        let shorter = (1..=3).map(|less| most.saturating_sub(less));
        let mut cut = lift(most);
        for length in shorter {
            if cut.is_ok() {
                break;
            }
            cut = lift(length);
        }
        cut.map(Cut)
    }
}

// SAFETY: everything that describes the type is that of `str`, which wasmtime implements for `string`.
unsafe impl<const MAX: usize> ComponentType for Cut<MAX> {
    type Lower = <str as ComponentType>::Lower;
    const ABI: CanonicalAbiInfo = <str as ComponentType>::ABI;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        <str as ComponentType>::typecheck(ty, types)
    }
}

// SAFETY: pointer and length are read in the two forms that the canonical ABI has for `string`, and what they name is
// read by wasmtime's own implementation, with a length that is the same or less.
unsafe impl<const MAX: usize> Lift for Cut<MAX> {
    fn linear_lift_from_flat(cx: &mut LiftContext<'_>, ty: InterfaceType, src: &Self::Lower) -> Result<Self> {
        Self::of(cx, ty, *src)
    }

    fn linear_lift_from_memory(cx: &mut LiftContext<'_>, ty: InterfaceType, bytes: &[u8]) -> Result<Self> {
        let pair = bytes.first_chunk().map(|pair| u64::from_le_bytes(*pair)).unwrap_or_default();
        Self::of(cx, ty, [pair as u32, (pair >> 32) as u32].map(ValRaw::u32))
    }
}
