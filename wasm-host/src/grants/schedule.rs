//! `pearwood:box/schedule`: how a box sleeps.

use crate::{
    arrows::{Bytes, channel::Ready},
    boxes::State,
};
use alloc::{boxed::Box, vec::Vec};
use core::task::Poll;
use wasmtime::{
    Result, StoreContextMut,
    component::{ComponentType, Lift, Linker, Lower, flags},
};

flags! {
    Flags {
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
    }
}

impl Flags {
    const ALL: [Flags; 11] = [
        Flags::DEADLINE,
        Flags::NIC,
        Flags::TCP,
        Flags::TCP_SERVICE,
        Flags::UDP,
        Flags::UDP_SERVICE,
        Flags::NAMES,
        Flags::NAMES_SERVICE,
        Flags::HANDLER,
        Flags::HANDLER_SERVICE,
        Flags::ROOM,
    ];

    /// From bits in the order of the WIT, which is that of [`Ready`].
    fn from_bits(mut bits: u32) -> Self {
        let mut flags = Flags::default();
        while bits != 0 {
            if let Some(&flag) = Self::ALL.get(bits.trailing_zeros() as usize) {
                flags |= flag;
            }
            bits &= bits - 1;
        }
        flags
    }
}

#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct Wake {
    now: u64,
    ready: Flags,
}

#[derive(ComponentType, Lower)]
#[component(record)]
struct Turn {
    wake: Wake,
    received: Bytes,
}

pub fn link(linker: &mut Linker<State>) -> Result<()> {
    let mut schedule = linker.instance("pearwood:box/schedule@0.1.0")?;
    schedule.func_wrap_async("wait", |mut cx: StoreContextMut<'_, State>, (deadline,): (u64,)| {
        Box::new(async move {
            let state = cx.data_mut();
            state.waits();
            let ready = wait(state, deadline).await;
            Ok((wake(state, ready),))
        })
    })?;
    schedule.func_wrap_async("wait-and-receive", |mut cx: StoreContextMut<'_, State>, (deadline,): (u64,)| {
        Box::new(async move {
            let state = cx.data_mut();
            state.waits();
            let ready = wait(state, deadline).await;
            Ok((Turn { wake: wake(state, ready), received: first(state, ready) },))
        })
    })
}

fn wake(state: &State, ready: u32) -> Wake {
    Wake { now: state.platform.now(), ready: Flags::from_bits(ready) }
}

/// What the first of the ready arrows has received.
fn first(state: &State, ready: u32) -> Bytes {
    let arrows = ready & !(Ready::Deadline as u32);
    let first = arrows & arrows.wrapping_neg();
    if first == Ready::Nic as u32
        && let Some(nic) = state.handle.nics.first()
    {
        return super::nic::receive(&**nic);
    }
    let port = state.handle.ports.iter().find(|port| port.ready() as u32 == first);
    port.map_or_else(|| Bytes::from(Vec::new()), |port| port.receive())
}

async fn wait(state: &State, deadline: u64) -> u32 {
    let signal = &state.handle.signal;
    let mut timed = false;
    let ready = core::future::poll_fn(|cx| {
        if let Poll::Ready(ready) = signal.poll(cx) {
            return Poll::Ready(ready);
        }
        if state.platform.now() >= deadline {
            return Poll::Ready(Ready::Deadline as u32);
        }
        if deadline != u64::MAX {
            timed = true;
            state.timer.set(deadline, cx.waker());
        }
        Poll::Pending
    })
    .await;
    if timed {
        state.timer.clear();
    }
    ready
}
