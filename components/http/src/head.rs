//! A request's head, from the wire to what a handler gets (RFC 9112, sections 2, 3 and 6).

use crate::config::{Config, MAX_HEADERS};
use crate::lines::{Line, Name, content_length, elements, lines};
use crate::target::{self, Target};
use core::mem::MaybeUninit;
use core::ops::Range;
use httparse::{Error, Status};

#[derive(Debug, PartialEq, Eq)]
pub struct Head<'a> {
    pub method: &'a str,
    pub target: Target<'a>,
    pub authority: &'a str,
    /// HTTP/1.1, not 1.0
    pub is_11: bool,
    /// Lines `name: value\r\n` for the handler.
    pub headers: &'a [u8],
    pub framing: Framing,
    /// The client would keep the connection.
    pub keep_alive: bool,
    pub expects_continue: bool,
    /// Bytes of input that the head is.
    pub length: usize,
}

/// How the end of a request's body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    None,
    Length(u64),
    Chunked,
}

/// A request that is answered by the server itself, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    pub why: &'static str,
}

const fn refuse(status: u16, why: &'static str) -> Refusal {
    Refusal { status, why }
}

pub const MAX_METHOD: usize = 32;

/// What the headers say.
struct Headers<'a> {
    host: Option<&'a str>,
    lines: &'a [u8],
    framing: Framing,
    keep_alive: bool,
    expects_continue: bool,
}

/// Reads a head from the start of `input`, and tells what its headers say and where they start; `None` if it is not
/// whole yet. Lines for the handler that are not all in one piece in `input` are collected in `scratch`.
pub fn parse<'a>(
    input: &'a [u8],
    scratch: &'a mut Vec<u8>,
    config: &Config,
) -> Result<Option<(Head<'a>, usize)>, Refusal> {
    let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut []);
    let status = request.parse_with_uninit_headers(input, &mut headers[..config.headers]);
    let length = match status {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return within_limits(input, config).map(|()| None),
        Err(error) => return Err(within_limits(input, config).err().unwrap_or(refusal_of(error, input))),
    };
    let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
        return Err(refuse(400, "the request line is not complete"));
    };
    if target.len() > config.target_bytes {
        return Err(refuse(414, "the target is too long"));
    }
    if length > config.header_bytes {
        return Err(refuse(431, "the headers are too large"));
    }
    if method.len() > MAX_METHOD || method == "CONNECT" {
        return Err(refuse(501, "no such method here"));
    }
    let head = &input[..length];
    // httparse takes a bare LF for the end of a line. A CR that no LF follows it does not take at all.
    if count(head, b'\n') != count(head, b'\r') {
        return Err(refuse(400, "a line does not end in CRLF"));
    }
    let is_11 = version == 1;
    let headers_start = target.as_ptr() as usize - head.as_ptr() as usize + target.len() + " HTTP/1.1\r\n".len();
    let headers = read_headers(head, request.headers, is_11, scratch)?;
    let target = target::parse(target, method == "OPTIONS").map_err(|why| refuse(400, why))?;
    let host = match headers.host {
        None if is_11 => return Err(refuse(400, "no Host")),
        host => host.unwrap_or_default(),
    };
    let authority = match target {
        Target::Path { authority: Some(authority), .. } => authority,
        _ => host,
    };
    let Headers { lines, framing, keep_alive, expects_continue, .. } = headers;
    let head = Head { method, target, authority, is_11, headers: lines, framing, keep_alive, expects_continue, length };
    Ok(Some((head, headers_start)))
}

fn count(bytes: &[u8], wanted: u8) -> usize {
    bytes.iter().filter(|&&byte| byte == wanted).count()
}

fn read_headers<'a>(
    head: &'a [u8],
    headers: &[httparse::Header<'a>],
    is_11: bool,
    scratch: &'a mut Vec<u8>,
) -> Result<Headers<'a>, Refusal> {
    let mut found = Found::default();
    let mut kept = Kept { head, run: 0..0, scratch };
    kept.scratch.clear();
    for line in lines(head, headers) {
        if found.note(&line, is_11)? {
            kept.keep(&line);
        }
    }
    if found.names_headers {
        kept.again(headers, |line| {
            !headers.iter().any(|header| {
                Name::of(header.name) == Name::Connection
                    && elements(header.value).any(|name| name.eq_ignore_ascii_case(line.name.as_bytes()))
            })
        });
    }
    let framing = match (found.chunked, found.length) {
        (true, Some(_)) => return Err(refuse(400, "both Transfer-Encoding and Content-Length")),
        (true, None) => Framing::Chunked,
        (false, None | Some(0)) => Framing::None,
        (false, Some(length)) => Framing::Length(length),
    };
    Ok(Headers {
        host: found.host,
        lines: kept.finish(),
        framing,
        keep_alive: !found.close && (is_11 || found.keep_alive),
        expects_continue: found.expects_continue && is_11,
    })
}

/// A head that is not whole must not grow for ever, and its first line less.
pub fn within_limits(input: &[u8], config: &Config) -> Result<(), Refusal> {
    let room_for_target = MAX_METHOD + config.target_bytes + " HTTP/1.1\r\n".len();
    let first_line = &input[..input.len().min(room_for_target + 1)];
    if first_line.len() > room_for_target && !first_line.contains(&b'\n') {
        return Err(refuse(414, "the target is too long"));
    }
    if input.len() > config.header_bytes {
        return Err(refuse(431, "the headers are too large"));
    }
    Ok(())
}

fn refusal_of(error: Error, input: &[u8]) -> Refusal {
    match error {
        Error::TooManyHeaders => refuse(431, "too many headers"),
        Error::Version if names_version(input) => refuse(505, "HTTP/1.0 and HTTP/1.1 are spoken here"),
        Error::Token | Error::Status | Error::Version => refuse(400, "the request line is not valid"),
        Error::HeaderName => refuse(400, "a header's name is not valid"),
        Error::HeaderValue => refuse(400, "a header's value is not valid"),
        Error::NewLine => refuse(400, "a line does not end in CRLF"),
    }
}

/// The request line ends as one of HTTP does, in another version.
fn names_version(input: &[u8]) -> bool {
    let line = input.trim_ascii_start().split(|&byte| byte == b'\r').next().unwrap_or_default();
    let version = line.rsplit(|&byte| byte == b' ').next().unwrap_or_default();
    let number = version.strip_prefix(b"HTTP/").unwrap_or_default();
    number.first().is_some_and(u8::is_ascii_digit) && !matches!(number, b"1.0" | b"1.1")
}

/// What the headers say to this server.
#[derive(Default)]
struct Found<'a> {
    host: Option<&'a str>,
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
    /// `Connection` names other headers, which end here then.
    names_headers: bool,
}

impl<'a> Found<'a> {
    /// Whether the line is for the handler too.
    #[inline]
    fn note(&mut self, line: &Line<'a>, is_11: bool) -> Result<bool, Refusal> {
        match Name::of(line.name) {
            Name::Other | Name::Date | Name::Server => return Ok(true),
            Name::HopByHop => {}
            Name::Host => {
                if self.host.is_some() {
                    return Err(refuse(400, "more than one Host"));
                }
                let value = Some(line.value).filter(|value| target::is_authority(value));
                let value = value.and_then(|value| core::str::from_utf8(value).ok());
                self.host = Some(value.ok_or(refuse(400, "the value of Host is not valid"))?);
            }
            Name::ContentLength => {
                if self.length.is_some() {
                    return Err(refuse(400, "more than one Content-Length"));
                }
                self.length = Some(content_length(line.value).ok_or(refuse(400, "Content-Length is not a number"))?);
                return Ok(true);
            }
            Name::TransferEncoding => {
                if !is_11 {
                    return Err(refuse(400, "Transfer-Encoding in HTTP/1.0"));
                }
                if self.chunked {
                    return Err(refuse(400, "more than one Transfer-Encoding"));
                }
                self.chunked = is_chunked(line.value)?;
            }
            Name::Connection => {
                for element in elements(line.value) {
                    if element.eq_ignore_ascii_case(b"close") {
                        self.close = true;
                    } else if element.eq_ignore_ascii_case(b"keep-alive") {
                        self.keep_alive = true;
                    } else {
                        self.names_headers = true;
                    }
                }
            }
            Name::Expect => {
                if !line.value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(refuse(417, "nothing but 100-continue can be expected"));
                }
                self.expects_continue = true;
            }
        }
        Ok(false)
    }
}

fn is_chunked(value: &[u8]) -> Result<bool, Refusal> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(true);
    }
    // Another coding below a final `chunked` has a known end, and is only not implemented (RFC 9112, section 6.1).
    match elements(value).last() {
        Some(last) if last.eq_ignore_ascii_case(b"chunked") => Err(refuse(501, "no transfer coding but chunked")),
        _ => Err(refuse(400, "Transfer-Encoding does not end in chunked")),
    }
}

/// The lines for the handler: a range of the head while they are in one piece and plain, else a copy.
struct Kept<'a> {
    head: &'a [u8],
    run: Range<usize>,
    scratch: &'a mut Vec<u8>,
}

impl<'a> Kept<'a> {
    #[inline]
    fn keep(&mut self, line: &Line<'_>) {
        if !line.is_plain(self.head) {
            self.copy_run();
            for part in [line.name.as_bytes(), b": ", line.value, b"\r\n"] {
                self.scratch.extend_from_slice(part);
            }
        } else if self.run.end == line.start {
            self.run.end = line.end;
        } else {
            self.copy_run();
            self.run = line.start..line.end;
        }
    }

    fn copy_run(&mut self) {
        self.scratch.extend_from_slice(&self.head[self.run.clone()]);
        self.run = 0..0;
    }

    /// Starts over, with the lines that `wanted` allows too.
    #[cold]
    fn again(&mut self, headers: &[httparse::Header<'_>], wanted: impl Fn(&Line<'_>) -> bool) {
        self.scratch.clear();
        self.run = 0..0;
        for line in lines(self.head, headers) {
            match Name::of(line.name) {
                Name::ContentLength => self.keep(&line),
                Name::Other | Name::Date | Name::Server if wanted(&line) => self.keep(&line),
                _ => {}
            }
        }
    }

    fn finish(mut self) -> &'a [u8] {
        if self.scratch.is_empty() {
            return &self.head[self.run];
        }
        self.copy_run();
        self.scratch
    }
}
