//! A response's head, from a service to the wire.

use crate::{
    fields::{Name, content_length},
    request::{ends_in_crlf, places},
    status::{has_body, is_final, is_interim, status_line},
};
use alloc::vec::Vec;
use core::{mem::MaybeUninit, ops::Range};
use httparse::{ParserConfig, Status};

/// The most field lines, and bytes of them, that a service's response may have.
pub const MOST_FIELDS: usize = 128;
pub const MOST_BYTES: usize = 64 << 10;

/// No content goes with it (RFC 9110, section 15.3.6), and yet clients look for the end of some (RFC 9112, section 6.3).
const RESET_CONTENT: u16 = 205;

/// Why a service's response cannot be sent.
pub type Invalid = &'static str;

/// How the end of a response's body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// By its length; this much is left.
    Length(u64),
    Chunked,
    /// Chunked, and the last chunk is sent: only the empty line after the trailers is not.
    Trailers,
    /// By the end of the connection: so too what follows an answer 101.
    UntilClose,
    /// There is none: what the service sends is dropped.
    None,
}

/// What a head depends on, besides the service's fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given {
    pub status: u16,
    pub to_head: bool,
    pub is_11: bool,
    /// The connection is to end with the response.
    pub close: bool,
    /// The client takes trailers.
    pub trailers: bool,
    /// The client has asked for another protocol.
    pub upgrade: bool,
}

/// A head for the wire, but for `Date`, `Server` and the empty line, which are whoever sends it to add.
#[derive(Debug)]
pub struct Head {
    pub bytes: Vec<u8>,
    pub body: Body,
    pub closes: bool,
    pub has_date: bool,
    pub has_server: bool,
}

/// Writes the head of a response with a service's fields, which are lines `name: value\r\n`. Those of the connection are left
/// out, but for `Upgrade` in an answer 101, which must be there.
pub fn write(given: Given, fields: &[u8]) -> Result<Head, Invalid> {
    let Given { status, is_11, .. } = given;
    let changes = status == 101 && given.upgrade;
    if !is_final(status) && !is_interim(status) && !changes {
        return Err("the status is not 102 to 599, or 101 without being asked for another protocol");
    }
    if fields.len() > MOST_BYTES {
        return Err("the headers are too large");
    }
    let mut bytes = Vec::with_capacity(fields.len() + 128);
    status_line(&mut bytes, status);
    bytes.extend_from_slice(fields);
    bytes.extend_from_slice(b"\r\n");
    let found = check(&bytes)?;
    bytes.truncate(bytes.len() - 2);
    let body = if changes {
        Body::UntilClose
    } else if !has_body(status, given.to_head) || status == RESET_CONTENT {
        Body::None
    } else if let Some(length) = found.length {
        Body::Length(length)
    } else if is_11 {
        Body::Chunked
    } else {
        Body::UntilClose
    };
    let is_for_client = |name| match name {
        Name::Upgrade => changes,
        Name::Trailer => given.trailers && body == Body::Chunked,
        Name::ContentLength => status >= 200 && status != 204 && status != RESET_CONTENT,
        name => !name.is_of_connection(),
    };
    if changes && !found.special.iter().any(|(name, _)| *name == Name::Upgrade) {
        return Err("an answer 101 that does not say in a line `upgrade` to which protocol");
    }
    for (_, line) in found.special.into_iter().rev().filter(|(name, _)| !is_for_client(*name)) {
        bytes.drain(line);
    }
    if body == Body::Chunked {
        bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    if status == RESET_CONTENT {
        bytes.extend_from_slice(b"Content-Length: 0\r\n");
    }
    let closes = given.close || body == Body::UntilClose;
    match status {
        200.. => bytes.extend_from_slice(connection_line(closes, is_11)),
        101 => bytes.extend_from_slice(b"Connection: upgrade\r\n"),
        _ => {}
    }
    Ok(Head { bytes, body, closes, has_date: found.date, has_server: found.server })
}

/// What is said of the connection in a head that does not say it yet.
pub const fn connection_line(closes: bool, is_11: bool) -> &'static [u8] {
    match (closes, is_11) {
        (true, _) => b"Connection: close\r\n",
        (false, false) => b"Connection: keep-alive\r\n",
        (false, true) => b"",
    }
}

#[derive(Default)]
struct Found {
    length: Option<u64>,
    date: bool,
    server: bool,
    /// lines that may not be for the client, in order
    special: Vec<(Name, Range<usize>)>,
}

/// Checks a whole head: nothing but field lines, each as it should be.
fn check(head: &[u8]) -> Result<Found, Invalid> {
    let mut fields = [const { MaybeUninit::uninit() }; MOST_FIELDS];
    let mut response = httparse::Response::new(&mut []);
    match ParserConfig::default().parse_response_with_uninit_headers(&mut response, head, &mut fields) {
        Ok(Status::Complete(length)) if length == head.len() => {}
        Ok(_) => return Err("the headers are not lines, or an empty line is among them"),
        Err(httparse::Error::TooManyHeaders) => return Err("too many headers"),
        Err(_) => return Err("a header is not valid"),
    }
    if !ends_in_crlf(head) {
        return Err("a header's line does not end in CRLF");
    }
    let mut found = Found::default();
    for line in places(head, response.headers) {
        let name = Name::of(line.name);
        match name {
            Name::Other
            | Name::Host
            | Name::Expect
            | Name::AcceptEncoding
            | Name::Authorization
            | Name::CacheControl
            | Name::Cookie
            | Name::Forwarding => continue,
            Name::Date => found.date = true,
            Name::Server => found.server = true,
            Name::ContentLength => {
                if found.length.is_some() {
                    return Err("more than one content-length");
                }
                found.length = Some(content_length(line.value).ok_or("content-length is not a number")?);
            }
            _ => {}
        }
        found.special.push((name, line.start..line.end));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    const ONE: Given =
        Given { status: 200, to_head: false, is_11: true, close: false, trailers: false, upgrade: false };

    fn written(given: Given, fields: &str) -> Result<(String, Body), Invalid> {
        write(given, fields.as_bytes()).map(|head| (String::from_utf8(head.bytes).unwrap(), head.body))
    }

    fn both(text: &str, body: Body) -> Result<(String, Body), Invalid> {
        Ok((text.into(), body))
    }

    #[test]
    fn bodies_by_version_and_method() {
        let with = |status| Given { status, ..ONE };
        assert_eq!(
            written(ONE, "content-length: 3\r\n"),
            both("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n", Body::Length(3))
        );
        let chunked = "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n";
        assert_eq!(written(with(404), "trailer: x\r\n"), both(chunked, Body::Chunked));
        assert_eq!(
            written(with(204), "content-length: 0\r\na: b\r\n"),
            both("HTTP/1.1 204 No Content\r\na: b\r\n", Body::None)
        );
        assert_eq!(written(with(304), "content-length: 9\r\n").unwrap().1, Body::None);
        assert_eq!(written(Given { to_head: true, ..ONE }, "content-length: 9\r\n").unwrap().1, Body::None);
        let old = Given { is_11: false, ..ONE };
        assert_eq!(
            written(old, "content-length: 3\r\n").unwrap().0,
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\nConnection: keep-alive\r\n"
        );
        assert_eq!(
            written(Given { status: 299, ..old }, ""),
            both("HTTP/1.1 299 \r\nConnection: close\r\n", Body::UntilClose)
        );
    }

    #[test]
    fn fields_of_the_connection_are_left_out() {
        let lines = "Connection: x\r\na: 1\r\ntransfer-encoding: chunked\r\nKEEP-ALIVE: 5\r\nb: 2\r\nServer: me\r\nUpgrade: x\r\n";
        let head = write(Given { to_head: true, ..ONE }, lines.as_bytes()).unwrap();
        assert_eq!(head.bytes, b"HTTP/1.1 200 OK\r\na: 1\r\nb: 2\r\nServer: me\r\n");
        assert!(head.has_server && !head.has_date && !head.closes);
    }

    #[test]
    fn trailers_are_announced_to_who_takes_them() {
        let given = Given { trailers: true, ..ONE };
        let head = "HTTP/1.1 200 OK\r\ntrailer: x\r\nTransfer-Encoding: chunked\r\n";
        assert_eq!(written(given, "trailer: x\r\n"), both(head, Body::Chunked));
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n";
        assert_eq!(written(given, "content-length: 1\r\ntrailer: x\r\n"), both(head, Body::Length(1)));
    }

    #[test]
    fn a_change_of_protocol() {
        let given = Given { status: 101, upgrade: true, ..ONE };
        let head = "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\na: b\r\nConnection: upgrade\r\n";
        let text = written(given, "connection: upgrade\r\nupgrade: x\r\na: b\r\ncontent-length: 1\r\n").unwrap();
        assert_eq!(text, (head.into(), Body::UntilClose));
    }

    #[test]
    fn interim_answers() {
        let head = written(Given { status: 103, close: true, ..ONE }, "link: <x>\r\ncontent-length: 5\r\n");
        assert_eq!(head, both("HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n", Body::None));
    }

    #[test]
    fn tricks_are_not_passed_on() {
        for bad in [
            "a: b\r\n\r\nHTTP/1.1 200 OK\r\n",
            "\r\n",
            "a: b",
            "a: b\n",
            "a: b\nc: d\r\n",
            "a: b\rc: d\r\n",
            "a: b\r\n folded\r\n",
            "a : b\r\n",
            "a\r\n",
            ": b\r\n",
            "a: \0\r\n",
            "content-length: x\r\n",
            "content-length: 1\r\ncontent-length: 1\r\n",
            "content-length: 1, 1\r\n",
        ] {
            assert!(written(ONE, bad).is_err(), "{bad:?}");
        }
        assert!(written(ONE, &"a: b\r\n".repeat(MOST_FIELDS + 1)).is_err());
        for status in [0, 100, 101, 600, 65535] {
            assert!(written(Given { status, ..ONE }, "upgrade: x\r\n").is_err(), "{status}");
        }
        assert!(written(Given { status: 101, upgrade: true, ..ONE }, "").is_err());
    }
}
