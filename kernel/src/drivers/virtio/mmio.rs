//! Virtio with memory-mapped registers (Virtual I/O Device specification 1.2, 4.2), legacy or not.

#![allow(unsafe_code)]

use super::Interrupt;
pub use super::places::{Place, from_command_line, from_dsdt};
use crate::drivers::machine::{self, Region};
use crate::drivers::{Found, ProbeError};
use alloc::{boxed::Box, string::String, string::ToString};
use virtio_drivers::transport::{DeviceType, Transport, mmio};

pub type MmioTransport = mmio::MmioTransport<'static>;

/// A driver, as a value.
pub struct Driver {
    pub name: &'static str,
    pub device_type: DeviceType,
    pub interrupt: Interrupt,
    pub probe: fn(MmioTransport, String) -> Result<Found, ProbeError>,
}

/// What reads the device's place: nothing there, or a device that no driver knows, is no error.
pub fn probe(place: Place, drivers: &[Driver]) -> Option<(&'static str, Result<Found, ProbeError>)> {
    // SAFETY: firmware or the hypervisor says that these are a device's registers.
    let region = unsafe { machine::map_mmio(place.base, place.size) };
    let Some(region) = region else { return Some(("virtio", Err(ProbeError::NoMemory))) };
    let base = region.base();
    // SAFETY: the region stays mapped for as long as the node runs, and is aligned since the place is.
    let transport = unsafe { MmioTransport::new(base.cast(), region.len()) };
    let transport = transport.ok()?;
    let driver = drivers.iter().find(|driver| driver.device_type == transport.device_type())?;
    if let Interrupt::Queue(_) = driver.interrupt
        && let Err(error) = attach_interrupt(region, place.line)
    {
        return Some((driver.name, Err(error)));
    }
    Some((driver.name, (driver.probe)(transport, place.to_string())))
}

/// Offsets of registers (4.2.2).
const INTERRUPT_STATUS: usize = 0x60;
const INTERRUPT_ACK: usize = 0x64;

fn attach_interrupt(region: Region, line: u32) -> Result<(), ProbeError> {
    let registers: *const Region = Box::leak(Box::new(region));
    match machine::line_interrupt(line, acknowledge, registers.expose_provenance()) {
        true => Ok(()),
        false => Err(ProbeError::NoInterrupt),
    }
}

/// Makes the device lower its line. It is the only code that uses these two registers.
fn acknowledge(registers: usize) {
    // SAFETY: `attach_interrupt` registered the address of a `Region` that is never freed.
    let registers = unsafe { &*core::ptr::with_exposed_provenance::<Region>(registers) };
    let status: u32 = registers.read(INTERRUPT_STATUS);
    registers.write(INTERRUPT_ACK, status);
}
