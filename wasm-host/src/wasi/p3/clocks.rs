//! `wasi:clocks`.

use super::bindings::wasi::clocks::{monotonic_clock, system_clock, types};
use crate::{boxes::State, platform::Nanos};
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
        wait_until(accessor, when).await;
        Ok(())
    }

    async fn wait_for(accessor: &Accessor<State, Self>, duration: u64) -> Result<()> {
        let now = accessor.with(|mut access| access.get().platform.now());
        wait_until(accessor, now.saturating_add(duration)).await;
        Ok(())
    }
}

async fn wait_until(accessor: &Accessor<State, HasSelf<State>>, when: Nanos) {
    let (timer, now) = accessor.with(|mut access| {
        let state = access.get();
        (state.timer.another(), state.platform.now())
    });
    if when > now {
        timer.sleep_until(when).await;
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
