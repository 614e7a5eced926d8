//! A response's head, from a handler or this server, as it goes on the wire.

use crate::date::Common;
use crate::exchange::Exchange;
use crate::packing::{self, Offer};
use message::fields::{first, value_of};
use message::response::{self, Body, Given, Invalid, MOST_BYTES, connection_line};
use message::status::{reason, status_line};
use support::same;

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
    offer: Offer,
    bytes: Box<[u8]>,
    pub body: Body,
    pub closes: bool,
    pub has_date: bool,
    pub has_server: bool,
    /// The body is to be packed: how long it is before, if that is known.
    pub packs: Option<Option<u64>>,
}

const MAX_KNOWN: usize = 64;
const MAX_KNOWN_BYTES: usize = 2048;

/// All that is kept of heads: each as it was given and as it was written, and the largest while it is made.
pub const MAX_KEPT_BYTES: usize = (MAX_KNOWN + 1) * (2 * MAX_KNOWN_BYTES + 256 + size_of::<Head>()) + 4 * MOST_BYTES;

impl Head {
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Heads {
    /// The head for a handler's response to the request of `exchange`, whose body may be sent as `offer` says.
    pub fn head(&mut self, exchange: &Exchange, status: u16, headers: &[u8], offer: Offer) -> Result<&Head, Invalid> {
        if self.known.is_empty() {
            self.known.resize_with(MAX_KNOWN + 1, || None);
        }
        let given = Given {
            status,
            to_head: exchange.method.is_head,
            is_11: exchange.is_11,
            close: exchange.close,
            trailers: exchange.takes_trailers,
            upgrade: exchange.wants_upgrade,
        };
        let is_same = |head: &Head| head.given == given && head.offer == offer && same(&head.headers, headers);
        if !self.known[self.last].as_ref().is_some_and(is_same) {
            // The place past the others is for what is too large to keep.
            self.last = if headers.len() <= MAX_KNOWN_BYTES { place_of(headers, offer) } else { MAX_KNOWN };
            if !self.known[self.last].as_ref().is_some_and(is_same) {
                self.known[self.last] = Some(write(given, headers, offer)?);
            }
        }
        self.known[self.last].as_ref().ok_or("there is no head")
    }
}

/// Where headers are kept. Others may belong at the same place.
#[inline]
fn place_of(headers: &[u8], offer: Offer) -> usize {
    let (words, rest) = headers.as_chunks::<8>();
    let mix = |hash: u64, word: u64| (hash.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let hash = words.iter().fold(rest.len() as u64, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    let hash = rest.iter().fold(hash, |hash, &byte| mix(hash, byte.into()));
    // what differs in this only is next to each other
    ((hash >> 32) as usize + offer as usize) % MAX_KNOWN
}

// Apart from what is done for each response, in which it would keep every value on the stack.
#[cold]
#[inline(never)]
fn write(given: Given, headers: &[u8], offer: Offer) -> Result<Head, Invalid> {
    let plan = packing::plan(given.status, given.to_head, headers, offer);
    let lines = plan.as_ref().map_or(headers, |plan| &plan.lines);
    let response::Head { bytes, body, closes, has_date, has_server } = response::write(given, lines)?;
    let packs = plan.filter(|plan| plan.packs).map(|plan| plan.length);
    Ok(Head { given, headers: headers.into(), offer, bytes: bytes.into(), body, closes, has_date, has_server, packs })
}

/// A head with header lines that take the place of those with their names.
#[cold]
#[inline(never)]
pub fn with_headers(head: &[u8], headers: &str) -> Vec<u8> {
    let mut with = Vec::with_capacity(head.len() + headers.len());
    let status_line = head.iter().position(|&byte| byte == b'\n').map_or(head.len(), |end| end + 1);
    with.extend_from_slice(&head[..status_line]);
    let mut rest = &head[status_line..];
    while let Some((name, _, after)) = first(rest) {
        if value_of(headers.as_bytes(), name).is_none() {
            with.extend_from_slice(&rest[..rest.len() - after.len()]);
        }
        rest = after;
    }
    with.extend_from_slice(headers.as_bytes());
    with
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
    if !exchange.headers.is_empty() {
        *out = with_headers(out, &exchange.headers);
    }
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

    #[test]
    fn a_known_head_is_the_same_and_of_its_request() {
        let mut heads = Heads::default();
        let mut exchange = Exchange::default();
        exchange.is_11 = true;
        let written = |heads: &mut Heads, exchange: &Exchange| {
            let head = heads.head(exchange, 200, b"a: b\r\ntrailer: t\r\n", Offer::None).unwrap();
            (String::from_utf8(head.bytes().to_vec()).unwrap(), head.body)
        };
        let first = written(&mut heads, &exchange);
        assert_eq!(first.0, "HTTP/1.1 200 OK\r\na: b\r\nTransfer-Encoding: chunked\r\n");
        assert_eq!(written(&mut heads, &exchange), first);
        exchange.takes_trailers = true;
        assert!(written(&mut heads, &exchange).0.contains("trailer: t\r\n"));
        exchange.is_11 = false;
        assert_eq!(written(&mut heads, &exchange).1, Body::UntilClose);
    }

    #[test]
    fn the_overloaded_answer_is_as_long_as_it_says() {
        let text = core::str::from_utf8(OVERLOADED).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{}", body.len());
    }
}
