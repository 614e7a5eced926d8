//! The local APIC (Intel SDM volume 3, chapter 11): the timer, and acknowledging interrupts.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, Ordering};

use x86_64::registers::model_specific::Msr;

use super::{features, interrupts};
use crate::memory::{
    OutOfMemory,
    devices::{self, Caching},
};

const BASE: u32 = 0x1b;
const BASE_ENABLE: u64 = 1 << 11;
const BASE_X2APIC: u64 = 1 << 10;
const BASE_ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// Registers, by their offset in the memory of an xAPIC; an x2APIC has them as MSRs from 0x800 on.
const ID: u32 = 0x20;
const TASK_PRIORITY: u32 = 0x80;
const END_OF_INTERRUPT: u32 = 0xb0;
const SPURIOUS: u32 = 0xf0;
const TIMER: u32 = 0x320;
const LINT0: u32 = 0x350;
const LINT1: u32 = 0x360;
const ERROR: u32 = 0x370;
const TIMER_INITIAL: u32 = 0x380;
const TIMER_CURRENT: u32 = 0x390;
const TIMER_DIVIDE: u32 = 0x3e0;

const MASKED: u32 = 1 << 16;
const SOFTWARE_ENABLE: u32 = 1 << 8;
const NMI: u32 = 4 << 8;
const DIVIDE_BY_16: u32 = 0b0011;

/// The registers of an xAPIC; null for an x2APIC.
static REGISTERS: AtomicPtr<u32> = AtomicPtr::new(core::ptr::null_mut());

/// Switches the APIC on, with its timer masked and stopped.
#[allow(unsafe_code)]
pub fn init() -> Result<(), OutOfMemory> {
    let mut base = Msr::new(BASE);
    // SAFETY: every x86-64 processor has it.
    let value = unsafe { base.read() };
    if features::has_x2apic() {
        // SAFETY: the processor has the mode; interrupts are off.
        unsafe { base.write(value | BASE_ENABLE | BASE_X2APIC) };
    } else {
        // SAFETY: as above.
        unsafe { base.write(value | BASE_ENABLE) };
        // SAFETY: the processor says that its APIC's registers are there.
        let registers: NonNull<u8> = unsafe { devices::map(value & BASE_ADDRESS, 4096, Caching::Registers) }?;
        REGISTERS.store(registers.as_ptr().cast(), Ordering::Relaxed);
    }
    write(TASK_PRIORITY, 0);
    write(LINT0, MASKED);
    write(LINT1, NMI);
    write(ERROR, MASKED);
    write(TIMER, MASKED);
    write(TIMER_DIVIDE, DIVIDE_BY_16);
    write(SPURIOUS, SOFTWARE_ENABLE | u32::from(interrupts::SPURIOUS));
    Ok(())
}

/// The APIC's number, by which interrupts are addressed to this CPU.
pub fn id() -> u32 {
    let id = read(ID);
    if REGISTERS.load(Ordering::Relaxed).is_null() { id } else { id >> 24 }
}

pub fn end_of_interrupt() {
    write(END_OF_INTERRUPT, 0);
}

/// Starts the timer: one interrupt after `count` of its ticks (16 of the bus clock each). 0 stops it.
pub fn start_timer(count: u32) {
    write(TIMER_INITIAL, count);
}

/// How many ticks the timer has left.
pub fn timer() -> u32 {
    read(TIMER_CURRENT)
}

pub fn unmask_timer() {
    write(TIMER, u32::from(interrupts::TIMER));
}

#[allow(unsafe_code)]
fn read(register: u32) -> u32 {
    let registers = REGISTERS.load(Ordering::Relaxed);
    // SAFETY: a register of the APIC, mapped by `init`, or an MSR of the x2APIC that `init` switched on.
    unsafe {
        if registers.is_null() {
            Msr::new(0x800 + (register >> 4)).read() as u32
        } else {
            registers.byte_add(register as usize).read_volatile()
        }
    }
}

#[allow(unsafe_code)]
fn write(register: u32, value: u32) {
    let registers = REGISTERS.load(Ordering::Relaxed);
    // SAFETY: as in `read`; what is written starts timers and routes interrupts to vectors that have handlers.
    unsafe {
        if registers.is_null() {
            Msr::new(0x800 + (register >> 4)).write(u64::from(value));
        } else {
            registers.byte_add(register as usize).write_volatile(value);
        }
    }
}
