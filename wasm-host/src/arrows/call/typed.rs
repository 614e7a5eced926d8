//! Messages as wasmtime's typed calls take and give them, so that `list<u8>` and `string` move as blocks.
//!
//! wasmtime's dynamic values cost an allocation or more each, a byte of a list included. Its typed interface asks for
//! Rust types known when the node is compiled; [`Values`] know their type only when they are lifted or lowered, from the
//! component's own type information that wasmtime passes to either.
//!
//! What wasmtime asks of such types, beyond what `derive` gives: `Lower` is a sequence of `ValRaw`, at most as long as
//! the slots that there are; lowering fills those that the callee's core function reads; lifting reads only those that
//! the type has. wasmtime's version is pinned, since these traits are its internal matter.
#![allow(unsafe_code)]

use super::{
    CallError,
    handles::{Argument, Held, Passed},
    lift::{self, Source, View},
    lower::{self, Target},
    message::Message,
    shape::{MAX_FLAT_PARAMS, MAX_FLAT_RESULTS},
};
use crate::budget::Charge;
use alloc::sync::Arc;
use core::mem::MaybeUninit;
use wasmtime::{
    Result, ValRaw, bail,
    component::{
        __internal::{
            CanonicalAbiInfo, ComponentTypes, InstanceType, InterfaceType, LiftContext, LowerContext, wasmtime_environ,
        },
        ComponentNamedList, ComponentType, Lift, Lower, ResourceAny,
    },
};
use wasmtime_environ::component::StringEncoding;

/// A tuple of parameters or results, whose type is known when it is lifted or lowered. It is `N` core values, or in memory
/// where there are more than `MAX` (`N` is 0 then). If `MAX` is 0, it is of any type and has up to `N`.
pub struct Values<M, const N: usize, const MAX: usize>(pub M);

/// Parameters as they leave the caller.
pub type CallerParams<const N: usize> = Values<Lifted<N>, N, MAX_FLAT_PARAMS>;
/// The result as it enters the caller.
pub type CallerResults<const N: usize> = Values<Message<Held>, N, MAX_FLAT_RESULTS>;
/// Parameters as they enter the callee.
pub type CalleeParams = Values<Message<Argument>, MAX_FLAT_PARAMS, 0>;
/// The result as it leaves the callee. What is long is there only if wasmtime's limit for what the host copies allows it.
pub type CalleeResults = Values<Message<ResourceAny>, MAX_FLAT_RESULTS, 0>;

// SAFETY: `Lower` is a sequence of `ValRaw`. wasmtime lifts from memory by `SIZE32` bytes, of which there are none: the
// bytes' address alone is used. What is lowered to memory has its own type's size.
unsafe impl<M: Send + Sync, const N: usize, const MAX: usize> ComponentType for Values<M, N, MAX> {
    type Lower = [ValRaw; N];
    const ABI: CanonicalAbiInfo = CanonicalAbiInfo::ZERO;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        let InterfaceType::Tuple(_) = ty else { bail!("not a tuple of parameters or results") };
        let actual = core_values(types.types, ty, MAX).unwrap_or(0);
        if MAX > 0 && actual != N {
            bail!("passed in {actual} core values where the arrow passes {N}");
        }
        Ok(())
    }
}

// SAFETY: `typecheck` has seen that the values are `N` core values; or, of any type, they are lifted and lowered by it.
unsafe impl<M: Send + Sync, const N: usize, const MAX: usize> ComponentNamedList for Values<M, N, MAX> {}

/// Parameters of a caller, which are still in its memory if they are too long to be copied before that is paid for.
pub struct Lifted<const N: usize> {
    message: Message<Passed>,
    rest: Option<Rest<N>>,
}

struct Rest<const N: usize> {
    types: Arc<ComponentTypes>,
    ty: InterfaceType,
    encoding: StringEncoding,
    memory: &'static [u8],
    values: [ValRaw; N],
    /// None: they are in `values`
    at: Option<usize>,
}

impl<const N: usize> Lifted<N> {
    /// The whole, if it is short, or no longer than `limit` and `pay` pays for it. Otherwise the message is of use only
    /// for its resources.
    pub fn complete(
        self,
        limit: usize,
        pay: impl FnOnce(usize) -> Option<Charge>,
    ) -> (Message<Passed>, Result<(), CallError>) {
        let Lifted { mut message, rest } = self;
        if message.total > limit {
            return (message, Err(CallError::ParamsTooLarge { limit }));
        }
        let Some(size) = message.size() else { return (message, Ok(())) };
        let Some(charge) = pay(size) else { return (message, Err(CallError::NoMemory)) };
        message.paid_with(charge);
        let done = message.reserve().and_then(|()| {
            let Some(Rest { types, ty, encoding, memory, values, at }) = &rest else { return Ok(()) };
            let from = View { types, memory, encoding: *encoding };
            let source = at.map_or(Source::Slots(values), Source::Memory);
            // they were valid when they were lifted, and are the same
            lift::finish(from, *ty, source, &mut message).map_err(|_| CallError::NoMemory)
        });
        (message, done)
    }

    fn lift(cx: &mut LiftContext<'_>, ty: InterfaceType, source: Source<'_>) -> Result<Self> {
        let message = lift::begin(cx, ty, source)?;
        if message.size().is_none() || message.total == usize::MAX {
            return Ok(Lifted { message, rest: None });
        }
        let (values, at) = match source {
            Source::Slots(values) => (values.try_into()?, None),
            Source::Memory(at) => ([ValRaw::u32(0); N], Some(at)),
        };
        let memory = cx.memory();
        // SAFETY: the memory is where it is, and is not written to, until the caller runs again. wasmtime hands what it
        // lifts to the host's function at once, and the one that there is (`link`) completes it before anything else.
        let memory = unsafe { core::slice::from_raw_parts(memory.as_ptr(), memory.len()) };
        let encoding = cx.options().string_encoding;
        Ok(Lifted { message, rest: Some(Rest { types: cx.types.clone(), ty, encoding, memory, values, at }) })
    }
}

/// The number of core values that the tuple `ty` is, or None if it is in memory.
fn core_values(types: &ComponentTypes, ty: &InterfaceType, max: usize) -> Option<usize> {
    types.canonical_abi(ty).flat_count(max)
}

/// The offset of an empty part of a box's memory, which wasmtime gives for values of no size.
fn offset(cx: &LiftContext<'_>, bytes: &[u8]) -> Source<'static> {
    Source::Memory(bytes.as_ptr().addr().wrapping_sub(cx.memory().as_ptr().addr()))
}

// SAFETY: only the `N` core values that there are, or bounds-checked memory, are read.
unsafe impl<const N: usize> Lift for CallerParams<N> {
    fn linear_lift_from_flat(cx: &mut LiftContext<'_>, ty: InterfaceType, src: &[ValRaw; N]) -> Result<Self> {
        Lifted::lift(cx, ty, Source::Slots(src)).map(Values)
    }

    fn linear_lift_from_memory(cx: &mut LiftContext<'_>, ty: InterfaceType, bytes: &[u8]) -> Result<Self> {
        Lifted::lift(cx, ty, offset(cx, bytes)).map(Values)
    }
}

// SAFETY: lowering fills all `N` slots, since the type has as many; memory is written with bounds checks.
unsafe impl<const N: usize> Lower for CallerResults<N> {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        dst: &mut MaybeUninit<[ValRaw; N]>,
    ) -> Result<()> {
        lower::values(cx, ty, &self.0, Target::Slots(slots(dst)))
    }

    fn linear_lower_to_memory<T>(&self, cx: &mut LowerContext<'_, T>, ty: InterfaceType, offset: usize) -> Result<()> {
        lower::values(cx, ty, &self.0, Target::Memory(offset))
    }
}

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
            return lower::values(cx, ty, &self.0, Target::Slots(slots));
        }
        let abi = cx.types.canonical_abi(&ty);
        let at = cx.realloc(0, 0, abi.align32, abi.size32 as usize)?;
        slots[0].write(ValRaw::u64(at as u64));
        lower::values(cx, ty, &self.0, Target::Memory(at))
    }

    fn linear_lower_to_memory<T>(&self, cx: &mut LowerContext<'_, T>, ty: InterfaceType, offset: usize) -> Result<()> {
        lower::values(cx, ty, &self.0, Target::Memory(offset))
    }
}

// SAFETY: only the core values that the type has are read, or one, the pointer, if it is in memory.
unsafe impl Lift for CalleeResults {
    fn linear_lift_from_flat(cx: &mut LiftContext<'_>, ty: InterfaceType, src: &Self::Lower) -> Result<Self> {
        if cx.options().async_ && core_values(cx.types, &ty, MAX_FLAT_PARAMS).is_some_and(|count| count > src.len()) {
            bail!("its export is lifted with `async`, and arrows call only ordinary exports");
        }
        match core_values(cx.types, &ty, MAX_FLAT_RESULTS) {
            Some(count) => lift_result(cx, ty, Source::Slots(&src[..count])),
            None => lift_result(cx, ty, Source::Memory(src[0].get_u32() as usize)),
        }
    }

    fn linear_lift_from_memory(cx: &mut LiftContext<'_>, ty: InterfaceType, bytes: &[u8]) -> Result<Self> {
        lift_result(cx, ty, offset(cx, bytes))
    }
}

fn lift_result(cx: &mut LiftContext<'_>, ty: InterfaceType, source: Source<'_>) -> Result<CalleeResults> {
    let mut message = lift::begin(cx, ty, source)?;
    if let Some(size) = message.size()
        && cx.consume_fuel(size).is_ok()
        && message.reserve().is_ok()
    {
        lift::finish(View::of(cx), ty, source, &mut message)?;
    }
    Ok(Values(message))
}

/// The handle, in the table of the box that it enters, of a resource of that box.
pub fn index<T: 'static>(resource: &ResourceAny, cx: &mut LowerContext<'_, T>, ty: InterfaceType) -> Result<u32> {
    let mut slot = MaybeUninit::uninit();
    resource.linear_lower_to_flat(cx, ty, &mut slot)?;
    // SAFETY: a resource is one core value, and what is lowered without an error is written.
    Ok(unsafe { slot.assume_init() }.get_u32())
}

/// The slots one by one.
fn slots<const N: usize>(array: &mut MaybeUninit<[ValRaw; N]>) -> &mut [MaybeUninit<ValRaw>; N] {
    // SAFETY: an array that may be uninitialised is laid out as an array of what may be uninitialised.
    unsafe { &mut *array.as_mut_ptr().cast() }
}
