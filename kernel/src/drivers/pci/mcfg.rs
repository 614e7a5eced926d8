//! The ACPI table that says where PCI Express configuration space is in memory (PCI Firmware Specification 3.3, 4.1.2).

/// Configuration space of a range of buses: 4 KiB per function, from `base` for bus 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub base: u64,
    pub segment: u16,
    pub first_bus: u8,
    pub last_bus: u8,
}

impl Window {
    /// All buses of segment 0.
    pub fn new(base: u64) -> Option<Self> {
        Window { base, segment: 0, first_bus: 0, last_bus: 255 }.checked()
    }

    fn checked(self) -> Option<Self> {
        let fits = self.base != 0 && self.base & 0xf_ffff == 0 && self.base < 1 << 52;
        (fits && self.first_bus <= self.last_bus).then_some(self)
    }
}

const HEADER: usize = 36 + 8;
const ENTRY: usize = 16;

/// The windows of a whole MCFG table, header included, whose checksum is the caller's to verify. Entries that are cut
/// short or make no sense are left out.
pub fn windows(table: &[u8]) -> impl Iterator<Item = Window> + '_ {
    let entries = table.get(HEADER..).unwrap_or(&[]);
    entries.as_chunks::<ENTRY>().0.iter().filter_map(|entry| {
        let [b0, b1, b2, b3, b4, b5, b6, b7, s0, s1, first_bus, last_bus, ..] = *entry;
        let base = u64::from_le_bytes([b0, b1, b2, b3, b4, b5, b6, b7]);
        Window { base, segment: u16::from_le_bytes([s0, s1]), first_bus, last_bus }.checked()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{vec, vec::Vec};

    fn entry(base: u64, segment: u16, buses: (u8, u8)) -> Vec<u8> {
        let mut entry = base.to_le_bytes().to_vec();
        entry.extend(segment.to_le_bytes());
        entry.extend([buses.0, buses.1, 0, 0, 0, 0]);
        entry
    }

    #[test]
    fn reads_entries_and_leaves_out_bad_ones() {
        let mut table = vec![0; HEADER];
        table.extend(entry(0xb000_0000, 0, (0, 255)));
        table.extend(entry(0, 0, (0, 255)));
        table.extend(entry(0xc000_1000, 0, (0, 255)));
        table.extend(entry(0xe000_0000, 1, (9, 3)));
        table.extend(entry(0x40_0000_0000, 2, (1, 1)));
        table.extend([0xff; 15]);
        let read: Vec<_> = windows(&table).collect();
        let expected = [
            Window { base: 0xb000_0000, segment: 0, first_bus: 0, last_bus: 255 },
            Window { base: 0x40_0000_0000, segment: 2, first_bus: 1, last_bus: 1 },
        ];
        assert_eq!(read, expected);
        assert_eq!(windows(&table[..HEADER - 1]).count(), 0);
    }
}
