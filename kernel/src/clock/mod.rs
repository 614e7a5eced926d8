//! Time: the processor's time stamp counter, as nanoseconds since the kernel's first instruction.

pub mod cmos;
mod hpet;
mod pit;
mod rate;
mod refine;
pub mod timer;
pub mod wall;

use core::sync::atomic::{AtomicU64, Ordering};

use wasm_host::platform::Nanos;

pub use rate::Rates;
pub use refine::refine;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Nanoseconds per tick of the counter, times 2^32. Changed by [`refine()`] only, on the CPU that runs the node.
static SCALE: AtomicU64 = AtomicU64::new(0);
/// A moment on both scales, from which the present one is counted.
static ANCHOR_TICKS: AtomicU64 = AtomicU64::new(0);
static ANCHOR_NANOS: AtomicU64 = AtomicU64::new(0);

/// The time stamp counter.
#[allow(unsafe_code)]
#[inline]
pub fn ticks() -> u64 {
    // SAFETY: every x86-64 processor has it, and the kernel does not forbid itself its use.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Nanoseconds since the kernel's first instruction. Monotonic.
#[inline]
pub fn now() -> Nanos {
    let since = ticks().wrapping_sub(ANCHOR_TICKS.load(Ordering::Relaxed));
    ANCHOR_NANOS.load(Ordering::Relaxed) + scale(since, SCALE.load(Ordering::Relaxed))
}

/// `value * factor / 2^32`
#[inline]
fn scale(value: u64, factor: u64) -> u64 {
    ((u128::from(value) * u128::from(factor)) >> 32) as u64
}

/// The factor that scales ticks of one frequency to ticks of another.
fn factor(from_hertz: u64, to_hertz: u64) -> u64 {
    ((u128::from(to_hertz) << 32) / u128::from(from_hertz.max(1))) as u64
}

/// Finds out how fast the counter and the timer run, and starts the clock at the counter's value `start`.
pub fn init(start: u64) -> Rates {
    let rates = rate::measure();
    SCALE.store(factor(rates.counter, NANOS_PER_SECOND), Ordering::Relaxed);
    ANCHOR_TICKS.store(start, Ordering::Relaxed);
    timer::init(factor(NANOS_PER_SECOND, rates.timer));
    if rates.source == rate::PIT {
        refine::begin();
    }
    rates
}
