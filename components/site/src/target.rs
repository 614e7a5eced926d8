//! Request targets: from what a client sent to the name of a file.
//!
//! Files are looked up in a map of names that hold no empty, `.` or `..` segments, so no target can lead out of
//! it. What is decoded here is compared with those names and used for nothing else.

use std::borrow::Cow;

/// The target is not `/`-rooted, or its escapes are broken (RFC 3986, section 2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadTarget;

/// A target taken apart: the path without its first `/`, and the query with its `?` (or empty).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    pub path: &'a str,
    pub query: &'a str,
    escaped: bool,
}

impl<'a> Target<'a> {
    #[inline]
    pub fn parse(target: &'a str) -> Result<Self, BadTarget> {
        let Some(rest) = target.strip_prefix('/') else { return Err(BadTarget) };
        let mut escaped = false;
        let mut end = rest.len();
        for (at, byte) in rest.bytes().enumerate() {
            match byte {
                b'%' => escaped = true,
                b'?' => {
                    end = at;
                    break;
                }
                _ => {}
            }
        }
        let (path, query) = rest.split_at(end);
        Ok(Target { path, query, escaped })
    }

    /// The path decoded. `None`: it is well formed, but no file can have that name (an encoded `/` or NUL, or
    /// bytes that are not UTF-8).
    #[inline]
    pub fn decoded(&self) -> Result<Option<Cow<'a, str>>, BadTarget> {
        if self.escaped { decode(self.path) } else { Ok(Some(Cow::Borrowed(self.path))) }
    }
}

fn decode(path: &str) -> Result<Option<Cow<'_, str>>, BadTarget> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut nameable = true;
    let mut rest = path.as_bytes();
    while let [byte, after @ ..] = rest {
        let (byte, after) = match (byte, after) {
            (b'%', [high, low, after @ ..]) => {
                let byte = hex(*high)? << 4 | hex(*low)?;
                nameable &= byte != b'/' && byte != 0;
                (byte, after)
            }
            (b'%', _) => return Err(BadTarget),
            (byte, after) => (*byte, after),
        };
        decoded.push(byte);
        rest = after;
    }
    let decoded = String::from_utf8(decoded).ok().filter(|_| nameable);
    Ok(decoded.map(Cow::Owned))
}

fn hex(digit: u8) -> Result<u8, BadTarget> {
    (digit as char).to_digit(16).map(|value| value as u8).ok_or(BadTarget)
}

/// Whether a file of the image can be reached by a URL: no segment that clients would resolve away.
pub fn nameable(path: &str) -> bool {
    !path.contains('\0') && path.split('/').all(|segment| !matches!(segment, "" | "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(target: &str) -> Result<Option<String>, BadTarget> {
        Ok(Target::parse(target)?.decoded()?.map(Cow::into_owned))
    }

    #[test]
    fn paths_and_queries() {
        for (target, path, query) in [
            ("/", "", ""),
            ("/?", "", "?"),
            ("/a/b?x=/y?z", "a/b", "?x=/y?z"),
            ("//evil.example/", "/evil.example/", ""),
            ("/a#b", "a#b", ""),
        ] {
            let parsed = Target::parse(target).unwrap();
            assert_eq!((parsed.path, parsed.query), (path, query), "{target}");
        }
        for target in ["", "*", "a/b", "http://a/", "?x", "\\a"] {
            assert_eq!(Target::parse(target), Err(BadTarget), "{target}");
        }
    }

    #[test]
    fn escapes() {
        for (target, path) in [
            ("/a%20b", Some("a b")),
            ("/%41%2e%2E", Some("A..")),
            ("/%c3%A9", Some("é")),
            ("/é", Some("é")),
            ("/a+b", Some("a+b")),
            ("/%25", Some("%")),
            ("/a%2Fb", None),
            ("/a%00", None),
            ("/%ff", None),
            ("/a?%zz", Some("a")),
        ] {
            assert_eq!(decoded(target), Ok(path.map(str::to_owned)), "{target}");
        }
        for target in ["/%", "/%4", "/%zz", "/%4g", "/a%/b", "/%é"] {
            assert_eq!(decoded(target), Err(BadTarget), "{target}");
        }
    }

    #[test]
    fn names_that_urls_reach() {
        for path in ["a", "a/b", ".well-known/x", "...", "a b"] {
            assert!(nameable(path), "{path}");
        }
        for path in ["", "/a", "a/", "a//b", ".", "a/../b", "./a", "a/..", "a\0"] {
            assert!(!nameable(path), "{path}");
        }
    }
}
