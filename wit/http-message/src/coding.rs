//! Content codings: what a client would rather have (RFC 9110, section 12.5.3).

use crate::fields::elements;

/// The codings that are told apart, beside `identity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    Gzip,
    Brotli,
}

/// What the fields `Accept-Encoding` of a request say together. Qualities are in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Accepted {
    gzip: Option<u16>,
    brotli: Option<u16>,
    identity: Option<u16>,
    any: Option<u16>,
}

impl Accepted {
    /// Takes in one field's value. What has no valid weight counts as if it were not there.
    pub fn add(&mut self, value: &[u8]) {
        for element in elements(value) {
            let mut parts = element.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let coding = parts.next().unwrap_or_default();
            let Some(quality) = quality(parts) else { continue };
            let is = |token: &str| coding.eq_ignore_ascii_case(token.as_bytes());
            match () {
                () if is("br") => self.brotli = Some(quality),
                () if is("gzip") || is("x-gzip") => self.gzip = Some(quality),
                () if is("identity") => self.identity = Some(quality),
                () if is("*") => self.any = Some(quality),
                () => {}
            }
        }
    }

    /// How much it likes a coding; 0: not at all.
    pub fn quality(&self, coding: Coding) -> u16 {
        let named = if coding == Coding::Brotli { self.brotli } else { self.gzip };
        named.or(self.any).unwrap_or(0)
    }

    /// Identity is acceptable unless excluded, but whoever names a coding prefers it to an identity left unnamed.
    pub fn identity(&self) -> u16 {
        self.identity.unwrap_or(if self.any == Some(0) { 0 } else { 1 })
    }

    /// Whether it likes a coding at least as much as none.
    pub fn prefers(&self, coding: Coding) -> bool {
        let quality = self.quality(coding);
        quality > 0 && quality >= self.identity()
    }
}

/// The `q` among parameters, 1 without one; none if it is not a weight of RFC 9110, section 12.4.2.
fn quality<'a>(parameters: impl Iterator<Item = &'a [u8]>) -> Option<u16> {
    for parameter in parameters {
        let mut halves = parameter.splitn(2, |byte| *byte == b'=').map(<[u8]>::trim_ascii);
        if halves.next().is_some_and(|name| name.eq_ignore_ascii_case(b"q")) {
            return thousandths(halves.next()?);
        }
    }
    Some(1_000)
}

fn thousandths(weight: &[u8]) -> Option<u16> {
    let (whole, decimals) = match weight {
        [whole] => (whole, &[][..]),
        [whole, b'.', decimals @ ..] if decimals.len() <= 3 && decimals.iter().all(u8::is_ascii_digit) => {
            (whole, decimals)
        }
        _ => return None,
    };
    let fraction = (0..3).fold(0, |sum, at| sum * 10 + decimals.get(at).map_or(0, |digit| u16::from(digit - b'0')));
    match whole {
        b'0' => Some(fraction),
        b'1' if fraction == 0 => Some(1_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whether_gzip_is_preferred() {
        for (header, expected) in [
            ("gzip, deflate, br, zstd", true),
            ("X-Gzip", true),
            ("gzip;q=0.001", true),
            ("identity;q=0.5, gzip;q=0.5", true),
            ("*", true),
            ("*;q=0, gzip", true),
            ("", false),
            ("br", false),
            ("gzip;q=0", false),
            ("gzip;q=0.000, *", false),
            ("*;q=0", false),
            ("identity, gzip;q=0.5", false),
            ("gzip;q=2", false),
            ("gzip;q=0.1234", false),
            ("gzip;q=", false),
            ("gzi", false),
        ] {
            let mut accepted = Accepted::default();
            accepted.add(header.as_bytes());
            assert_eq!(accepted.prefers(Coding::Gzip), expected, "{header:?}");
        }
        assert!(!Accepted::default().prefers(Coding::Gzip));
    }
}
