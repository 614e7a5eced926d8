//! The kernel's own failures: a report, then a reset.
//!
//! A report is made when anything may be broken: the stack, the heap, a lock that the failing code holds, the console. So
//! it allocates nothing, takes no lock, reads only what is mapped, and does not wait for the console without end. If it
//! fails all the same, that is the end: the second failure is not reported but for one line.

use core::{
    fmt::Write,
    panic::PanicInfo,
    sync::atomic::{AtomicBool, Ordering},
};

use crate::{
    console,
    cpu::{backtrace, interrupts},
    memory, power,
};

static REPORTING: AtomicBool = AtomicBool::new(false);

/// Begins the one report that there is of the kernel's failures, with interrupts off. If one has begun before, it was
/// that which failed, and the machine is reset.
pub fn report() -> impl Write {
    interrupts::disable();
    let mut out = console::emergency();
    if REPORTING.swap(true, Ordering::Relaxed) {
        let _ = out.write_str("\nkernel: the report of a failure failed\n");
        power::fail();
    }
    out
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let mut out = report();
    let _ = match info.location() {
        Some(place) => writeln!(out, "\nkernel panic at {}:{}: {}", place.file(), place.line(), info.message()),
        None => writeln!(out, "\nkernel panic: {}", info.message()),
    };
    if let Some(usage) = memory::frames::try_usage() {
        let _ = writeln!(out, "  {} of {} page frames free, {} promised", usage.free, usage.total, usage.promised);
    }
    let here: fn(&PanicInfo<'_>) -> ! = panic;
    backtrace::write(&mut out, here as usize, backtrace::frame_pointer());
    power::fail()
}
