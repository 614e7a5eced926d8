//! `wasi:clocks`.

use super::{
    bindings::wasi::clocks::{monotonic_clock, wall_clock},
    poll::Pollable,
};
use crate::boxes::State;
use wasmtime::{Error, Result, component::Resource};

impl monotonic_clock::Host for State {
    fn now(&mut self) -> Result<u64> {
        Ok(self.platform.now())
    }

    fn resolution(&mut self) -> Result<u64> {
        Ok(1)
    }

    fn subscribe_instant(&mut self, when: u64) -> Result<Resource<Pollable>> {
        self.wasi.push(Pollable::Timer(when))
    }

    fn subscribe_duration(&mut self, duration: u64) -> Result<Resource<Pollable>> {
        let when = self.platform.now().saturating_add(duration);
        self.wasi.push(Pollable::Timer(when))
    }
}

impl wall_clock::Host for State {
    fn now(&mut self) -> Result<wall_clock::Datetime> {
        let time = self.platform.wall_clock();
        let time = time.ok_or_else(|| Error::msg("asked for the time of day, which this machine does not know"))?;
        Ok(wall_clock::Datetime { seconds: time / 1_000_000_000, nanoseconds: (time % 1_000_000_000) as u32 })
    }

    fn resolution(&mut self) -> Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: 1_000 })
    }
}
