//! Configuration space: through memory where ACPI says so, through ports 0xcf8 and 0xcfc elsewhere.

use super::mcfg::Window;
use crate::drivers::machine::{self, Region};
use alloc::vec::Vec;
use pci_types::{ConfigRegionAccess, PciAddress};

/// Bytes of configuration space of a bus, in memory: 32 devices of 8 functions of 4 KiB.
const BUS: usize = 1 << 20;

const ADDRESS_PORT: u16 = 0xcf8;
const DATA_PORT: u16 = 0xcfc;
const ENABLE: u32 = 1 << 31;

/// The way to configuration space. What it does not reach reads as all ones, as where there is no device.
///
/// Invariant: each region is mapped configuration space of that segment and bus. Nothing else in the kernel uses the
/// two ports.
pub struct ConfigSpace {
    windows: Vec<Window>,
    buses: Vec<(u16, u8, Region)>,
    ports: bool,
}

impl ConfigSpace {
    /// Through these windows if there are any, else through the ports if the machine has them.
    pub fn new(windows: Vec<Window>) -> Option<Self> {
        let ports = windows.is_empty();
        if ports && !has_ports() {
            return None;
        }
        Some(ConfigSpace { windows, buses: Vec::new(), ports })
    }

    /// The segments and their first buses.
    pub fn roots(&self) -> Vec<(u16, u8)> {
        match self.ports {
            true => [(0, 0)].into(),
            false => self.windows.iter().map(|window| (window.segment, window.first_bus)).collect(),
        }
    }

    /// Makes a bus reachable. False if it cannot be.
    pub fn open(&mut self, segment: u16, bus: u8) -> bool {
        if self.ports {
            return segment == 0;
        }
        if self.bus(segment, bus).is_some() {
            return true;
        }
        let Some(window) = self
            .windows
            .iter()
            .find(|window| window.segment == segment && (window.first_bus..=window.last_bus).contains(&bus))
        else {
            return false;
        };
        let physical = window.base + u64::from(bus) * BUS as u64;
        // SAFETY: firmware says that this is configuration space, which is no memory that anyone else uses.
        match unsafe { machine::map_mmio(physical, BUS) } {
            Some(region) => {
                self.buses.push((segment, bus, region));
                true
            }
            None => false,
        }
    }

    fn bus(&self, segment: u16, bus: u8) -> Option<&Region> {
        self.buses.iter().find(|(s, b, _)| (*s, *b) == (segment, bus)).map(|(_, _, region)| region)
    }

    /// The register's place in memory.
    fn locate(&self, address: PciAddress, offset: u16) -> Option<(&Region, usize)> {
        let region = self.bus(address.segment(), address.bus())?;
        let function = usize::from(address.device()) << 15 | usize::from(address.function()) << 12;
        Some((region, function | usize::from(offset & 0xffc)))
    }

    /// Reads the doubleword that holds `offset`.
    pub fn read(&self, address: PciAddress, offset: u16) -> u32 {
        if let Some((region, at)) = self.locate(address, offset) {
            return region.read(at);
        }
        match self.select(address, offset) {
            // SAFETY: the address port selects a register; reading configuration space has no side effects.
            true => unsafe { machine::port_read(DATA_PORT) },
            false => u32::MAX,
        }
    }

    /// Writes the doubleword that holds `offset`.
    ///
    /// What a device does then is up to the caller: it must not decode memory or ports that are someone else's.
    pub fn write(&self, address: PciAddress, offset: u16, value: u32) {
        if let Some((region, at)) = self.locate(address, offset) {
            region.write(at, value);
        } else if self.select(address, offset) {
            // SAFETY: the address port selects a register of this function.
            unsafe { machine::port_write(DATA_PORT, value) };
        }
    }

    /// Points the data port at a register, if the ports reach it.
    fn select(&self, address: PciAddress, offset: u16) -> bool {
        if !self.ports || address.segment() != 0 || offset > 0xff {
            return false;
        }
        let register = u32::from(address.bus()) << 16
            | u32::from(address.device()) << 11
            | u32::from(address.function()) << 8
            | u32::from(offset & 0xfc);
        // SAFETY: the address port belongs to this type and only selects what the data port shows.
        unsafe { machine::port_write(ADDRESS_PORT, ENABLE | register) };
        true
    }
}

/// The address port keeps what is written to it; where there is none, nothing does.
fn has_ports() -> bool {
    // SAFETY: the port either is the address port or is not decoded at all.
    unsafe {
        machine::port_write(ADDRESS_PORT, ENABLE);
        machine::port_read::<u32>(ADDRESS_PORT) == ENABLE
    }
}

impl ConfigRegionAccess for ConfigSpace {
    unsafe fn read(&self, address: PciAddress, offset: u16) -> u32 {
        ConfigSpace::read(self, address, offset)
    }

    unsafe fn write(&self, address: PciAddress, offset: u16, value: u32) {
        ConfigSpace::write(self, address, offset, value);
    }
}
