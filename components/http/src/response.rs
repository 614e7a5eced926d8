//! A response's head, from a handler or this server, as it goes on the wire.

use crate::date::Common;
use crate::exchange::{Body, Exchange};
use crate::lines::{Name, content_length, lines};
use core::mem::MaybeUninit;
use core::ops::Range;
use httparse::Status;

const MAX_HEADERS: usize = 128;
const MAX_BYTES: usize = 64 << 10;

/// Why a handler's response cannot be sent.
pub type Invalid = &'static str;

/// Writes the head of a handler's response to `out`, and gives how its body goes. `exchange.close` may become true.
pub fn write(
    out: &mut Vec<u8>,
    exchange: &mut Exchange,
    status: u16,
    headers: &[u8],
    common: &Common,
) -> Result<Body, Invalid> {
    if !(200..=599).contains(&status) {
        return Err("the status is not 200 to 599");
    }
    if headers.len() > MAX_BYTES {
        return Err("the headers are too large");
    }
    out.clear();
    status_line(out, status);
    out.extend_from_slice(headers);
    out.extend_from_slice(b"\r\n");

    let found = check(out, status)?;
    out.truncate(out.len() - 2);
    for line in found.dropped.into_iter().rev() {
        out.drain(line);
    }
    let body = if exchange.method.is_head || matches!(status, 204 | 304) {
        Body::None
    } else if let Some(length) = found.length {
        Body::Length(length)
    } else if exchange.is_11 {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        Body::Chunked
    } else {
        exchange.close = true;
        Body::UntilClose
    };
    finish(out, exchange, common.lines(found.date, found.server));
    Ok(body)
}

fn finish(out: &mut Vec<u8>, exchange: &Exchange, common: &[u8]) {
    if exchange.close {
        out.extend_from_slice(b"Connection: close\r\n");
    } else if !exchange.is_11 {
        out.extend_from_slice(b"Connection: keep-alive\r\n");
    }
    out.extend_from_slice(common);
    out.extend_from_slice(b"\r\n");
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
    for line in lines(head, response.headers) {
        let line = line.map_err(|_| "a header's line does not end in CRLF")?;
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
pub fn write_own(out: &mut Vec<u8>, exchange: &Exchange, status: u16, extra: &str, text: &str, common: &Common) {
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
    finish(out, exchange, common.lines(false, false));
    if !exchange.method.is_head {
        out.extend_from_slice(body.as_bytes());
    }
}

/// The answer to a connection that is one too many.
pub const OVERLOADED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n\
    Content-Type: text/plain; charset=utf-8\r\nContent-Length: 47\r\n\r\n\
    503 Service Unavailable: too many connections\r\n";

pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

fn status_line(out: &mut Vec<u8>, status: u16) {
    if status == 200 {
        return out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
    out.push(b' ');
    out.extend_from_slice(reason(status).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// The phrases of RFC 9110, section 15, and of the other RFCs in IANA's registry.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        207 => "Multi-Status",
        208 => "Already Reported",
        226 => "IM Used",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        305 => "Use Proxy",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        418 => "I'm a teapot",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        506 => "Variant Also Negotiates",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        511 => "Network Authentication Required",
        _ => "",
    }
}

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
        let mut out = Vec::new();
        let body = write(&mut out, exchange, status, headers.as_bytes(), &Common::new("P"))?;
        Ok((String::from_utf8(out).unwrap(), body))
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
