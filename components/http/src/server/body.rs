//! Bodies of requests, on their way to the handlers that have the requests.

use super::{Http, input::Next};
use crate::connection::{PATIENCE, Reading};
use message::chunked::{Decoder, Step};
use message::fields::ends_head;
use message::{Refusal, trailers};
use wit::http::Command;

/// The kind of `wit::http::Command::Body`.
const BODY: u8 = Command::BODY;

impl Http {
    #[inline(never)]
    pub(super) fn read_length(&mut self, key: usize, input: &[u8], left: u64) -> Next {
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

    #[inline(never)]
    pub(super) fn read_chunked(&mut self, key: usize, input: &[u8], mut decoder: Decoder) -> Next {
        let Some(connection) = self.connections.get(key) else { return Next::Wait(0) };
        let body_of = connection.body_of;
        let step = decoder.step(input, self.room_for_body(body_of));
        let Some(connection) = self.connections.get(key) else { return Next::Wait(0) };
        connection.reading = Reading::Chunked(decoder);
        match step {
            Ok((used, Step::Pause)) => Next::Wait(used),
            Ok((used, Step::End)) => {
                connection.reading = Reading::Trailers;
                connection.scanned = 0;
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

    /// Reads what follows a chunked body, as a whole: until then it is kept as the start of a head is.
    #[inline(never)]
    pub(super) fn read_trailers(&mut self, key: usize, input: &[u8]) -> Next {
        let Some(connection) = self.connections.get(key) else { return Next::Wait(0) };
        let ends = input.starts_with(b"\r\n") || ends_head(input, connection.scanned);
        if !ends && input.len() <= self.config.limits.head_bytes {
            connection.scanned = input.len();
            return Next::Wait(0);
        }
        connection.scanned = 0;
        let exchange = connection.body_of.and_then(|id| self.exchanges.get(id));
        let to = exchange.and_then(|exchange| Some((exchange.handler?, exchange.id())));
        if to.is_some_and(|(peer, _)| self.handlers.room(peer).is_none()) {
            return Next::Wait(0);
        }
        let mut lines = core::mem::take(&mut self.head);
        lines.clear();
        let next = match trailers::parse(input, &mut lines, &self.config.limits) {
            Ok(Some(length)) => {
                if let (Some((peer, id)), false) = (to, lines.is_empty())
                    && let Some(out) = self.handlers.out(peer)
                {
                    Command::Trailers { request: id, lines: &lines }.encode(out.batch());
                }
                self.end_of_body(key);
                Next::On(length)
            }
            Ok(None) => Next::Wait(0),
            Err(Refusal { status, why }) => {
                self.refuse_body(key, status, why);
                Next::On(input.len())
            }
        };
        self.head = lines;
        next
    }

    /// After an answer 101, or in the body of a stream: whatever the client sends is for the handler.
    #[inline(never)]
    pub(super) fn read_stream(&mut self, key: usize, input: &[u8]) -> Next {
        let Some(connection) = self.connections.get(key) else { return Next::Wait(0) };
        let body_of = connection.body_of;
        let length = input.len().min(self.room_for_body(body_of));
        if body_of.is_some() && length > 0 && self.is_too_large(key, length) {
            self.refuse_body(key, 413, "the body is too large");
            return Next::On(input.len());
        }
        if length == 0 || !self.body(key, &input[..length]) {
            return Next::Wait(length);
        }
        Next::On(length)
    }

    /// Whether a body that ends with its stream is so, with `length` bytes more.
    fn is_too_large(&mut self, key: usize, length: usize) -> bool {
        let Some(connection) = self.connections.get(key) else { return false };
        connection.body_bytes += length as u64;
        matches!(connection.reading, Reading::Open) && connection.body_bytes > self.config.body_bytes
    }

    /// Bytes of the body being read that can go on now.
    fn room_for_body(&mut self, body_of: Option<u32>) -> usize {
        let Some(id) = body_of else { return usize::MAX };
        let Some(exchange) = self.exchanges.get(id) else { return usize::MAX };
        let Some(peer) = exchange.handler else { return usize::MAX };
        if self.handlers.room(peer).is_some() { exchange.request_credit as usize } else { 0 }
    }

    /// Passes a part of the body to its handler, if one wants it. False: too much of it is unwanted.
    fn body(&mut self, key: usize, data: &[u8]) -> bool {
        let Some(connection) = self.connections.get(key) else { return false };
        let exchange = connection.body_of.and_then(|id| self.exchanges.get(id));
        if let Some(exchange) = exchange
            && let Some(out) = exchange.handler.and_then(|peer| self.handlers.room(peer))
        {
            out.stream(BODY, exchange.id(), [data]);
            exchange.request_credit -= data.len() as u32;
            exchange.progress_at = self.now;
            exchange.continue_at = None;
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

    pub(super) fn end_of_body(&mut self, key: usize) {
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
    #[cold]
    #[inline(never)]
    pub(super) fn refuse_body(&mut self, key: usize, status: u16, why: &'static str) {
        let Some(connection) = self.connections.get(key) else { return };
        let body_of = connection.body_of;
        connection.stop_reading();
        if let Some(id) = body_of {
            self.fail(id, status, why);
        }
    }

    /// Nobody wants the rest of the body of an exchange.
    #[cold]
    #[inline(never)]
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

    /// The client has finished in the middle of a body, or of a stream, which that ends. True: that changed something.
    pub(super) fn lacks_body(&mut self, key: usize) -> bool {
        let Some(connection) = self.connections.get(key) else { return false };
        let is_read = match connection.reading {
            Reading::Length(_) | Reading::Chunked(_) | Reading::Stream | Reading::Open => connection.input.is_empty(),
            Reading::Trailers => connection.input.is_empty() || connection.scanned > 0,
            Reading::Proxy | Reading::Start | Reading::Head | Reading::Waiting | Reading::Frames | Reading::Nothing => {
                false
            }
        };
        if !connection.client_finished || !is_read {
            return false;
        }
        if matches!(connection.reading, Reading::Stream | Reading::Open) {
            if !self.pass_trailers(key) {
                return false;
            }
            self.end_of_body(key);
            return true;
        }
        self.refuse_body(key, 400, "the body is not whole");
        true
    }
}
