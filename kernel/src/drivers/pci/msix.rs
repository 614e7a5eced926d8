//! Message-signalled interrupts, MSI-X (PCI Local Bus Specification 3.0, 6.8.2).
//!
//! A function writes `data` to `address`, and the write is the interrupt. Where to and what is in a table in one of
//! the function's memory regions, an entry of 16 bytes for each vector.

use super::{Error, Function};
use crate::drivers::machine::{Message, Region};
use pci_types::capability::{MsixCapability, PciCapability};

const ENTRY: usize = 16;
const ADDRESS_LOW: usize = 0;
const ADDRESS_HIGH: usize = 4;
const DATA: usize = 8;
const CONTROL: usize = 12;
const MASKED: u32 = 1;

/// A function's MSI-X table, enabled, every entry masked until [`Msix::route`] gives it a message.
pub struct Msix {
    table: Region,
    entries: u16,
}

impl Msix {
    /// Turns MSI-X on and the pin interrupt off.
    pub fn enable(function: &Function<'_>) -> Result<Self, Error> {
        let mut capability = function
            .capabilities()
            .find_map(|capability| match capability {
                PciCapability::MsiX(msix) => Some(msix),
                _ => None,
            })
            .ok_or(Error::NoMsix)?;
        let entries = capability.table_size();
        let table = map_table(function, &capability, entries)?;
        // All are masked until they have a message: what an entry holds after reset is undefined.
        capability.set_function_mask(true, function.config());
        capability.set_enabled(true, function.config());
        let msix = Msix { table, entries };
        for entry in 0..entries {
            msix.table.write(offset(entry) + CONTROL, MASKED);
        }
        function.disable_pin_interrupt();
        capability.set_function_mask(false, function.config());
        Ok(msix)
    }

    /// Gives an entry its message and unmasks it.
    pub fn route(&self, entry: u16, message: Message) -> Result<(), Error> {
        if entry >= self.entries {
            return Err(Error::NoMsixEntry(entry));
        }
        let at = offset(entry);
        self.table.write(at + ADDRESS_LOW, message.address as u32);
        self.table.write(at + ADDRESS_HIGH, (message.address >> 32) as u32);
        self.table.write(at + DATA, message.data);
        self.table.write(at + CONTROL, 0u32);
        Ok(())
    }
}

fn map_table(function: &Function<'_>, capability: &MsixCapability, entries: u16) -> Result<Region, Error> {
    let bar = capability.table_bar();
    function.map(bar, capability.table_offset().into(), offset(entries))
}

fn offset(entry: u16) -> usize {
    usize::from(entry) * ENTRY
}
