//! The I/O APICs (Intel 82093AA datasheet): interrupt lines, for devices that cannot send messages.
//!
//! Lines are numbered through all of them, as in ACPI (global system interrupts).

use alloc::vec::Vec;
use core::ptr::NonNull;

use super::{apic, interrupts::Vector, lock::Lock};
use crate::{
    acpi::{Tables, madt},
    memory::{
        OutOfMemory,
        devices::{self, Caching},
    },
};

/// Where the first one is on machines that do not say.
const ADDRESS: u64 = 0xfec0_0000;
const VERSION: u32 = 1;
const REDIRECTIONS: u32 = 0x10;
const ACTIVE_LOW: u32 = 1 << 13;
const LEVEL: u32 = 1 << 15;
const MASKED: u32 = 1 << 16;

static IO_APICS: Lock<Vec<IoApic>> = Lock::new(Vec::new());
static ISA_LINES: Lock<Vec<madt::IsaLine>> = Lock::new(Vec::new());

/// How a line says that its device wants attention: once, or for as long as it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    Edge,
    Level,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Polarity {
    High,
    Low,
}

/// There is no such line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoLine;

struct IoApic {
    registers: NonNull<u32>,
    /// the number of its first line
    first: u32,
    lines: u32,
}

// SAFETY: the registers are the same from every CPU, and the lock gives them one user at a time.
#[allow(unsafe_code)]
unsafe impl Send for IoApic {}

/// Finds them and masks all lines.
#[allow(unsafe_code)]
pub fn init(tables: &Tables) -> Result<(), OutOfMemory> {
    let mut places = madt::io_apics(tables);
    if places.is_empty() {
        places.push(madt::IoApic { address: ADDRESS, first_line: 0 });
    }
    for madt::IoApic { address, first_line } in places {
        // SAFETY: firmware says that an I/O APIC's registers are there, or it is where they are on machines that do not say.
        let registers = unsafe { devices::map(address, 4096, Caching::Registers) }?.cast();
        let mut io_apic = IoApic { registers, first: first_line, lines: 0 };
        io_apic.lines = match io_apic.read(VERSION) {
            u32::MAX => 0, // nobody there
            version => (version >> 16 & 0xff) + 1,
        };
        for line in 0..io_apic.lines {
            io_apic.write(REDIRECTIONS + 2 * line, MASKED);
        }
        IO_APICS.lock().push(io_apic);
    }
    *ISA_LINES.lock() = madt::isa_lines(tables);
    Ok(())
}

/// Routes a line to a vector of this CPU.
pub fn route(line: u32, vector: Vector, trigger: Trigger, polarity: Polarity) -> Result<(), NoLine> {
    let mut io_apics = IO_APICS.lock();
    let io_apic = io_apics
        .iter_mut()
        .find(|io_apic| (io_apic.first..io_apic.first + io_apic.lines).contains(&line))
        .ok_or(NoLine)?;
    let level = if trigger == Trigger::Level { LEVEL } else { 0 };
    let low = if polarity == Polarity::Low { ACTIVE_LOW } else { 0 };
    let register = REDIRECTIONS + 2 * (line - io_apic.first);
    io_apic.write(register + 1, apic::id() << 24);
    io_apic.write(register, level | low | u32::from(vector.number()));
    Ok(())
}

/// Routes a line of the ISA bus, which may have another number and manner here.
pub fn route_isa(line: u8, vector: Vector) -> Result<(), NoLine> {
    let moved = ISA_LINES.lock().iter().find(|moved| moved.isa == line).copied();
    match moved {
        Some(madt::IsaLine { line, trigger, polarity, .. }) => route(line, vector, trigger, polarity),
        None => route(u32::from(line), vector, Trigger::Edge, Polarity::High),
    }
}

impl IoApic {
    #[allow(unsafe_code)]
    fn read(&mut self, register: u32) -> u32 {
        // SAFETY: the index register is at 0 and its window at 0x10; mapped by `init`.
        unsafe {
            self.registers.write_volatile(register);
            self.registers.byte_add(0x10).read_volatile()
        }
    }

    #[allow(unsafe_code)]
    fn write(&mut self, register: u32, value: u32) {
        // SAFETY: as in `read`; lines are routed to vectors with handlers, or masked.
        unsafe {
            self.registers.write_volatile(register);
            self.registers.byte_add(0x10).write_volatile(value);
        }
    }
}
