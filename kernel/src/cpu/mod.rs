//! The processor: its tables, its interrupts, and what each CPU has of its own.
//!
//! A node runs on one CPU. Nothing here assumes it but [`count`]: what belongs to a CPU is in its [`Cpu`], found through
//! the `gs` base.

pub mod apic;
pub mod backtrace;
pub mod exceptions;
pub mod features;
pub mod idt;
pub mod interrupts;
pub mod ioapic;
pub mod lock;
mod pic;
mod segments;
#[allow(unsafe_code)]
mod wasm;

use core::{
    cell::Cell,
    sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize},
};

use crate::memory::OutOfMemory;

/// What belongs to one CPU.
///
/// Invariant: reached through [`current`] on that CPU alone; what interrupt handlers touch is atomic.
#[repr(C, align(64))]
pub struct Cpu {
    /// wasmtime's thread-local pointers; first, since `wasm.rs` reads them at fixed offsets from `gs`
    wasmtime: [AtomicPtr<u8>; 2],
    /// this structure's own address, for [`current`]
    this: AtomicPtr<Cpu>,
    /// a device interrupted since this was last cleared
    pub woken: AtomicBool,
    /// the top of the stack on which wasmtime is asked about traps; 0 until there are stacks
    trap_stack: AtomicUsize,
    /// the registers of the fault that wasmtime is being asked about
    fault: Cell<Option<idt::Registers>>,
    /// the monotonic time for which the timer is set
    pub timer: crate::clock::timer::PerCpu,
}

// SAFETY: see the invariant: no two CPUs use the same `Cpu`, and `fault` is used with interrupts off.
#[allow(unsafe_code)]
unsafe impl Sync for Cpu {}

static BOOT_CPU: Cpu = Cpu {
    wasmtime: [const { AtomicPtr::new(core::ptr::null_mut()) }; 2],
    this: AtomicPtr::new((&raw const BOOT_CPU).cast_mut()),
    woken: AtomicBool::new(false),
    trap_stack: AtomicUsize::new(0),
    fault: Cell::new(None),
    timer: crate::clock::timer::PerCpu::new(),
};

/// How many CPUs run the kernel.
pub fn count() -> usize {
    1
}

/// The CPU that runs this.
#[allow(unsafe_code)]
pub fn current() -> &'static Cpu {
    let cpu: *const Cpu;
    // SAFETY: `init_early`, the first thing that runs, pointed `gs` at a `Cpu` that lives for ever.
    unsafe {
        core::arch::asm!(
            "mov {}, gs:[{}]",
            out(reg) cpu,
            const core::mem::offset_of!(Cpu, this),
            options(nostack, readonly, preserves_flags, pure)
        );
        &*cpu
    }
}

/// Before anything else: so that faults are reported, and locks work.
pub fn init_early() {
    features::enable();
    segments::set_gs(&raw const BOOT_CPU);
    idt::load();
}

/// Once there is memory: stacks of their own for exceptions and interrupts, and the interrupt controllers.
pub fn init() -> Result<(), OutOfMemory> {
    segments::load()?;
    idt::use_stacks();
    pic::mask();
    apic::init()?;
    Ok(())
}
