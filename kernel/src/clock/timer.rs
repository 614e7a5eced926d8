//! The one timer interrupt: a tick each millisecond while boxes run, so that they are preempted, and while the node is
//! idle only when something is due.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use wasm_host::platform::Nanos;

use super::{now, scale};
use crate::cpu::{self, apic, lock::Lock};

/// How often a running box can be preempted.
pub const TICK: Nanos = 1_000_000;

/// Timer ticks per nanosecond, times 2^32.
static TICKS_PER_NANO: AtomicU64 = AtomicU64::new(0);

type OnTick = Box<dyn Fn() + Send>;

static ON_TICK: Lock<Option<OnTick>> = Lock::new(None);

/// The timer of one CPU.
pub struct PerCpu {
    /// when it will interrupt; `Nanos::MAX` if it will not
    due: AtomicU64,
    /// between interrupts nothing runs, so none is needed before something is due
    idle: AtomicBool,
}

impl PerCpu {
    pub const fn new() -> PerCpu {
        PerCpu { due: AtomicU64::new(Nanos::MAX), idle: AtomicBool::new(false) }
    }
}

pub fn init(ticks_per_nano: u64) {
    TICKS_PER_NANO.store(ticks_per_nano, Ordering::Relaxed);
    apic::unmask_timer();
}

/// Runs `on_tick` in the timer interrupt from now on, every [`TICK`] while the node is not idle. It must not allocate
/// or take locks.
pub fn start(on_tick: impl Fn() + Send + 'static) {
    *ON_TICK.lock() = Some(Box::new(on_tick));
    busy();
}

/// The CPU has something to run: the next tick is at most one [`TICK`] away.
pub fn busy() {
    let timer = &cpu::current().timer;
    timer.idle.store(false, Ordering::Relaxed);
    set_by(now() + TICK);
}

/// The CPU is about to sleep, with interrupts off: nothing need interrupt it before `until`.
///
/// A tick that is set already stays: after a short sleep it is wanted again, and setting the timer costs more than an
/// early wake-up, after which this is called again.
pub fn idle(until: Option<Nanos>) {
    let timer = &cpu::current().timer;
    timer.idle.store(true, Ordering::Relaxed);
    if let Some(until) = until {
        set_by(until);
    }
}

/// The timer interrupt.
pub fn interrupt() {
    let timer = &cpu::current().timer;
    timer.due.store(Nanos::MAX, Ordering::Relaxed);
    if !timer.idle.load(Ordering::Relaxed) {
        set_by(now() + TICK);
    }
    // taken only to be set, with interrupts off
    if let Some(on_tick) = ON_TICK.try_lock().as_deref().and_then(Option::as_ref) {
        on_tick();
    }
}

/// Sees to it that the timer interrupts at `at` or before.
fn set_by(at: Nanos) {
    let timer = &cpu::current().timer;
    if timer.due.load(Ordering::Relaxed) <= at {
        return;
    }
    let delay = at.saturating_sub(now());
    // what does not fit interrupts early, which does no harm
    let ticks = scale(delay, TICKS_PER_NANO.load(Ordering::Relaxed)).clamp(1, u64::from(u32::MAX));
    timer.due.store(at, Ordering::Relaxed);
    apic::start_timer(ticks as u32);
}
