//! Disks (Virtual I/O Device specification 1.2, 5.2): reads, writes, flushes and zeroes on one queue.
//!
//! Each request has one segment of data, which is within any `seg_max`, no larger than `size_max`. What is written is
//! held by the device's cache until it is flushed, unless the device has none (5.2.6.2).

use super::Interrupt;
use super::mmio::{self, MmioTransport};
use super::pci::PciTransport;
use super::requests::{DATA, RequestQueue};
use super::transfers::{SECTOR, Transfers};
use crate::drivers::{Drive, Found, ProbeError, pci};
use alloc::{format, string::String, sync::Arc};
use bitflags::bitflags;
use virtio_drivers::Error;
use virtio_drivers::transport::{DeviceStatus, DeviceType, Transport};
use wasm_host::platform::{Geometry, MAX_SECTOR};

pub const PCI: pci::Driver = pci::Driver {
    name: "virtio-blk",
    ids: &super::ids(0x1001, 2),
    probe: |function| {
        let transport = PciTransport::new(function, Interrupt::Queue(QUEUE))?;
        Ok(Found::Drive(Arc::new(start(transport, format!("{function}"))?)))
    },
};

pub const MMIO: mmio::Driver = mmio::Driver {
    name: "virtio-blk",
    device_type: DeviceType::Block,
    interrupt: Interrupt::Queue(QUEUE),
    probe: |transport: MmioTransport, name| Ok(Found::Drive(Arc::new(start(transport, name)?))),
};

const QUEUE: u16 = 0;

bitflags! {
    /// What the driver can use of what a disk offers (5.2.3). Without `CONFIG_WCE` it is as `FLUSH` says.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    struct Features: u64 {
        const SIZE_MAX = 1 << 1;
        const RO = 1 << 5;
        const BLK_SIZE = 1 << 6;
        const FLUSH = 1 << 9;
        const WRITE_ZEROES = 1 << 14;
        const ANY_LAYOUT = 1 << 27;
        const VERSION_1 = super::VERSION_1;
    }
}

/// Offsets in the device's configuration (5.2.4).
const CONFIG_CAPACITY: usize = 0;
const CONFIG_SIZE_MAX: usize = 8;
const CONFIG_BLK_SIZE: usize = 20;
const CONFIG_MAX_ZEROES: usize = 48;

fn start<T: Transport>(mut transport: T, name: String) -> Result<Transfers<T>, ProbeError> {
    let features = transport.begin_init(Features::all());
    if features.contains(Features::VERSION_1) && !transport.get_status().contains(DeviceStatus::FEATURES_OK) {
        return Err(ProbeError::Device("does not work as this driver would have it"));
    }
    let geometry = geometry(&transport, features)?;
    let mut limit = DATA;
    if features.contains(Features::SIZE_MAX) {
        let most: u32 = transport.read_config_space(CONFIG_SIZE_MAX)?;
        limit = limit.min(most as usize);
    }
    let limit = limit / geometry.sector_size as usize * geometry.sector_size as usize;
    if limit == 0 {
        return Err(ProbeError::Device("takes no segment as large as its sectors"));
    }
    let zeroes = match features.contains(Features::WRITE_ZEROES) {
        true => transport.read_config_space(CONFIG_MAX_ZEROES)?,
        false => 0,
    };
    let queue = RequestQueue::new(&mut transport, QUEUE, limit)?;
    transport.finish_init();
    Ok(Transfers::new(name, transport, queue, geometry, features.contains(Features::FLUSH), zeroes))
}

/// How large the disk and its sectors are. What it says is not believed if it cannot be.
fn geometry(transport: &impl Transport, features: Features) -> Result<Geometry, ProbeError> {
    let (low, high, block) = transport.read_consistent(|| {
        let low: u32 = transport.read_config_space(CONFIG_CAPACITY)?;
        let high: u32 = transport.read_config_space(CONFIG_CAPACITY + 4)?;
        let block = if features.contains(Features::BLK_SIZE) {
            transport.read_config_space::<u32>(CONFIG_BLK_SIZE)?
        } else {
            SECTOR as u32
        };
        Ok::<_, Error>((low, high, block))
    })?;
    if !block.is_power_of_two() || !(SECTOR as u32..=MAX_SECTOR).contains(&block) {
        return Err(ProbeError::Device("has sectors of an impossible size"));
    }
    let capacity = u64::from(high) << 32 | u64::from(low);
    if capacity > u64::MAX / SECTOR {
        return Err(ProbeError::Device("is larger than can be"));
    }
    let sectors = capacity / (u64::from(block) / SECTOR);
    Ok(Geometry { sector_size: block, sectors, read_only: features.contains(Features::RO) })
}

impl<T: Transport + Send + Sync + 'static> Drive for Transfers<T> {
    fn poll(&self) {
        self.reap();
    }

    fn arm(&self) -> bool {
        Transfers::arm(self)
    }

    fn disarm(&self) {
        Transfers::disarm(self);
    }

    fn is_write_through(&self) -> bool {
        !self.flushes()
    }
}
