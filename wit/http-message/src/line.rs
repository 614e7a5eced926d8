//! Request lines (RFC 9112, section 3).

use crate::{
    Limits, Method, Refusal,
    grammar::{TOKEN, span},
    request::refuse,
    target::path_length,
};

/// A request line. In origin form its target has been checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    pub method: &'a str,
    pub target: &'a str,
    /// HTTP/1.1, or a later 1.x, which is read as 1.1 (RFC 9110, section 2.5); not 1.0
    pub is_11: bool,
    /// bytes of the line, its CRLF included
    pub length: usize,
}

const NOT_VALID: Refusal = refuse(400, "the request line is not valid");

/// Reads the line at the start of `input`; `None` if it is not whole yet, and as long as it may be.
#[inline]
pub fn parse<'a>(input: &'a [u8], limits: &Limits) -> Result<Option<Line<'a>>, Refusal> {
    let length = match input {
        [b'G', b'E', b'T', b' ', ..] => 3,
        _ => span(input, TOKEN),
    };
    let rest = &input[length..];
    if length > Method::MOST {
        return Err(refuse(501, "no such method here"));
    }
    let rest = match rest {
        [b' ', rest @ ..] if length > 0 => rest,
        [] => return Ok(None),
        _ => return Err(NOT_VALID),
    };
    if length == 0 {
        return Err(NOT_VALID);
    }
    let target = match rest.first() {
        Some(b'/') => path_length(rest),
        _ => rest.iter().take_while(|byte| byte.is_ascii_graphic()).count(),
    };
    if target > limits.target_bytes {
        return Err(refuse(414, "the target is too long"));
    }
    let after = &rest[target..];
    let is_11 = match after.split_first_chunk() {
        // One comparison, where `starts_with` would be a loop in WebAssembly.
        Some((start, [b'1', b'\r', b'\n', ..])) if u64::from_le_bytes(*start) == u64::from_le_bytes(*b" HTTP/1.") => {
            true
        }
        _ => match other_version(after)? {
            Some(is_11) => is_11,
            None => return Ok(None),
        },
    };
    let text = |bytes| core::str::from_utf8(bytes).map_err(|_| NOT_VALID);
    let method = match &input[..length] {
        b"GET" => "GET",
        b"HEAD" => "HEAD",
        b"POST" => "POST",
        other => text(other)?,
    };
    if target == 0 {
        return Err(NOT_VALID);
    }
    if method == "CONNECT" {
        return Err(refuse(501, "no such method here"));
    }
    Ok(Some(Line {
        method,
        target: text(&rest[..target])?,
        is_11,
        length: length + 1 + target + " HTTP/1.1\r\n".len(),
    }))
}

/// Whether a line that ends so is of 1.1 or later, if it is of 1.x and whole.
#[cold]
#[inline(never)]
fn other_version(after: &[u8]) -> Result<Option<bool>, Refusal> {
    // a path that is cut in the middle of a percent-encoded byte
    if matches!(after, [b'%'] | [b'%', b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F']) {
        return Ok(None);
    }
    let start = after.len().min(" HTTP/".len());
    if after[..start] != b" HTTP/"[..start] {
        return Err(NOT_VALID);
    }
    match after[start..] {
        [b'1', b'.', b'0', b'\r', b'\n', ..] => Ok(Some(false)),
        [b'1', b'.', b'1'..=b'9', b'\r', b'\n', ..] => Ok(Some(true)),
        [] | [b'1'] | [b'1', b'.'] | [b'1', b'.', b'0'..=b'9'] | [b'1', b'.', b'0'..=b'9', b'\r'] => Ok(None),
        [b'0' | b'2'..=b'9'] | [b'0' | b'2'..=b'9', b'.'] => Ok(None),
        [b'0' | b'2'..=b'9', b'.', b'0'..=b'9', ..] => Err(refuse(505, "HTTP/1.0 and HTTP/1.1 are spoken here")),
        _ => Err(NOT_VALID),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn read(input: &str) -> Result<Option<Line<'_>>, u16> {
        let limits = Limits { target_bytes: 20, ..Limits::default() };
        parse(input.as_bytes(), &limits).map_err(|refusal| refusal.status)
    }

    #[test]
    fn whole_lines_and_parts_of_them() {
        for (text, is_11) in [
            ("GET /%41%ff?b%% HTTP/1.1\r\n", true),
            ("M-SEARCH * HTTP/1.0\r\n", false),
            ("GET http://h HTTP/1.2\r\n", true),
            ("GET / HTTP/1.9\r\n", true),
        ] {
            let line = read(text).unwrap().unwrap();
            assert_eq!((line.is_11, line.length), (is_11, text.len()), "{text:?}");
            assert_eq!(read(&format!("{text}Host: x")), Ok(Some(line)));
            for cut in 0..text.len() {
                assert_eq!(read(&text[..cut]), Ok(None), "cut at {cut}: {text:?}");
            }
        }
    }

    #[test]
    fn what_is_none() {
        for bad in [
            "GET\r\n",
            "GET /\r\n",
            "GET  / HTTP/1.1\r\n",
            "GET /  HTTP/1.1\r\n",
            "GET / HTTP/1.1 \r\n",
            " GET",
            "\r\n",
            "G\x01",
            "GET /\x01",
            "GET /\x7f",
            "GET /\u{e9} ",
            "GET / http/1.1\r\n",
            "GET / HTTP/1.1\n",
            "GET / HTTP/11 ",
            "GET / HTTP/1.10\r\n",
            "GET /%zz HTTP/1.1",
            "GET /%2 HTTP/1.1",
            "GET /[] ",
            "GET /#",
        ] {
            assert_eq!(read(bad), Err(400), "{bad:?}");
        }
        assert_eq!(
            (read("GET / HTTP/2.0\r\n"), read("PRI * HTTP/2.0\r\n"), read("GET / HTTP/0.9")),
            (Err(505), Err(505), Err(505))
        );
        assert_eq!((read("CONNECT h:1 HTTP/1.1\r\n"), read(&"M".repeat(33))), (Err(501), Err(501)));
        assert_eq!(read(&format!("GET /{}", "a".repeat(20))), Err(414));
    }
}
