//! What the client sends: heads and bodies, one after the other.

use super::{Http, Level};
use crate::connection::{Reading, paced};
use core::mem;
use message::fields::ends_head;
use message::request;
use wit::INITIAL_CREDIT;

/// Bytes of input that were used, and whether there may be more to do with what follows.
pub(super) enum Next {
    On(usize),
    Wait(usize),
}

impl Http {
    /// Uses what came straight from the batch if nothing else waits; keeps what cannot be used yet.
    pub(super) fn received(&mut self, key: usize, data: &[u8]) {
        self.batched += data.len();
        let Some(connection) = self.connections.get(key) else { return };
        if connection.session.is_some() {
            return self.received_frames(key, data);
        }
        connection.read_at = paced(connection.read_at, self.now, data.len(), self.config.body_timeout);
        if connection.input.len() + data.len() > INITIAL_CREDIT as usize {
            let number = connection.number;
            self.say(Level::Error, format!("tcp: more data on connection {number} than it had credit for"));
            return self.abort(key);
        }
        let used = if connection.input.is_empty() { self.read(key, data) } else { 0 };
        if used == data.len() {
            return;
        }
        if let Some(connection) = self.connections.get(key) {
            let before = connection.input.capacity();
            connection.input.push(&data[used..]);
            self.buffered += connection.input.capacity().saturating_sub(before);
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
            if used > 0 {
                // It was not the client that this waited for.
                connection.read_at = self.now;
            }
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
                Reading::Proxy => self.read_proxy(key, rest),
                Reading::Start => self.read_start(key, rest),
                Reading::Waiting | Reading::Frames => Next::Wait(0),
                Reading::Length(left) => self.read_length(key, rest, left),
                Reading::Chunked(decoder) => self.read_chunked(key, rest, decoder),
                Reading::Trailers => self.read_trailers(key, rest),
                Reading::Stream | Reading::Open => self.read_stream(key, rest),
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
        if input == b"\r" {
            return Next::Wait(0);
        }
        let has_others = !connection.exchanges.is_empty();
        if input.is_empty() || connection.exclusive || connection.exchanges.len() >= self.config.pipeline {
            return Next::Wait(0);
        }
        // Under pressure there is one request of each connection.
        if has_others && (self.is_pressed() || self.exchanges.len() >= self.limits.further) {
            return Next::Wait(0);
        }
        let Some(connection) = self.connections.get(key) else { return Next::Wait(0) };
        if connection.scanned > 0 && !ends_head(input, connection.scanned) {
            connection.scanned = input.len();
            if let Err(refusal) = request::unfinished(input, &self.config.limits) {
                self.refuse(key, refusal);
                return Next::On(input.len());
            }
            return Next::Wait(0);
        }
        let Some(mut reader) = self.reader.take() else { return Next::Wait(0) };
        let next = match reader.read(input, &mut connection.known, &self.config.limits) {
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
}
