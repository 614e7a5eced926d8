//! What a request asks for: its target (RFC 9112, section 3.2) and authority (RFC 3986, section 3.2).

use crate::grammar::{NAME, PATH, QUERY, span, span_encoded};
use alloc::{borrow::Cow, string::String, vec::Vec};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target<'a> {
    /// Path and query, and the authority if the target has one, which then counts instead of `Host`.
    Path { target: Cow<'a, str>, authority: Option<&'a str> },
    /// `*`: the server itself
    Server,
}

impl<'a> Target<'a> {
    /// The target of a method other than CONNECT, in origin, absolute or asterisk form.
    pub fn parse(target: &'a str, is_options: bool) -> Result<Self, &'static str> {
        if target == "*" {
            return if is_options { Ok(Target::Server) } else { Err("the target * is for OPTIONS") };
        }
        if target.starts_with('/') {
            is_path(target).then_some(()).ok_or(PATH_NOT_VALID)?;
            return Ok(Target::Path { target: target.into(), authority: None });
        }
        let (scheme, rest) = target.split_once("://").ok_or("the target is neither a path nor a URI")?;
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return Err("the target's scheme is not http");
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (host, path) = rest.split_at(end);
        if host.is_empty() || !is_authority(host.as_bytes()) {
            return Err("the target's authority is not valid");
        }
        // An empty path is `/` (RFC 9112, section 3.2.1).
        let path: Cow<'_, str> = match path.as_bytes().first() {
            None if is_options => return Ok(Target::Server),
            None => "/".into(),
            Some(b'?') => (String::from("/") + path).into(),
            Some(_) => path.into(),
        };
        is_path(&path).then_some(()).ok_or(PATH_NOT_VALID)?;
        Ok(Target::Path { target: path, authority: Some(host) })
    }

    /// As a request line in origin form has it.
    pub fn as_str(&self) -> &str {
        match self {
            Target::Path { target, .. } => target,
            Target::Server => "*",
        }
    }
}

const PATH_NOT_VALID: &str = "the target's path is not valid";

/// How long the path and query at the start of `bytes` are, which begin with a slash.
#[inline]
pub fn path_length(bytes: &[u8]) -> usize {
    let path = span_encoded(bytes, PATH);
    match bytes.get(path) {
        Some(b'?') => path + span(&bytes[path..], QUERY),
        _ => path,
    }
}

/// A path and a query, if there is one (RFC 9112, section 3.2.1).
pub fn is_path(target: &str) -> bool {
    target.starts_with('/') && path_length(target.as_bytes()) == target.len()
}

/// `host [ ":" port ]`, without user information; may be empty, as the value of `Host` may.
pub fn is_authority(bytes: &[u8]) -> bool {
    let port = match bytes {
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().position(|&byte| byte == b']') else { return false };
            let (address, port) = (&rest[..end], &rest[end + 1..]);
            let valid = core::str::from_utf8(address).is_ok_and(|text| text.parse::<core::net::Ipv6Addr>().is_ok());
            if !valid {
                return false;
            }
            port
        }
        _ => &bytes[span_encoded(bytes, NAME)..],
    };
    match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// An authority without its port.
pub fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// Appends a path as it may stand in a `location`: what RFC 3986 does not allow in a path is escaped.
pub fn encode_path(path: &str, into: &mut Vec<u8>) {
    escape(path, b"/-._~!$&'()*+,;=:@", into);
}

/// Appends a query, `?` first, that a client sent. It is passed on as it is but for what could break a header line.
pub fn encode_query(query: &str, into: &mut Vec<u8>) {
    escape(query, b"?/-._~!$&'()*+,;=:@%[]{}|\\^`", into);
}

fn escape(text: &str, also_allowed: &[u8], into: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || also_allowed.contains(&byte) {
            into.push(byte);
        } else {
            into.extend([b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_cannot_break_a_header_line() {
        let mut location = Vec::new();
        encode_path("a b/é\r\nx%:\"<", &mut location);
        encode_query("?q=%20\r\n é\"", &mut location);
        assert_eq!(location, b"a%20b/%C3%A9%0D%0Ax%25:%22%3C?q=%20%0D%0A%20%C3%A9%22");
    }

    #[test]
    fn forms() {
        let path = |target: &'static str, authority| Ok(Target::Path { target: target.into(), authority });
        assert_eq!(Target::parse("/", false), path("/", None));
        assert_eq!(Target::parse("/a//b?c=/d?", false), path("/a//b?c=/d?", None));
        assert_eq!(Target::parse("http://h", false), path("/", Some("h")));
        assert_eq!(Target::parse("HTTP://h:80/x?y", false), path("/x?y", Some("h:80")));
        assert_eq!(Target::parse("https://[::1]:1/", false), path("/", Some("[::1]:1")));
        assert_eq!(Target::parse("*", true), Ok(Target::Server));
        assert_eq!(Target::parse("http://h", true), Ok(Target::Server));
        assert_eq!(Target::parse("http://h?q", true), path("/?q", Some("h")));
        for bad in
            ["*", "a", "a/b", "http:/x", "http://", "http:///x", "ftp://h/", "http://u@h/", "http://h#f", "/#", ""]
        {
            assert!(Target::parse(bad, false).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_empty_path_before_a_query_is_a_slash() {
        let target = Target::parse("http://a?x", false);
        assert_eq!(target, Ok(Target::Path { target: "/?x".into(), authority: Some("a") }));
    }

    #[test]
    fn paths() {
        for good in ["/", "/a%2Fb/%e4?%zz&a[]=|{}^`\\%", "/:@!$&'()*+,;=-._~", "/?"] {
            assert!(is_path(good), "{good}");
        }
        for bad in
            ["/%zz", "/%2", "/%", "/[]", "/a b", "/\"", "/\u{e9}", "/?\u{e9}", "/?#", "/?\"", "/|", "/\\", "", "a"]
        {
            assert!(!is_path(bad), "{bad}");
        }
    }

    #[test]
    fn authorities() {
        for good in ["", "h", "example.org:8080", "h:", "127.0.0.1", "[::1]", "[::ffff:1.2.3.4]:80", "a_b-c~d", "%41"] {
            assert!(is_authority(good.as_bytes()), "{good}");
        }
        for bad in [
            "a b", "u@h", "h:80:80", "h:x", "h:123456", "[::1", "::1", "[::1]x", "[h]", "a/b", "h?", "h#", "\u{e9}",
            "a%zz", "a%4",
        ] {
            assert!(!is_authority(bad.as_bytes()), "{bad}");
        }
    }
}
