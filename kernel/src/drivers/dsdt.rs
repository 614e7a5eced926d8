//! Resources that firmware describes in the ACPI machine language (ACPI specification 6.5, 6.4 and chapter 20).
//!
//! The language is not run: this finds the resource templates that stand in the table as literal bytes, which is how
//! hypervisors write them, and the device name that stands before each. Firmware that computes its resources is not
//! understood; on such machines devices are on PCI, and placed.

/// A range of addresses and an interrupt line, in one device's template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registers {
    pub base: u64,
    pub size: u64,
    pub line: u32,
}

/// A range of addresses that a bridge passes on, for its devices to be placed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub start: u64,
    pub end: u64,
}

const HID: &[u8] = b"_HID\x0d";
const CRS: &[u8] = b"_CRS\x11";

/// The registers of the devices whose hardware ID is that string.
pub fn registers<'a>(dsdt: &'a [u8], id: &'a str) -> impl Iterator<Item = Registers> + 'a {
    templates(dsdt).filter(move |(of, _)| *of == id.as_bytes()).filter_map(|(_, template)| {
        let (mut memory, mut line) = (None, None);
        for descriptor in descriptors(template) {
            match descriptor {
                Descriptor::FixedMemory { base, size } => memory = memory.or(Some((base, size))),
                Descriptor::Interrupt { line: number } => line = line.or(Some(number)),
                Descriptor::MemoryWindow(_) => {}
            }
        }
        let ((base, size), line) = (memory?, line?);
        Some(Registers { base: base.into(), size: size.into(), line })
    })
}

/// The first window of memory below 4 GiB.
pub fn memory_window(dsdt: &[u8]) -> Option<Window> {
    templates(dsdt).flat_map(|(_, template)| descriptors(template)).find_map(|descriptor| match descriptor {
        Descriptor::MemoryWindow(window) => Some(window),
        _ => None,
    })
}

/// Where the configuration space of a PCI Express bridge is, as its object `_CBA` says (PCI Firmware Specification 3.3,
/// 4.1.3): for machines that have no MCFG table.
pub fn configuration_base(dsdt: &[u8]) -> Option<u64> {
    const NAME: &[u8] = b"_CBA";
    let at = dsdt.windows(NAME.len()).position(|bytes| bytes == NAME)?;
    let after = &dsdt[at + NAME.len()..];
    // A name is followed by the number itself; a method by its flags and "return".
    let number = after.strip_prefix(b"\0\xa4").unwrap_or(after);
    match number {
        [0x0c, a, b, c, d, ..] => Some(u32::from_le_bytes([*a, *b, *c, *d]).into()),
        [0x0e, rest @ ..] => Some(u64::from_le_bytes(*rest.first_chunk()?)),
        _ => None,
    }
}

/// The resource templates, each with the hardware ID that was last given before it.
fn templates(dsdt: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = dsdt;
    let mut id: &[u8] = b"";
    core::iter::from_fn(move || {
        loop {
            if let Some(after) = rest.strip_prefix(HID) {
                id = after.split(|byte| *byte == 0).next().unwrap_or_default();
            } else if let Some(after) = rest.strip_prefix(CRS)
                && let Some(template) = buffer(after)
            {
                rest = &rest[CRS.len()..];
                return Some((id, template));
            }
            rest = rest.split_first()?.1;
        }
    })
}

/// The bytes of a buffer: package length, size, bytes (20.2.4, 20.2.5.4).
fn buffer(bytes: &[u8]) -> Option<&[u8]> {
    let lead = *bytes.first()?;
    let extra = usize::from(lead >> 6);
    let mut length = usize::from(if extra == 0 { lead & 0x3f } else { lead & 0x0f });
    for (index, byte) in bytes.get(1..=extra)?.iter().enumerate() {
        length |= usize::from(*byte) << (4 + 8 * index);
    }
    // The length counts itself.
    match bytes.get(1 + extra..length)? {
        [0x0a, _, content @ ..] | [0x0b, _, _, content @ ..] => Some(content),
        _ => None,
    }
}

enum Descriptor {
    FixedMemory { base: u32, size: u32 },
    Interrupt { line: u32 },
    MemoryWindow(Window),
}

/// The descriptors of a template that are of interest here (6.4.2, 6.4.3), up to its end or its first broken one.
fn descriptors(mut template: &[u8]) -> impl Iterator<Item = Descriptor> {
    core::iter::from_fn(move || {
        loop {
            let tag = *template.first()?;
            let (content, rest) = if tag & 0x80 == 0 {
                template[1..].split_at_checked(usize::from(tag & 7))?
            } else {
                let length = u16::from_le_bytes(*template.get(1..)?.first_chunk()?);
                template[3..].split_at_checked(length.into())?
            };
            template = rest;
            let u32_at = |offset: usize| Some(u32::from_le_bytes(*content.get(offset..)?.first_chunk()?));
            let descriptor = match tag {
                0x79 => return None,
                0x86 => u32_at(1).zip(u32_at(5)).map(|(base, size)| Descriptor::FixedMemory { base, size }),
                0x89 if content.get(1) == Some(&1) => u32_at(2).map(|line| Descriptor::Interrupt { line }),
                0x87 if content.first() == Some(&0) => window(u32_at(7), u32_at(11)).map(Descriptor::MemoryWindow),
                _ => None,
            };
            if descriptor.is_some() {
                return descriptor;
            }
        }
    })
}

fn window(first: Option<u32>, last: Option<u32>) -> Option<Window> {
    let (first, last) = (first?, last?);
    (first != 0 && first < last).then(|| Window { start: first.into(), end: u64::from(last) + 1 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    /// Two devices of QEMU's microvm.
    const MICROVM: &[u8] = b"\x5b\x82\x19PWRB\x08_HID\x0dPNP0C0C\0\x08_UID\0\
        \x5b\x82\x42\x04VR23\x08_HID\x0dLNRO0005\0\x08_UID\x0a\x17\x08_CCA\x01\
        \x08_CRS\x11\x1a\x0a\x17\x86\x09\0\x01\x00\x2e\xb0\xfe\0\x02\0\0\x89\x06\0\x01\x01\x2f\0\0\0\x79\0\
        \x5b\x82\x42\x04VR22\x08_HID\x0dLNRO0005\0\x08_UID\x0a\x16\x08_CCA\x01\
        \x08_CRS\x11\x1a\x0a\x17\x86\x09\0\x01\x00\x2c\xb0\xfe\0\x02\0\0\x89\x06\0\x01\x01\x2e\0\0\0\x79\0";

    /// Its PCI bridge: buses, a window of 32 bits, one of 64.
    const BRIDGE: &[u8] = b"\x08_HID\x0dPNP0C0F\0\x08_CRS\x11\x4e\x05\x0a\x5a\
        \x88\x0d\0\x02\x0c\0\0\0\0\0\xff\0\0\0\0\x01\
        \x87\x17\0\0\x0c\x01\0\0\0\0\0\0\0\xc0\xff\xff\xff\xdf\0\0\0\0\0\0\0\x20\
        \x8a\x2b\0\0\x0c\x01\0\0\0\0\0\0\0\0\0\0\0\0\xc0\0\0\0\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x40\0\0\0\
        \x79\0";

    #[test]
    fn devices_of_microvm() {
        let found: Vec<_> = registers(MICROVM, "LNRO0005").collect();
        let expected = [
            Registers { base: 0xfeb0_2e00, size: 512, line: 47 },
            Registers { base: 0xfeb0_2c00, size: 512, line: 46 },
        ];
        assert_eq!(found, expected);
        assert_eq!(registers(MICROVM, "PNP0C0C").count(), 0);
        assert_eq!(memory_window(MICROVM), None);
    }

    #[test]
    fn window_of_a_bridge() {
        assert_eq!(memory_window(BRIDGE), Some(Window { start: 0xc000_0000, end: 0xe000_0000 }));
        assert_eq!(registers(BRIDGE, "PNP0C0F").count(), 0);
    }

    #[test]
    fn configuration_space_of_a_bridge() {
        assert_eq!(configuration_base(b"\x14\x0c_CBA\0\xa4\x0c\0\0\0\xe0\x08"), Some(0xe000_0000));
        assert_eq!(configuration_base(b"\x08_CBA\x0e\0\0\0\0\x40\0\0\0"), Some(0x40_0000_0000));
        assert_eq!(configuration_base(b"\x08_CBA\x0e\0\0\0\0\x40\0\0"), None);
        assert_eq!(configuration_base(b"\x14\x0c_CBA\0\xa4\x68"), None, "computed");
        assert_eq!(configuration_base(MICROVM), None);
    }

    #[test]
    fn cut_short_anywhere_is_no_panic() {
        for whole in [MICROVM, BRIDGE] {
            for end in 0..whole.len() {
                let cut = &whole[..end];
                assert!(registers(cut, "LNRO0005").count() <= 2);
                let _ = memory_window(cut);
            }
        }
    }
}
