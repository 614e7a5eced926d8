//! What a request asks for: its target (RFC 9112, section 3.2) and authority (RFC 3986, section 3.2).

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// Path and query, and the authority if the target has one, which then counts instead of `Host`.
    Path { target: &'a str, authority: Option<&'a str> },
    /// `*`: the server itself
    Server,
}

/// The target of a method other than CONNECT, in origin, absolute or asterisk form.
pub fn parse<'a>(target: &'a str, is_options: bool) -> Result<Target<'a>, &'static str> {
    if memchr::memchr(b'#', target.as_bytes()).is_some() {
        return Err("a fragment in the target");
    }
    if target.starts_with('/') {
        return Ok(Target::Path { target, authority: None });
    }
    if target == "*" {
        return if is_options { Ok(Target::Server) } else { Err("the target * is for OPTIONS") };
    }
    let (scheme, rest) = target.split_once("://").ok_or("the target is neither a path nor a URI")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err("the target's scheme is not http");
    }
    let path = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(path);
    if host.is_empty() || !is_authority(host.as_bytes()) {
        return Err("the target's authority is not valid");
    }
    match path {
        "" if is_options => Ok(Target::Server),
        "" => Ok(Target::Path { target: "/", authority: Some(host) }),
        // `http://host?query` has an empty path, which a target in origin form cannot have.
        _ if path.starts_with('?') => Err("the target has a query and no path"),
        _ => Ok(Target::Path { target: path, authority: Some(host) }),
    }
}

/// `host [ ":" port ]`, without user information; may be empty, as the value of `Host` may.
pub fn is_authority(bytes: &[u8]) -> bool {
    let (host, port) = match bytes {
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().position(|&byte| byte == b']') else { return false };
            let (address, port) = (&rest[..end], &rest[end + 1..]);
            let valid = core::str::from_utf8(address).is_ok_and(|text| text.parse::<core::net::Ipv6Addr>().is_ok());
            if !valid {
                return false;
            }
            (&b""[..], port)
        }
        _ => bytes.split_at(bytes.iter().position(|&byte| byte == b':').unwrap_or(bytes.len())),
    };
    let is_port = match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    is_port && host.iter().all(|&byte| is_host_byte(byte))
}

/// reg-name: unreserved, percent-encoded and sub-delims
#[inline]
fn is_host_byte(byte: u8) -> bool {
    static TABLE: [bool; 256] = {
        let mut table = [false; 256];
        let others = b"-._~%!$&'()*+,;=";
        let mut byte = 0;
        while byte < 256 {
            table[byte] = (byte as u8).is_ascii_alphanumeric();
            byte += 1;
        }
        let mut at = 0;
        while at < others.len() {
            table[others[at] as usize] = true;
            at += 1;
        }
        table
    };
    TABLE[usize::from(byte)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let path = |target, authority| Ok(Target::Path { target, authority });
        assert_eq!(parse("/", false), path("/", None));
        assert_eq!(parse("/a//b?c=/d?", false), path("/a//b?c=/d?", None));
        assert_eq!(parse("http://h", false), path("/", Some("h")));
        assert_eq!(parse("HTTP://h:80/x?y", false), path("/x?y", Some("h:80")));
        assert_eq!(parse("https://[::1]:1/", false), path("/", Some("[::1]:1")));
        assert_eq!(parse("*", true), Ok(Target::Server));
        assert_eq!(parse("http://h", true), Ok(Target::Server));
        for bad in ["*", "a", "a/b", "http:/x", "http://", "http:///x", "ftp://h/", "http://u@h/", "http://h?q", "/#"] {
            assert!(parse(bad, false).is_err(), "{bad}");
        }
    }

    #[test]
    fn authorities() {
        for good in ["", "h", "example.org:8080", "h:", "127.0.0.1", "[::1]", "[::ffff:1.2.3.4]:80", "a_b-c~d", "%41"] {
            assert!(is_authority(good.as_bytes()), "{good}");
        }
        for bad in
            ["a b", "u@h", "h:80:80", "h:x", "h:123456", "[::1", "::1", "[::1]x", "[h]", "a/b", "h?", "h#", "\u{e9}"]
        {
            assert!(!is_authority(bad.as_bytes()), "{bad}");
        }
    }
}
