//! An answer's head, as it comes over the wire (RFC 9112, sections 4 and 6.3).

use httparse::{EMPTY_HEADER, ParserConfig, Status};
use message::fields::{Name, content_length, elements, push};
use message::status::{has_body, is_final};

/// The largest head that is read: no more comes before it is read.
pub const MOST: usize = 60 << 10;
const FIELDS: usize = 128;

/// How the end of an answer's body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    None,
    /// so much is left
    Length(u64),
    Chunked,
    UntilClose,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    pub status: u16,
    /// lines for the client
    pub lines: Vec<u8>,
    pub framing: Framing,
    /// The connection may be used for another request.
    pub keeps: bool,
    /// How many seconds without one it lasts, if it says so (`Keep-Alive: timeout=5`).
    pub lasts: Option<u64>,
    /// bytes of input
    pub length: usize,
}

impl Head {
    /// Reads a head from the start of `input`; none if it is not whole yet.
    ///
    /// # Errors
    /// It is none.
    pub fn read(input: &[u8], to_head: bool) -> Result<Option<Self>, &'static str> {
        // httparse skips empty lines, and would skip all of them again each time that more has come
        if input.starts_with(b"\r") || input.starts_with(b"\n") {
            return Err("the answer begins with an empty line");
        }
        let mut fields = [EMPTY_HEADER; FIELDS];
        let mut response = httparse::Response::new(&mut fields);
        let length = match ParserConfig::default().parse_response(&mut response, input) {
            Ok(Status::Complete(length)) if length <= MOST => length,
            Ok(Status::Partial) if input.len() < MOST => return Ok(None),
            Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err("the answer's header is too large"),
            Err(_) => return Err("the answer is not one of HTTP/1.1"),
        };
        let count = |wanted| input[..length].iter().filter(|byte| **byte == wanted).count();
        if count(b'\n') != count(b'\r') {
            return Err("a line of the answer's header does not end in CRLF");
        }
        let (status, is_11) = (response.code.unwrap_or_default(), response.version == Some(1));
        if !is_final(status) && !(100..200).contains(&status) {
            return Err("the answer's status is none");
        }
        let lists = |name: &'static str| {
            let named = response.headers.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
            named.flat_map(|field| elements(field.value))
        };
        let codings: Vec<_> = lists("transfer-encoding").collect();
        let options: Vec<_> = lists("connection").collect();
        let says = |option: &str| options.iter().any(|found| found.eq_ignore_ascii_case(option.as_bytes()));
        let mut keeps = if is_11 { !says("close") } else { says("keep-alive") };
        let mut own = None;
        let mut lines = Vec::with_capacity(length);
        for field in response.headers.iter() {
            match Name::of(field.name) {
                Name::ContentLength => {
                    let length = content_length(field.value).ok_or("the answer's content-length is no number")?;
                    if own.replace(length).is_some_and(|before| before != length) {
                        return Err("the answer has two lengths");
                    }
                }
                // to which protocol both sides change is for whoever has asked for it
                Name::Upgrade if status == 101 => push(&mut lines, "upgrade", field.value),
                name if name.is_of_connection() || says(field.name) => {}
                _ => push(&mut lines, field.name, field.value),
            }
        }
        let timeout = |element: &[u8]| content_length(element.strip_prefix(b"timeout=")?);
        let lasts = lists("keep-alive").find_map(timeout);
        let framing = if status == 101 {
            Framing::UntilClose
        } else if !has_body(status, to_head) {
            Framing::None
        } else if let Some(last) = codings.last() {
            // what says both may be meant to be read in two ways (RFC 9112, section 6.3)
            keeps &= own.take().is_none() && is_11;
            if !last.eq_ignore_ascii_case(b"chunked") {
                Framing::UntilClose
            } else if codings.len() == 1 {
                Framing::Chunked
            } else {
                return Err("the answer has a transfer coding that nobody has asked for");
            }
        } else {
            own.map_or(Framing::UntilClose, Framing::Length)
        };
        keeps &= framing != Framing::UntilClose;
        if let Some(own) = own.filter(|_| status >= 200 && status != 204) {
            push(&mut lines, "content-length", own.to_string().as_bytes());
        }
        Ok(Some(Head { status, lines, framing, keeps, lasts, length }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(u16, Framing, bool, String), &'static str> {
        let head = Head::read(text.as_bytes(), false)?.ok_or("not whole")?;
        assert_eq!(head.length, text.len());
        Ok((head.status, head.framing, head.keeps, String::from_utf8(head.lines).unwrap()))
    }

    #[test]
    fn framing() {
        let none = String::new();
        for (text, expected) in [
            ("HTTP/1.1 200 OK\r\n\r\n", (200, Framing::UntilClose, false, none.clone())),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\ncontent-length: 3\r\n\r\n",
                (200, Framing::Length(3), true, "content-length: 3\r\n".into()),
            ),
            ("HTTP/1.1 200\r\nTransfer-Encoding: Chunked\r\n\r\n", (200, Framing::Chunked, true, none.clone())),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
                (200, Framing::Chunked, false, none.clone()),
            ),
            (
                "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
                (200, Framing::Length(0), false, "content-length: 0\r\n".into()),
            ),
            (
                "HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 3\r\n\r\n",
                (304, Framing::None, true, "ETag: x\r\ncontent-length: 3\r\n".into()),
            ),
            (
                "HTTP/1.1 204 No Content\r\nConnection: x-own, close\r\nX-Own: 1\r\nUpgrade: h2c\r\n\r\n",
                (204, Framing::None, false, none.clone()),
            ),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", (200, Framing::UntilClose, false, none)),
        ] {
            assert_eq!(read(text), Ok(expected), "{text}");
        }
        let head = Head::read(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", true).unwrap().unwrap();
        assert_eq!((head.framing, head.keeps), (Framing::None, true));
    }

    #[test]
    fn what_is_no_head_is_refused() {
        let long = format!("HTTP/1.1 200 OK\r\na: {}\r\n\r\n", "b".repeat(MOST));
        for text in [
            "HTTP/2 200 OK\r\n\r\n",
            "\r\nHTTP/1.1 200 OK\r\n\r\n",
            "\n",
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 099 no\r\n\r\n",
            "HTTP/1.1 600 no\r\n\r\n",
            "HTTP/1.1 200 OK\na: b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\na b: c\r\n\r\n",
            &long,
        ] {
            assert!(read(text).is_err_and(|why| why != "not whole"), "{text:.60}");
        }
        assert_eq!(read("HTTP/1.1 200 OK\r\na: b\r\n"), Err("not whole"));
    }
}
