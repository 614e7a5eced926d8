//! One answer under way.

use support::Buffer;
use wit::INITIAL_CREDIT;
use wit::Outbox;
use wit::http::{Event, Head};

/// The kind of `wit::http::Event::Body`.
const BODY: u8 = 2;

/// A batch with this much in it takes no more data until it is sent.
const MUCH: usize = 128 << 10;

#[derive(Debug)]
pub struct Answer {
    request: u32,
    /// bytes of the response's body that the peer has room for
    credit: u32,
    source: Source,
}

/// Where the body comes from.
#[derive(Debug)]
enum Source {
    /// What came of the request's body and is not answered yet; whether that is all. An end before, that of the request
    /// itself, may not count.
    Request { held: Buffer, ended: bool, ends_twice: bool },
    /// That many bytes, of a pattern.
    Pattern { at: u64, end: u64 },
    /// Nothing until then.
    Later { due: u64, milliseconds: u64 },
}

impl Answer {
    fn new(request: u32, source: Source) -> Self {
        Answer { request, credit: INITIAL_CREDIT, source }
    }

    /// The head of the answer that echoes.
    pub fn echo(request: u32, head: &Head<'_>, out: &mut Outbox) -> Self {
        let kept = ["content-type", "content-length"];
        let mut headers = Vec::new();
        for line in head.headers.split_inclusive(|&byte| byte == b'\n') {
            let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
            if kept.iter().any(|kept| name.eq_ignore_ascii_case(kept.as_bytes())) {
                headers.extend_from_slice(line);
            }
        }
        Event::Response { request, status: 200, headers: &headers }.encode(out.batch());
        Answer::new(request, Source::Request { held: Buffer::new(), ended: false, ends_twice: false })
    }

    /// The head of the answer that changes to the protocol `echo`, in which everything comes back.
    pub fn stream(request: u32, out: &mut Outbox) -> Self {
        Event::Response { request, status: 101, headers: b"upgrade: echo\r\n" }.encode(out.batch());
        Answer::new(request, Source::Request { held: Buffer::new(), ended: false, ends_twice: true })
    }

    pub fn bytes(request: u32, length: u64, is_head: bool, out: &mut Outbox) -> Self {
        let headers = format!("content-type: application/octet-stream\r\ncontent-length: {length}\r\n");
        Event::Response { request, status: 200, headers: headers.as_bytes() }.encode(out.batch());
        Answer::new(request, Source::Pattern { at: 0, end: if is_head { 0 } else { length } })
    }

    pub fn later(request: u32, due: u64, milliseconds: u64) -> Self {
        Answer::new(request, Source::Later { due, milliseconds })
    }

    pub fn due(&self) -> u64 {
        match self.source {
            Source::Later { due, .. } => due,
            _ => u64::MAX,
        }
    }

    pub fn add_credit(&mut self, bytes: u32) {
        self.credit = self.credit.saturating_add(bytes);
    }

    /// False: more has come than there was credit for.
    pub fn request_body(&mut self, data: &[u8]) -> bool {
        if let Source::Request { held, .. } = &mut self.source {
            held.push(data);
            return held.len() <= INITIAL_CREDIT as usize;
        }
        true
    }

    pub fn request_end(&mut self) {
        if let Source::Request { ended, ends_twice, .. } = &mut self.source {
            *ended = !core::mem::take(ends_twice);
        }
    }

    /// Goes on as far as possible. True: the answer is complete.
    pub fn advance(&mut self, now: u64, out: &mut Outbox) -> bool {
        let request = self.request;
        let done = match &mut self.source {
            Source::Request { held, ended, .. } => {
                let length = held.len().min(self.credit as usize);
                if length > 0 && !out.is_full() && out.len() < MUCH {
                    out.stream(BODY, request, [&held.as_slice()[..length]]);
                    held.consume(length);
                    self.credit -= length as u32;
                    if !*ended {
                        Event::Credit { request, bytes: length as u32 }.encode(out.batch());
                    }
                }
                *ended && held.is_empty()
            }
            Source::Pattern { at, end } => {
                while *at < *end && self.credit > 0 && !out.is_full() && out.len() < MUCH {
                    let part = pattern(*at, (*end - *at).min(self.credit.into()));
                    out.stream(BODY, request, [part]);
                    *at += part.len() as u64;
                    self.credit -= part.len() as u32;
                }
                at == end
            }
            Source::Later { due, milliseconds } => {
                if *due <= now {
                    let text = format!("after {milliseconds} ms\n");
                    whole(request, 200, text.as_bytes(), false, out);
                    return true;
                }
                false
            }
        };
        if done {
            Event::End { request }.encode(out.batch());
        }
        done
    }
}

/// A response whose body is a short text.
pub fn whole(request: u32, status: u16, text: &[u8], is_head: bool, out: &mut Outbox) {
    let headers = format!("content-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\n", text.len());
    Event::Response { request, status, headers: headers.as_bytes() }.encode(out.batch());
    if !is_head && !text.is_empty() {
        Event::Body { request, data: text }.encode(out.batch());
    }
    Event::End { request }.encode(out.batch());
}

/// Bytes of the pattern from `at`: each is the low byte of its position, so that a reader sees what is missing.
fn pattern(at: u64, length: u64) -> &'static [u8] {
    const LENGTH: usize = 4096;
    static PATTERN: [u8; LENGTH] = {
        let mut pattern = [0; LENGTH];
        let mut at = 0;
        while at < LENGTH {
            pattern[at] = at as u8;
            at += 1;
        }
        pattern
    };
    let start = (at % LENGTH as u64) as usize;
    let length = length.min((LENGTH - start) as u64) as usize;
    &PATTERN[start..start + length]
}
