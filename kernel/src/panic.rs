//! The kernel's own failures: a message, a backtrace, a reset.

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

static PANICKING: AtomicBool = AtomicBool::new(false);

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    interrupts::disable();
    // a panic while reporting a panic: give up on the report
    if PANICKING.swap(true, Ordering::Relaxed) {
        power::fail();
    }
    let mut out = console::emergency();
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
