//! PCI and PCI Express: finding functions and handing them to the drivers that know them.
//!
//! Firmware has numbered the buses; that is taken as found.

mod bar;
mod config;
pub mod mcfg;
pub mod msix;

pub use config::ConfigSpace;

use super::dsdt::Window;
use super::machine::{self, Region};
use super::{Found, ProbeError};
use alloc::{collections::BTreeSet, vec::Vec};
use bar::{Bar, Probe};
use core::fmt;
use pci_types::capability::PciCapability;
use pci_types::{CommandRegister, EndpointHeader, HeaderType, PciAddress, PciHeader};

/// Who made a device, and which one it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Id {
    pub vendor: u16,
    pub device: u16,
}

/// A driver, as a value.
pub struct Driver {
    pub name: &'static str,
    /// the devices that it drives
    pub ids: &'static [Id],
    pub probe: fn(&Function<'_>) -> Result<Found, ProbeError>,
}

/// One function of a device.
pub struct Function<'a> {
    config: &'a ConfigSpace,
    address: PciAddress,
    id: Id,
}

/// Calls `visit` with each function there is, in the order of bus, device and function number.
///
/// Hypervisors that boot a kernel without firmware leave all regions without addresses: they are then placed in `window`.
pub fn enumerate(config: &mut ConfigSpace, window: Option<Window>, mut visit: impl FnMut(&Function<'_>)) {
    let endpoints = endpoints(config);
    let functions = || endpoints.iter().map(|address| Function::new(config, *address));
    if let Some(window) = window
        && !functions().any(|function| function.is_placed())
    {
        let mut next = window.start;
        functions().for_each(|function| function.place(&mut next, window.end));
    }
    functions().for_each(|function| visit(&function));
}

fn endpoints(config: &mut ConfigSpace) -> Vec<PciAddress> {
    let mut seen = BTreeSet::new();
    let mut to_visit = config.roots();
    to_visit.reverse();
    let mut endpoints = Vec::new();
    while let Some((segment, bus)) = to_visit.pop() {
        // A bridge that leads back is misconfigured: no bus is visited twice.
        if !seen.insert((segment, bus)) || !config.open(segment, bus) {
            continue;
        }
        let mut behind = Vec::new();
        for device in 0..32 {
            for address in functions(config, segment, bus, device) {
                match PciHeader::new(address).header_type(&*config) {
                    HeaderType::PciPciBridge => behind.push((segment, (config.read(address, 0x18) >> 8) as u8)),
                    HeaderType::Endpoint => endpoints.push(address),
                    _ => {}
                }
            }
        }
        behind.retain(|(_, secondary)| *secondary != 0);
        to_visit.extend(behind.into_iter().rev());
    }
    endpoints
}

/// The functions of one device. Only function 0 says whether there are others.
fn functions(config: &ConfigSpace, segment: u16, bus: u8, device: u8) -> impl Iterator<Item = PciAddress> {
    let exists = move |address: &PciAddress| PciHeader::new(*address).id(config).0 != 0xffff;
    let first = PciAddress::new(segment, bus, device, 0);
    let count = match exists(&first) {
        false => 0,
        true if PciHeader::new(first).has_multiple_functions(config) => 8,
        true => 1,
    };
    (0..count).map(move |function| PciAddress::new(segment, bus, device, function)).filter(exists)
}

const BARS: u8 = 6;

/// Where a base address register is in configuration space.
fn bar_register(index: u8) -> u16 {
    0x10 + 4 * u16::from(index)
}

impl<'a> Function<'a> {
    fn new(config: &'a ConfigSpace, address: PciAddress) -> Self {
        let (vendor, device) = PciHeader::new(address).id(config);
        Function { config, address, id: Id { vendor, device } }
    }

    pub fn id(&self) -> Id {
        self.id
    }

    fn config(&self) -> &'a ConfigSpace {
        self.config
    }

    /// Reads a doubleword of configuration space.
    pub fn read(&self, offset: u16) -> u32 {
        self.config.read(self.address, offset)
    }

    /// Lets the function answer at its memory regions: before that they are not there.
    pub fn enable_regions(&self) {
        self.update_command(|command| command | CommandRegister::MEMORY_ENABLE);
    }

    /// Lets the function read and write memory, and send interrupts.
    pub fn enable_dma(&self) {
        self.update_command(|command| command | CommandRegister::BUS_MASTER_ENABLE);
    }

    fn disable_pin_interrupt(&self) {
        self.update_command(|command| command | CommandRegister::INTERRUPT_DISABLE);
    }

    fn update_command(&self, change: impl FnOnce(CommandRegister) -> CommandRegister) {
        PciHeader::new(self.address).update_command(self.config, change);
    }

    /// The function's capabilities. There is room for 48 in configuration space; a list that loops ends there.
    pub fn capabilities(&self) -> impl Iterator<Item = PciCapability> + use<'a> {
        let config = self.config;
        let header = EndpointHeader::from_header(PciHeader::new(self.address), config);
        header.into_iter().flat_map(move |header| header.capabilities(config)).take(48)
    }

    /// Maps a part of a memory region, uncached.
    pub fn map(&self, bar: u8, offset: u64, length: usize) -> Result<Region, Error> {
        let (address, size) = match self.bar(bar)? {
            Bar::Memory { address: 0, .. } => return Err(Error::Unassigned(bar)),
            Bar::Memory { address, size } => (address, size),
            Bar::Ports { .. } => return Err(Error::NotMemory(bar)),
        };
        let end = offset.checked_add(length as u64).ok_or(Error::OutOfRegion(bar))?;
        if end > size || address.checked_add(size).is_none() {
            return Err(Error::OutOfRegion(bar));
        }
        // SAFETY: the region decodes these addresses, so they are no memory that anyone else uses.
        unsafe { machine::map_mmio(address + offset, length) }.ok_or(Error::NotMapped(bar))
    }

    /// True if a memory region has an address.
    fn is_placed(&self) -> bool {
        (0..BARS).any(|index| bar::is_placed(self.read(bar_register(index))))
    }

    /// Gives each memory region an address, from `next` on.
    fn place(&self, next: &mut u64, end: u64) {
        let mut index = 0;
        while index < BARS {
            let is_64_bit = bar::is_64_bit(self.read(bar_register(index)));
            if let Ok(Bar::Memory { size, .. }) = self.bar(index) {
                let address = next.next_multiple_of(size);
                match address.checked_add(size).filter(|after| *after <= end) {
                    Some(after) => {
                        self.config.write(self.address, bar_register(index), address as u32);
                        *next = after;
                    }
                    None => log::error!("{self}: no room for region {index} of {size:#x} bytes"),
                }
            }
            index += if is_64_bit { 2 } else { 1 };
        }
    }

    fn bar(&self, index: u8) -> Result<Bar, Error> {
        if index >= BARS {
            return Err(Error::NoBar(index));
        }
        let mut command = CommandRegister::empty();
        // With all ones in it, the register decodes addresses that are someone else's.
        self.update_command(|before| {
            command = before;
            before & !(CommandRegister::MEMORY_ENABLE | CommandRegister::IO_ENABLE)
        });
        let probe_one = |index: u8| {
            let before = self.read(bar_register(index));
            self.config.write(self.address, bar_register(index), u32::MAX);
            let mask = self.read(bar_register(index));
            self.config.write(self.address, bar_register(index), before);
            (before, mask)
        };
        let (low, low_mask) = probe_one(index);
        let high = (bar::is_64_bit(low) && index + 1 < BARS).then(|| probe_one(index + 1));
        self.update_command(|_| command);
        bar::decode(Probe { low, low_mask, high }).ok_or(Error::NoBar(index))
    }
}

impl fmt::Display for Function<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pci {} [{:04x}:{:04x}]", self.address, self.id.vendor, self.id.device)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    NoBar(u8),
    NotMemory(u8),
    Unassigned(u8),
    OutOfRegion(u8),
    NotMapped(u8),
    NoMsix,
    NoMsixEntry(u16),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoBar(bar) => write!(f, "it has no region {bar}"),
            Error::NotMemory(bar) => write!(f, "its region {bar} is ports where memory was expected"),
            Error::Unassigned(bar) => write!(f, "firmware gave its region {bar} no address"),
            Error::OutOfRegion(bar) => write!(f, "it places a structure outside its region {bar}"),
            Error::NotMapped(bar) => write!(f, "no address space left to map its region {bar}"),
            Error::NoMsix => write!(f, "it has no MSI-X interrupts"),
            Error::NoMsixEntry(entry) => write!(f, "it has no MSI-X entry {entry}"),
        }
    }
}
