//! What a box learns when it wakes, lowered as one block: wasmtime looks up the box's memory for each field of a record.
#![allow(unsafe_code)]

use crate::{arrows::Bytes, platform::Nanos};
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
    /// bits of [`Ready`](crate::arrows::channel::Ready)
    pub ready: u32,
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
        Ready {
            #[component(name = "deadline")] const DEADLINE;
            #[component(name = "nic")] const NIC;
            #[component(name = "tcp")] const TCP;
            #[component(name = "tcp-service")] const TCP_SERVICE;
            #[component(name = "udp")] const UDP;
            #[component(name = "udp-service")] const UDP_SERVICE;
            #[component(name = "names")] const NAMES;
            #[component(name = "names-service")] const NAMES_SERVICE;
            #[component(name = "handler")] const HANDLER;
            #[component(name = "handler-service")] const HANDLER_SERVICE;
            #[component(name = "room")] const ROOM;
            #[component(name = "retire")] const RETIRE;
        }
    }

    #[derive(ComponentType)]
    #[component(record)]
    pub struct Wake {
        now: u64,
        ready: Ready,
    }

    #[derive(ComponentType)]
    #[component(record)]
    pub struct Turn {
        wake: Wake,
        received: Bytes,
        sent: bool,
    }
}

// Where the canonical ABI places the fields: `now` at 0, `ready` (12 flags in 2 bytes) at 8, `received` at 16, `sent` at 24.
const WAKE: usize = 16;
const TURN: usize = 32;
const _: () = {
    let (wake, turn) = (<shape::Wake as ComponentType>::ABI, <shape::Turn as ComponentType>::ABI);
    assert!(wake.size32 as usize == WAKE && wake.align32 == 8);
    assert!(turn.size32 as usize == TURN && turn.align32 == 8);
};

impl Wake {
    fn to_bytes(&self) -> [u8; WAKE] {
        (u128::from(self.now) | u128::from(self.ready as u16) << 64).to_le_bytes()
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
        bail!("a record of two fields is returned in memory")
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
