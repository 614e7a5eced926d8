//! Conditional requests: RFC 9110, section 13, in the order of its section 13.2.2, for GET and HEAD.
//!
//! The entity tag, which is made of the content, is the only thing that says which version a client has. A date cannot: files of
//! two deploys may have the same one (build systems that set all dates to one, and tools that keep them), and a deploy
//! that goes back to older files gives them older dates. So a date is told to clients, and is never taken as evidence that
//! what they have is what there is: `if-modified-since` yields no 304, and no part of a file is sent because of a date
//! (sections 8.8.2.2 and 13.1.5). It still is evidence of the contrary, for `if-unmodified-since`.

use crate::fields::{Fields, Name, elements};
use std::time::{Duration, SystemTime};

/// What a client may already have a copy of.
#[derive(Debug, Clone, Copy)]
pub struct Validators<'a> {
    /// A strong entity tag, quotes included.
    pub etag: &'a [u8],
    /// Seconds since 1970; 0: nobody knows.
    pub modified: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Proceed,
    /// 304
    NotModified,
    /// 412
    Failed,
}

pub fn evaluate(fields: &Fields<'_>, current: &Validators<'_>) -> Outcome {
    if fields.has(Name::IfMatch) {
        if !lists(fields, Name::IfMatch, current.etag, Comparison::Strong) {
            return Outcome::Failed;
        }
    } else if date(fields, Name::IfUnmodifiedSince).is_some_and(|date| current.modified > date) {
        return Outcome::Failed;
    }
    if fields.has(Name::IfNoneMatch) && lists(fields, Name::IfNoneMatch, current.etag, Comparison::Weak) {
        return Outcome::NotModified;
    }
    Outcome::Proceed
}

/// Whether a `range` is to be honoured: without `if-range`, or if that is the tag of the current version (section 13.1.5).
/// Not if a date alone says which version is meant.
pub fn range_applies(fields: &Fields<'_>, current: &Validators<'_>) -> bool {
    if fields.has(Name::IfRange) {
        return fields.single(Name::IfRange) == Some(current.etag);
    }
    fields.has(Name::IfMatch) || !fields.has(Name::IfUnmodifiedSince)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

/// `*`, or a list with the tag in it.
fn lists(fields: &Fields<'_>, name: Name, etag: &[u8], comparison: Comparison) -> bool {
    fields.values(name).any(|value| value == b"*")
        || fields.values(name).flat_map(elements).any(|tag| match tag.strip_prefix(b"W/") {
            Some(opaque) => comparison == Comparison::Weak && opaque == etag,
            None => tag == etag,
        })
}

/// A date field; one that is repeated or no HTTP date is ignored (sections 13.1.3 and 13.1.4).
fn date(fields: &Fields<'_>, name: Name) -> Option<u64> {
    parse_date(fields.single(name)?)
}

/// Seconds since 1970 of an HTTP date in any of its three forms.
fn parse_date(value: &[u8]) -> Option<u64> {
    let date = httpdate::parse_http_date(str::from_utf8(value).ok()?).ok()?;
    date.duration_since(SystemTime::UNIX_EPOCH).ok().map(|since| since.as_secs())
}

/// An HTTP date (section 5.6.7). None for years beyond 9999, which it cannot express.
pub fn format_date(seconds: u64) -> Option<String> {
    const YEAR_10000: u64 = 253_402_300_800;
    (seconds < YEAR_10000).then(|| httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Outcome::*;

    const CURRENT: Validators<'_> = Validators { etag: b"\"now\"", modified: 784_111_777 };
    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn evaluate(lines: &[(&str, &str)]) -> Outcome {
        super::evaluate(&Fields::scan(joined(lines).as_bytes()), &CURRENT)
    }

    fn joined(lines: &[(&str, &str)]) -> String {
        lines.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect()
    }

    #[test]
    fn each_alone() {
        for (name, value, expected) in [
            ("if-match", "\"now\"", Proceed),
            ("if-match", "*", Proceed),
            ("if-match", "\"old\", \"now\"", Proceed),
            ("if-match", "\"old\"", Failed),
            ("if-match", "W/\"now\"", Failed),
            ("if-match", "now", Failed),
            ("if-match", "", Failed),
            ("if-none-match", "\"now\"", NotModified),
            ("if-none-match", "W/\"now\"", NotModified),
            ("if-none-match", "w/\"now\"", Proceed),
            ("if-none-match", "\"a,b\",\"now\"", NotModified),
            ("if-none-match", "*", NotModified),
            ("if-none-match", "\"old\"", Proceed),
            ("if-none-match", "now", Proceed),
            ("if-modified-since", DATE, Proceed),
            ("if-modified-since", AFTER, Proceed),
            ("if-modified-since", BEFORE, Proceed),
            ("if-modified-since", "Sunday, 06-Nov-94 08:49:37 GMT", Proceed),
            ("if-modified-since", "Sun Nov  6 08:49:37 1994", Proceed),
            ("if-modified-since", "yesterday", Proceed),
            ("if-unmodified-since", DATE, Proceed),
            ("if-unmodified-since", AFTER, Proceed),
            ("if-unmodified-since", BEFORE, Failed),
            ("if-unmodified-since", "Sunday, 06-Nov-94 08:49:36 GMT", Failed),
            ("if-unmodified-since", "Sun Nov  6 08:49:36 1994", Failed),
            ("if-unmodified-since", "yesterday", Proceed),
        ] {
            assert_eq!(evaluate(&[(name, value)]), expected, "{name}: {value}");
        }
    }

    #[test]
    fn precedence() {
        let (hit, miss) = ("\"now\"", "\"old\"");
        for (lines, expected) in [
            // if-match makes if-unmodified-since void
            (&[("if-match", hit), ("if-unmodified-since", BEFORE)][..], Proceed),
            (&[("if-match", miss), ("if-unmodified-since", AFTER)], Failed),
            (&[("if-none-match", miss), ("if-modified-since", AFTER)], Proceed),
            (&[("if-none-match", hit), ("if-modified-since", BEFORE)], NotModified),
            // the first pair comes before the second
            (&[("if-match", miss), ("if-none-match", hit)], Failed),
            (&[("if-match", hit), ("if-none-match", hit)], NotModified),
            (&[("if-match", hit), ("if-none-match", miss)], Proceed),
            (&[("if-match", hit), ("if-modified-since", AFTER)], Proceed),
            (&[("if-match", miss), ("if-modified-since", BEFORE)], Failed),
            (&[("if-unmodified-since", BEFORE), ("if-none-match", hit)], Failed),
            (&[("if-unmodified-since", AFTER), ("if-none-match", hit)], NotModified),
            (&[("if-unmodified-since", BEFORE), ("if-modified-since", AFTER)], Failed),
            (&[("if-unmodified-since", AFTER), ("if-modified-since", BEFORE)], Proceed),
            // lists may come as several lines, dates may not
            (&[("if-match", miss), ("if-match", hit)], Proceed),
            (&[("if-none-match", miss), ("if-none-match", hit)], NotModified),
            (&[("if-modified-since", AFTER), ("if-modified-since", AFTER)], Proceed),
            (&[("if-unmodified-since", BEFORE), ("if-unmodified-since", BEFORE)], Proceed),
            // they differ in case only
            (&[("IF-NONE-MATCH", hit)], NotModified),
        ] {
            assert_eq!(evaluate(lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn if_range_wants_exactly_this_version() {
        for (value, expected) in [
            ("\"now\"", true),
            ("\"old\"", false),
            ("W/\"now\"", false),
            ("now", false),
            ("*", false),
            (DATE, false),
            (BEFORE, false),
            (AFTER, false),
            ("", false),
        ] {
            let lines = joined(&[("if-range", value)]);
            assert_eq!(range_applies(&Fields::scan(lines.as_bytes()), &CURRENT), expected, "{value}");
        }
        assert!(range_applies(&Fields::scan(b""), &CURRENT));
        for (lines, expected) in [
            (&[("if-range", "\"now\""), ("if-range", "\"now\"")][..], false),
            // a date that does not contradict is not evidence
            (&[("if-unmodified-since", DATE)], false),
            (&[("if-unmodified-since", DATE), ("if-range", "\"now\"")], true),
            (&[("if-unmodified-since", DATE), ("if-match", "\"now\"")], true),
        ] {
            assert_eq!(range_applies(&Fields::scan(joined(lines).as_bytes()), &CURRENT), expected, "{lines:?}");
        }
    }

    #[test]
    fn without_a_date_no_date_condition_holds() {
        let undated = Validators { modified: 0, ..CURRENT };
        let outcome = |lines: String| super::evaluate(&Fields::scan(lines.as_bytes()), &undated);
        assert_eq!(outcome(joined(&[("if-unmodified-since", BEFORE)])), Proceed);
    }

    #[test]
    fn dates() {
        assert_eq!(format_date(784_111_777).as_deref(), Some(DATE));
        assert_eq!(format_date(0).as_deref(), Some("Thu, 01 Jan 1970 00:00:00 GMT"));
        assert_eq!(format_date(253_402_300_799).as_deref(), Some("Fri, 31 Dec 9999 23:59:59 GMT"));
        assert_eq!(format_date(253_402_300_800), None);
        assert_eq!(format_date(u64::MAX), None);
    }
}
