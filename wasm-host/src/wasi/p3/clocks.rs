//! `wasi:clocks`.

use super::bindings::wasi::clocks::{monotonic_clock, system_clock, types};
use crate::{
    boxes::{Charge, State},
    executor::Timer,
    platform::Nanos,
};
use alloc::sync::Arc;
use wasmtime::{
    Error, Result,
    component::{Accessor, HasSelf},
};

impl types::Host for State {}

impl monotonic_clock::Host for State {
    fn now(&mut self) -> Result<u64> {
        Ok(self.platform.now())
    }

    fn get_resolution(&mut self) -> Result<u64> {
        Ok(1)
    }
}

impl monotonic_clock::HostWithStore<State> for HasSelf<State> {
    async fn wait_until(accessor: &Accessor<State, Self>, when: u64) -> Result<()> {
        wait_until(accessor, when).await
    }

    async fn wait_for(accessor: &Accessor<State, Self>, duration: u64) -> Result<()> {
        let now = accessor.with(|mut access| access.get().platform.now());
        wait_until(accessor, now.saturating_add(duration)).await
    }
}

async fn wait_until(accessor: &Accessor<State, HasSelf<State>>, when: Nanos) -> Result<()> {
    let timer = accessor.with(|mut access| {
        let state = access.get();
        (when > state.platform.now()).then(|| state.another_timer()).transpose()
    })?;
    if let Some((timer, _paid)) = timer {
        timer.sleep_until(when).await;
    }
    Ok(())
}

impl State {
    /// A timer of its own for something that the instance waits for, and what pays for it.
    pub(super) fn another_timer(&self) -> Result<(Arc<Timer>, Charge)> {
        let paid = Charge::new(&self.wasi.budget, Timer::SIZE);
        let paid = paid.ok_or_else(|| Error::msg("its memory limit leaves no room for another timer"))?;
        Ok((self.timer.another(), paid))
    }
}

impl system_clock::Host for State {
    fn now(&mut self) -> Result<system_clock::Instant> {
        let time = self.platform.wall_clock();
        let time = time.ok_or_else(|| Error::msg("asked for the time of day, which this machine does not know"))?;
        let seconds = i64::try_from(time / 1_000_000_000).unwrap_or(i64::MAX);
        Ok(system_clock::Instant { seconds, nanoseconds: (time % 1_000_000_000) as u32 })
    }

    fn get_resolution(&mut self) -> Result<u64> {
        Ok(1_000)
    }
}
