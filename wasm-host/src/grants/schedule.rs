//! `pearwood:box/schedule`: how a box sleeps.

mod turn;

use crate::{
    arrows::{Bytes, channel::Ready},
    boxes::State,
};
use alloc::{boxed::Box, vec::Vec};
use core::task::Poll;
use turn::{Turn, Wake};
use wasmtime::{
    Result, StoreContextMut, bail,
    component::{ComponentType, Lift, Linker, WasmList},
    error::Context as _,
};

/// In the order of [`Ready`], from `Nic` on.
#[derive(ComponentType, Lift, Clone, Copy, Debug, PartialEq, Eq)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "lifted by number")]
enum Arrow {
    #[component(name = "nic")]
    Nic,
    #[component(name = "tcp")]
    Tcp,
    #[component(name = "tcp-service")]
    TcpService,
    #[component(name = "udp")]
    Udp,
    #[component(name = "udp-service")]
    UdpService,
    #[component(name = "names")]
    Names,
    #[component(name = "names-service")]
    NamesService,
    #[component(name = "handler")]
    Handler,
    #[component(name = "handler-service")]
    HandlerService,
}

impl Arrow {
    const fn ready(self) -> u32 {
        (Ready::Nic as u32) << self as u8
    }
}

type Sent = (Arrow, u32, WasmList<u8>, u64);

pub fn link(linker: &mut Linker<State>) -> Result<()> {
    let mut schedule = linker.instance("pearwood:box/schedule@0.1.0")?;
    schedule.func_wrap_async("wait", |mut cx: StoreContextMut<'_, State>, (deadline,): (u64,)| {
        Box::new(async move {
            let state = cx.data_mut();
            let ready = wait(state, deadline).await;
            Ok((wake(state, ready),))
        })
    })?;
    schedule.func_wrap_async("wait-and-receive", |mut cx: StoreContextMut<'_, State>, (deadline,): (u64,)| {
        Box::new(async move {
            let state = cx.data_mut();
            let ready = wait(state, deadline).await;
            turn(state, ready, true)
        })
    })?;
    schedule.func_wrap_async("send-and-wait", |mut cx: StoreContextMut<'_, State>, sent: Sent| {
        Box::new(async move {
            let (arrow, peer, batch, deadline) = sent;
            let sent = send(cx.data(), arrow, peer, batch.as_le_slice(&cx))?;
            let state = cx.data_mut();
            let ready = wait(state, deadline).await;
            turn(state, ready, sent)
        })
    })
}

fn send(state: &State, arrow: Arrow, peer: u32, batch: &[u8]) -> Result<bool> {
    if arrow == Arrow::Nic {
        return super::nic::transmit(state, batch).map(|()| true);
    }
    let port = state.handle.ports.iter().find(|port| port.ready() as u32 == arrow.ready());
    let Some(port) = port else { bail!("pearwood:box/schedule: has no arrow {arrow:?} to send on") };
    port.send(peer, batch).context(port.interface())
}

#[inline]
fn turn(state: &State, ready: u32, sent: bool) -> Result<(Turn,)> {
    Ok((Turn { wake: wake(state, ready), received: first(state, ready)?, sent },))
}

fn wake(state: &State, ready: u32) -> Wake {
    Wake { now: state.platform.now(), ready }
}

/// What the first of the ready arrows has received.
#[inline]
fn first(state: &State, ready: u32) -> Result<Bytes> {
    let arrows = ready & !(Ready::Deadline as u32);
    let first = arrows & arrows.wrapping_neg();
    if first == Ready::Nic as u32 {
        return super::nic::receive(state);
    }
    let port = state.handle.ports.iter().find(|port| port.ready() as u32 == first);
    Ok(port.map_or_else(|| Bytes::from(Vec::new()), |port| port.receive()))
}

async fn wait(state: &mut State, deadline: u64) -> u32 {
    state.waits();
    let state = &*state;
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
