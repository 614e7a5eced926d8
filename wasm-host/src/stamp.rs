//! When a line of a log was written.

use crate::platform::{Nanos, Platform};
use core::fmt;

/// As logs show it: `2026-11-30 10:32:01.123456` of UTC, or the seconds since the node's boot while it does not know the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// since the node's boot
    pub at: Nanos,
    /// nanoseconds since 1970, in UTC
    pub time: Option<u64>,
}

impl Stamp {
    pub fn now(platform: &dyn Platform) -> Self {
        Stamp { at: platform.now(), time: platform.wall_clock() }
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = self.time.map(|nanos| time::UtcDateTime::from_unix_timestamp_nanos(nanos.into()));
        if let Some(Ok(date)) = date {
            let (year, month, day) = date.to_calendar_date();
            let (hour, minute, second, micro) = date.as_hms_micro();
            write!(f, "{year}-{:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micro:06}", u8::from(month))
        } else {
            let micros = self.at / 1_000;
            write!(f, "{:5}.{:06}", micros / 1_000_000, micros % 1_000_000)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_time_that_is_known_is_told_and_else_that_since_the_boot() {
        let stamp = |time| Stamp { at: 1_234_567_890, time }.to_string();
        assert_eq!(stamp(None), "    1.234567");
        assert_eq!(stamp(Some(1_709_210_096_123_456_789)), "2024-02-29 12:34:56.123456");
        assert_eq!(stamp(Some(u64::MAX)), "2554-07-21 23:34:33.709551");
    }
}
