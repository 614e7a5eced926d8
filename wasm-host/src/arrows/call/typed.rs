//! Messages as wasmtime's typed calls take and give them, so that `list<u8>` and `string` move as blocks.
//!
//! wasmtime's dynamic values cost an allocation or more each, a byte of a list included. Its typed interface asks for
//! Rust types known when the node is compiled; these four know their type only when they are lifted or lowered, from
//! the component's own type information that wasmtime passes to either.
//!
//! What wasmtime asks of such types, beyond what `derive` gives: `Lower` is a sequence of `ValRaw`, at most as long as
//! the slots that there are; lowering fills those that the callee's core function reads; lifting reads only those that
//! the type has. wasmtime's version is pinned, since these traits are its internal matter.
#![allow(unsafe_code)]

use super::{
    handles::{Argument, Held, Passed},
    lift, lower,
    message::Message,
    shape::{MAX_FLAT_PARAMS, MAX_FLAT_RESULTS},
};
use core::mem::MaybeUninit;
use wasmtime::{
    Result, ValRaw, bail,
    component::{
        __internal::{CanonicalAbiInfo, ComponentTypes, InstanceType, InterfaceType, LiftContext, LowerContext},
        ComponentNamedList, ComponentType, Lift, Lower, ResourceAny,
    },
};

/// Parameters as they leave the caller, where they are `N` core values, or in memory (`N` is 0 then).
pub struct CallerParams<const N: usize>(pub Message<Passed>);

/// The result as it enters the caller, where it is `N` core values, or in memory (`N` is 0 then).
pub struct CallerResults<const N: usize>(pub Message<Held>);

/// Parameters as they enter the callee, whatever their type.
pub struct CalleeParams(pub Message<Argument>);

/// The result as it leaves the callee, whatever its type.
pub struct CalleeResults(pub Message<ResourceAny>);

/// The number of core values that the tuple `ty` is, or None if it is in memory.
fn core_values(types: &ComponentTypes, ty: &InterfaceType, max: usize) -> Option<usize> {
    types.canonical_abi(ty).flat_count(max)
}

/// Checks that a tuple is passed in `expected` core values, with 0 for memory.
fn expect(ty: &InterfaceType, types: &InstanceType<'_>, max: usize, expected: usize) -> Result<()> {
    let InterfaceType::Tuple(_) = ty else { bail!("not a tuple of parameters or results") };
    let actual = core_values(types.types, ty, max).unwrap_or(0);
    if actual != expected {
        bail!("passed in {actual} core values where the arrow passes {expected}");
    }
    Ok(())
}

// SAFETY: `Lower` is a sequence of `ValRaw`. wasmtime lifts from memory by `SIZE32` bytes, of which there are none: the
// bytes' address alone is used.
unsafe impl<const N: usize> ComponentType for CallerParams<N> {
    type Lower = [ValRaw; N];
    const ABI: CanonicalAbiInfo = CanonicalAbiInfo::ZERO;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        expect(ty, types, MAX_FLAT_PARAMS, N)
    }
}

// SAFETY: `typecheck` has seen that the parameters are `N` core values.
unsafe impl<const N: usize> ComponentNamedList for CallerParams<N> {}

// SAFETY: only the `N` core values that there are, or bounds-checked memory, are read.
unsafe impl<const N: usize> Lift for CallerParams<N> {
    fn linear_lift_from_flat(cx: &mut LiftContext<'_>, ty: InterfaceType, src: &[ValRaw; N]) -> Result<Self> {
        lift::values(cx, ty, src).map(CallerParams)
    }

    fn linear_lift_from_memory(cx: &mut LiftContext<'_>, ty: InterfaceType, bytes: &[u8]) -> Result<Self> {
        // `bytes` is an empty part of the memory.
        let offset = bytes.as_ptr().addr().wrapping_sub(cx.memory().as_ptr().addr());
        lift::memory(cx, ty, offset).map(CallerParams)
    }
}

// SAFETY: as for `CallerParams`; nothing here is lifted, and lowering to memory uses the type's own size.
unsafe impl<const N: usize> ComponentType for CallerResults<N> {
    type Lower = [ValRaw; N];
    const ABI: CanonicalAbiInfo = CanonicalAbiInfo::ZERO;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        expect(ty, types, MAX_FLAT_RESULTS, N)
    }
}

// SAFETY: `typecheck` has seen that the result is `N` core values.
unsafe impl<const N: usize> ComponentNamedList for CallerResults<N> {}

// SAFETY: lowering fills all `N` slots, since the type has as many; memory is written with bounds checks.
unsafe impl<const N: usize> Lower for CallerResults<N> {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        dst: &mut MaybeUninit<[ValRaw; N]>,
    ) -> Result<()> {
        lower::values(cx, ty, &self.0, slots(dst))
    }

    fn linear_lower_to_memory<T>(&self, cx: &mut LowerContext<'_, T>, ty: InterfaceType, offset: usize) -> Result<()> {
        lower::memory(cx, ty, &self.0, offset)
    }
}

// SAFETY: `Lower` is a sequence of `ValRaw`, as many as parameters ever take.
unsafe impl ComponentType for CalleeParams {
    type Lower = [ValRaw; MAX_FLAT_PARAMS];
    const ABI: CanonicalAbiInfo = CanonicalAbiInfo::ZERO;

    fn typecheck(_: &InterfaceType, _: &InstanceType<'_>) -> Result<()> {
        Ok(())
    }
}

// SAFETY: any tuple of parameters is lowered by its own type.
unsafe impl ComponentNamedList for CalleeParams {}

// SAFETY: the core function reads as many slots as its parameters have core values, or one if those are in memory, and
// just these are filled.
unsafe impl Lower for CalleeParams {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        dst: &mut MaybeUninit<Self::Lower>,
    ) -> Result<()> {
        let slots = slots(dst);
        // Of functions without parameters or results wasmtime hands this slot on, unread, to `post-return`.
        slots[0].write(ValRaw::u64(0));
        if core_values(cx.types, &ty, MAX_FLAT_PARAMS).is_some() {
            return lower::values(cx, ty, &self.0, slots);
        }
        let abi = cx.types.canonical_abi(&ty);
        let at = cx.realloc(0, 0, abi.align32, abi.size32 as usize)?;
        slots[0].write(ValRaw::u64(at as u64));
        lower::memory(cx, ty, &self.0, at)
    }

    fn linear_lower_to_memory<T>(&self, cx: &mut LowerContext<'_, T>, ty: InterfaceType, offset: usize) -> Result<()> {
        lower::memory(cx, ty, &self.0, offset)
    }
}

// SAFETY: `Lower` is a sequence of `ValRaw`, as many as results ever take.
unsafe impl ComponentType for CalleeResults {
    type Lower = [ValRaw; MAX_FLAT_RESULTS];
    const ABI: CanonicalAbiInfo = CanonicalAbiInfo::ZERO;

    fn typecheck(_: &InterfaceType, _: &InstanceType<'_>) -> Result<()> {
        Ok(())
    }
}

// SAFETY: any tuple of results is lifted by its own type.
unsafe impl ComponentNamedList for CalleeResults {}

// SAFETY: only the core values that the type has are read, or one, the pointer, if it is in memory.
unsafe impl Lift for CalleeResults {
    fn linear_lift_from_flat(cx: &mut LiftContext<'_>, ty: InterfaceType, src: &Self::Lower) -> Result<Self> {
        if cx.options().async_ && core_values(cx.types, &ty, MAX_FLAT_PARAMS).is_some_and(|count| count > src.len()) {
            bail!("its export is lifted with `async`, and arrows call only ordinary exports");
        }
        let message = match core_values(cx.types, &ty, MAX_FLAT_RESULTS) {
            Some(count) => lift::values(cx, ty, &src[..count]),
            None => lift::memory(cx, ty, src[0].get_u32() as usize),
        };
        message.map(CalleeResults)
    }

    fn linear_lift_from_memory(cx: &mut LiftContext<'_>, ty: InterfaceType, bytes: &[u8]) -> Result<Self> {
        let offset = bytes.as_ptr().addr().wrapping_sub(cx.memory().as_ptr().addr());
        lift::memory(cx, ty, offset).map(CalleeResults)
    }
}

/// The slots one by one.
fn slots<const N: usize>(array: &mut MaybeUninit<[ValRaw; N]>) -> &mut [MaybeUninit<ValRaw>; N] {
    // SAFETY: an array that may be uninitialised is laid out as an array of what may be uninitialised.
    unsafe { &mut *array.as_mut_ptr().cast() }
}
