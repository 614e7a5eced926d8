//! The 8254 interval timer, as a clock to measure others by. Its counter 0 counts down, 1,193,182 times a second, and
//! comes round every 55 ms.

use x86_64::instructions::port::Port;

use super::rate::{self, Sample};

pub const HERTZ: u64 = 1_193_182;
/// 1 ms: the counter is read to the microsecond, so this is good to a few thousandths.
const LONG_ENOUGH: u64 = HERTZ / 1000;

const COUNTER_0: u16 = 0x40;
const COMMAND: u16 = 0x43;
/// counter 0, both bytes, rate generator
const RATE_GENERATOR: u8 = 0x34;
const LATCH_0: u8 = 0x00;

/// Starts the counter and measures by it. `None`: there is none, or it stands still.
pub fn sample() -> Option<Sample> {
    // SAFETY: the interval timer's ports, or nobody's; its interrupt is masked.
    #[allow(unsafe_code)]
    unsafe {
        Port::new(COMMAND).write(RATE_GENERATOR);
        Port::<u8>::new(COUNTER_0).write(0); // 65,536
        Port::<u8>::new(COUNTER_0).write(0);
    }
    let (mut last, mut total) = (read(), 0);
    rate::count(HERTZ, LONG_ENOUGH, || {
        let now = read();
        total += u64::from(last.wrapping_sub(now));
        last = now;
        total
    })
}

/// The counter, which goes down.
pub fn read() -> u16 {
    // SAFETY: as in `sample`.
    #[allow(unsafe_code)]
    unsafe {
        Port::new(COMMAND).write(LATCH_0);
        let mut counter = Port::new(COUNTER_0);
        u16::from_le_bytes([counter.read(), counter.read()])
    }
}
