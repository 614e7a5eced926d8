//! What a box learns when it wakes, lowered as one block: wasmtime looks up the box's memory for each field of a record.
#![allow(unsafe_code)]

use crate::{
    arrows::{
        Bytes,
        channel::{Port, Ready},
    },
    platform::Nanos,
};
use alloc::sync::Arc;
use core::mem::MaybeUninit;
use wasmtime::{
    Result, bail,
    component::{
        __internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LowerContext},
        ComponentType, Lower, flags,
    },
    format_err,
};

pub struct Wake {
    pub now: Nanos,
    pub ready: Ready,
}

pub struct Turn {
    pub wake: Wake,
    pub received: Bytes,
    pub sent: bool,
}

/// What is taken from a port when it is lowered, and then at once.
pub struct Arrival {
    pub wake: Wake,
    pub from: Option<Arc<Port>>,
    pub space: Space,
    pub sent: bool,
}

/// Where in its memory a box wants what it receives.
pub struct Space {
    pub start: u32,
    pub length: u32,
}

impl Space {
    fn of<'a>(&self, memory: &'a mut [u8]) -> Result<&'a mut [u8]> {
        let Space { start, length } = *self;
        let all = memory.get_mut(start as usize..).and_then(|rest| rest.get_mut(..length as usize));
        all.ok_or_else(|| format_err!("has a space of {length} bytes at {start}, which is not within its memory"))
    }
}

/// The types of the WIT, which what is lowered is checked against.
mod shape {
    #![allow(dead_code)]

    use super::*;

    flags! {
        Notices {
            #[component(name = "deadline")] const DEADLINE;
            #[component(name = "room")] const ROOM;
            #[component(name = "retire")] const RETIRE;
        }
    }

    #[derive(ComponentType)]
    #[component(record)]
    pub struct Wake {
        now: u64,
        ready: u64,
        notices: Notices,
    }

    #[derive(ComponentType)]
    #[component(record)]
    pub struct Turn {
        wake: Wake,
        received: Bytes,
        sent: bool,
    }

    #[derive(ComponentType)]
    #[component(record)]
    pub struct Arrival {
        wake: Wake,
        received: u32,
        rest: Bytes,
        sent: bool,
    }
}

// Where the canonical ABI places the fields: `now` at 0, `ready` at 8, `notices` (one byte) at 16, `received` at 24, `sent` at 32. In an
// `arrival`, `received` is at 24, `rest` at 28, `sent` at 36.
const WAKE: usize = 24;
const TURN: usize = 40;
const ARRIVAL: usize = 40;
const _: () = {
    let (wake, turn) = (<shape::Wake as ComponentType>::ABI, <shape::Turn as ComponentType>::ABI);
    let arrival = <shape::Arrival as ComponentType>::ABI;
    assert!(wake.size32 as usize == WAKE && wake.align32 == 8);
    assert!(turn.size32 as usize == TURN && turn.align32 == 8);
    assert!(arrival.size32 as usize == ARRIVAL && arrival.align32 == 8);
};

impl Wake {
    fn to_bytes(&self) -> [u8; WAKE] {
        let mut bytes = [0; WAKE];
        bytes[..8].copy_from_slice(&self.now.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.ready.ports().to_le_bytes());
        bytes[16] = self.ready.notices();
        bytes
    }
}

// SAFETY: everything that describes the type is that of `shape::Wake`.
unsafe impl ComponentType for Wake {
    type Lower = <shape::Wake as ComponentType>::Lower;
    const ABI: CanonicalAbiInfo = <shape::Wake as ComponentType>::ABI;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        <shape::Wake as ComponentType>::typecheck(ty, types)
    }
}

// SAFETY: the bytes written are those of the record, whose size and alignment are asserted above.
unsafe impl Lower for Wake {
    fn linear_lower_to_flat<T>(
        &self,
        _: &mut LowerContext<'_, T>,
        _: InterfaceType,
        _: &mut MaybeUninit<Self::Lower>,
    ) -> Result<()> {
        bail!("a record of three fields is returned in memory")
    }

    fn linear_lower_to_memory<T>(&self, cx: &mut LowerContext<'_, T>, _: InterfaceType, offset: usize) -> Result<()> {
        *cx.get(offset) = self.to_bytes();
        Ok(())
    }
}

// SAFETY: everything that describes the type is that of `shape::Turn`.
unsafe impl ComponentType for Turn {
    type Lower = <shape::Turn as ComponentType>::Lower;
    const ABI: CanonicalAbiInfo = <shape::Turn as ComponentType>::ABI;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        <shape::Turn as ComponentType>::typecheck(ty, types)
    }
}

// SAFETY: the bytes written are those of the record, whose size and alignment are asserted above; the list's place and
// length are of a region that the box's allocator gave.
unsafe impl Lower for Turn {
    fn linear_lower_to_flat<T>(
        &self,
        _: &mut LowerContext<'_, T>,
        _: InterfaceType,
        _: &mut MaybeUninit<Self::Lower>,
    ) -> Result<()> {
        bail!("a record of three fields is returned in memory")
    }

    fn linear_lower_to_memory<T>(&self, cx: &mut LowerContext<'_, T>, _: InterfaceType, offset: usize) -> Result<()> {
        let ([place, length], memory) = self.received.store(cx)?;
        let received = u64::from(place) | u64::from(length) << 32;
        let rest = u128::from(received) | u128::from(self.sent as u8) << 64;
        let bytes = &mut memory[offset..][..TURN];
        bytes[..WAKE].copy_from_slice(&self.wake.to_bytes());
        bytes[WAKE..].copy_from_slice(&rest.to_le_bytes());
        Ok(())
    }
}

// SAFETY: everything that describes the type is that of `shape::Arrival`.
unsafe impl ComponentType for Arrival {
    type Lower = <shape::Arrival as ComponentType>::Lower;
    const ABI: CanonicalAbiInfo = <shape::Arrival as ComponentType>::ABI;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        <shape::Arrival as ComponentType>::typecheck(ty, types)
    }
}

// SAFETY: as of `Turn`; what is received is written where the box has said, within its memory.
unsafe impl Lower for Arrival {
    fn linear_lower_to_flat<T>(
        &self,
        _: &mut LowerContext<'_, T>,
        _: InterfaceType,
        _: &mut MaybeUninit<Self::Lower>,
    ) -> Result<()> {
        bail!("a record of four fields is returned in memory")
    }

    fn linear_lower_to_memory<T>(&self, cx: &mut LowerContext<'_, T>, _: InterfaceType, offset: usize) -> Result<()> {
        let mut memory = cx.as_slice_mut();
        let space = self.space.of(memory)?;
        let taken = self.from.as_ref().map_or(Ok(0), |port| port.receive_into(space));
        let (received, [place, length]) = match taken {
            Ok(received) => (received, [1, 0]),
            Err(bytes) => {
                let (list, after) = bytes.store(cx)?;
                memory = after;
                (0, list)
            }
        };
        let rest = [received as u32, place, length, self.sent as u32];
        let bytes = &mut memory[offset..][..ARRIVAL];
        bytes[..WAKE].copy_from_slice(&self.wake.to_bytes());
        for (to, word) in bytes[WAKE..].as_chunks_mut().0.iter_mut().zip(rest) {
            *to = word.to_le_bytes();
        }
        Ok(())
    }
}
