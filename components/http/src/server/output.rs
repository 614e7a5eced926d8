//! What the client gets: responses in the order of the requests, as far as TCP takes them.

use super::{Http, RetiresAt};
use crate::connection::{CREDIT_STEP, Connection, Reading, paced};
use crate::exchange::{Exchange, Response};
use crate::response;
use h2::Reason;
use message::response::Body;
use wit::tcp::Command;
use wit::{Outbox, Peers};

/// The kind of `wit::tcp::Command::Send`.
const SEND: u8 = Command::SEND;

/// Adds bytes to a response, in parts: sends what can be sent now, holds the rest. Gives how much memory that takes.
#[inline]
pub(super) fn put<const PARTS: usize>(
    tcp: &mut Peers<RetiresAt>,
    connection: &mut Connection,
    exchange: &mut Exchange,
    now: u64,
    parts: [&[u8]; PARTS],
) -> usize {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    if length == 0 {
        return 0;
    }
    let is_next =
        exchange.held.is_empty() && connection.exchanges.front() == Some(&exchange.id()) && !exchange.is_stream_of_2;
    let Some(out) = tcp.room(connection.peer).filter(|_| is_next) else {
        return hold(connection, exchange, now, &parts);
    };
    if length <= connection.credit as usize {
        out.stream(SEND, connection.number, parts);
        connection.credit -= length as u32;
        return 0;
    }
    put_some(out, connection, exchange, now, parts)
}

/// Sends what there is credit for, and holds the rest.
#[inline(never)]
fn put_some<const PARTS: usize>(
    out: &mut Outbox,
    connection: &mut Connection,
    exchange: &mut Exchange,
    now: u64,
    mut parts: [&[u8]; PARTS],
) -> usize {
    for part in &mut parts {
        let (sent, rest) = part.split_at(part.len().min(connection.credit as usize));
        if !sent.is_empty() {
            out.stream(SEND, connection.number, [sent]);
            connection.credit -= sent.len() as u32;
        }
        *part = rest;
    }
    hold(connection, exchange, now, &parts)
}

#[inline(never)]
fn hold(connection: &mut Connection, exchange: &mut Exchange, now: u64, parts: &[&[u8]]) -> usize {
    if exchange.held.is_empty() {
        connection.wrote_at = now;
    }
    let before = exchange.held.capacity();
    parts.iter().for_each(|part| exchange.held.push(part));
    exchange.held.capacity().saturating_sub(before)
}

impl Http {
    /// Adds bytes to the response of an exchange.
    pub(super) fn put(&mut self, id: u32, bytes: &[u8]) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        let Some(connection) = self.connections.get(exchange.connection) else { return };
        self.buffered += put(&mut self.tcp, connection, exchange, self.now, [bytes]);
    }

    /// The same of bytes that begin with a head.
    #[inline]
    pub(super) fn put_head<const PARTS: usize>(&mut self, id: u32, parts: [&[u8]; PARTS]) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        let Some(connection) = self.connections.get(exchange.connection) else { return };
        if exchange.is_stream_of_2 {
            return self.put_head_of_stream(id, &parts.concat());
        }
        self.buffered += put(&mut self.tcp, connection, exchange, self.now, parts);
    }

    /// Answers for a handler, or without one.
    #[cold]
    #[inline(never)]
    pub(super) fn answer(&mut self, id: u32, status: u16, extra: &str, text: &str) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        let mut response = core::mem::take(&mut self.head);
        response::write_own(&mut response, exchange, status, extra, text, &self.common);
        exchange.response = Response::Done;
        exchange.continue_at = None;
        exchange.record.status = status;
        self.put_head(id, [&response]);
        self.head = response;
    }

    /// The exchange ends without the handler: with an answer in its place if there is none yet.
    #[cold]
    #[inline(never)]
    pub(super) fn fail(&mut self, id: u32, status: u16, why: &str) {
        self.cancel(id);
        let Some(exchange) = self.exchanges.get(id) else { return };
        let was_open = exchange.request_open;
        match exchange.response {
            Response::Awaited => {
                exchange.close |= was_open;
                self.answer(id, status, "", why);
            }
            // The client has all of it.
            Response::Body(Body::None | Body::Length(0)) | Response::Done => exchange.response = Response::Done,
            // The client sees that there is an end missing.
            Response::Body(Body::Length(_) | Body::Chunked | Body::Trailers) => {
                exchange.close = true;
                exchange.reset |= exchange.is_stream_of_2;
                exchange.response = Response::Done;
            }
            Response::Body(Body::UntilClose) => {
                exchange.reset = true;
                exchange.response = Response::Done;
            }
        }
        if was_open {
            self.abandon_body(id);
        }
    }

    /// Goes on with a connection as far as possible: output, then what input that allows, and so on.
    pub(super) fn advance(&mut self, key: usize) {
        if !self.waits(key) {
            self.go_on(key);
        }
        self.settle(key);
    }

    /// The connection only waits for the handler of its first exchange.
    #[inline]
    fn waits(&mut self, key: usize) -> bool {
        let Some(connection) = self.connections.get(key) else { return true };
        if connection.client_finished || !connection.input.is_empty() {
            return false;
        }
        let front = connection.exchanges.front().and_then(|&id| self.exchanges.get(id));
        front.is_some_and(|exchange| exchange.held.is_empty() && exchange.response != Response::Done)
    }

    fn go_on(&mut self, key: usize) {
        let is_of_2 = self.connections.get(key).is_some_and(|connection| connection.is_of_2());
        if is_of_2 && self.touch_session_of(key) {
            return;
        }
        loop {
            self.pump(key);
            if !self.resume(key) && !self.lacks_body(key) {
                break;
            }
        }
        let Some(connection) = self.connections.get(key) else { return };
        // What is left of the input then is no whole request.
        let waits = connection.awaits_room || matches!(connection.reading, Reading::Waiting);
        let is_over = (connection.closing && !connection.lingers()) || (connection.client_finished && !waits);
        if is_over && connection.exchanges.is_empty() && !connection.finished {
            self.finish(key);
        }
    }

    /// Sends what can be sent, and completes the exchanges whose response is sent.
    fn pump(&mut self, key: usize) {
        loop {
            let Some(connection) = self.connections.get(key) else { return };
            let Some(&id) = connection.exchanges.front() else { return };
            let Some(exchange) = self.exchanges.get(id) else { return };
            if exchange.is_stream_of_2 {
                return;
            }
            if !exchange.held.is_empty() {
                let length = exchange.held.len().min(connection.credit as usize);
                let Some(out) = self.tcp.room(connection.peer).filter(|_| length > 0) else { return };
                out.stream(SEND, connection.number, [&exchange.held.as_slice()[..length]]);
                exchange.held.consume(length);
                connection.credit -= length as u32;
                connection.wrote_at = paced(connection.wrote_at, self.now, length, self.config.write_timeout);
                self.batched += length;
                let (all_sent, done) = (exchange.held.is_empty(), exchange.response == Response::Done);
                self.credit_handler(id);
                if !all_sent || !done {
                    return;
                }
            } else if exchange.response != Response::Done {
                return;
            }
            self.complete(key, id);
        }
    }

    /// The first exchange of the connection is over, and all of its response is on its way.
    pub(super) fn complete(&mut self, key: usize, id: u32) {
        if self.config.access_log.is_some() {
            self.log_access(id);
        }
        let Some(exchange) = self.exchanges.get(id) else { return };
        self.figures.answered(exchange, self.now);
        let (close, reset) = (exchange.close, exchange.reset);
        self.exchanges.remove(id);
        if reset {
            return self.abort(key);
        }
        let Some(connection) = self.connections.get(key) else { return };
        connection.exchanges.pop_front();
        connection.since = self.now;
        if close {
            connection.stop_reading();
            let later = core::mem::take(&mut connection.exchanges);
            for id in later {
                self.cancel(id);
                self.exchanges.remove(id);
            }
            return;
        }
        match connection.exchanges.front() {
            None => connection.exclusive = false,
            Some(&next) => {
                // Its handler may have waited for its turn, and not the other way round.
                if let Some(exchange) = self.exchanges.get(next) {
                    exchange.progress_at = self.now;
                    connection.wrote_at = self.now;
                }
            }
        }
    }

    /// This side sends no more.
    #[inline(never)]
    pub(super) fn finish(&mut self, key: usize) {
        let Some(connection) = self.connections.get(key) else { return };
        if connection.session.is_some() {
            return self.close_session(key, Reason::NO_ERROR);
        }
        if connection.stream.is_some() {
            return self.remove(key);
        }
        connection.stop_reading();
        let dropped = connection.input.len();
        connection.input.clear();
        connection.used += dropped as u32;
        connection.finished = true;
        connection.since = self.now;
        if let Some(out) = self.tcp.out(connection.peer) {
            Command::Finish { connection: connection.number }.encode(out.batch());
        }
    }

    #[cold]
    #[inline(never)]
    pub(super) fn abort(&mut self, key: usize) {
        let Some(connection) = self.connections.get(key) else { return };
        if let Some(stream) = &mut connection.stream {
            stream.reset(Reason::INTERNAL_ERROR);
            return self.remove(key);
        }
        if let Some(out) = self.tcp.out(connection.peer) {
            Command::Abort { connection: connection.number }.encode(out.batch());
        }
        self.remove(key);
    }

    /// The connection is no more.
    #[inline(never)]
    pub(super) fn remove(&mut self, key: usize) {
        let Some(connection) = self.connections.remove(key) else { return };
        self.removed(key, &connection);
        self.figures.pace.changed(self.now);
        self.surplus -= usize::from(connection.is_surplus);
        for id in connection.exchanges {
            self.cancel(id);
            self.exchanges.remove(id);
        }
    }

    /// After a change: credit for what was read, and when to look again.
    pub(super) fn settle(&mut self, key: usize) {
        let Some((_, since, time)) = self.wait_of(key) else { return };
        let Some(connection) = self.connections.get(key) else { return };
        let deadline = since.saturating_add(time);
        connection.deadline = deadline;
        self.earliest = self.earliest.min(deadline);
        if connection.stream.is_some() {
            return self.settle_stream(key);
        }
        if connection.used >= CREDIT_STEP
            && let Some(out) = self.tcp.out_unless_full(connection.peer)
        {
            Command::Credit { connection: connection.number, bytes: connection.used }.encode(out.batch());
            connection.used = 0;
        }
    }
}
