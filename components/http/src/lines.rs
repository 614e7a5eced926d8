//! Header lines: what `httparse` found, with the place of each line in the head.

use httparse::Header;

/// Names that mean something to the HTTP box itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    Host,
    ContentLength,
    TransferEncoding,
    Connection,
    Expect,
    Date,
    Server,
    /// For this connection only (RFC 9110, section 7.6.1), or about trailers, which are not passed on.
    HopByHop,
    Other,
}

impl Name {
    #[inline]
    pub fn of(name: &str) -> Name {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        match name.len() {
            2 if is("te") => Name::HopByHop,
            4 if is("host") => Name::Host,
            4 if is("date") => Name::Date,
            6 if is("expect") => Name::Expect,
            6 if is("server") => Name::Server,
            7 if is("upgrade") || is("trailer") => Name::HopByHop,
            10 if is("connection") => Name::Connection,
            10 if is("keep-alive") => Name::HopByHop,
            14 if is("content-length") => Name::ContentLength,
            14 if is("http2-settings") => Name::HopByHop,
            16 if is("proxy-connection") => Name::HopByHop,
            17 if is("transfer-encoding") => Name::TransferEncoding,
            18 if is("proxy-authenticate") => Name::HopByHop,
            19 if is("proxy-authorization") => Name::HopByHop,
            _ => Name::Other,
        }
    }
}

/// One header line of a head.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    pub name: &'a str,
    pub value: &'a [u8],
    /// where the line is in the head, its CRLF included
    pub start: usize,
    pub end: usize,
}

impl Line<'_> {
    /// The line is exactly `name: value\r\n`.
    #[inline]
    pub fn is_plain(&self, head: &[u8]) -> bool {
        let colon = self.start + self.name.len();
        self.end - colon == self.value.len() + 4 && head[colon + 1] == b' '
    }
}

/// The lines that `httparse` found in `head`, a whole head with its empty line, all of which end in CRLF.
#[inline]
pub fn lines<'a, 'h>(head: &'a [u8], headers: &'h [Header<'a>]) -> impl Iterator<Item = Line<'a>> + use<'a, 'h> {
    headers.iter().enumerate().map(move |(index, header)| {
        let place = |header: &Header<'_>| (header.name.as_ptr() as usize).wrapping_sub(head.as_ptr() as usize);
        let start = place(header);
        let end = headers.get(index + 1).map_or(head.len() - 2, place);
        Line { name: header.name, value: header.value, start, end }
    })
}

/// The elements of a comma-separated value, without the whitespace around them. None is empty.
pub fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// The value of a `Content-Length`: digits only (RFC 9110, section 8.6).
#[inline]
pub fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 {
        return None;
    }
    value.iter().try_fold(0, |sum: u64, &byte| byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_lengths() {
        assert_eq!(content_length(b"0"), Some(0));
        assert_eq!(content_length(b"0042"), Some(42));
        assert_eq!(content_length(b"9999999999999999999"), Some(9_999_999_999_999_999_999));
        for bad in ["", "+1", "-1", "1 ", "1,1", "0x1", "1e3", "99999999999999999999", "\u{661}"] {
            assert_eq!(content_length(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn elements_of_lists() {
        let found: Vec<_> = elements(b" close,, keep-alive\t,x").collect();
        assert_eq!(found, [&b"close"[..], b"keep-alive", b"x"]);
    }
}
