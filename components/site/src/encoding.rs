//! Content codings: which precompressed variant of a file a client gets (RFC 9110, section 12.5.3).

use crate::fields::{Fields, Name, elements};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Encoding {
    Identity,
    Gzip,
    Brotli,
}

impl Encoding {
    /// Best first: among codings a client likes equally, the earlier one is sent.
    pub const COMPRESSED: [Encoding; 2] = [Encoding::Brotli, Encoding::Gzip];

    /// The value of `content-encoding`.
    pub fn token(self) -> &'static str {
        match self {
            Encoding::Identity => "identity",
            Encoding::Gzip => "gzip",
            Encoding::Brotli => "br",
        }
    }

    /// What a variant's file name ends in, after the name of the file it is a variant of.
    pub fn suffix(self) -> &'static str {
        match self {
            Encoding::Identity => "",
            Encoding::Gzip => ".gz",
            Encoding::Brotli => ".br",
        }
    }
}

/// The coding to send, out of identity and those that are `available`.
///
/// A client that refuses identity and takes none of the others gets identity all the same, as the RFC permits:
/// an answer that it may refuse is of more use than none.
pub fn negotiate(fields: &Fields<'_>, available: impl Fn(Encoding) -> bool) -> Encoding {
    let Some(accepted) = Accepted::read(fields) else { return Encoding::Identity };
    let mut best = (accepted.identity(), Encoding::Identity);
    for coding in Encoding::COMPRESSED.into_iter().rev().filter(|coding| available(*coding)) {
        let quality = accepted.compressed(coding);
        if quality > 0 && quality >= best.0 {
            best = (quality, coding);
        }
    }
    best.1
}

/// Qualities in thousandths.
#[derive(Default)]
struct Accepted {
    gzip: Option<u16>,
    brotli: Option<u16>,
    identity: Option<u16>,
    any: Option<u16>,
}

impl Accepted {
    fn read(fields: &Fields<'_>) -> Option<Self> {
        if !fields.has(Name::AcceptEncoding) {
            return None;
        }
        let mut accepted = Accepted::default();
        for element in fields.values(Name::AcceptEncoding).flat_map(elements) {
            let mut parts = element.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let coding = parts.next().unwrap_or_default();
            let Some(quality) = quality(parts) else { continue };
            let is = |token: &str| coding.eq_ignore_ascii_case(token.as_bytes());
            match () {
                () if is("br") => accepted.brotli = Some(quality),
                () if is("gzip") || is("x-gzip") => accepted.gzip = Some(quality),
                () if is("identity") => accepted.identity = Some(quality),
                () if is("*") => accepted.any = Some(quality),
                () => {}
            }
        }
        Some(accepted)
    }

    fn compressed(&self, coding: Encoding) -> u16 {
        let named = if coding == Encoding::Brotli { self.brotli } else { self.gzip };
        named.or(self.any).unwrap_or(0)
    }

    /// Identity is acceptable unless excluded, but whoever names a coding prefers it to an identity left unnamed.
    fn identity(&self) -> u16 {
        self.identity.unwrap_or(if self.any == Some(0) { 0 } else { 1 })
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
    use Encoding::*;

    fn choice(header: &str, available: &[Encoding]) -> Encoding {
        let lines = format!("accept-encoding: {header}\r\n");
        negotiate(&Fields::scan(lines.as_bytes()), |coding| available.contains(&coding))
    }

    #[test]
    fn the_clients_preference_then_ours() {
        for (header, expected) in [
            ("gzip, deflate, br, zstd", Brotli),
            ("gzip", Gzip),
            ("GZIP", Gzip),
            ("x-gzip", Gzip),
            ("br", Brotli),
            ("br;q=0.5, gzip;q=0.9", Gzip),
            ("br;q=0.5, gzip;q=0.5", Brotli),
            ("br;q=0, gzip", Gzip),
            ("br;q=0,gzip;q=0", Identity),
            ("br;q=0.001", Brotli),
            ("br ; q=0.8 , gzip ; Q = 0.9", Gzip),
            ("identity, br;q=0.5", Identity),
            ("identity;q=0.5, gzip;q=0.5", Gzip),
            ("*", Brotli),
            ("*;q=0", Identity),
            ("*;q=0, gzip", Gzip),
            ("gzip;q=0, *", Brotli),
            ("br;q=0, *;q=0.5", Gzip),
            ("identity;q=0", Identity),
            ("identity;q=0, *", Brotli),
            ("deflate, zstd", Identity),
            ("", Identity),
            ("br;q=2", Identity),
            ("br;q=1.001", Identity),
            ("br;q=1.000", Brotli),
            ("br;q=0.1234", Identity),
            ("br;q=", Identity),
            ("br;q", Identity),
            ("br;level=5", Brotli),
            ("br;;q=0.2", Brotli),
        ] {
            assert_eq!(choice(header, &[Brotli, Gzip]), expected, "{header:?}");
        }
    }

    #[test]
    fn only_what_there_is() {
        assert_eq!(choice("br, gzip", &[Gzip]), Gzip);
        assert_eq!(choice("br, gzip", &[]), Identity);
        assert_eq!(choice("br", &[Gzip]), Identity);
        assert_eq!(negotiate(&Fields::scan(b""), |_| true), Identity);
    }

    #[test]
    fn several_lines_are_one_list() {
        let fields = Fields::scan(b"accept-encoding: gzip;q=0.5\r\naccept-encoding: br;q=0.1\r\n");
        assert_eq!(negotiate(&fields, |_| true), Gzip);
    }
}
