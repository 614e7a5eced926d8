//! Response bodies: what is to be sent, and how much of it has been.

use crate::{catalogue::BOUNDARY, range::Span};

/// Where the next bytes of a body come from.
#[derive(Debug, PartialEq, Eq)]
pub enum Source<'a> {
    Text(&'a [u8]),
    /// A part of the representation's file that is not empty.
    File(Span),
}

/// What remains of a body.
#[derive(Debug)]
pub enum Body {
    Text(&'static str),
    File(Span),
    Multipart { parts: Box<Multipart>, part: usize, sent: u64 },
}

impl Body {
    pub const EMPTY: Body = Body::Text("");

    /// What comes next; none at the end. `scratch` holds text that has to be made up.
    pub fn next<'a>(&self, scratch: &'a mut Vec<u8>) -> Option<Source<'a>> {
        match self {
            Body::Text(text) => (!text.is_empty()).then_some(Source::Text(text.as_bytes())),
            Body::File(span) => (span.len() > 0).then_some(Source::File(*span)),
            Body::Multipart { parts, part, sent } => {
                scratch.clear();
                parts.head(*part, scratch);
                let head = scratch.len() as u64;
                match parts.spans.get(*part) {
                    _ if *sent < head => Some(Source::Text(&scratch[*sent as usize..])),
                    Some(span) => Some(Source::File(Span { first: span.first + (sent - head), end: span.end })),
                    None => None,
                }
            }
        }
    }

    /// Passes over bytes of what `next` gave, at most all of it.
    pub fn advance(&mut self, bytes: u64) {
        match self {
            Body::Text(text) => *text = &text[bytes as usize..],
            Body::File(span) => span.first += bytes,
            Body::Multipart { parts, part, sent } => {
                *sent += bytes;
                if *part < parts.spans.len() && *sent == parts.part_len(*part) {
                    *part += 1;
                    *sent = 0;
                }
            }
        }
    }
}

/// A body of the type multipart/byteranges (RFC 9110, section 14.6).
#[derive(Debug)]
pub struct Multipart {
    pub boundary: [u8; BOUNDARY],
    pub media_type: String,
    /// of the whole file
    pub size: u64,
    pub spans: Vec<Span>,
}

impl Multipart {
    pub fn len(&self) -> u64 {
        (0..=self.spans.len()).map(|part| self.part_len(part)).sum()
    }

    /// Head and content of a part; the one after the last is the end of the body.
    fn part_len(&self, part: usize) -> u64 {
        let mut head = Vec::new();
        self.head(part, &mut head);
        head.len() as u64 + self.spans.get(part).map_or(0, Span::len)
    }

    fn head(&self, part: usize, into: &mut Vec<u8>) {
        if part > 0 {
            into.extend_from_slice(b"\r\n");
        }
        into.extend_from_slice(b"--");
        into.extend_from_slice(&self.boundary);
        match self.spans.get(part) {
            None => into.extend_from_slice(b"--\r\n"),
            Some(span) => {
                let range = content_range(*span, self.size);
                for text in ["\r\ncontent-type: ", &self.media_type, "\r\ncontent-range: ", &range, "\r\n\r\n"] {
                    into.extend_from_slice(text.as_bytes());
                }
            }
        }
    }
}

/// The value of `content-range`.
pub fn content_range(span: Span, size: u64) -> String {
    format!("bytes {}-{}/{size}", span.first, span.end - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole body, taken `step` bytes at a time from a file of `a`, `b`, `c`, …
    fn taken(mut body: Body, step: u64) -> String {
        let mut text = String::new();
        let mut scratch = Vec::new();
        loop {
            let count = match body.next(&mut scratch) {
                None => return text,
                Some(Source::Text(bytes)) => {
                    let count = step.min(bytes.len() as u64);
                    text += str::from_utf8(&bytes[..count as usize]).unwrap();
                    count
                }
                Some(Source::File(span)) => {
                    let count = step.min(span.len());
                    text.extend((span.first..span.first + count).map(|at| (b'a' + at as u8) as char));
                    count
                }
            };
            body.advance(count);
        }
    }

    #[test]
    fn multipart_is_the_same_in_steps_of_any_size() {
        let spans = [Span { first: 0, end: 2 }, Span { first: 20, end: 26 }];
        let parts = || Multipart {
            boundary: *b"0123456789abcdef0123456789abcdef",
            media_type: "text/x".into(),
            size: 26,
            spans: spans.to_vec(),
        };
        let expected = "--0123456789abcdef0123456789abcdef\r\ncontent-type: text/x\r\ncontent-range: bytes 0-1/26\r\n\r\nab\
            \r\n--0123456789abcdef0123456789abcdef\r\ncontent-type: text/x\r\ncontent-range: bytes 20-25/26\r\n\r\nuvwxyz\
            \r\n--0123456789abcdef0123456789abcdef--\r\n";
        for step in [1, 2, 3, 7, 64, 1000] {
            let body = Body::Multipart { parts: Box::new(parts()), part: 0, sent: 0 };
            assert_eq!(taken(body, step), expected, "steps of {step}");
        }
        assert_eq!(parts().len(), expected.len() as u64);
    }

    #[test]
    fn the_others_too() {
        assert_eq!(taken(Body::File(Span { first: 1, end: 4 }), 2), "bcd");
        assert_eq!(taken(Body::Text("hello"), 2), "hello");
        assert_eq!(taken(Body::EMPTY, 2), "");
        assert_eq!(taken(Body::File(Span { first: 3, end: 3 }), 2), "");
    }
}
