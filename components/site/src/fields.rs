//! The few header lines of a request that matter here.

use memchr::memchr;

/// A field this box reads. Its number is its bit in [`Fields`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    AcceptEncoding,
    IfMatch,
    IfNoneMatch,
    IfRange,
    IfUnmodifiedSince,
    Range,
}

impl Name {
    const ALL: [(Name, &str); 6] = [
        (Name::AcceptEncoding, "accept-encoding"),
        (Name::IfMatch, "if-match"),
        (Name::IfNoneMatch, "if-none-match"),
        (Name::IfRange, "if-range"),
        (Name::IfUnmodifiedSince, "if-unmodified-since"),
        (Name::Range, "range"),
    ];

    /// The field that a line is of, and the line's value.
    #[inline]
    fn of_line(line: &[u8]) -> Option<(Name, &[u8])> {
        // Nearly all lines end here.
        if !matches!(line.first()? | 0x20, b'a' | b'i' | b'r') {
            return None;
        }
        Name::ALL.iter().find_map(|(name, text)| {
            let (start, value) = line.split_at_checked(text.len())?;
            let is = value.first() == Some(&b':') && start.eq_ignore_ascii_case(text.as_bytes());
            is.then(|| (*name, value[1..].trim_ascii()))
        })
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The header lines of a request, and where those of interest are.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a> {
    /// By [`Name`]: the lines from the first of that name on, if there is one.
    from: [&'a [u8]; Name::ALL.len()],
    present: u8,
}

impl<'a> Fields<'a> {
    /// Reads lines `name: value\r\n`. What is not of that form is passed over.
    #[inline]
    pub fn scan(lines: &'a [u8]) -> Self {
        let mut fields = Fields { from: [&[]; Name::ALL.len()], present: 0 };
        let mut lines = Lines(lines);
        loop {
            let from = lines.0;
            let Some(line) = lines.next() else { return fields };
            if let Some((name, _)) = Name::of_line(line)
                && !fields.has(name)
            {
                fields.from[name as usize] = from;
                fields.present |= name.bit();
            }
        }
    }

    /// None of the fields of interest is there.
    #[inline]
    pub fn none(&self) -> bool {
        self.present == 0
    }

    #[inline]
    pub fn has(&self, name: Name) -> bool {
        self.present & name.bit() != 0
    }

    /// The values of all lines of that name, without whitespace around them.
    pub fn values(&self, name: Name) -> impl Iterator<Item = &'a [u8]> {
        Lines(self.from[name as usize])
            .filter_map(Name::of_line)
            .filter(move |(found, _)| *found == name)
            .map(|(_, value)| value)
    }

    /// The value of a field that may stand only once; none if it is repeated.
    pub fn single(&self, name: Name) -> Option<&'a [u8]> {
        let mut values = self.values(name);
        let value = values.next()?;
        values.next().is_none().then_some(value)
    }
}

struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let end = memchr(b'\n', self.0).unwrap_or(self.0.len());
        let line = &self.0[..end];
        self.0 = self.0.get(end + 1..).unwrap_or_default();
        Some(line)
    }
}

/// The elements of a list value: split at commas outside quotes, trimmed, empty ones left out
/// (RFC 9110, section 5.6.1).
pub fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    value
        .split(move |byte| {
            quoted ^= *byte == b'"';
            *byte == b',' && !quoted
        })
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_matters() {
        let fields = Fields::scan(
            b"accept: */*\r\nIf-None-Match: \"a\"\r\nrange:bytes=0-\r\nif-none-match: W/\"b\" \r\nreferer: x:y\r\n",
        );
        assert!(fields.has(Name::IfNoneMatch) && fields.has(Name::Range) && !fields.has(Name::IfMatch));
        assert!(!fields.none());
        let values: Vec<_> = fields.values(Name::IfNoneMatch).collect();
        assert_eq!(values, [&b"\"a\""[..], b"W/\"b\""]);
        assert_eq!(fields.single(Name::IfNoneMatch), None);
        assert_eq!(fields.single(Name::Range), Some(&b"bytes=0-"[..]));
        assert_eq!(fields.single(Name::IfRange), None);
    }

    #[test]
    fn every_name_is_found_whatever_its_case() {
        for (name, text) in Name::ALL {
            for text in [text.to_owned(), text.to_uppercase()] {
                let line = format!("{text}: v\r\n");
                assert_eq!(Fields::scan(line.as_bytes()).single(name), Some(&b"v"[..]), "{text}");
            }
        }
    }

    #[test]
    fn passes_over_the_rest() {
        for lines in ["", "\r\n", "range\r\n", "x-range: a\r\n", "accept: a\r\n", ":\r\n", "rang: e\r\n", "\n\n\n"] {
            assert!(Fields::scan(lines.as_bytes()).none(), "{lines:?}");
        }
    }

    #[test]
    fn lists() {
        let list: Vec<_> = elements(b" \"a,b\" ,, W/\"c\",d, ").collect();
        assert_eq!(list, [&b"\"a,b\""[..], b"W/\"c\"", b"d"]);
    }
}
