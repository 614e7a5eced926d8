//! The time of day: read once from the CMOS clock, then carried by the monotonic clock.
//!
//! The clock is an MC146818 (Motorola datasheet "MC146818A", 1984) or its descendant in the chipset (Intel 500 series
//! PCH datasheet volume 1, "RTC"): an index port and a data port, registers in BCD or binary, and a flag that says when
//! they must not be read. Machines without one answer with all ones, which no rule below accepts.
//!
//! Firmware keeps the clock in UTC or in local time and does not say which; Pearwood takes it as UTC.

use core::sync::atomic::{AtomicU64, Ordering};

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Wall clock minus monotonic clock, in nanoseconds; 0 while the time is unknown (1970 is no time to boot).
static OFFSET: AtomicU64 = AtomicU64::new(0);

/// Nanoseconds since 1970 at the monotonic time `now`, if the machine knows.
pub fn at(now: u64) -> Option<u64> {
    match OFFSET.load(Ordering::Relaxed) {
        0 => None,
        offset => Some(offset.wrapping_add(now)),
    }
}

/// Says that the monotonic time `now` is `wall` nanoseconds after 1970.
pub fn set(now: u64, wall: u64) {
    OFFSET.store(wall.wrapping_sub(now), Ordering::Relaxed);
}

/// Reads the CMOS clock and anchors it to the monotonic time `now`. False if there is no such clock or it has lost its
/// time. `century` is the register that the ACPI FADT names, 0 or none if it names none.
///
/// The clock counts whole seconds, so the time is up to a second behind.
pub fn init(cmos: &mut impl Cmos, century: Option<u8>, now: u64) -> bool {
    let century = century.filter(|register| (0x0e..0x80).contains(register));
    match read(cmos, century) {
        Some(date) => {
            set(now, date.seconds_since_1970() * NANOS_PER_SECOND);
            true
        }
        None => false,
    }
}

/// The CMOS registers.
pub trait Cmos {
    fn read(&mut self, register: u8) -> u8;
}

/// A date and time of day in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date {
    pub year: u16,
    pub month: u8,
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
}

impl Date {
    fn is_valid(&self) -> bool {
        let leap = self.year.is_multiple_of(4) && !self.year.is_multiple_of(100) || self.year.is_multiple_of(400);
        let days = match self.month {
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            1..=12 => 31,
            _ => return false,
        };
        (1970..=2261).contains(&self.year)
            && (1..=days).contains(&self.day)
            && self.hour < 24
            && self.minute < 60
            && self.second < 60
    }

    /// Of a valid date.
    pub fn seconds_since_1970(&self) -> u64 {
        // Count the years from March, so that the leap day is the last of its year and a month's first day is a
        // linear function of its number.
        let (year, month) = match self.month {
            1 | 2 => (u64::from(self.year) - 1, u64::from(self.month) + 9),
            month => (u64::from(self.year), u64::from(month) - 3),
        };
        let before_year = year * 365 + year / 4 - year / 100 + year / 400;
        let before_month = (153 * month + 2) / 5;
        /// 1 March of year 0 to 1 January 1970.
        const EPOCH: u64 = 719_468;
        let days = before_year + before_month + u64::from(self.day) - 1 - EPOCH;
        ((days * 24 + u64::from(self.hour)) * 60 + u64::from(self.minute)) * 60 + u64::from(self.second)
    }
}

const SECONDS: u8 = 0x00;
const MINUTES: u8 = 0x02;
const HOURS: u8 = 0x04;
const DAY: u8 = 0x07;
const MONTH: u8 = 0x08;
const YEAR: u8 = 0x09;
const STATUS_A: u8 = 0x0a;
const STATUS_B: u8 = 0x0b;
const STATUS_D: u8 = 0x0d;

const UPDATE_IN_PROGRESS: u8 = 1 << 7;
const BINARY: u8 = 1 << 2;
const HOURS_24: u8 = 1 << 1;
const BATTERY_GOOD: u8 = 1 << 7;
const AFTERNOON: u8 = 1 << 7;

/// An update lasts 2 ms at most, and a register access takes a microsecond on real machines.
const LONGEST_UPDATE: usize = 20_000;

/// The registers as they are: seconds, minutes, hours, day, month, year, century.
type Raw = [u8; 7];

fn read(cmos: &mut impl Cmos, century: Option<u8>) -> Option<Date> {
    if cmos.read(STATUS_D) & BATTERY_GOOD == 0 {
        return None;
    }
    // An update can begin between the flag and the last register: two readings alike saw none.
    let mut last = read_registers(cmos, century)?;
    for _ in 0..8 {
        let next = read_registers(cmos, century)?;
        if next == last {
            return decode(next, century.is_some(), cmos.read(STATUS_B));
        }
        last = next;
    }
    None
}

fn read_registers(cmos: &mut impl Cmos, century: Option<u8>) -> Option<Raw> {
    let idle = (0..LONGEST_UPDATE).any(|_| cmos.read(STATUS_A) & UPDATE_IN_PROGRESS == 0);
    if !idle {
        return None;
    }
    let [second, minute, hour, day, month, year] =
        [SECONDS, MINUTES, HOURS, DAY, MONTH, YEAR].map(|register| cmos.read(register));
    Some([second, minute, hour, day, month, year, century.map_or(0, |register| cmos.read(register))])
}

fn decode(raw: Raw, has_century: bool, status_b: u8) -> Option<Date> {
    let number = |register: u8| match status_b & BINARY != 0 {
        true => Some(register),
        false if register & 0x0f > 9 || register >> 4 > 9 => None,
        false => Some((register >> 4) * 10 + (register & 0x0f)),
    };
    let [second, minute, hour, day, month, year, century] = raw;
    let hour = if status_b & HOURS_24 != 0 {
        number(hour)?
    } else {
        // 12 comes before 1, morning and afternoon alike.
        let clock = number(hour & !AFTERNOON)?;
        if !(1..=12).contains(&clock) {
            return None;
        }
        clock % 12 + if hour & AFTERNOON != 0 { 12 } else { 0 }
    };
    // Firmware that names a century register does not always keep it.
    let century = if has_century { number(century).filter(|century| (19..=22).contains(century)) } else { None };
    let date = Date {
        year: u16::from(century.unwrap_or(20)) * 100 + u16::from(number(year).filter(|year| *year < 100)?),
        month: number(month)?,
        day: number(day)?,
        hour,
        minute: number(minute)?,
        second: number(second)?,
    };
    date.is_valid().then_some(date)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Registers by number, changed after so many reads.
    struct Fake {
        registers: [u8; 128],
        reads: usize,
        at: usize,
        then: fn(&mut [u8; 128]),
    }

    impl Fake {
        fn new(registers: &[(u8, u8)]) -> Self {
            let mut fake = Fake { registers: [0; 128], reads: 0, at: usize::MAX, then: |_| () };
            fake.registers[usize::from(STATUS_D)] = BATTERY_GOOD;
            for (register, value) in registers {
                fake.registers[usize::from(*register)] = *value;
            }
            fake
        }
    }

    impl Cmos for Fake {
        fn read(&mut self, register: u8) -> u8 {
            if self.reads == self.at {
                (self.then)(&mut self.registers);
            }
            self.reads += 1;
            self.registers[usize::from(register)]
        }
    }

    const BCD: [(u8, u8); 7] =
        [(SECONDS, 0x59), (MINUTES, 0x34), (HOURS, 0x23), (DAY, 0x31), (MONTH, 0x12), (YEAR, 0x26), (0x32, 0x20)];

    fn date(year: u16, month: u8, day: u8, hour: u8, minute: u8, second: u8) -> Date {
        Date { year, month, day, hour, minute, second }
    }

    #[test]
    fn days_count_from_1970() {
        for (then, seconds) in [
            (date(1970, 1, 1, 0, 0, 0), 0),
            (date(2000, 2, 29, 23, 59, 59), 951_868_799),
            (date(2000, 3, 1, 0, 0, 0), 951_868_800),
            (date(2026, 1, 1, 0, 0, 0), 1_767_225_600),
            (date(2038, 1, 19, 3, 14, 8), 1 << 31),
            (date(2100, 3, 1, 0, 0, 0), 4_107_542_400),
        ] {
            assert!(then.is_valid(), "{then:?}");
            assert_eq!(then.seconds_since_1970(), seconds, "{then:?}");
        }
    }

    #[test]
    fn bcd_in_24_hours() {
        let mut fake = Fake::new(&BCD);
        fake.registers[usize::from(STATUS_B)] = HOURS_24;
        assert_eq!(read(&mut fake, Some(0x32)), Some(date(2026, 12, 31, 23, 34, 59)));
    }

    #[test]
    fn binary_in_12_hours() {
        for (hour, expected) in [(12, 0), (1, 1), (11, 11), (0x80 | 12, 12), (0x80 | 1, 13), (0x80 | 11, 23)] {
            let mut fake =
                Fake::new(&[(STATUS_B, BINARY), (HOURS, hour), (DAY, 1), (MONTH, 2), (YEAR, 99), (0x32, 19)]);
            assert_eq!(read(&mut fake, Some(0x32)), Some(date(1999, 2, 1, expected, 0, 0)), "hour {hour:#x}");
        }
    }

    #[test]
    fn without_a_century_it_is_the_21st() {
        let mut fake = Fake::new(&BCD);
        fake.registers[usize::from(STATUS_B)] = HOURS_24;
        fake.registers[0x32] = 0xff;
        let expected = Some(date(2026, 12, 31, 23, 34, 59));
        assert_eq!(read(&mut fake, None), expected);
        assert_eq!(read(&mut fake, Some(0x32)), expected, "a century register that is not kept");
    }

    #[test]
    fn an_update_between_two_registers_is_seen() {
        // Seven reads in (status D, status A, seconds to month), the year turns.
        let mut fake = Fake::new(&BCD);
        fake.registers[usize::from(STATUS_B)] = HOURS_24;
        fake.at = 7;
        fake.then = |registers| {
            for (register, value) in [(SECONDS, 0), (MINUTES, 0), (HOURS, 0), (DAY, 0x01), (MONTH, 0x01), (YEAR, 0x27)]
            {
                registers[usize::from(register)] = value;
            }
        };
        assert_eq!(read(&mut fake, Some(0x32)), Some(date(2027, 1, 1, 0, 0, 0)));
    }

    #[test]
    fn waits_while_an_update_is_in_progress() {
        let mut fake = Fake::new(&BCD);
        fake.registers[usize::from(STATUS_B)] = HOURS_24;
        fake.registers[usize::from(STATUS_A)] = UPDATE_IN_PROGRESS;
        fake.at = 100;
        fake.then = |registers| registers[usize::from(STATUS_A)] = 0;
        assert!(read(&mut fake, None).is_some());
    }

    #[test]
    fn no_clock_and_nonsense_are_no_time() {
        let mut absent = Fake::new(&[]);
        absent.registers = [0xff; 128];
        assert_eq!(read(&mut absent, Some(0x32)), None);
        absent.registers = [0; 128];
        assert_eq!(read(&mut absent, Some(0x32)), None, "battery empty");
        for (register, value) in [(SECONDS, 0x60), (HOURS, 0x24), (DAY, 0), (MONTH, 0x13), (YEAR, 0x1a), (DAY, 0x32)] {
            let mut fake = Fake::new(&BCD);
            fake.registers[usize::from(STATUS_B)] = HOURS_24;
            fake.registers[usize::from(register)] = value;
            assert_eq!(read(&mut fake, None), None, "register {register:#x} = {value:#x}");
        }
        assert!(!date(2026, 2, 29, 0, 0, 0).is_valid());
    }

    #[test]
    fn anchored_to_the_monotonic_clock() {
        let mut fake = Fake::new(&BCD);
        fake.registers[usize::from(STATUS_B)] = HOURS_24;
        assert!(init(&mut fake, Some(0x32), 5));
        let then = date(2026, 12, 31, 23, 34, 59).seconds_since_1970() * NANOS_PER_SECOND;
        assert_eq!(at(5), Some(then));
        assert_eq!(at(15), Some(then + 10));
    }
}
