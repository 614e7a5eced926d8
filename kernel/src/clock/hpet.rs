//! The high precision event timer, as a clock to measure others by (IA-PC HPET specification 1.0a).

use core::ptr::NonNull;

use super::rate::{self, Sample};
use crate::memory::devices::{self, Caching};

/// Where chipsets put it.
const ADDRESS: u64 = 0xfed0_0000;
const CAPABILITIES: usize = 0x00;
const CONFIGURATION: usize = 0x10;
const COUNTER: usize = 0xf0;
const FEMTOSECONDS_PER_SECOND: u64 = 1_000_000_000_000_000;
/// The slowest that the specification allows, in femtoseconds per tick.
const SLOWEST: u64 = 100_000_000;

/// `None`: there is none.
#[allow(unsafe_code)]
pub fn sample() -> Option<Sample> {
    // SAFETY: the timer's registers, or nobody's: no machine has RAM there.
    let registers: NonNull<u64> = unsafe { devices::map(ADDRESS, 4096, Caching::Registers) }.ok()?.cast();
    // SAFETY: mapped; registers of the timer, or nobody's, which read as all ones or zeroes.
    let read = |offset| unsafe { registers.byte_add(offset).read_volatile() };
    let period = read(CAPABILITIES) >> 32;
    if period == 0 || period > SLOWEST {
        return None;
    }
    // SAFETY: as above; enables the main counter and nothing else.
    unsafe { registers.byte_add(CONFIGURATION).write_volatile(read(CONFIGURATION) | 1) };
    let hertz = FEMTOSECONDS_PER_SECOND / period;
    let start = read(COUNTER);
    rate::count(hertz, hertz / 1000, || read(COUNTER).wrapping_sub(start))
}
