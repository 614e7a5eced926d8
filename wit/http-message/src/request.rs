//! A request's head, from the wire to what a service gets (RFC 9112, sections 2, 3 and 6).

use crate::{
    Limits, Method, Target,
    coding::Accepted,
    fields::{Name, content_length, elements, lists, push},
    line::{self, Line},
    target::is_authority,
};
use alloc::vec::Vec;
use core::ops::Range;
use httparse::{EMPTY_HEADER, Error, Header, Status};

#[derive(Debug, PartialEq, Eq)]
pub struct Head<'a> {
    pub method: &'a str,
    pub target: Target<'a>,
    pub authority: &'a str,
    /// HTTP/1.1, not 1.0
    pub is_11: bool,
    /// Lines `name: value\r\n` for the service.
    pub headers: &'a [u8],
    /// All field lines as they came, with the empty one.
    pub raw: &'a [u8],
    pub says: Says<'a>,
    /// Bytes of input that the head is.
    pub length: usize,
}

/// What a head's fields say to the server itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Says<'a> {
    pub framing: Framing,
    /// The client would keep the connection.
    pub keep_alive: bool,
    pub expects_continue: bool,
    /// The client takes trailers (RFC 9110, section 10.1.4).
    pub takes_trailers: bool,
    /// What the client would change to (RFC 9110, section 7.8); may be empty. Never of a request with a body, or of HTTP/1.0.
    pub upgrade: &'a str,
    /// The content codings that the client takes.
    pub accepts: Accepted,
    /// It says who the client is (`Cookie`, `Authorization`): what is answered may be a secret.
    pub has_secret: bool,
    /// Nobody on the way is to change what is answered (RFC 9111, section 5.2.1.6).
    pub no_transform: bool,
    /// There are lines in `raw` that say where the request came from. They are not for the service.
    pub is_forwarded: bool,
}

/// How the end of a request's body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    None,
    Length(u64),
    Chunked,
}

/// The most bytes of a field `Upgrade` that is passed on; one that is longer is ignored.
pub const UPGRADE_BYTES: usize = 64;

/// A message that is answered by the server itself, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    pub why: &'static str,
}

pub(crate) const fn refuse(status: u16, why: &'static str) -> Refusal {
    Refusal { status, why }
}

/// Reads a head from the start of `input`, and tells where its fields start; `None` if it is not whole yet. Lines for the
/// service that are not all in one piece in `input` are collected in `scratch`.
pub fn parse<'a>(
    input: &'a [u8],
    scratch: &'a mut Vec<u8>,
    limits: &Limits,
) -> Result<Option<(Head<'a>, usize)>, Refusal> {
    let Some(line) = line::parse(input, limits)? else { return unfinished(input, limits).map(|()| None) };
    // Most heads have few fields, and what there is for more is not to be cleared for them.
    let mut few = [EMPTY_HEADER; 24];
    let mut many;
    let most = limits.fields.min(few.len());
    let fields = &input[line.length..];
    let found = match httparse::parse_headers(fields, &mut few[..most]) {
        Err(Error::TooManyHeaders) if limits.fields > most => {
            many = [EMPTY_HEADER; Limits::MOST_FIELDS];
            httparse::parse_headers(fields, &mut many[..limits.fields])
        }
        found => found,
    };
    match found {
        Ok(Status::Complete((length, headers))) => {
            let length = line.length + length;
            if length > limits.head_bytes {
                return Err(TOO_LARGE);
            }
            whole(&input[..length], line, headers, scratch).map(|head| Some((head, line.length)))
        }
        _ if input.len() > limits.head_bytes => Err(TOO_LARGE),
        Ok(Status::Partial) => Ok(None),
        Err(error) => Err(refusal_of(error)),
    }
}

/// A head that is not whole must not grow for ever, and its first line less.
pub fn unfinished(input: &[u8], limits: &Limits) -> Result<(), Refusal> {
    let room_for_line = Method::MOST + limits.target_bytes + " HTTP/1.1\r\n".len();
    let first_line = &input[..input.len().min(room_for_line + 1)];
    if first_line.len() > room_for_line && !first_line.contains(&b'\n') {
        return Err(refuse(414, "the target is too long"));
    }
    if input.len() > limits.head_bytes { Err(TOO_LARGE) } else { Ok(()) }
}

const TOO_LARGE: Refusal = refuse(431, "the headers are too large");

fn whole<'a>(
    head: &'a [u8],
    line: Line<'a>,
    fields: &[Header<'a>],
    scratch: &'a mut Vec<u8>,
) -> Result<Head<'a>, Refusal> {
    if !ends_in_crlf(head) {
        return Err(refuse(400, "a line does not end in CRLF"));
    }
    let Line { method, target, is_11, length } = line;
    let (host, says, headers) = read_fields(head, fields, is_11, scratch)?;
    let target = Target::parse(target, method == "OPTIONS").map_err(|why| refuse(400, why))?;
    if is_11 && host.is_none() {
        return Err(refuse(400, "no Host"));
    }
    let authority = match target {
        Target::Path { authority: Some(authority), .. } => authority,
        _ => host.unwrap_or_default(),
    };
    Ok(Head { method, target, authority, is_11, headers, raw: &head[length..], says, length: head.len() })
}

/// Whether every line ends in CRLF. httparse takes a bare LF for the end of a line; a CR without LF it does not take at all.
pub(crate) fn ends_in_crlf(head: &[u8]) -> bool {
    let count = |wanted| head.iter().filter(|&&byte| byte == wanted).count();
    count(b'\n') == count(b'\r')
}

fn read_fields<'a>(
    head: &'a [u8],
    fields: &[Header<'a>],
    is_11: bool,
    scratch: &'a mut Vec<u8>,
) -> Result<(Option<&'a str>, Says<'a>, &'a [u8]), Refusal> {
    let mut found = Found::default();
    let mut kept = Kept { head, run: 0..0, scratch };
    kept.scratch.clear();
    for field in places(head, fields) {
        if found.note(&field, is_11)? {
            kept.keep(&field);
        }
    }
    if found.names_fields {
        kept.again(fields);
    }
    let framing = match (found.chunked, found.length) {
        (true, Some(_)) => return Err(refuse(400, "both Transfer-Encoding and Content-Length")),
        (true, None) => Framing::Chunked,
        (false, None | Some(0)) => Framing::None,
        (false, Some(length)) => Framing::Length(length),
    };
    let may_change = found.upgrades && is_11 && framing == Framing::None;
    let says = Says {
        framing,
        keep_alive: !found.close && (is_11 || found.keep_alive),
        expects_continue: found.expects_continue && is_11,
        takes_trailers: found.takes_trailers && is_11,
        upgrade: if may_change { found.upgrade } else { "" },
        accepts: found.accepts,
        has_secret: found.has_secret,
        no_transform: found.no_transform,
        is_forwarded: found.is_forwarded,
    };
    Ok((found.host, says, kept.finish()))
}

pub(crate) fn refusal_of(error: Error) -> Refusal {
    match error {
        Error::TooManyHeaders => refuse(431, "too many headers"),
        Error::HeaderName => refuse(400, "a header's name is not valid"),
        Error::HeaderValue => refuse(400, "a header's value is not valid"),
        Error::NewLine => refuse(400, "a line does not end in CRLF"),
        Error::Token | Error::Status | Error::Version => refuse(400, "the head is not valid"),
    }
}

/// One field line of a head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub name: &'a str,
    pub value: &'a [u8],
    /// where the line is in the head, its CRLF included
    pub start: usize,
    pub end: usize,
}

impl Place<'_> {
    /// The line is exactly `name: value\r\n`.
    #[inline]
    fn is_plain(&self, head: &[u8]) -> bool {
        let colon = self.start + self.name.len();
        self.end - colon == self.value.len() + 4 && head[colon + 1] == b' '
    }
}

/// The fields that `httparse` found in `head`, a whole head with its empty line, all of whose lines end in CRLF.
#[inline]
pub(crate) fn places<'a, 'h>(
    head: &'a [u8],
    fields: &'h [Header<'a>],
) -> impl Iterator<Item = Place<'a>> + use<'a, 'h> {
    fields.iter().enumerate().map(move |(index, field)| {
        let place = |field: &Header<'_>| (field.name.as_ptr() as usize).wrapping_sub(head.as_ptr() as usize);
        let start = place(field);
        let end = fields.get(index + 1).map_or(head.len() - 2, place);
        Place { name: field.name, value: field.value, start, end }
    })
}

#[derive(Default)]
struct Found<'a> {
    host: Option<&'a str>,
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
    takes_trailers: bool,
    /// `Connection` has the option `upgrade`.
    upgrades: bool,
    upgrade: &'a str,
    /// `Connection` names other fields, which end here then.
    names_fields: bool,
    accepts: Accepted,
    has_secret: bool,
    no_transform: bool,
    is_forwarded: bool,
}

impl<'a> Found<'a> {
    /// Whether the line is for the service too.
    #[inline]
    fn note(&mut self, line: &Place<'a>, is_11: bool) -> Result<bool, Refusal> {
        match Name::of(line.name) {
            Name::Other | Name::Date | Name::Server | Name::Trailer => return Ok(true),
            Name::AcceptEncoding => {
                self.accepts.add(line.value);
                return Ok(true);
            }
            Name::Authorization | Name::Cookie => {
                self.has_secret = true;
                return Ok(true);
            }
            Name::CacheControl => {
                self.no_transform |= lists(line.value, "no-transform");
                return Ok(true);
            }
            Name::Forwarding => self.is_forwarded = true,
            Name::HopByHop => {}
            Name::Te => self.takes_trailers |= lists(line.value, "trailers"),
            Name::Upgrade => {
                let text = core::str::from_utf8(line.value).ok().filter(|text| text.len() <= UPGRADE_BYTES);
                self.upgrade = text.unwrap_or_default();
            }
            Name::Host => {
                if self.host.is_some() {
                    return Err(refuse(400, "more than one Host"));
                }
                let value = Some(line.value).filter(|value| is_authority(value));
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
                    } else if element.eq_ignore_ascii_case(b"upgrade") {
                        self.upgrades = true;
                    } else if !element.eq_ignore_ascii_case(b"te") {
                        self.names_fields = true;
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

/// The lines for the service: a range of the head while they are in one piece and plain, else a copy.
struct Kept<'a> {
    head: &'a [u8],
    run: Range<usize>,
    scratch: &'a mut Vec<u8>,
}

impl<'a> Kept<'a> {
    #[inline]
    fn keep(&mut self, line: &Place<'_>) {
        if !line.is_plain(self.head) {
            self.copy_run();
            push(self.scratch, line.name, line.value);
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

    /// Starts over, without the fields that `Connection` names. What frames the message cannot be taken away so.
    #[cold]
    #[inline(never)]
    fn again(&mut self, fields: &[Header<'_>]) {
        self.scratch.clear();
        self.run = 0..0;
        let is_named = |name: &str| {
            let mut connection = fields.iter().filter(|field| Name::of(field.name) == Name::Connection);
            connection.any(|field| lists(field.value, name))
        };
        for line in places(self.head, fields) {
            match Name::of(line.name) {
                Name::ContentLength => self.keep(&line),
                name if name.is_for_service() && !is_named(line.name) => self.keep(&line),
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
