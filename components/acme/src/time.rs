//! Times in words.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

fn of(seconds: u64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).ok()?).ok()
}

/// The day of seconds since 1970, as `2026-11-30`.
pub fn date(seconds: u64) -> String {
    of(seconds).map_or_else(|| "a day beyond all years".into(), |time| time.date().to_string())
}

/// Seconds since 1970 of a time of RFC 3339.
pub fn read_time(text: &str) -> Option<u64> {
    OffsetDateTime::parse(text.trim(), &Rfc3339).ok()?.unix_timestamp().try_into().ok()
}

/// So many seconds, in the largest unit that tells them roughly: `40 s`, `5 min`, `3 h`, `2 days`.
pub fn span(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "days"), (3_600, "h"), (60, "min"), (1, "s")];
    let (unit, name) = UNITS.into_iter().find(|(unit, _)| seconds >= 2 * unit).unwrap_or((1, "s"));
    format!("{} {name}", seconds.div_ceil(unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!((date(0), date(1_796_000_000)), ("1970-01-01".into(), "2026-11-30".into()));
        assert!(!date(u64::MAX).is_empty());
        for (text, seconds) in [
            ("1970-01-01T00:01:00Z", Some(60)),
            ("1970-01-01T01:01:00.5+01:00", Some(60)),
            ("1969-12-31T00:00:00Z", None),
            ("tomorrow", None),
            ("", None),
        ] {
            assert_eq!(read_time(text), seconds, "{text}");
        }
        for (seconds, text) in [(0, "0 s"), (5, "5 s"), (300, "5 min"), (10_000, "3 h"), (604_800, "7 days")] {
            assert_eq!(span(seconds), text);
        }
    }
}
