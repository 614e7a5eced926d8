//! Sizes and durations as people write them.

use super::Reader;
use super::size;
use super::table::{Value, integer};
use alloc::{
    format,
    string::{String, ToString},
};
use core::ops::RangeInclusive;
use core::time::Duration;
use toml::de::DeValue;

const SIZES: &[(&str, u64)] = &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
const DURATIONS: &[(&str, u64)] = &[("ms", 1), ("s", 1000), ("min", 60_000), ("h", 3_600_000)];

/// A number and a unit, with or without a space between them.
fn quantity(text: &str, units: &[(&str, u64)]) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start();
    let names = || units.iter().map(|(name, _)| *name).collect::<alloc::vec::Vec<_>>().join(", ");
    if number.is_empty() {
        return Err(format!("does not begin with a whole number (units: {})", names()));
    }
    let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
        let near = units.iter().find(|(name, _)| {
            let plain = |text: &str| text.to_ascii_lowercase().replace('i', "");
            plain(name) == plain(unit) || (plain(name).starts_with(&plain(unit)) && !unit.is_empty())
        });
        return Err(match near {
            Some((name, _)) => format!("has no unit of Pearwood's; did you mean \"{number} {name}\"?"),
            None => format!("has no unit of Pearwood's ({})", names()),
        });
    };
    number.parse::<u64>().ok().and_then(|n| n.checked_mul(*factor)).ok_or_else(|| "is too large".to_string())
}

impl Reader {
    /// Bytes: `"16 MiB"`, or a plain number.
    pub fn size(&mut self, value: &Value<'_>, what: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let bytes = match value.get_ref() {
            DeValue::String(text) => quantity(text, SIZES).map_err(|why| format!("{what} = \"{text}\" {why}")),
            DeValue::Integer(written) => integer(value.get_ref())
                .and_then(|n| u64::try_from(n).ok())
                .ok_or_else(|| format!("{what} = {written} is no size")),
            _ => return self.wrong_type(value, what, "a size such as \"16 MiB\""),
        };
        let bytes = bytes.and_then(|bytes| {
            if range.contains(&bytes) {
                Ok(bytes)
            } else {
                Err(format!("{what} is from {} to {}, not {}", size(*range.start()), size(*range.end()), size(bytes)))
            }
        });
        bytes.map_err(|message| self.fault(value.span(), message)).ok()
    }

    /// `"100 ms"`, `"30 s"`, `"5 min"`.
    pub fn duration(&mut self, value: &Value<'_>, what: &str, max: Duration) -> Option<Duration> {
        let DeValue::String(text) = value.get_ref() else {
            return self.wrong_type(value, what, "a duration such as \"100 ms\"");
        };
        let duration = match quantity(text, DURATIONS).map(Duration::from_millis) {
            Ok(duration) if duration <= max => Ok(duration),
            Ok(_) => Err(format!("{what} = \"{text}\" is longer than {} s", max.as_secs())),
            Err(why) => Err(format!("{what} = \"{text}\" {why}")),
        };
        duration.map_err(|message| self.fault(value.span(), message)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities() {
        assert_eq!(quantity("16 MiB", SIZES), Ok(16 << 20));
        assert_eq!(quantity("512KiB", SIZES), Ok(512 << 10));
        assert_eq!(quantity(" 0 B ", SIZES), Ok(0));
        assert_eq!(quantity("30 s", DURATIONS), Ok(30_000));
        assert!(quantity("16 MB", SIZES).unwrap_err().contains("\"16 MiB\""));
        assert!(quantity("16 m", SIZES).unwrap_err().contains("\"16 MiB\""));
        for bad in ["", "MiB", "-1 MiB", "1.5 GiB", "16", "99999999999999999999 B", "18446744073709551615 KiB"] {
            assert!(quantity(bad, SIZES).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_written_as_read() {
        for text in ["16 MiB", "1 GiB", "1536 KiB", "7 B", "0 B"] {
            assert_eq!(size(quantity(text, SIZES).unwrap()), text);
        }
    }
}
