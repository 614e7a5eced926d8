//! What the client sends: heads become requests, bodies go to the handlers that have the requests.

use super::{Http, Level};
use crate::chunked::{Decoder, Step};
use crate::connection::Reading;
use crate::exchange::{Method, Response};
use crate::head::{self, Framing, Head, Refusal};
use crate::response::CONTINUE;
use crate::target::Target;
use core::mem;
use std::fmt::Write;
use wit::INITIAL_CREDIT;
use wit::http::{self, Command};

/// Bytes of input that were used, and whether there may be more to do with what follows.
enum Next {
    On(usize),
    Wait(usize),
}

/// What is to be done about a request.
enum Choice {
    Handler(u32),
    Answer {
        status: u16,
        extra: &'static str,
        text: &'static str,
    },
    /// Its handler is there and has no room.
    Later,
}

/// The kind of `wit::http::Command::Body`.
const BODY: u8 = 2;

/// Bytes of a body that nobody wants which are read to keep the connection.
const PATIENCE: u64 = 256 << 10;

impl Http {
    /// Uses what came straight from the batch if nothing else waits; keeps what cannot be used yet.
    pub(super) fn received(&mut self, key: usize, data: &[u8]) {
        self.batched += data.len();
        let Some(connection) = self.connections.get(key) else { return };
        connection.read_at = self.now;
        let used = if connection.input.is_empty() { self.read(key, data) } else { 0 };
        if used == data.len() {
            return;
        }
        let Some(connection) = self.connections.get(key) else { return };
        connection.input.push(&data[used..]);
        self.buffered += data.len() - used;
        if connection.input.len() > INITIAL_CREDIT as usize {
            let number = connection.number;
            self.say(Level::Error, format!("tcp: more data on connection {number} than it had credit for"));
            self.abort(key);
        }
    }

    /// Goes on with what was kept. True: some of it was used.
    pub(super) fn resume(&mut self, key: usize) -> bool {
        let Some(connection) = self.connections.get(key) else { return false };
        if connection.input.is_empty() {
            return false;
        }
        let mut input = mem::take(&mut connection.input);
        let used = self.read(key, input.as_slice());
        input.consume(used);
        if let Some(connection) = self.connections.get(key) {
            connection.input = input;
        }
        used > 0
    }

    /// Reads as far as it goes; gives the number of bytes used.
    fn read(&mut self, key: usize, input: &[u8]) -> usize {
        let mut used = 0;
        while let Some(connection) = self.connections.get(key) {
            let rest = &input[used..];
            let next = match connection.reading {
                Reading::Head => self.read_head(key, rest),
                Reading::Length(left) => self.read_length(key, rest, left),
                Reading::Chunked(decoder) => self.read_chunked(key, rest, decoder),
                Reading::Nothing => Next::Wait(rest.len()),
            };
            match next {
                Next::On(count) => used += count,
                Next::Wait(count) => {
                    used += count;
                    break;
                }
            }
        }
        if let Some(connection) = self.connections.get(key) {
            connection.used += used as u32;
        }
        used
    }

    fn read_head(&mut self, key: usize, input: &[u8]) -> Next {
        let Some(connection) = self.connections.get(key) else { return Next::Wait(0) };
        if input.starts_with(b"\r\n") {
            // Empty lines before a request line are ignored (RFC 9112, section 2.2).
            connection.scanned = 0;
            return Next::On(2);
        }
        if input.is_empty() || connection.exclusive || connection.exchanges.len() >= self.config.pipeline {
            return Next::Wait(0);
        }
        if connection.scanned > 0 && !ends_head(input, connection.scanned) {
            connection.scanned = input.len();
            if let Err(refusal) = head::within_limits(input, &self.config) {
                self.refuse(key, refusal);
                return Next::On(input.len());
            }
            return Next::Wait(0);
        }
        let Some(mut reader) = self.reader.take() else { return Next::Wait(0) };
        let next = match reader.read(input, &mut connection.known, &self.config) {
            Ok(Some(head)) => self.request(key, &head, input.len() > head.length),
            Ok(None) => {
                if connection.scanned == 0 {
                    connection.since = self.now;
                }
                connection.scanned = input.len();
                Next::Wait(0)
            }
            Err(refusal) => {
                self.refuse(key, refusal);
                Next::On(input.len())
            }
        };
        self.reader = Some(reader);
        next
    }

    /// A whole head has come; `more` came after it.
    fn request(&mut self, key: usize, head: &Head<'_>, more: bool) -> Next {
        let Some(connection) = self.connections.get(key) else { return Next::Wait(0) };
        let method = Method::of(head.method);
        let has_body = head.framing != Framing::None;
        let waits_for_continue = has_body && head.expects_continue && !more;
        let exclusive = !method.is_safe || waits_for_continue;
        if exclusive && !connection.exchanges.is_empty() {
            return Next::Wait(0);
        }
        let remote = connection.remote;
        connection.awaits_room = false;
        let choice = self.choose(head);
        if matches!(choice, Choice::Later) {
            let Some(connection) = self.connections.get(key) else { return Next::Wait(0) };
            connection.awaits_room = true;
            return Next::Wait(0);
        }
        let (Some(exchange), Some(connection)) = (self.exchanges.insert(), self.connections.get(key)) else {
            self.abort(key);
            return Next::Wait(0);
        };
        let id = exchange.id();
        exchange.connection = key;
        exchange.method = method;
        exchange.is_11 = head.is_11;
        exchange.request_open = has_body;
        exchange.close = !head.keep_alive;
        exchange.progress_at = self.now;
        exchange.handler = None;
        exchange.record.started_at = self.now;
        if self.config.access_log {
            let target = match head.target {
                Target::Path { target, .. } => target,
                Target::Server => "*",
            };
            let version = if head.is_11 { 1 } else { 0 };
            let _ = write!(exchange.record.request, "{} {} HTTP/1.{version}", head.method, target.replace('"', "%22"));
        }
        connection.exchanges.push_back(id);
        connection.exclusive = exclusive;
        connection.is_new = false;
        connection.scanned = 0;
        connection.closing = !head.keep_alive;
        connection.reading = match head.framing {
            Framing::Length(length) => Reading::Length(length),
            Framing::Chunked => Reading::Chunked(Decoder::new()),
            Framing::None if connection.closing => Reading::Nothing,
            Framing::None => Reading::Head,
        };
        connection.body_of = has_body.then_some(id);
        connection.body_bytes = 0;

        match (choice, head.target) {
            (Choice::Handler(peer), Target::Path { target, .. }) => {
                exchange.handler = Some(peer);
                if let Some(out) = self.handlers.out(peer) {
                    let head = http::Head {
                        method: head.method,
                        target,
                        authority: head.authority,
                        remote: remote.address,
                        headers: head.headers,
                    };
                    Command::Request { request: id, head }.encode(out.batch());
                    if !has_body {
                        Command::End { request: id }.encode(out.batch());
                    }
                }
                if waits_for_continue {
                    self.put(id, CONTINUE);
                }
            }
            (Choice::Answer { status, extra, text }, _) => {
                if has_body {
                    exchange.close = true;
                    exchange.request_open = false;
                    connection.stop_reading();
                }
                self.answer(id, status, extra, text);
            }
            _ => {}
        }
        Next::On(head.length)
    }

    fn choose(&mut self, head: &Head<'_>) -> Choice {
        let answer = |status, extra, text| Choice::Answer { status, extra, text };
        let Target::Path { target, .. } = head.target else {
            return answer(204, "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n", "");
        };
        if matches!(head.framing, Framing::Length(length) if length > self.config.body_bytes) {
            return answer(413, "", "the body is too large");
        }
        let again = "Retry-After: 2\r\n";
        match self.routes.find(head.authority, target) {
            None if self.routes.is_empty() => answer(503, again, "no handler is there yet"),
            None => answer(404, "", "no handler is for this"),
            Some(peer) if !self.handlers.is_attached(peer) => answer(503, again, "the handler is being restarted"),
            Some(peer) if self.handlers.out_for_data(peer).is_none() => Choice::Later,
            Some(peer) => Choice::Handler(peer),
        }
    }

    /// Bytes of the body being read that can go on now.
    fn room_for_body(&mut self, body_of: Option<u32>) -> usize {
        let Some(id) = body_of else { return usize::MAX };
        let Some(exchange) = self.exchanges.get(id) else { return usize::MAX };
        let Some(peer) = exchange.handler else { return usize::MAX };
        if self.handlers.out_for_data(peer).is_some() { exchange.request_credit as usize } else { 0 }
    }

    /// Passes a part of the body to its handler, if one wants it. False: too much of it is unwanted.
    fn body(&mut self, key: usize, data: &[u8]) -> bool {
        let Some(connection) = self.connections.get(key) else { return false };
        let exchange = connection.body_of.and_then(|id| self.exchanges.get(id));
        if let Some(exchange) = exchange
            && let Some(out) = exchange.handler.and_then(|peer| self.handlers.out_for_data(peer))
        {
            out.stream(BODY, exchange.id(), [data]);
            exchange.request_credit -= data.len() as u32;
            exchange.progress_at = self.now;
            return true;
        }
        match connection.patience.checked_sub(data.len() as u64) {
            Some(patience) => {
                connection.patience = patience;
                true
            }
            None => {
                connection.stop_reading();
                false
            }
        }
    }

    fn read_length(&mut self, key: usize, input: &[u8], left: u64) -> Next {
        let Some(connection) = self.connections.get(key) else { return Next::Wait(0) };
        let body_of = connection.body_of;
        let length = input.len().min(self.room_for_body(body_of)).min(usize::try_from(left).unwrap_or(usize::MAX));
        if length == 0 {
            return Next::Wait(0);
        }
        if self.body(key, &input[..length]) {
            let left = left - length as u64;
            match self.connections.get(key) {
                Some(connection) if left > 0 => connection.reading = Reading::Length(left),
                _ => self.end_of_body(key),
            }
        }
        Next::On(length)
    }

    fn read_chunked(&mut self, key: usize, input: &[u8], mut decoder: Decoder) -> Next {
        let Some(connection) = self.connections.get(key) else { return Next::Wait(0) };
        let body_of = connection.body_of;
        let step = decoder.step(input, self.room_for_body(body_of));
        let Some(connection) = self.connections.get(key) else { return Next::Wait(0) };
        connection.reading = Reading::Chunked(decoder);
        match step {
            Ok((used, Step::Pause)) => Next::Wait(used),
            Ok((used, Step::End)) => {
                self.end_of_body(key);
                Next::On(used)
            }
            Ok((used, Step::Data(data))) => {
                connection.body_bytes += data.len() as u64;
                if body_of.is_some() && connection.body_bytes > self.config.body_bytes {
                    self.refuse_body(key, 413, "the body is too large");
                } else {
                    self.body(key, data);
                }
                Next::On(used)
            }
            Err(_) => {
                self.refuse_body(key, 400, "the body is not chunked as it should be");
                Next::On(input.len())
            }
        }
    }

    fn end_of_body(&mut self, key: usize) {
        let Some(connection) = self.connections.get(key) else { return };
        connection.reading = if connection.closing { Reading::Nothing } else { Reading::Head };
        let Some(exchange) = connection.body_of.take().and_then(|id| self.exchanges.get(id)) else { return };
        exchange.request_open = false;
        exchange.progress_at = self.now;
        if let Some(out) = exchange.handler.and_then(|peer| self.handlers.out(peer)) {
            Command::End { request: exchange.id() }.encode(out.batch());
        }
    }

    /// The body being read cannot be used: its exchange fails, and the connection with it.
    pub(super) fn refuse_body(&mut self, key: usize, status: u16, why: &'static str) {
        let Some(connection) = self.connections.get(key) else { return };
        let body_of = connection.body_of;
        connection.stop_reading();
        if let Some(id) = body_of {
            self.fail(id, status, why);
        }
    }

    /// Nobody wants the rest of the body of an exchange.
    pub(super) fn abandon_body(&mut self, id: u32) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        exchange.request_open = false;
        let Some(connection) = self.connections.get(exchange.connection) else { return };
        if connection.body_of == Some(id) {
            connection.body_of = None;
            connection.patience = PATIENCE;
            if matches!(connection.reading, Reading::Length(left) if left > PATIENCE) {
                connection.stop_reading();
            }
        }
    }

    /// Answers what is no request, and reads no further.
    pub(super) fn refuse(&mut self, key: usize, refusal: Refusal) {
        let (Some(connection), Some(exchange)) = (self.connections.get(key), self.exchanges.insert()) else {
            return self.abort(key);
        };
        let id = exchange.id();
        exchange.connection = key;
        exchange.handler = None;
        exchange.method = Method::default();
        exchange.is_11 = true;
        exchange.request_open = false;
        exchange.close = true;
        exchange.record.started_at = self.now;
        exchange.response = Response::Awaited;
        if self.config.access_log {
            exchange.record.request.push('-');
        }
        connection.exchanges.push_back(id);
        connection.stop_reading();
        self.answer(id, refusal.status, "", refusal.why);
    }

    /// The client has finished in the middle of a body. True: that changed something.
    pub(super) fn lacks_body(&mut self, key: usize) -> bool {
        let Some(connection) = self.connections.get(key) else { return false };
        let in_body = matches!(connection.reading, Reading::Length(_) | Reading::Chunked(_));
        if !connection.client_finished || !in_body || !connection.input.is_empty() {
            return false;
        }
        self.refuse_body(key, 400, "the body is not whole");
        true
    }
}

/// Whether an empty line ends in `input` at or after `from`.
fn ends_head(input: &[u8], from: usize) -> bool {
    (from..input.len()).any(|at| input[at] == b'\n' && (input[..at].ends_with(b"\n") || input[..at].ends_with(b"\n\r")))
}
