//! The firmware's tables (ACPI specification 6.5, chapter 5.2), as bytes and as far as the kernel needs them.
//!
//! Offsets are checked against the table's length, and a table whose checksum is wrong is not there. The machine
//! language in the tables is not run.

pub mod madt;

use alloc::vec::Vec;

use crate::{
    boot::Boot,
    memory::devices::{self, Caching},
};

const HEADER: usize = 36;
/// No table known is larger; a length beyond is taken for garbage.
const LARGEST: usize = 16 << 20;
/// Where BIOSes leave the root pointer, on a multiple of 16.
const BIOS: core::ops::Range<u64> = 0xe0000..0x10_0000;

/// The tables that the root table lists.
pub struct Tables {
    tables: Vec<Table>,
}

/// A table with its header.
#[derive(Clone, Copy)]
pub struct Table(&'static [u8]);

/// A register, anywhere (5.2.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Register {
    Memory(u64),
    Port(u16),
}

impl Tables {
    /// Follows the root pointer. No root pointer, no tables: some machines have none.
    pub fn find(boot: &Boot) -> Tables {
        Tables { tables: boot.rsdp.or_else(search).and_then(listed).unwrap_or_default() }
    }

    /// The first table of that signature.
    pub fn get(&self, signature: &[u8; 4]) -> Option<Table> {
        self.tables.iter().copied().find(|table| table.0.starts_with(signature))
    }

    /// The table that the FADT points to instead of the root table.
    pub fn dsdt(&self) -> Option<Table> {
        let fadt = self.get(b"FACP")?;
        let address = fadt.u64(140).filter(|&address| address != 0).or(fadt.u32(40).map(u64::from))?;
        Table::at(address)
    }
}

impl Table {
    fn at(address: u64) -> Option<Table> {
        let length = u32::from_le_bytes(bytes(address, HEADER)?[4..8].try_into().ok()?) as usize;
        if !(HEADER..=LARGEST).contains(&length) {
            return None;
        }
        let table = Table(bytes(address, length)?);
        (sum(table.0) == 0).then_some(table)
    }

    pub fn bytes(self) -> &'static [u8] {
        self.0
    }

    pub fn u8(self, offset: usize) -> Option<u8> {
        self.0.get(offset).copied()
    }

    pub fn u32(self, offset: usize) -> Option<u32> {
        Some(u32::from_le_bytes(*self.0.get(offset..)?.first_chunk()?))
    }

    pub fn u64(self, offset: usize) -> Option<u64> {
        Some(u64::from_le_bytes(*self.0.get(offset..)?.first_chunk()?))
    }

    /// A generic address; an address of 0 means that there is no such register.
    pub fn register(self, offset: usize) -> Option<Register> {
        let address = self.u64(offset + 4).filter(|&address| address != 0)?;
        match self.u8(offset)? {
            0 => Some(Register::Memory(address)),
            1 => Some(Register::Port(u16::try_from(address).ok()?)),
            _ => None,
        }
    }
}

/// The tables that the root pointer leads to.
fn listed(root_pointer: u64) -> Option<Vec<Table>> {
    let pointer = bytes(root_pointer, 36)?;
    if !pointer.starts_with(b"RSD PTR ") || sum(&pointer[..20]) != 0 {
        return None;
    }
    let old = u64::from(u32::from_le_bytes(*pointer[16..].first_chunk()?));
    let new = u64::from_le_bytes(*pointer[24..].first_chunk()?);
    let revision = pointer[15];
    let (root, size) = if revision >= 2 && new != 0 { (new, 8) } else { (old, 4) };
    let entries = Table::at(root)?.0[HEADER..].chunks_exact(size);
    Some(
        entries
            .filter_map(|entry| {
                let mut address = [0; 8];
                address[..size].copy_from_slice(entry);
                Table::at(u64::from_le_bytes(address))
            })
            .collect(),
    )
}

fn search() -> Option<u64> {
    let area = bytes(BIOS.start, (BIOS.end - BIOS.start) as usize)?;
    let place = area.chunks_exact(16).position(|part| part.starts_with(b"RSD PTR "))?;
    Some(BIOS.start + 16 * place as u64)
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum: u8, &byte| sum.wrapping_add(byte))
}

#[allow(unsafe_code)]
fn bytes(address: u64, length: usize) -> Option<&'static [u8]> {
    if address == 0 || address.checked_add(length as u64)? >= 1 << 46 {
        return None;
    }
    // SAFETY: firmware says that a table is there, and its memory map keeps what holds tables from being RAM that is given
    // out. It is mapped read-only, for good.
    unsafe {
        let start = devices::map(address, length, Caching::Tables).ok()?;
        Some(core::slice::from_raw_parts(start.as_ptr(), length))
    }
}
