//! Making the clock exact after the start.
//!
//! What the start-up can wait for measures the counter's rate to a few thousandths, minutes in a day. The interval
//! timer that it was measured by goes on; comparing the two again after a second gives the rate to a few millionths, and
//! once more after half a minute to less than what the timer's own crystal is off by.
//!
//! The timer comes round every 55 ms. How often it did is told by the rate known so far, if not too much time passed.

use wasm_host::platform::Nanos;

use super::{ANCHOR_NANOS, ANCHOR_TICKS, NANOS_PER_SECOND, SCALE, factor, now, pit, scale, ticks};
use crate::cpu::lock::Lock;
use core::sync::atomic::Ordering;

/// When to compare, after the comparison before, and how late it may be for the rate known by then.
const STAGES: [Stage; 2] = [
    Stage { after: NANOS_PER_SECOND, latest: 4 * NANOS_PER_SECOND },
    Stage { after: 32 * NANOS_PER_SECOND, latest: 1000 * NANOS_PER_SECOND },
];
/// A reading that took longer than this was interrupted by something outside.
const QUICK: Nanos = 20_000;

struct Stage {
    after: Nanos,
    latest: Nanos,
}

struct Refinement {
    stage: usize,
    /// the readings to compare with
    base: Reading,
    /// when they were taken
    since: Nanos,
}

#[derive(Clone, Copy)]
struct Reading {
    counter: u64,
    pit: u16,
}

static REFINEMENT: Lock<Option<Refinement>> = Lock::new(None);

/// The rate was measured by the interval timer and is to be refined by it.
pub fn begin() {
    *REFINEMENT.lock() = read().map(|base| Refinement { stage: 0, base, since: now() });
}

/// Compares, if it is time to. Called where nothing else is to be done, outside of interrupt handlers.
pub fn refine() {
    let mut slot = REFINEMENT.lock();
    let Some(refinement) = slot.as_mut() else { return };
    let elapsed = now() - refinement.since;
    let stage = &STAGES[refinement.stage];
    if elapsed < stage.after {
        return;
    }
    let Some(reading) = read() else { return }; // next time
    if elapsed > stage.latest {
        *refinement = Refinement { stage: refinement.stage, base: reading, since: now() };
        return;
    }
    let counted = reading.counter - refinement.base.counter;
    let expected = scale(scale(counted, SCALE.load(Ordering::Relaxed)), factor(NANOS_PER_SECOND, pit::HERTZ));
    let came_round = refinement.base.pit.wrapping_sub(reading.pit);
    // the number nearest to what is expected that ends in what was read
    let difference = came_round.wrapping_sub(expected as u16) as i16;
    let actual = expected.saturating_add_signed(i64::from(difference));
    let hertz = (u128::from(counted) * u128::from(pit::HERTZ) / u128::from(actual.max(1))) as u64;
    apply(hertz);
    refinement.stage += 1;
    if refinement.stage == STAGES.len() {
        *slot = None;
    }
}

/// Continues the clock from here at another rate. Interrupts are off: no reader sees half of it.
fn apply(hertz: u64) {
    let (here, at) = (ticks(), now());
    ANCHOR_TICKS.store(here, Ordering::Relaxed);
    ANCHOR_NANOS.store(at, Ordering::Relaxed);
    SCALE.store(factor(hertz, NANOS_PER_SECOND), Ordering::Relaxed);
    log::debug!("clock: the counter runs at {hertz} Hz");
}

/// Both counters at one moment; `None` if it was more than a moment.
fn read() -> Option<Reading> {
    let before = ticks();
    let pit = pit::read();
    let after = ticks();
    let quick = scale(after - before, SCALE.load(Ordering::Relaxed)) < QUICK;
    quick.then_some(Reading { counter: before + (after - before) / 2, pit })
}
