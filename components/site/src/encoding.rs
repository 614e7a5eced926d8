//! Content codings: which precompressed variant of a file a client gets (RFC 9110, section 12.5.3).

use crate::fields::{Fields, Name};
use message::coding::{Accepted, Coding};

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
    if !fields.has(Name::AcceptEncoding) {
        return Encoding::Identity;
    }
    let mut accepted = Accepted::default();
    fields.values(Name::AcceptEncoding).for_each(|value| accepted.add(value));
    let mut best = (accepted.identity(), Encoding::Identity);
    for coding in Encoding::COMPRESSED.into_iter().rev().filter(|coding| available(*coding)) {
        let quality = match coding {
            Encoding::Brotli => accepted.quality(Coding::Brotli),
            Encoding::Gzip => accepted.quality(Coding::Gzip),
            Encoding::Identity => accepted.identity(),
        };
        if quality > 0 && quality >= best.0 {
            best = (quality, coding);
        }
    }
    best.1
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
