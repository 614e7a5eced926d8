//! What drivers ask of the rest of the kernel: memory for devices, device registers, ports, interrupts.
//!
//! Invariant: a [`Region`] is mapped uncached for as long as the node runs, and its addresses are no memory.

#![allow(unsafe_code)]

use crate::cpu::interrupts::{self, Handler};
use crate::cpu::ioapic::{self, Polarity, Trigger};
use crate::memory::devices::{self, Caching};
use core::ptr::NonNull;
use x86_64::instructions::port::{Port, PortRead, PortWrite};

pub use crate::cpu::interrupts::Message;
pub use crate::memory::dma::Dma;

/// Registers of a device, or a table in it.
#[derive(Debug)]
pub struct Region {
    base: NonNull<u8>,
    length: usize,
}

// SAFETY: device registers are reached alike from any CPU; each access is one instruction.
unsafe impl Send for Region {}
// SAFETY: as above; what concurrent accesses mean to the device is its driver's concern, not memory's.
unsafe impl Sync for Region {}

/// Maps device registers, uncached, for as long as the node runs. None if there is no address space left.
///
/// # Safety
/// The physical addresses must be a device's, and no RAM.
pub unsafe fn map_mmio(physical: u64, length: usize) -> Option<Region> {
    // SAFETY: passed on to the caller.
    let base = unsafe { devices::map(physical, length, Caching::Registers) }.ok()?;
    Some(Region { base, length })
}

/// Reads a port.
///
/// # Safety
/// Reading may have effects: the port must be the caller's.
pub unsafe fn port_read<T: PortRead>(port: u16) -> T {
    // SAFETY: passed on to the caller.
    unsafe { Port::new(port).read() }
}

/// Writes a port.
///
/// # Safety
/// The port must be the caller's, and the device behind it must not be made to break memory safety.
pub unsafe fn port_write<T: PortWrite>(port: u16, value: T) {
    // SAFETY: passed on to the caller.
    unsafe { Port::new(port).write(value) }
}

/// An interrupt that is a message (MSI, MSI-X), and whose only work is to end the CPU's sleep. None if there are no
/// vectors left.
pub fn message_interrupt() -> Option<Message> {
    let vector = interrupts::allocate(|_| (), 0).ok()?;
    Some(vector.message())
}

/// An interrupt that is a line to the I/O APIC, active high. `acknowledge` runs with interrupts off and must make the
/// device lower it, so that the next interrupt is an edge again. False if there is no such line or no vector is left.
pub fn line_interrupt(line: u32, acknowledge: Handler, data: usize) -> bool {
    match interrupts::allocate(acknowledge, data) {
        Ok(vector) => ioapic::route(line, vector, Trigger::Edge, Polarity::High).is_ok(),
        Err(interrupts::NoVector) => false,
    }
}

/// A type that a device register can have.
pub trait Register: Copy {}
impl Register for u8 {}
impl Register for u16 {}
impl Register for u32 {}
impl Register for u64 {}

impl Region {
    pub fn len(&self) -> usize {
        self.length
    }

    pub fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// # Panics
    /// If the register is outside the region or not aligned: offsets are the driver's, not the device's.
    pub fn read<R: Register>(&self, offset: usize) -> R {
        // SAFETY: `place` checked that the register is in the region, which is mapped; volatile since it is a device's.
        unsafe { self.place::<R>(offset).read_volatile() }
    }

    /// # Panics
    /// As [`Region::read`].
    pub fn write<R: Register>(&self, offset: usize, value: R) {
        // SAFETY: as in `read`.
        unsafe { self.place::<R>(offset).write_volatile(value) }
    }

    fn place<R>(&self, offset: usize) -> NonNull<R> {
        let fits = offset.checked_add(size_of::<R>()).is_some_and(|end| end <= self.length);
        // SAFETY: the offset is within the mapped region, by the assertion.
        let place = unsafe { self.base.byte_add(if fits { offset } else { 0 }) }.cast::<R>();
        assert!(fits && place.is_aligned(), "register at {offset:#x} of a region of {:#x} bytes", self.length);
        place
    }
}
