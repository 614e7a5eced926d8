//! Byte ranges: RFC 9110, section 14.

use crate::fields::{Fields, Name};

/// Ranges a request may ask for; with more, its `range` is ignored (section 14.2 permits it, and warns of them).
pub const MOST_RANGES: usize = 16;

/// Bytes `first..end` of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub first: u64,
    pub end: u64,
}

impl Span {
    pub fn len(&self) -> u64 {
        self.end - self.first
    }

    /// Overlapping, or with so little between that two parts would be longer than one.
    fn belongs_with(&self, other: &Span) -> bool {
        /// about what the head of a part takes
        const GAP: u64 = 80;
        self.first <= other.end.saturating_add(GAP) && other.first <= self.end.saturating_add(GAP)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// 200: there is no range, or none that counts.
    Whole,
    /// 206: at least one, none empty, none overlapping, in the order asked for.
    Spans(Vec<Span>),
    /// 416
    Unsatisfiable,
}

/// What a request wants of a file of `size` bytes.
pub fn wanted(fields: &Fields<'_>, size: u64) -> Wanted {
    // Clients that put a range on every request still want the empty file.
    if !fields.has(Name::Range) || size == 0 {
        return Wanted::Whole;
    }
    let Some(specifiers) = fields.single(Name::Range).and_then(bytes_unit) else { return Wanted::Whole };
    let mut spans = Vec::new();
    let mut count = 0;
    for specifier in specifiers.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|one| !one.is_empty()) {
        count += 1;
        match parse(specifier, size) {
            Some(span) if count <= MOST_RANGES => spans.extend(span),
            _ => return Wanted::Whole,
        }
    }
    match (count, spans.is_empty()) {
        (0, _) => Wanted::Whole,
        (_, true) => Wanted::Unsatisfiable,
        (_, false) => Wanted::Spans(coalesce(spans)),
    }
}

/// The ranges after `bytes=`; other units are ignored.
fn bytes_unit(value: &[u8]) -> Option<&[u8]> {
    let (unit, specifiers) = value.split_at_checked(6)?;
    unit.eq_ignore_ascii_case(b"bytes=").then_some(specifiers)
}

/// `first-last`, `first-` or `-suffix`. Outer none: not a range; inner none: it selects nothing.
fn parse(specifier: &[u8], size: u64) -> Option<Option<Span>> {
    let dash = specifier.iter().position(|byte| *byte == b'-')?;
    let (first, last) = (&specifier[..dash], &specifier[dash + 1..]);
    let span = match (first.is_empty(), last.is_empty()) {
        (true, _) => Span { first: size.saturating_sub(number(last)?), end: size },
        (false, true) => Span { first: number(first)?, end: size },
        (false, false) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            Span { first, end: last.saturating_add(1).min(size) }
        }
    };
    Some((span.first < span.end).then_some(span))
}

/// Digits only; numbers too big for u64 are beyond any file, so they count as the largest.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'))))
}

/// Joins what belongs together into the earliest of its parts, so that the order asked for stays.
fn coalesce(spans: Vec<Span>) -> Vec<Span> {
    let mut joined: Vec<Span> = Vec::with_capacity(spans.len());
    for mut span in spans {
        let mut place = None;
        // A span grown by joining may now touch others.
        while let Some(at) = joined.iter().position(|other| other.belongs_with(&span)) {
            let other = joined.remove(at);
            span = Span { first: span.first.min(other.first), end: span.end.max(other.end) };
            place = Some(place.map_or(at, |place: usize| place.min(at)));
        }
        joined.insert(place.unwrap_or(joined.len()), span);
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(header: &str, size: u64) -> Wanted {
        super::wanted(&Fields::scan(format!("range: {header}\r\n").as_bytes()), size)
    }

    fn spans(spans: &[(u64, u64)]) -> Wanted {
        Wanted::Spans(spans.iter().map(|(first, end)| Span { first: *first, end: *end }).collect())
    }

    #[test]
    fn edges() {
        use Wanted::*;
        for (header, size, expected) in [
            ("bytes=0-0", 1000, spans(&[(0, 1)])),
            ("bytes=0-", 1000, spans(&[(0, 1000)])),
            ("bytes=0-999", 1000, spans(&[(0, 1000)])),
            ("bytes=0-1000", 1000, spans(&[(0, 1000)])),
            ("bytes=999-", 1000, spans(&[(999, 1000)])),
            ("bytes=1000-", 1000, Unsatisfiable),
            ("bytes=1000-2000", 1000, Unsatisfiable),
            ("bytes=-1", 1000, spans(&[(999, 1000)])),
            ("bytes=-1000", 1000, spans(&[(0, 1000)])),
            ("bytes=-1001", 1000, spans(&[(0, 1000)])),
            ("bytes=-0", 1000, Unsatisfiable),
            ("bytes=5-4", 1000, Whole),
            ("bytes=-", 1000, Whole),
            ("bytes=", 1000, Whole),
            ("bytes", 1000, Whole),
            ("bytes=a-b", 1000, Whole),
            ("bytes=+1-2", 1000, Whole),
            ("bytes=1 - 2", 1000, Whole),
            ("bytes=1-2-3", 1000, Whole),
            ("bytes=0x1-2", 1000, Whole),
            ("lines=0-1", 1000, Whole),
            ("BYTES=0-1", 1000, spans(&[(0, 2)])),
            ("bytes=18446744073709551615-", 1000, Unsatisfiable),
            ("bytes=0-18446744073709551615", 1000, spans(&[(0, 1000)])),
            ("bytes=0-99999999999999999999999", 1000, spans(&[(0, 1000)])),
            ("bytes=99999999999999999999999-", 1000, Unsatisfiable),
            ("bytes=-99999999999999999999999", 1000, spans(&[(0, 1000)])),
            ("bytes=0-18446744073709551615", u64::MAX, spans(&[(0, u64::MAX)])),
            ("bytes=0-", 0, Whole),
            ("bytes=-5", 0, Whole),
            ("bytes=0-0,500-500", 1000, spans(&[(0, 1), (500, 501)])),
            ("bytes= 0-0 , ,500-500 ,", 1000, spans(&[(0, 1), (500, 501)])),
            ("bytes=500-500,0-0", 1000, spans(&[(500, 501), (0, 1)])),
            ("bytes=0-0,2000-", 1000, spans(&[(0, 1)])),
            ("bytes=0-0,oops", 1000, Whole),
            ("bytes=2000-,3000-", 1000, Unsatisfiable),
        ] {
            assert_eq!(wanted(header, size), expected, "{header} of {size}");
        }
    }

    #[test]
    fn coalescing() {
        for (header, expected) in [
            ("bytes=0-9,10-19", &[(0, 20)][..]),
            ("bytes=0-9,5-19", &[(0, 20)]),
            ("bytes=0-9,0-9,0-9", &[(0, 10)]),
            ("bytes=0-9,89-99", &[(0, 100)]),
            ("bytes=0-9,91-99", &[(0, 10), (91, 100)]),
            ("bytes=500-599,0-9,550-699", &[(500, 700), (0, 10)]),
            ("bytes=0-9,500-509,5-505", &[(0, 510)]),
            ("bytes=300-309,0-9,900-909,-100,5-295", &[(0, 310), (900, 1000)]),
            ("bytes=0-,-1", &[(0, 1000)]),
        ] {
            assert_eq!(wanted(header, 1000), spans(expected), "{header}");
        }
    }

    #[test]
    fn no_more_than_the_most() {
        let header = |count: u64| {
            let ranges: Vec<_> = (0..count).map(|at| format!("{}-{}", at * 1000, at * 1000)).collect();
            format!("bytes={}", ranges.join(","))
        };
        let most: Vec<_> = (0..MOST_RANGES as u64).map(|at| (at * 1000, at * 1000 + 1)).collect();
        assert_eq!(wanted(&header(MOST_RANGES as u64), 1 << 20), spans(&most));
        assert_eq!(wanted(&header(MOST_RANGES as u64 + 1), 1 << 20), Wanted::Whole);
    }

    #[test]
    fn a_repeated_range_is_ignored() {
        let fields = Fields::scan(b"range: bytes=0-0\r\nrange: bytes=1-1\r\n");
        assert_eq!(super::wanted(&fields, 1000), Wanted::Whole);
    }
}
