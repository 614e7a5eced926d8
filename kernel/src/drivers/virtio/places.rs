//! Where devices with memory-mapped registers are.
//!
//! The kernel command line says it, or the ACPI DSDT. On the command line it is
//! `virtio_mmio.device=<size>@<base>:<interrupt>[:<id>]`, as Linux defined it and QEMU and Firecracker write it: numbers
//! are decimal, `0x` hexadecimal or `0` octal; the size can end in K, M or G.

use crate::drivers::dsdt;
use core::fmt;

/// A device's registers and its line to the I/O APICs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub base: u64,
    pub size: usize,
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "virtio-mmio {:#x}", self.base)
    }
}

/// The registers (0x100 bytes) and at least some configuration, and nobody has more than this.
const SIZES: core::ops::RangeInclusive<u64> = 0x108..=0x10_0000;

const WORD: &str = "virtio_mmio.device=";

/// The hardware ID of such devices in ACPI.
const ACPI_ID: &str = "LNRO0005";

/// The places that the command line names, in its order, and the words that make no sense as one.
pub fn from_command_line(line: &str) -> impl Iterator<Item = Result<Place, &str>> {
    line.split_ascii_whitespace().filter_map(|word| {
        let place = word.strip_prefix(WORD)?;
        Some(parse(place).ok_or(word))
    })
}

/// The places that the DSDT describes.
pub fn from_dsdt(dsdt: &[u8]) -> impl Iterator<Item = Place> {
    dsdt::registers(dsdt, ACPI_ID).filter_map(|found| Place::new(found.base, found.size, found.line))
}

impl Place {
    fn new(base: u64, size: u64, line: u32) -> Option<Place> {
        let fits = base != 0 && base.is_multiple_of(4) && base.checked_add(size)? < 1 << 52 && SIZES.contains(&size);
        fits.then_some(Place { base, size: size as usize, line })
    }
}

fn parse(place: &str) -> Option<Place> {
    let (size, rest) = place.split_once('@')?;
    let mut fields = rest.split(':');
    let base = number(fields.next()?)?;
    let line = number(fields.next()?)?.try_into().ok()?;
    if let Some(id) = fields.next() {
        number(id)?;
    }
    match fields.next() {
        Some(_) => None,
        None => Place::new(base, scaled(size)?, line),
    }
}

fn scaled(text: &str) -> Option<u64> {
    let shift = match text.bytes().last()? {
        b'k' | b'K' => 10,
        b'm' | b'M' => 20,
        b'g' | b'G' => 30,
        _ => return number(text),
    };
    number(&text[..text.len() - 1])?.checked_mul(1 << shift)
}

fn number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&text[2..], 16),
        [b'0', _, ..] => (&text[1..], 8),
        _ => (text, 10),
    };
    let plain = digits.bytes().all(|digit| digit.is_ascii_alphanumeric());
    plain.then(|| u64::from_str_radix(digits, radix).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn words_as_qemu_and_firecracker_write_them() {
        let line = "console=ttyS0 virtio_mmio.device=512@0xfeb00e00:12 quiet  virtio_mmio.device=4K@0xd0000000:5:1";
        let read: Vec<_> = from_command_line(line).collect();
        let expected = [
            Ok(Place { base: 0xfeb0_0e00, size: 512, line: 12 }),
            Ok(Place { base: 0xd000_0000, size: 4096, line: 5 }),
        ];
        assert_eq!(read, expected);
        assert_eq!(from_command_line("").count(), 0);
    }

    #[test]
    fn other_numbers() {
        assert_eq!(parse("0x200@4273995776:014"), Some(Place { base: 0xfec0_0000, size: 512, line: 12 }));
    }

    #[test]
    fn nonsense_is_said_to_be() {
        for word in [
            "",
            "512",
            "512@",
            "512@0xfeb00e00",
            "512@0xfeb00e00:",
            "512@0xfeb00e00:12:",
            "512@0xfeb00e00:12:0:1",
            "512@0:12",
            "512@0xfeb00e01:12",
            "+512@0xfeb00e00:12",
            "16@0xfeb00e00:12",
            "2G@0xfeb00e00:12",
            "99999999999999999999@0xfeb00e00:12",
            "512@0xffffffffffffff00:12",
            "512@0xfeb00e00:4294967296",
            "K@0xfeb00e00:12",
            "512@0x:12",
            "512é@0xfeb00e00:12",
        ] {
            assert_eq!(parse(word), None, "{word}");
        }
        let line = "virtio_mmio.device=oops";
        assert_eq!(from_command_line(line).next(), Some(Err(line)));
    }
}
