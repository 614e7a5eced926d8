//! One life after another: a box that ends is started again, after a pause that grows while it keeps failing.

use super::{BoxHandle, Phase, State, log::Level};
use crate::{
    arrows::call::{self, CallQueue},
    executor::Timer,
    platform::{Nanos, Platform},
    wasi,
};
use alloc::{format, string::String, sync::Arc};
use core::{future::Future, pin::pin, task::Poll};
use wasmtime::{Error, WasmBacktrace, component::InstancePre};

/// After this long a box counts as well again, and its next pause is the shortest.
const WELL: Nanos = 10_000_000_000;

/// Runs the box until it returns of its own will. The future is the whole of the box's task.
pub async fn supervise(
    handle: Arc<BoxHandle>,
    platform: &'static dyn Platform,
    timer: Arc<Timer>,
    component: InstancePre<State>,
    duty: Duty,
) {
    let mut pause = nanos(handle.spec.restart.min);
    loop {
        let started = platform.now();
        handle.live(|life| (life.phase, life.since) = (Phase::Starting, started));
        let ended = {
            let life = pin!(live(&handle, platform, &timer, &component, &duty));
            let asked = pin!(handle.restart_asked());
            first(life, asked).await
        };
        let reason = match &ended {
            Ended::Returned => String::from("returned"),
            Ended::Failed(error) => reason(&handle, error),
            Ended::Asked(why) => format!("restarted: {why}"),
        };
        let summary = reason.lines().next().unwrap_or_default();
        handle.ports.iter().for_each(|port| port.detach(summary));
        handle.memory_is(0);
        if matches!(ended, Ended::Returned) {
            handle.live(|life| (life.phase, life.reason) = (Phase::Ended, Some(reason.clone())));
            handle.note(Level::Info, "returned, and is not started again");
            return;
        }
        for line in reason.lines() {
            handle.note(Level::Error, line);
        }
        handle.live(|life| {
            life.restarts += 1;
            life.phase = Phase::Backoff;
            life.reason = Some(reason.clone());
        });
        let now = platform.now();
        if now.saturating_sub(started) > WELL || matches!(ended, Ended::Asked(_)) {
            pause = nanos(handle.spec.restart.min);
        }
        handle.note(Level::Info, &format!("starts again in {} ms", pause / 1_000_000));
        timer.sleep_until(now + pause).await;
        pause = (pause * 2).min(nanos(handle.spec.restart.max));
    }
}

enum Ended {
    Returned,
    Failed(Error),
    Asked(Arc<str>),
}

/// One instance, from its making to its end.
async fn live(
    handle: &Arc<BoxHandle>,
    platform: &'static dyn Platform,
    timer: &Arc<Timer>,
    component: &InstancePre<State>,
    duty: &Duty,
) -> Result<(), Error> {
    if let Duty::Handle(export) = duty {
        return wasi::serve(handle, platform, timer, component, export).await;
    }
    let mut store = State::new(handle, platform, timer).into_store(component.engine());
    let instance = component.instantiate_async(&mut store).await?;
    let run = match duty {
        Duty::Serve(_) | Duty::Handle(_) => None,
        Duty::Run => {
            let service = instance.get_export_index(&mut store, None, SERVICE);
            let run = service.and_then(|service| instance.get_export_index(&mut store, Some(&service), "run"));
            let run = run.ok_or_else(|| Error::msg("exports no `run` of pearwood:box/service"))?;
            Some(instance.get_typed_func::<(), ()>(&mut store, run)?)
        }
    };
    handle.live(|life| life.phase = Phase::Running);
    handle.ports.iter().for_each(|port| port.attach());
    match (duty, run) {
        (Duty::Serve(queue), _) => match call::serve(queue, &mut store, &instance).await {
            call::Ended::Failed { during, error } => Err(error.context(format!("in {during}"))),
            ended => Err(Error::msg(format!("{ended}"))),
        },
        (Duty::Run, Some(run)) => run.call_async(&mut store, ()).await,
        (Duty::Run, None) | (Duty::Handle(_), _) => Ok(()),
    }
}

/// What an instance of a box does.
pub enum Duty {
    /// Its `run` lasts as long as it.
    Run,
    /// It works on the calls of others.
    Serve(CallQueue),
    /// This export, a handler of WASI's, is called for each request that comes.
    Handle(String),
}

/// The interface that the boxes of `live` export.
pub const SERVICE: &str = "pearwood:box/service@0.1.0";

/// Whichever happens first; the other is dropped.
async fn first(
    mut life: core::pin::Pin<&mut impl Future<Output = Result<(), Error>>>,
    mut asked: core::pin::Pin<&mut impl Future<Output = Arc<str>>>,
) -> Ended {
    core::future::poll_fn(|cx| {
        if let Poll::Ready(why) = asked.as_mut().poll(cx) {
            return Poll::Ready(Ended::Asked(why));
        }
        life.as_mut().poll(cx).map(|ended| match ended {
            Ok(()) => Ended::Returned,
            Err(error) => Ended::Failed(error),
        })
    })
    .await
}

/// Why a box failed: what happened, what the node knows of it, and where in the box.
pub fn reason(handle: &BoxHandle, error: &Error) -> String {
    let mut reason = format!("{}", error.root_cause());
    if handle.take_memory_refused() {
        reason += &format!(" (it had asked for more memory than its limit of {} KiB)", handle.spec.memory >> 10);
    }
    if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() {
        for frame in backtrace.frames().iter().take(16) {
            let function = frame.func_name().unwrap_or("?");
            let offset = frame.module_offset().unwrap_or_default();
            reason += &format!("\n    at {function} (+{offset:#x})");
        }
    }
    reason
}

fn nanos(duration: core::time::Duration) -> Nanos {
    duration.as_nanos().try_into().unwrap_or(Nanos::MAX)
}
