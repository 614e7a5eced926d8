//! Virtio devices (Virtual I/O Device specification 1.2), over PCI or memory-mapped registers.
//!
//! What a transport is, and the memory-mapped one, are the crate virtio-drivers'. Its queues and drivers for devices are
//! not used: they notify for each buffer and wait for answers.

mod backlog;
pub mod blk;
mod buffers;
pub mod mmio;
pub mod net;
mod pci;
mod places;
mod requests;
mod ring;
pub mod rng;
mod transfers;
mod turns;

use super::pci::Id;

/// Which of a device's queues interrupts. One is enough: a disk has one, and while frames wait to be sent, nothing here
/// sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupt {
    Never,
    Queue(u16),
}

/// Features that every driver here accepts: the interface of version 1.0 and later.
const VERSION_1: u64 = 1 << 32;

/// The PCI devices of that type, transitional or not (4.1.2).
const fn ids(transitional: u16, device_type: u16) -> [Id; 2] {
    const VENDOR: u16 = 0x1af4;
    [Id { vendor: VENDOR, device: transitional }, Id { vendor: VENDOR, device: 0x1040 + device_type }]
}
