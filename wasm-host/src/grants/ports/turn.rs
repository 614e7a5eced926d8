//! What a box learns when it wakes, lowered as one block: wasmtime looks up the box's memory for each field of a record.
#![allow(unsafe_code)]

use crate::{
    arrows::{Bytes, channel::Ready},
    platform::Nanos,
};
use core::mem::MaybeUninit;
use wasmtime::{
    Result, bail,
    component::{
        __internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LowerContext},
        ComponentType, Lower, flags,
    },
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
}

// Where the canonical ABI places the fields: `now` at 0, `ready` at 8, `notices` (one byte) at 16, `received` at 24, `sent` at 32.
const WAKE: usize = 24;
const TURN: usize = 40;
const _: () = {
    let (wake, turn) = (<shape::Wake as ComponentType>::ABI, <shape::Turn as ComponentType>::ABI);
    assert!(wake.size32 as usize == WAKE && wake.align32 == 8);
    assert!(turn.size32 as usize == TURN && turn.align32 == 8);
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
