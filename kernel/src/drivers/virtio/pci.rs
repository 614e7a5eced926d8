//! Virtio over PCI (Virtual I/O Device specification 1.2, 4.1), modern interface, with MSI-X.
//!
//! In place of virtio-drivers' own transport, which has no MSI-X and takes three accesses for a notification.

use super::Interrupt;
use crate::drivers::ProbeError::{self, Device};
use crate::drivers::machine::{self, Region};
use crate::drivers::pci::{Function, msix::Msix};
use pci_types::capability::PciCapability;
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{Error, PhysAddr};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Kinds of structure (4.1.4).
const COMMON: u8 = 1;
const NOTIFY: u8 = 2;
const ISR: u8 = 3;
const DEVICE: u8 = 4;

/// Offsets in a capability (4.1.4).
const CAP_KIND: u16 = 0;
const CAP_BAR: u16 = 4;
const CAP_OFFSET: u16 = 8;
const CAP_LENGTH: u16 = 12;
const CAP_NOTIFY_MULTIPLIER: u16 = 16;

/// Offsets in the common configuration structure (4.1.4.3).
mod common {
    pub const DEVICE_FEATURE_SELECT: usize = 0x00;
    pub const DEVICE_FEATURE: usize = 0x04;
    pub const DRIVER_FEATURE_SELECT: usize = 0x08;
    pub const DRIVER_FEATURE: usize = 0x0c;
    pub const CONFIG_MSIX_VECTOR: usize = 0x10;
    pub const DEVICE_STATUS: usize = 0x14;
    pub const CONFIG_GENERATION: usize = 0x15;
    pub const QUEUE_SELECT: usize = 0x16;
    pub const QUEUE_SIZE: usize = 0x18;
    pub const QUEUE_MSIX_VECTOR: usize = 0x1a;
    pub const QUEUE_ENABLE: usize = 0x1c;
    pub const QUEUE_NOTIFY_OFF: usize = 0x1e;
    pub const QUEUE_DESC: usize = 0x20;
    pub const QUEUE_DRIVER: usize = 0x28;
    pub const QUEUE_DEVICE: usize = 0x30;
    pub const LENGTH: usize = 0x38;
}

const NO_VECTOR: u16 = 0xffff;
/// The MSI-X entry that all queues with an interrupt share.
const ENTRY: u16 = 0;

/// Queues whose place of notification is kept.
const QUEUES: usize = 8;

pub struct PciTransport {
    device_type: DeviceType,
    common: Region,
    notify: Region,
    notify_multiplier: usize,
    isr: Region,
    device: Option<Region>,
    interrupt: Interrupt,
    /// offset of each queue's doorbell in `notify`, once the queue is set up
    doorbells: [Option<usize>; QUEUES],
}

/// Where a capability says that a structure is.
struct Structure {
    bar: u8,
    offset: u32,
    length: u32,
}

impl PciTransport {
    /// Takes the function over: maps its structures, lets it use memory, routes the interrupt of the queues that have
    /// one.
    pub fn new(function: &Function<'_>, interrupt: Interrupt) -> Result<Self, ProbeError> {
        let device_type = device_type(function.id().device).ok_or(Device("is of no known virtio type"))?;
        function.enable_regions();
        let find = |kind| structures(function).find(|(k, _, _)| *k == kind);
        let map = |structure: Structure, at_least: usize| -> Result<Region, ProbeError> {
            if (structure.length as usize) < at_least {
                return Err(Device("has a structure that is too short"));
            }
            Ok(function.map(structure.bar, structure.offset.into(), structure.length as usize)?)
        };
        let (_, common, _) = find(COMMON).ok_or(Device("has only the legacy virtio interface"))?;
        let (_, notify, at) = find(NOTIFY).ok_or(Device("has no notification structure"))?;
        let (_, isr, _) = find(ISR).ok_or(Device("has no ISR structure"))?;
        let transport = PciTransport {
            device_type,
            common: map(common, common::LENGTH)?,
            notify: map(notify, size_of::<u16>())?,
            notify_multiplier: function.read(at + CAP_NOTIFY_MULTIPLIER) as usize,
            isr: map(isr, 1)?,
            device: find(DEVICE).map(|(_, device, _)| map(device, 1)).transpose()?,
            interrupt,
            doorbells: [None; QUEUES],
        };
        if let Interrupt::Queue(_) = interrupt {
            let message = machine::message_interrupt().ok_or(ProbeError::NoInterrupt)?;
            Msix::enable(function)?.route(ENTRY, message)?;
        }
        function.enable_dma();
        Ok(transport)
    }

    fn select(&mut self, queue: u16) {
        self.common.write(common::QUEUE_SELECT, queue);
    }

    /// Where the selected queue is notified, or None if the device places it outside its own structure.
    fn doorbell(&self) -> Option<usize> {
        let offset =
            usize::from(self.common.read::<u16>(common::QUEUE_NOTIFY_OFF)).checked_mul(self.notify_multiplier)?;
        let fits =
            offset.is_multiple_of(size_of::<u16>()) && offset.checked_add(size_of::<u16>())? <= self.notify.len();
        fits.then_some(offset)
    }

    /// The device configuration's place of a `T`.
    fn device_field<T>(&self, offset: usize) -> Result<&Region, Error> {
        let device = self.device.as_ref().ok_or(Error::ConfigSpaceMissing)?;
        match offset.checked_add(size_of::<T>()) {
            Some(end) if end <= device.len() => Ok(device),
            _ => Err(Error::ConfigSpaceTooSmall),
        }
    }
}

/// The structures that the function's vendor capabilities describe: kind, place, offset of the capability.
fn structures<'a>(function: &'a Function<'_>) -> impl Iterator<Item = (u8, Structure, u16)> + 'a {
    function.capabilities().filter_map(|capability| {
        let PciCapability::Vendor(place) = capability else { return None };
        let at = place.offset;
        let structure = Structure {
            bar: function.read(at + CAP_BAR) as u8,
            offset: function.read(at + CAP_OFFSET),
            length: function.read(at + CAP_LENGTH),
        };
        Some(((function.read(at + CAP_KIND) >> 24) as u8, structure, at))
    })
}

/// The type of a virtio PCI device ID: 0x1040 + type, or a transitional device's (4.1.2).
fn device_type(device: u16) -> Option<DeviceType> {
    match device {
        0x1000 => Some(DeviceType::Network),
        0x1001 => Some(DeviceType::Block),
        0x1003 => Some(DeviceType::Console),
        0x1005 => Some(DeviceType::EntropySource),
        0x1041.. => DeviceType::try_from(device - 0x1040).ok(),
        _ => None,
    }
}

impl Transport for PciTransport {
    fn device_type(&self) -> DeviceType {
        self.device_type
    }

    fn read_device_features(&mut self) -> u64 {
        let half = |index: u32| {
            self.common.write(common::DEVICE_FEATURE_SELECT, index);
            u64::from(self.common.read::<u32>(common::DEVICE_FEATURE))
        };
        half(0) | half(1) << 32
    }

    fn write_driver_features(&mut self, features: u64) {
        for (index, half) in [(0u32, features as u32), (1, (features >> 32) as u32)] {
            self.common.write(common::DRIVER_FEATURE_SELECT, index);
            self.common.write(common::DRIVER_FEATURE, half);
        }
    }

    fn max_queue_size(&mut self, queue: u16) -> u32 {
        self.select(queue);
        self.common.read::<u16>(common::QUEUE_SIZE).into()
    }

    fn notify(&mut self, queue: u16) {
        if let Some(Some(doorbell)) = self.doorbells.get(usize::from(queue)) {
            self.notify.write(*doorbell, queue);
        }
    }

    fn get_status(&self) -> DeviceStatus {
        DeviceStatus::from_bits_truncate(self.common.read::<u8>(common::DEVICE_STATUS).into())
    }

    fn set_status(&mut self, status: DeviceStatus) {
        self.common.write(common::DEVICE_STATUS, status.bits() as u8);
        if status.is_empty() {
            // A reset is done when the device says so (4.1.4.3.2); one that never does is found out later.
            for _ in 0..1_000_000 {
                if self.get_status().is_empty() {
                    return;
                }
            }
        }
    }

    fn set_guest_page_size(&mut self, _: u32) {}

    fn requires_legacy_layout(&self) -> bool {
        false
    }

    fn queue_set(&mut self, queue: u16, size: u32, descriptors: PhysAddr, driver: PhysAddr, device: PhysAddr) {
        let vector = match self.interrupt {
            Interrupt::Queue(with) if with == queue => ENTRY,
            _ => NO_VECTOR,
        };
        self.common.write(common::CONFIG_MSIX_VECTOR, NO_VECTOR);
        self.select(queue);
        self.common.write(common::QUEUE_SIZE, size as u16);
        self.common.write(common::QUEUE_MSIX_VECTOR, vector);
        // 64-bit fields are written as two halves (4.1.3.1).
        for (field, address) in
            [(common::QUEUE_DESC, descriptors), (common::QUEUE_DRIVER, driver), (common::QUEUE_DEVICE, device)]
        {
            self.common.write(field, address as u32);
            self.common.write(field + 4, (address >> 32) as u32);
        }
        if let Some(slot) = self.doorbells.get_mut(usize::from(queue)) {
            *slot = None;
        }
        let doorbell = self.doorbell();
        if let Some(slot) = self.doorbells.get_mut(usize::from(queue)) {
            *slot = doorbell;
        }
        self.common.write(common::QUEUE_ENABLE, 1u16);
    }

    /// A queue is taken back by a reset only (4.1.4.3.2).
    fn queue_unset(&mut self, _: u16) {}

    fn queue_used(&mut self, queue: u16) -> bool {
        self.select(queue);
        self.common.read::<u16>(common::QUEUE_ENABLE) == 1
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        InterruptStatus::from_bits_truncate(self.isr.read::<u8>(0).into())
    }

    fn read_config_generation(&self) -> u32 {
        self.common.read::<u8>(common::CONFIG_GENERATION).into()
    }

    fn read_config_space<T: FromBytes + IntoBytes>(&self, offset: usize) -> Result<T, Error> {
        let device = self.device_field::<T>(offset)?;
        let mut value = T::new_zeroed();
        let bytes = value.as_mut_bytes();
        // A field is accessed as wide as it is (4.1.3.1).
        match bytes.len() {
            2 => bytes.copy_from_slice(&device.read::<u16>(offset).to_le_bytes()),
            4 => bytes.copy_from_slice(&device.read::<u32>(offset).to_le_bytes()),
            _ => bytes.iter_mut().enumerate().for_each(|(index, byte)| *byte = device.read(offset + index)),
        }
        Ok(value)
    }

    fn write_config_space<T: IntoBytes + Immutable>(&mut self, offset: usize, value: T) -> Result<(), Error> {
        let device = self.device_field::<T>(offset)?;
        match *value.as_bytes() {
            [a, b] => device.write(offset, u16::from_le_bytes([a, b])),
            [a, b, c, d] => device.write(offset, u32::from_le_bytes([a, b, c, d])),
            ref bytes => bytes.iter().enumerate().for_each(|(index, byte)| device.write(offset + index, *byte)),
        }
        Ok(())
    }
}

impl Drop for PciTransport {
    /// A device that is given up must not write to memory any more.
    fn drop(&mut self) {
        self.set_status(DeviceStatus::empty());
    }
}
