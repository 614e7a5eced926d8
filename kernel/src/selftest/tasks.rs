//! Time, sleep and preemption.

use core::{pin::pin, task::Poll};

use wasm_host::platform::Platform;

use super::{Fixture, fixture::poll_once};

pub fn time(fixture: &Fixture) {
    let mut last = fixture.machine.now();
    for _ in 0..10_000 {
        let now = fixture.machine.now();
        assert!(now >= last);
        last = now;
    }
    assert!(last > 0);
}

pub fn idle(fixture: &Fixture) {
    for milliseconds in [0, 1, 5] {
        let until = fixture.machine.now() + milliseconds * 1_000_000;
        while fixture.machine.now() < until {
            fixture.machine.idle(Some(until));
        }
    }
}

pub fn preemption(fixture: &Fixture) {
    let (mut looping, mut working) = (fixture.instantiate(), fixture.instantiate());
    let mut endless = pin!(looping.call_async("spin", 0, 0));
    for round in 0..20 {
        assert!(poll_once(endless.as_mut()).is_pending(), "it was preempted");
        assert_eq!(working.call("add", round, 1).unwrap(), round + 1);
    }
    let Poll::Pending = poll_once(endless.as_mut()) else { panic!("an endless loop ended") };
}
