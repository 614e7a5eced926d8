//! One life after another: a box that ends is started again, after a pause that grows while it keeps failing.

use super::{
    BoxHandle, Order, Phase, Stage, State, footprint,
    hooks::{self, Exports, Hooks},
    log::Level,
    metered,
};
use crate::{
    arrows::call::{self, CallQueue},
    executor::Timer,
    platform::{Nanos, Platform},
    wasi,
};
use alloc::{format, string::String, sync::Arc};
use core::{
    fmt::{self, Write},
    future::Future,
    pin::pin,
    task::Poll,
};
use wasmtime::{
    Error, Store, WasmBacktrace,
    component::{Instance, InstancePre, TypedFunc},
};

/// After this long a box counts as well again, and its next pause is the shortest.
const WELL: Nanos = 10_000_000_000;

/// Runs the box until it returns of its own will, or ends when another takes its place. The future is the whole of the
/// box's task.
pub async fn supervise(
    handle: Arc<BoxHandle>,
    platform: &'static dyn Platform,
    timer: Arc<Timer>,
    component: InstancePre<State>,
    duty: Duty,
) {
    let mut pause = nanos(handle.spec.restart.min);
    loop {
        if handle.is_stopped() {
            if handle.life().phase == Phase::Backoff {
                // nothing of it ran that could be ended
                handle.note(Level::Info, "stopped");
            }
            handle.live(|life| life.phase = Phase::Stopped);
            handle.started().await;
            if handle.is_retiring() {
                handle.unlink("it was stopped, and then replaced");
                handle.live(|life| life.phase = Phase::Ended);
                return;
            }
        }
        let started = platform.now();
        handle.live(|life| (life.phase, life.since) = (Phase::Starting, started));
        let ended = {
            let life = pin!(live(&handle, platform, &timer, &component, &duty));
            let asked = pin!(handle.end_asked());
            first(life, asked).await
        };
        let reason = match &ended {
            Ended::Returned => String::from("returned"),
            Ended::Failed(error) => reason(&handle, error),
            Ended::Asked(why) if handle.is_stopped() => format!("stopped: {why}"),
            Ended::Asked(why) => format!("restarted: {why}"),
        };
        let summary = reason.lines().next().unwrap_or_default();
        if handle.is_retiring() {
            handle.unlink(if matches!(ended, Ended::Returned) { "it was replaced" } else { summary });
        } else {
            handle.ports.iter().for_each(|port| port.detach(summary));
        }
        handle.memory_is(0);
        handle.figures_are(None);
        let over = matches!(ended, Ended::Returned) || handle.is_retiring() || !handle.birth.is_placed();
        handle.birth.reach(Stage::Failed(String::from(summary)));
        if over {
            handle.live(|life| (life.phase, life.reason) = (Phase::Ended, Some(reason.clone())));
            if !handle.is_retiring() {
                let line = if handle.birth.is_placed() { "returned, and is not started again" } else { &reason };
                line.lines().for_each(|line| handle.note(Level::Info, line));
            } else if let Ended::Failed(_) = ended {
                reason.lines().for_each(|line| handle.note(Level::Error, line));
            }
            return;
        }
        if handle.is_stopped() {
            handle.note(Level::Info, summary);
            handle.live(|life| life.reason = Some(reason.clone()));
            continue;
        }
        let level = if matches!(ended, Ended::Asked(_)) { Level::Info } else { Level::Error };
        for line in reason.lines() {
            handle.note(level, line);
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
        {
            let slept = pin!(timer.sleep_until(now + pause));
            let retired = pin!(handle.retire_asked());
            let asked = pin!(async { drop(handle.end_asked().await) });
            either(slept, pin!(either(retired, asked))).await;
        }
        if handle.is_retiring() {
            handle.unlink("it had ended, and was then replaced");
            handle.live(|life| life.phase = Phase::Ended);
            return;
        }
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
    let budget = footprint::budget(handle);
    match duty {
        Duty::Handle(export, None) => wasi::serve(handle, platform, timer, component, export, &budget).await,
        Duty::Handle(export, Some(queue)) => {
            let meter = Arc::default();
            let state = State::new(handle, platform, &timer.another(), &budget)?.metered(&meter);
            let own = metered(platform, &meter, own_life(handle, state, component, Own::Serve(queue), false));
            let handler = wasi::serve(handle, platform, timer, component, export, &budget);
            all(pin!(own), pin!(handler)).await
        }
        Duty::Serve(queue) => {
            let state = State::new(handle, platform, timer, &budget)?;
            own_life(handle, state, component, Own::Serve(queue), true).await
        }
        Duty::Run => {
            let state = State::new(handle, platform, timer, &budget)?;
            own_life(handle, state, component, Own::Run, true).await
        }
    }
}

/// What the instance does that a box has for as long as it lives.
#[derive(Clone, Copy)]
enum Own<'a> {
    Run,
    Serve(&'a CallQueue),
}

/// The life of the instance that a box has for as long as it lives. `has_ports`: the box's ports are this instance's.
async fn own_life(
    handle: &Arc<BoxHandle>,
    state: State,
    component: &InstancePre<State>,
    duty: Own<'_>,
    has_ports: bool,
) -> Result<(), Error> {
    let mut store = state.into_store(component.engine());
    let instance = component.instantiate_async(&mut store).await?;
    let hooks = Exports::find(component.component())?.of(&mut store, &instance)?;
    hooks.check(&mut store).await?;
    let run = match duty {
        Own::Serve(_) => None,
        Own::Run => Some(run_of(&mut store, &instance)?),
    };
    if has_ports {
        handle.known.clear();
        handle.ports.iter().for_each(|port| port.attach());
        handle.live(|life| life.phase = Phase::Running);
    }
    if !handle.birth.is_placed() {
        match duty {
            // whether it gets to where it waits is seen before it gets its arrows
            Own::Run if !hooks.hands_over() && !handle.is_exclusive() => store.data_mut().begins(),
            _ => await_orders(handle, &hooks, &mut store).await?,
        }
    }
    match (duty, run) {
        (Own::Serve(queue), _) => match call::serve(queue, &mut store, &instance, hooks.save.as_ref()).await {
            call::Ended::Failed { during, error } => Err(error.context(format!("in {during}"))),
            call::Ended::Replaced | call::Ended::Closed(_) if handle.is_retiring() => Ok(()),
            ended => Err(Error::msg(format!("{ended}"))),
        },
        (Own::Run, Some(run)) => {
            run.call_async(&mut store, ()).await?;
            if let Some(save) = hooks.save.filter(|_| handle.is_retiring() && !handle.has_given()) {
                store.data_mut().waits();
                let saved = save.call_async(&mut store, ()).await;
                let saved = saved.and_then(|(state,)| hooks::within(state.0, handle.spec.memory));
                handle.save(saved.map_err(|error| format!("{}", error.root_cause())));
            }
            Ok(())
        }
        (Own::Run, None) => Ok(()),
    }
}

fn run_of(store: &mut Store<State>, instance: &Instance) -> Result<TypedFunc<(), ()>, Error> {
    let service = instance.get_export_index(&mut *store, None, SERVICE);
    let run = service.and_then(|service| instance.get_export_index(&mut *store, Some(&service), "run"));
    let run = run.ok_or_else(|| Error::msg("exports no `run` of pearwood:box/service"))?;
    instance.get_typed_func::<(), ()>(&mut *store, run)
}

/// The instance is there, and does nothing until it is told to take its place.
async fn await_orders(handle: &BoxHandle, hooks: &Hooks, store: &mut Store<State>) -> Result<(), Error> {
    handle.birth.reach(Stage::Ready);
    loop {
        match handle.birth.next_order().await {
            Order::Restore(state) => {
                hooks.restore(store, state).await?;
                handle.birth.reach(Stage::Restored);
            }
            Order::Go => return Ok(()),
        }
    }
}

/// What an instance of a box does.
pub enum Duty {
    /// Its `run` lasts as long as it.
    Run,
    /// It works on the calls of others.
    Serve(CallQueue),
    /// This export, a handler of WASI's, is called for each request that comes. If others call its other exports, it has an
    /// instance for that beside those for requests.
    Handle(String, Option<CallQueue>),
}

/// The interface that the boxes of `live` export.
pub const SERVICE: &str = "pearwood:box/service@0.2.0";

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
            Err(error) if wasi::has_exited_well(&error) => Ended::Returned,
            Err(error) => Ended::Failed(error),
        })
    })
    .await
}

/// Both parts of a life, until both have ended well or one has failed.
async fn all(
    mut one: core::pin::Pin<&mut impl Future<Output = Result<(), Error>>>,
    mut other: core::pin::Pin<&mut impl Future<Output = Result<(), Error>>>,
) -> Result<(), Error> {
    let mut ended = [false; 2];
    core::future::poll_fn(|cx| {
        if !ended[0]
            && let Poll::Ready(result) = one.as_mut().poll(cx)
        {
            result?;
            ended[0] = true;
        }
        if !ended[1]
            && let Poll::Ready(result) = other.as_mut().poll(cx)
        {
            result?;
            ended[1] = true;
        }
        if ended == [true; 2] { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}

/// Until one of two has happened.
async fn either(
    mut one: core::pin::Pin<&mut impl Future<Output = ()>>,
    mut other: core::pin::Pin<&mut impl Future<Output = ()>>,
) {
    core::future::poll_fn(
        |cx| {
            if one.as_mut().poll(cx).is_ready() { Poll::Ready(()) } else { other.as_mut().poll(cx) }
        },
    )
    .await;
}

/// The most bytes of a function's name that are said.
const MAX_NAME: usize = 256;

/// The name of a function as its source has it, without what compilers add.
fn demangle(name: &str) -> String {
    let mut text = String::new();
    // what is beyond the limit is not written
    let _ = write!(Limited(&mut text), "{:#}", rustc_demangle::demangle(name));
    text
}

/// Takes text up to [`MAX_NAME`] bytes.
struct Limited<'a>(&'a mut String);

impl Write for Limited<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MAX_NAME - self.0.len();
        self.0.push_str(&text[..text.floor_char_boundary(room)]);
        if text.len() > room { Err(fmt::Error) } else { Ok(()) }
    }
}

/// Why a box failed: what happened, what the node knows of it, and where in the box.
pub fn reason(handle: &BoxHandle, error: &Error) -> String {
    let mut reason = format!("{}", error.root_cause());
    if let Some(explained) = footprint::explain(&reason) {
        reason = explained;
    }
    if handle.take_memory_refused() {
        reason += &format!(" (it had asked for more memory than its limit of {} KiB)", handle.spec.memory >> 10);
    }
    if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() {
        for frame in backtrace.frames().iter().take(16) {
            let function = demangle(frame.func_name().unwrap_or("?"));
            let offset = frame.module_offset().map(|offset| format!(" (+{offset:#x})")).unwrap_or_default();
            reason += &format!("\n    at {function}{offset}");
        }
    }
    reason
}

fn nanos(duration: core::time::Duration) -> Nanos {
    duration.as_nanos().try_into().unwrap_or(Nanos::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_the_source_has_them_and_not_too_long() {
        assert_eq!(demangle("_ZN4core9panicking5panic17h0123456789abcdefE"), "core::panicking::panic");
        assert_eq!(demangle("memcpy"), "memcpy");
        assert_eq!(demangle(&"n".repeat(100_000)).len(), MAX_NAME);
    }
}
