//! The table of interrupt controllers (ACPI specification 6.5, 5.2.12).

use alloc::vec::Vec;

use super::{HEADER, Tables};
use crate::cpu::ioapic::{Polarity, Trigger};

const IO_APIC: u8 = 1;
const SOURCE_OVERRIDE: u8 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IoApic {
    pub address: u64,
    pub first_line: u32,
}

/// A line of the ISA bus that is not the line of the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IsaLine {
    pub isa: u8,
    pub line: u32,
    pub trigger: Trigger,
    pub polarity: Polarity,
}

pub fn io_apics(tables: &Tables) -> Vec<IoApic> {
    entries(tables, IO_APIC)
        .filter_map(|entry| Some(IoApic { address: u64::from(u32_at(entry, 4)?), first_line: u32_at(entry, 8)? }))
        .collect()
}

pub fn isa_lines(tables: &Tables) -> Vec<IsaLine> {
    entries(tables, SOURCE_OVERRIDE)
        .filter_map(|entry| {
            let flags = *entry.get(8)?;
            // 0 in either means what is usual for ISA
            let polarity = if flags & 0b11 == 0b11 { Polarity::Low } else { Polarity::High };
            let trigger = if flags >> 2 & 0b11 == 0b11 { Trigger::Level } else { Trigger::Edge };
            Some(IsaLine { isa: *entry.get(3)?, line: u32_at(entry, 4)?, trigger, polarity })
        })
        .collect()
}

/// The entries of that kind, headers included.
fn entries(tables: &Tables, kind: u8) -> impl Iterator<Item = &'static [u8]> + use<> {
    let mut rest = tables.get(b"APIC").and_then(|table| table.bytes().get(HEADER + 8..)).unwrap_or(&[]);
    core::iter::from_fn(move || {
        let length = usize::from(*rest.get(1)?).max(2);
        let (entry, after) = rest.split_at_checked(length)?;
        rest = after;
        Some(entry)
    })
    .filter(move |entry| entry[0] == kind)
}

fn u32_at(entry: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*entry.get(offset..)?.first_chunk()?))
}
