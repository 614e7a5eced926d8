//! Field lines (RFC 9110, sections 5 and 7.6.1): names, values, and whose they are.

use crate::grammar::{TOKEN, is};
use memchr::memchr;

/// Names that mean something to whoever passes messages on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    Host,
    ContentLength,
    TransferEncoding,
    Connection,
    Expect,
    Date,
    Server,
    Te,
    Trailer,
    Upgrade,
    /// For this connection only (RFC 9110, section 7.6.1).
    HopByHop,
    Other,
}

impl Name {
    #[inline]
    pub fn of(name: &str) -> Name {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        match name.len() {
            2 if is("te") => Name::Te,
            4 if is("host") => Name::Host,
            4 if is("date") => Name::Date,
            6 if is("expect") => Name::Expect,
            6 if is("server") => Name::Server,
            7 if is("trailer") => Name::Trailer,
            7 if is("upgrade") => Name::Upgrade,
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

    /// The field says how a message is sent over one connection: whoever sends it writes it, and nobody passes it on.
    pub const fn is_of_connection(self) -> bool {
        matches!(self, Name::TransferEncoding | Name::Connection | Name::Te | Name::Upgrade | Name::HopByHop)
    }
}

/// Whether a service or a client of `pearwood:http/handler` may write such a line: not those of the connection, nor `Host`,
/// which has a place of its own.
pub fn is_settable(name: &str) -> bool {
    let name = Name::of(name);
    !name.is_of_connection() && name != Name::Host
}

/// Whether a field says where a request came from before it came here. `_` is as good as `-`: many runtimes make variables
/// of names, in which both are the same.
pub fn is_forwarding(name: &str) -> bool {
    let same = |(a, b): (u8, u8)| a.eq_ignore_ascii_case(&b) || (a, b) == (b'_', b'-');
    let begins = |known: &str| name.len() >= known.len() && name.bytes().zip(known.bytes()).all(same);
    let is = |known: &str| name.len() == known.len() && begins(known);
    name.len() >= 9 && (is("forwarded") || is("x-real-ip") || begins("x-forwarded-"))
}

/// Whether the field may be in a trailer section. Those that say how a message is framed, routed, authenticated, processed or
/// kept may not (RFC 9110, section 6.5.1): whoever has seen the head has acted upon it already.
pub fn may_trail(name: &str) -> bool {
    const FORBIDDEN: [&str; 26] = [
        "age",
        "authorization",
        "cache-control",
        "content-encoding",
        "content-range",
        "content-type",
        "cookie",
        "expires",
        "forwarded",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "location",
        "max-forwards",
        "pragma",
        "proxy-authentication-info",
        "range",
        "retry-after",
        "set-cookie",
        "vary",
        "warning",
        "www-authenticate",
        "x-forwarded-for",
        "x-forwarded-proto",
    ];
    matches!(Name::of(name), Name::Other | Name::Server)
        && !FORBIDDEN.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden))
}

/// RFC 9110, section 5.5: what is visible, spaces and tabs, and bytes beyond ASCII.
pub fn is_value(value: &[u8]) -> bool {
    value.iter().all(|&byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f))
}

/// The first of some lines `name: value\r\n`: its name, its value without the spaces around it, and the lines after it. None:
/// there is none, or it has not that form. Whether name and value are valid is not looked at.
#[inline]
pub fn first(lines: &[u8]) -> Option<(&str, &[u8], &[u8])> {
    let end = memchr(b'\n', lines)?;
    let line = lines[..end].strip_suffix(b"\r")?;
    let (name, value) = line.split_at(memchr(b':', line)?);
    let mut value = &value[1..];
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    Some((core::str::from_utf8(name).ok()?, value, &lines[end + 1..]))
}

/// The value of the first line with a name.
pub fn value_of<'a>(mut lines: &'a [u8], name: &str) -> Option<&'a [u8]> {
    while let Some((found, value, rest)) = first(lines) {
        if found.eq_ignore_ascii_case(name) {
            return Some(value);
        }
        lines = rest;
    }
    None
}

/// Some lines, each of which must be whole and valid.
pub fn valid(lines: &[u8]) -> impl Iterator<Item = Result<(&str, &[u8]), Malformed>> {
    let mut rest = lines;
    core::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        match first(rest) {
            Some((name, value, after)) if is_token(name) && is_value(value) => {
                rest = after;
                Some(Ok((name, value)))
            }
            _ => {
                rest = &[];
                Some(Err(Malformed))
            }
        }
    })
}

/// It is no field line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// A token (RFC 9110, section 5.6.2): a field's name, a method, a protocol.
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| is(byte, TOKEN))
}

/// Adds a line.
pub fn push(lines: &mut alloc::vec::Vec<u8>, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        lines.extend_from_slice(part);
    }
}

/// The elements of a comma-separated value, without the whitespace around them. None is empty.
pub fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// Whether a comma-separated value has such an element.
pub fn lists(value: &[u8], element: &str) -> bool {
    elements(value).any(|found| found.eq_ignore_ascii_case(element.as_bytes()))
}

/// The value of a `Content-Length`: digits only (RFC 9110, section 8.6).
#[inline]
pub fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 {
        return None;
    }
    value.iter().try_fold(0, |sum: u64, &byte| byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0')))
}

/// Whether an empty line ends in `input` at or after `from`: a head or a trailer section that comes in parts is read when it is whole.
pub fn ends_head(input: &[u8], from: usize) -> bool {
    (from..input.len()).any(|at| input[at] == b'\n' && (input[..at].ends_with(b"\n") || input[..at].ends_with(b"\n\r")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

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
        assert!(lists(b"a, Upgrade", "upgrade") && !lists(b"a upgrade", "upgrade"));
    }

    #[test]
    fn lines_one_by_one() {
        let lines = b"Accept: */*\r\nx-a:  b c\t\r\nX-A:\r\n";
        let found: Result<Vec<_>, _> = valid(lines).collect();
        assert_eq!(found, Ok([("Accept", &b"*/*"[..]), ("x-a", b"b c"), ("X-A", b"")].into()));
        for bad in [
            &b"a"[..],
            b"a: b",
            b"a: b\n",
            b": b\r\n",
            b"a b: c\r\n",
            b"a: \x01\r\n",
            b"\xff: a\r\n",
            b"a: b\rc\r\n",
            b"\r\n",
            b" a: b\r\n",
            b"a: \x0cb\r\n",
        ] {
            assert_eq!(valid(bad).last(), Some(Err(Malformed)), "{bad:?}");
        }
    }

    #[test]
    fn whose_a_field_is() {
        for name in ["Connection", "host", "TE", "upgrade", "Keep-Alive", "transfer-encoding", "HTTP2-Settings"] {
            assert!(!is_settable(name) && !may_trail(name), "{name}");
        }
        for name in ["Content-Length", "Trailer", "Set-Cookie", "Date", "authorization", "If-Match"] {
            assert!(is_settable(name) && !may_trail(name), "{name}");
        }
        for name in ["grpc-status", "Digest", "Server-Timing", "ETag", "x"] {
            assert!(is_settable(name) && may_trail(name), "{name}");
        }
    }
}
