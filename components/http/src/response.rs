//! A response's head, from a handler or this server, as it goes on the wire.

use crate::date::Common;
use crate::exchange::{Body, Exchange};
use crate::lines::{Name, content_length, lines};
use crate::status::{reason, status_line};
use core::mem::MaybeUninit;
use core::ops::Range;
use httparse::Status;
use support::same;

const MAX_HEADERS: usize = 128;
const MAX_BYTES: usize = 64 << 10;

/// Why a handler's response cannot be sent.
pub type Invalid = &'static str;

/// Writes the heads of handlers' responses. It keeps heads that it has written, since handlers mostly repeat theirs.
#[derive(Debug, Default)]
pub struct Heads {
    known: Vec<Option<Head>>,
    /// the place of the last one
    last: usize,
}

/// A head for the wire, but for the headers that every response has and the empty line.
#[derive(Debug)]
pub struct Head {
    given: Given,
    headers: Box<[u8]>,
    bytes: Box<[u8]>,
    pub body: Body,
    pub closes: bool,
    pub has_date: bool,
    pub has_server: bool,
}

/// What a head depends on, besides the handler's headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Given {
    status: u16,
    is_head: bool,
    is_11: bool,
    close: bool,
}

const MAX_KNOWN: usize = 64;
const MAX_KNOWN_BYTES: usize = 2048;

/// All that is kept of heads: each as it was given and as it was written, and the largest while it is made.
pub const MAX_KEPT_BYTES: usize = (MAX_KNOWN + 1) * (2 * MAX_KNOWN_BYTES + 256 + size_of::<Head>()) + 4 * MAX_BYTES;

impl Head {
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Heads {
    /// The head for a handler's response to the request of `exchange`.
    pub fn head(&mut self, exchange: &Exchange, status: u16, headers: &[u8]) -> Result<&Head, Invalid> {
        if self.known.is_empty() {
            self.known.resize_with(MAX_KNOWN + 1, || None);
        }
        let given = Given { status, is_head: exchange.method.is_head, is_11: exchange.is_11, close: exchange.close };
        let is_same = |head: &Head| head.given == given && same(&head.headers, headers);
        if !self.known[self.last].as_ref().is_some_and(is_same) {
            // The place past the others is for what is too large to keep.
            self.last = if headers.len() <= MAX_KNOWN_BYTES { place_of(headers) } else { MAX_KNOWN };
            if !self.known[self.last].as_ref().is_some_and(is_same) {
                self.known[self.last] = Some(write(given, headers)?);
            }
        }
        self.known[self.last].as_ref().ok_or("there is no head")
    }
}

/// Where headers are kept. Others may belong at the same place.
#[inline]
fn place_of(headers: &[u8]) -> usize {
    let (words, rest) = headers.as_chunks::<8>();
    let mix = |hash: u64, word: u64| (hash.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let hash = words.iter().fold(rest.len() as u64, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    let hash = rest.iter().fold(hash, |hash, &byte| mix(hash, byte.into()));
    (hash >> 32) as usize % MAX_KNOWN
}

fn write(given: Given, headers: &[u8]) -> Result<Head, Invalid> {
    let status = given.status;
    if !(200..=599).contains(&status) {
        return Err("the status is not 200 to 599");
    }
    if headers.len() > MAX_BYTES {
        return Err("the headers are too large");
    }
    let mut bytes = Vec::with_capacity(headers.len() + 128);
    status_line(&mut bytes, status);
    bytes.extend_from_slice(headers);
    bytes.extend_from_slice(b"\r\n");
    let found = check(&bytes, status)?;
    bytes.truncate(bytes.len() - 2);
    for line in found.dropped.into_iter().rev() {
        bytes.drain(line);
    }
    let body = if given.is_head || matches!(status, 204 | 304) {
        Body::None
    } else if let Some(length) = found.length {
        Body::Length(length)
    } else if given.is_11 {
        bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        Body::Chunked
    } else {
        Body::UntilClose
    };
    let closes = given.close || body == Body::UntilClose;
    bytes.extend_from_slice(connection_line(closes, given.is_11));
    let (has_date, has_server) = (found.date, found.server);
    Ok(Head { given, headers: headers.into(), bytes: bytes.into(), body, closes, has_date, has_server })
}

fn connection_line(closes: bool, is_11: bool) -> &'static [u8] {
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
    /// lines that are not for the client, in order
    dropped: Vec<Range<usize>>,
}

/// Checks a whole head: nothing but header lines, each as it should be.
fn check(head: &[u8], status: u16) -> Result<Found, Invalid> {
    let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut []);
    let parsed =
        httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, head, &mut headers);
    match parsed {
        Ok(Status::Complete(length)) if length == head.len() => {}
        Ok(_) => return Err("the headers are not lines, or an empty line is among them"),
        Err(httparse::Error::TooManyHeaders) => return Err("too many headers"),
        Err(_) => return Err("a header is not valid"),
    }
    let mut found = Found::default();
    // httparse takes a bare LF for the end of a line.
    if head.iter().filter(|&&byte| byte == b'\n').count() != head.iter().filter(|&&byte| byte == b'\r').count() {
        return Err("a header's line does not end in CRLF");
    }
    for line in lines(head, response.headers) {
        match Name::of(line.name) {
            Name::Other | Name::Host | Name::Expect => {}
            Name::Date => found.date = true,
            Name::Server => found.server = true,
            Name::ContentLength => {
                if found.length.is_some() {
                    return Err("more than one content-length");
                }
                found.length = Some(content_length(line.value).ok_or("content-length is not a number")?);
                if status == 204 {
                    found.dropped.push(line.start..line.end);
                }
            }
            Name::Connection | Name::HopByHop | Name::TransferEncoding => found.dropped.push(line.start..line.end),
        }
    }
    Ok(found)
}

/// Writes a whole response of this server itself, with a short text unless there is nothing to say.
pub fn write_own(out: &mut Vec<u8>, exchange: &mut Exchange, status: u16, extra: &str, text: &str, common: &Common) {
    out.clear();
    status_line(out, status);
    out.extend_from_slice(extra.as_bytes());
    let body = if text.is_empty() { String::new() } else { format!("{status} {}: {text}\n", reason(status)) };
    if !body.is_empty() {
        out.extend_from_slice(b"Content-Type: text/plain; charset=utf-8\r\n");
    }
    if status != 204 {
        out.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    out.extend_from_slice(connection_line(exchange.close, exchange.is_11));
    common.end(false, false).iter().for_each(|part| out.extend_from_slice(part));
    if !exchange.method.is_head {
        out.extend_from_slice(body.as_bytes());
        exchange.record.body_bytes = body.len() as u64;
    }
}

/// The answer to a connection that is one too many.
pub const OVERLOADED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n\
    Content-Type: text/plain; charset=utf-8\r\nContent-Length: 47\r\n\r\n\
    503 Service Unavailable: too many connections\r\n";

pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Method;

    fn exchange(is_11: bool, is_head: bool) -> Exchange {
        let mut exchange = Exchange::default();
        exchange.is_11 = is_11;
        exchange.method = Method { is_head, is_safe: true };
        exchange
    }

    fn written(exchange: &mut Exchange, status: u16, headers: &str) -> Result<(String, Body), Invalid> {
        let mut heads = Heads::default();
        let common = Common::new("P");
        let mut twice = (0..2).map(|_| {
            let head = heads.head(exchange, status, headers.as_bytes())?;
            let bytes = [head.bytes(), &common.end(head.has_date, head.has_server).concat()].concat();
            Ok((String::from_utf8(bytes).unwrap(), head.body))
        });
        let (first, second) = (twice.next().unwrap(), twice.next().unwrap());
        assert_eq!(first, second, "a known head is the same");
        first
    }

    #[test]
    fn bodies_by_version_and_method() {
        let head = |text: &str| text.to_owned();
        let mut one = exchange(true, false);
        assert_eq!(
            written(&mut one, 200, "content-length: 3\r\n"),
            Ok((head("HTTP/1.1 200 OK\r\ncontent-length: 3\r\nServer: P\r\n\r\n"), Body::Length(3)))
        );
        assert_eq!(
            written(&mut one, 404, ""),
            Ok((head("HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\nServer: P\r\n\r\n"), Body::Chunked))
        );
        assert_eq!(
            written(&mut one, 204, "content-length: 0\r\na: b\r\n"),
            Ok((head("HTTP/1.1 204 No Content\r\na: b\r\nServer: P\r\n\r\n"), Body::None))
        );
        assert_eq!(written(&mut one, 304, "content-length: 9\r\n").unwrap().1, Body::None);
        assert_eq!(written(&mut exchange(true, true), 200, "content-length: 9\r\n").unwrap().1, Body::None);
        let mut old = exchange(false, false);
        assert_eq!(
            written(&mut old, 200, "content-length: 3\r\n").unwrap().0,
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\nConnection: keep-alive\r\nServer: P\r\n\r\n"
        );
        assert_eq!(
            written(&mut old, 299, ""),
            Ok((head("HTTP/1.1 299 \r\nConnection: close\r\nServer: P\r\n\r\n"), Body::UntilClose))
        );
    }

    #[test]
    fn hop_by_hop_lines_are_dropped_and_own_ones_count() {
        let lines = "Connection: x\r\na: 1\r\ntransfer-encoding: chunked\r\nKEEP-ALIVE: 5\r\nb: 2\r\nServer: me\r\nUpgrade: x\r\n";
        assert_eq!(
            written(&mut exchange(true, true), 200, lines).unwrap().0,
            "HTTP/1.1 200 OK\r\na: 1\r\nb: 2\r\nServer: me\r\n\r\n"
        );
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
            assert!(written(&mut exchange(true, false), 200, bad).is_err(), "{bad:?}");
        }
        let many = "a: b\r\n".repeat(MAX_HEADERS + 1);
        assert!(written(&mut exchange(true, false), 200, &many).is_err());
        for status in [0, 100, 101, 199, 600, 65535] {
            assert!(written(&mut exchange(true, false), status, "").is_err(), "{status}");
        }
    }

    #[test]
    fn the_overloaded_answer_is_as_long_as_it_says() {
        let text = core::str::from_utf8(OVERLOADED).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{}", body.len());
    }
}
