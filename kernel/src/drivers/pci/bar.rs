//! Base address registers (PCI Local Bus Specification 3.0, 6.2.5.1).

/// What a base address register decodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bar {
    Memory { address: u64, size: u64 },
    Ports { port: u32 },
}

/// A register (pair) as firmware left it, and as it reads back after all ones were written to it.
#[derive(Debug, Clone, Copy)]
pub struct Probe {
    pub low: u32,
    pub low_mask: u32,
    /// The next register and its mask, which hold the upper half of a 64-bit address. None for the last register.
    pub high: Option<(u32, u32)>,
}

const PORTS: u32 = 1;
const KIND: u32 = 0b110;
const KIND_32: u32 = 0b000;
const KIND_64: u32 = 0b100;

/// True if the register and the next one form a 64-bit address.
pub const fn is_64_bit(low: u32) -> bool {
    low & (PORTS | KIND) == KIND_64
}

/// True if the register is memory's and holds an address.
pub const fn is_placed(low: u32) -> bool {
    low & PORTS == 0 && low & !0xf != 0
}

/// None if the register is not implemented or of a kind that is reserved.
pub fn decode(probe: Probe) -> Option<Bar> {
    let Probe { low, low_mask, high } = probe;
    if low_mask & !0xf == 0 && !is_64_bit(low) {
        return None;
    }
    if low & PORTS != 0 {
        return Some(Bar::Ports { port: low & !0b11 });
    }
    let (address, mask) = match low & KIND {
        KIND_32 => (u64::from(low & !0xf), 0xffff_ffff_0000_0000 | u64::from(low_mask & !0xf)),
        KIND_64 => {
            let (high, high_mask) = high?;
            (u64::from(high) << 32 | u64::from(low & !0xf), u64::from(high_mask) << 32 | u64::from(low_mask & !0xf))
        }
        _ => return None,
    };
    // The ones that stuck are the bits of the address that can be chosen; the lowest of them is the size.
    let size = 1u64.checked_shl(mask.trailing_zeros())?;
    Some(Bar::Memory { address, size })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(low: u32, low_mask: u32, high: Option<(u32, u32)>) -> Option<Bar> {
        decode(Probe { low, low_mask, high })
    }

    #[test]
    fn memory_of_32_and_64_bits() {
        let expected = Some(Bar::Memory { address: 0xfebd_1000, size: 0x1000 });
        assert_eq!(probe(0xfebd_1000, 0xffff_f000, Some((0, 0))), expected);
        let expected = Some(Bar::Memory { address: 0xfe00_0000, size: 0x4000 });
        assert_eq!(probe(0xfe00_000c, 0xffff_c00c, Some((0, 0xffff_ffff))), expected);
        let expected = Some(Bar::Memory { address: 0x38_0000_0000, size: 0x2_0000_0000 });
        assert_eq!(probe(0xc, 0xc, Some((0x38, 0xffff_fffe))), expected);
    }

    #[test]
    fn placed_or_not() {
        assert!(is_placed(0xfe00_000c));
        assert!(!is_placed(0xc));
        assert!(!is_placed(0xc041), "ports");
    }

    #[test]
    fn ports() {
        assert_eq!(probe(0xc041, 0xffff_ffe1, None), Some(Bar::Ports { port: 0xc040 }));
    }

    #[test]
    fn what_is_not_implemented_or_reserved() {
        assert_eq!(probe(0, 0, Some((0, 0))), None);
        assert_eq!(probe(0xfe00_0006, 0xffff_f006, Some((0, 0))), None, "reserved kind");
        assert_eq!(probe(0xfe00_0004, 0xffff_f004, None), None, "64 bits in the last register");
        assert_eq!(probe(0x4, 0x4, Some((0, 0))), None, "no size");
    }
}
