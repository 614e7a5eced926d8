//! `pearwood:box/ports`: what goes over a box's arrows, and how it sleeps.

mod turn;

use crate::{
    arrows::{
        Bytes,
        channel::{Port, Ready, Refused},
    },
    boxes::State,
};
use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::task::Poll;
use turn::{Arrival, Space, Turn, Wake};
use wasmtime::{
    Result, StoreContextMut,
    component::{Linker, WasmList},
    error::Context as _,
};

pub const INTERFACE: &str = "pearwood:box/ports@0.2.0";

type Sent = (u32, u32, WasmList<u8>, u64);
type Exchanged = (u32, u32, WasmList<u8>, u64, u32, u32);

pub fn link(linker: &mut Linker<State>) -> Result<()> {
    let mut ports = linker.instance(INTERFACE)?;
    ports.func_wrap("send", |cx: StoreContextMut<'_, State>, (port, peer, batch): (u32, u32, WasmList<u8>)| {
        Ok((send(cx.data(), port, peer, batch.as_le_slice(&cx))?,))
    })?;
    ports.func_wrap("receive", |cx: StoreContextMut<'_, State>, (port,): (u32,)| {
        Ok((find(cx.data(), port)?.receive(),))
    })?;
    ports.func_wrap_async("wait", |mut cx: StoreContextMut<'_, State>, (deadline,): (u64,)| {
        Box::new(async move {
            let ready = wait(&mut cx, deadline).await;
            Ok((Wake { now: cx.data().platform.now(), ready },))
        })
    })?;
    ports.func_wrap_async("wait-and-receive", |mut cx: StoreContextMut<'_, State>, (deadline,): (u64,)| {
        Box::new(async move {
            let ready = wait(&mut cx, deadline).await;
            Ok((turn(cx.data(), ready, true),))
        })
    })?;
    ports.func_wrap_async("send-and-wait", |mut cx: StoreContextMut<'_, State>, sent: Sent| {
        Box::new(async move {
            let (port, peer, batch, deadline) = sent;
            let sent = send(cx.data(), port, peer, batch.as_le_slice(&cx))?;
            let ready = wait(&mut cx, deadline).await;
            Ok((turn(cx.data(), ready, sent),))
        })
    })?;
    ports.func_wrap_async("exchange", |mut cx: StoreContextMut<'_, State>, exchanged: Exchanged| {
        Box::new(async move {
            let (port, peer, batch, deadline, start, length) = exchanged;
            let batch = batch.as_le_slice(&cx);
            let sent = batch.is_empty() || send(cx.data(), port, peer, batch)?;
            let ready = wait(&mut cx, deadline).await;
            let state = cx.data();
            let wake = Wake { now: state.platform.now(), ready };
            Ok((Arrival { wake, from: first(state, ready).cloned(), space: Space { start, length }, sent },))
        })
    })
}

fn find(state: &State, port: u32) -> Result<&Arc<Port>> {
    state.handle.ports.get(port as usize).ok_or_else(|| Refused::NoPort { port }.into())
}

fn send(state: &State, port: u32, peer: u32, batch: &[u8]) -> Result<bool> {
    let port = find(state, port)?;
    port.send(peer, batch).with_context(|| alloc::string::String::from(port.interface()))
}

#[inline]
fn first(state: &State, ready: Ready) -> Option<&Arc<Port>> {
    ready.first_port().and_then(|number| state.handle.ports.get(number))
}

#[inline]
fn turn(state: &State, ready: Ready, sent: bool) -> Turn {
    let received = first(state, ready).map_or_else(|| Bytes::from(Vec::new()), |port| port.receive());
    Turn { wake: Wake { now: state.platform.now(), ready }, received, sent }
}

async fn wait(cx: &mut StoreContextMut<'_, State>, deadline: u64) -> Ready {
    cx.data_mut().waits();
    let state = cx.data();
    let signal = &state.handle.signal;
    let (mut timed, mut slept) = (false, false);
    let ready = core::future::poll_fn(|cx| {
        if let Poll::Ready(ready) = signal.poll(cx) {
            return Poll::Ready(ready);
        }
        if state.platform.now() >= deadline {
            return Poll::Ready(Ready::DEADLINE);
        }
        if deadline != u64::MAX {
            timed = true;
            state.timer.set(deadline, cx.waker());
        }
        slept = true;
        Poll::Pending
    })
    .await;
    if timed {
        state.timer.clear();
    }
    // Ticks of the clock while the box slept do not count: it is preempted at the next one. A box that did not sleep goes on
    // with the time slice that it has.
    if slept {
        cx.set_epoch_deadline(1);
    }
    ready
}
