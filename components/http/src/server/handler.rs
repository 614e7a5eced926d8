//! What handlers say.

use super::{Http, Level, in_words};
use crate::connection::{CREDIT_STEP, Reading};
use crate::exchange::Response;
use crate::packing::Offer;
use crate::response::{CONTINUE, with_headers};
use crate::server::output::put;
use message::chunked::{self, LAST_CHUNK, size_line};
use message::response::{Body, MOST_BYTES};
use message::{status::is_interim, trailers};
use wit::Record;
use wit::http::{Attach, Command, Event};

/// A head in one piece, for a stream.
#[cold]
#[inline(never)]
fn whole<const PARTS: usize>(parts: [&[u8]; PARTS]) -> Vec<u8> {
    parts.concat()
}

impl Http {
    /// A handler is there, and knows of no request.
    #[cold]
    #[inline(never)]
    pub(super) fn handler_attached(&mut self, peer: u32, grant: &[u8]) {
        self.fail_all(peer, "it was replaced");
        match Attach::decode(grant) {
            Ok(route) => {
                if self.handlers.attach(peer, ()) {
                    self.routes.set(peer, route.host, route.path);
                    self.figures.know(route.host);
                    self.carry_on();
                }
            }
            Err(_) => self.say(Level::Error, format!("handler {peer}: its route is malformed")),
        }
    }

    #[cold]
    #[inline(never)]
    pub(super) fn handler_detached(&mut self, peer: u32, why: &[u8]) {
        self.handlers.detach(peer);
        self.fail_all(peer, &in_words(why));
        self.carry_on();
    }

    #[cold]
    #[inline(never)]
    fn fail_all(&mut self, peer: u32, why: &str) {
        let lost = self.exchanges.of_handler(peer);
        if !lost.is_empty() {
            self.say(Level::Warn, format!("handler {peer} is gone with {} requests: {why}", lost.len()));
        }
        for id in lost {
            if let Some(exchange) = self.exchanges.get(id) {
                exchange.handler = None;
                let key = exchange.connection;
                self.fail(id, 502, "the handler was lost");
                self.advance(key);
            }
        }
    }

    #[inline]
    pub(super) fn handler_event(&mut self, peer: u32, record: &Record<'_>) {
        // What is said about an exchange that is over, or another handler's, is not heard.
        let Some(exchange) = self.exchanges.get(record.id).filter(|exchange| exchange.handler == Some(peer)) else {
            return;
        };
        exchange.progress_at = self.now;
        let (id, key, is_stream_of_2) = (record.id, exchange.connection, exchange.is_stream_of_2);
        match Event::decode(record) {
            Ok(Event::Body { data, .. }) => self.response_body(peer, id, data),
            Ok(Event::Response { status, headers, .. }) => self.response_head(peer, id, status, headers),
            Ok(Event::End { .. }) => {
                exchange.handler = None;
                self.response_end(peer, id);
                self.advance(key);
            }
            Ok(Event::Credit { bytes, .. }) => {
                if exchange.request_credit == 0
                    && let Some(connection) = self.connections.get(key)
                {
                    // The client was not to send anything until now.
                    connection.read_at = self.now;
                }
                exchange.request_credit = exchange.request_credit.saturating_add(bytes);
                self.advance(key);
            }
            Ok(Event::Failed { why, .. }) => {
                exchange.handler = None;
                let why = in_words(why.as_bytes());
                self.say(Level::Warn, format!("handler {peer} failed a request: {why}"));
                self.fail(id, 502, "the handler failed");
                self.advance(key);
            }
            Ok(Event::Trailers { lines, .. }) => self.response_trailers(peer, id, lines),
            Ok(Event::Fault { .. } | Event::Unknown { .. }) => {}
            Err(_) => self.misbehaves(peer, id, "a malformed record"),
        }
        if is_stream_of_2 {
            self.touch_session_of(key);
        }
    }

    /// The handler does what no handler may: its response is not to be trusted further.
    #[cold]
    #[inline(never)]
    pub(super) fn misbehaves(&mut self, peer: u32, id: u32, what: &str) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        let key = exchange.connection;
        self.say(Level::Warn, format!("handler {peer}: {what}"));
        self.fail(id, 502, "the handler's response is not valid");
        self.advance(key);
    }

    fn response_head(&mut self, peer: u32, id: u32, status: u16, headers: &[u8]) {
        let Some(offer) = self.exchanges.get(id).map(|exchange| exchange.offer) else { return };
        let offer = self.offer_now(offer);
        let Some(exchange) = self.exchanges.get(id) else { return };
        let Some(connection) = self.connections.get(exchange.connection) else { return };
        if exchange.response != Response::Awaited {
            return self.misbehaves(peer, id, "a second response to one request");
        }
        if is_interim(status) {
            return self.interim_head(peer, id, status, headers);
        }
        // Who refuses a request will not read the rest of its body: the client is told that the connection ends with it. So is
        // one that waits to be told to go on, since it may leave the body out; if the body is wanted, it is told so before.
        let unread = exchange.request_open && connection.body_of == Some(id) && connection.is_too_much_to_drop();
        let waited = exchange.continue_at.take().is_some();
        let ends = if status >= 400 { unread || waited } else { unread && waited };
        exchange.close |= ends;
        if waited && !ends {
            connection.read_at = self.now;
            match &mut connection.stream {
                Some(stream) => stream.send_head(CONTINUE, false),
                None => self.buffered += put(&mut self.tcp, connection, exchange, self.now, [CONTINUE]),
            }
        }
        match self.heads.head(exchange, status, headers, offer) {
            Ok(head) => {
                exchange.response = Response::Body(head.body);
                exchange.close = head.closes;
                exchange.record.status = status;
                exchange.packer = head.packs.map(|length| self.packers.take(length));
                let [common, end] = self.common.end(head.has_date, head.has_server);
                let with;
                let bytes = if exchange.headers.is_empty() {
                    head.bytes()
                } else {
                    with = with_headers(head.bytes(), &exchange.headers);
                    &with
                };
                let parts = [bytes, common, end];
                if exchange.is_stream_of_2 {
                    let head = whole(parts);
                    return self.put_head_of_stream(id, &head);
                }
                self.buffered += put(&mut self.tcp, connection, exchange, self.now, parts);
                if status == 101 {
                    self.begin_stream(id);
                }
            }
            Err(why) => self.misbehaves(peer, id, why),
        }
    }

    /// An answer that another follows. A client of HTTP/1.0 knows of none (RFC 9110, section 15.2).
    #[cold]
    #[inline(never)]
    fn interim_head(&mut self, peer: u32, id: u32, status: u16, headers: &[u8]) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        let Some(connection) = self.connections.get(exchange.connection) else { return };
        match self.heads.head(exchange, status, headers, Offer::None) {
            // It may be left out, and is not kept for a client that does not read.
            Ok(head) if exchange.is_11 && exchange.held.is_empty() => {
                let parts = [head.bytes(), b"\r\n"];
                if exchange.is_stream_of_2 {
                    let head = whole(parts);
                    return self.put_head_of_stream(id, &head);
                }
                self.buffered += put(&mut self.tcp, connection, exchange, self.now, parts);
            }
            Ok(_) => {}
            Err(why) => self.misbehaves(peer, id, why),
        }
    }

    /// The head of an answer 101 is sent: what the client has sent behind its request, and sends from now on, is for the
    /// handler.
    #[cold]
    #[inline(never)]
    fn begin_stream(&mut self, id: u32) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        let key = exchange.connection;
        exchange.request_open = true;
        let Some(connection) = self.connections.get(key) else { return };
        connection.reading = Reading::Stream;
        connection.body_of = Some(id);
        connection.scanned = 0;
        connection.closing = true;
        self.advance(key);
    }

    /// Trailers are for clients that take them, behind a chunked body; for others they are left out, which RFC 9110, section
    /// 6.5.1, has every sender expect.
    #[cold]
    #[inline(never)]
    fn response_trailers(&mut self, peer: u32, id: u32, lines: &[u8]) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        match exchange.response {
            Response::Awaited => return self.misbehaves(peer, id, "trailers without a response"),
            Response::Body(Body::Trailers) => return self.misbehaves(peer, id, "trailers twice"),
            Response::Body(Body::Chunked) if exchange.takes_trailers => {}
            Response::Body(Body::UntilClose) if exchange.is_stream_of_2 && exchange.takes_trailers => {}
            Response::Body(_) | Response::Done => return,
        }
        if !self.finish_packing(peer, id) {
            return;
        }
        let Some(exchange) = self.exchanges.get(id) else { return };
        let mut out = core::mem::take(&mut self.head);
        out.clear();
        out.extend_from_slice(LAST_CHUNK);
        if lines.len() > MOST_BYTES || trailers::pass(lines, &mut out).is_err() {
            self.misbehaves(peer, id, "trailers that are too large, or no lines");
        } else {
            exchange.response = Response::Body(Body::Trailers);
            if exchange.is_stream_of_2 {
                self.put_trailers_of_stream(id, &out[LAST_CHUNK.len()..]);
            } else {
                self.put(id, &out);
            }
        }
        self.head = out;
    }

    fn response_body(&mut self, peer: u32, id: u32, data: &[u8]) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        let Some(connection) = self.connections.get(exchange.connection) else { return };
        let Response::Body(body) = exchange.response else {
            return self.misbehaves(peer, id, "a body without a response");
        };
        let Some(allowance) = exchange.allowance.checked_sub(data.len() as u32) else {
            return self.misbehaves(peer, id, "more of a body than it had credit for");
        };
        exchange.allowance = allowance;
        exchange.uncredited += data.len() as u32;
        if exchange.packer.is_some() {
            return self.pack(peer, id, data);
        }
        let mut size = [0; 18];
        let (taken, line, end): (&[u8], &[u8], &[u8]) = match body {
            Body::UntilClose => (data, b"", b""),
            Body::Chunked if !data.is_empty() => (data, size_line(data.len(), &mut size), b"\r\n"),
            Body::Length(left) => {
                let length = data.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                exchange.response = Response::Body(Body::Length(left - length as u64));
                (&data[..length], b"", b"")
            }
            Body::Trailers if !data.is_empty() => return self.misbehaves(peer, id, "a body after its trailers"),
            Body::None | Body::Chunked | Body::Trailers => (b"", b"", b""),
        };
        exchange.record.body_bytes += taken.len() as u64;
        self.batched += taken.len();
        self.buffered += put(&mut self.tcp, connection, exchange, self.now, [line, taken, end]);
        if taken.len() < data.len() && body != Body::None {
            self.too_much(peer, id);
        } else if exchange.uncredited >= CREDIT_STEP {
            self.credit_handler(id);
        }
    }

    /// The client has the body that was announced, and gets nothing of what is too much.
    #[cold]
    #[inline(never)]
    pub(super) fn too_much(&mut self, peer: u32, id: u32) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        exchange.close = true;
        self.misbehaves(peer, id, "a body longer than its content-length");
    }

    fn response_end(&mut self, peer: u32, id: u32) {
        if !self.finish_packing(peer, id) {
            return;
        }
        let Some(exchange) = self.exchanges.get(id) else { return };
        match exchange.response {
            Response::Awaited => return self.misbehaves(peer, id, "an end without a response"),
            Response::Body(Body::Length(1..)) => {
                return self.misbehaves(peer, id, "a body shorter than its content-length");
            }
            Response::Body(Body::Chunked) => self.put(id, chunked::END),
            Response::Body(Body::Trailers) if !exchange.is_stream_of_2 => self.put(id, b"\r\n"),
            Response::Body(_) | Response::Done => {}
        }
        let Some(exchange) = self.exchanges.get(id) else { return };
        exchange.response = Response::Done;
        if exchange.request_open {
            self.abandon_body(id);
        }
    }

    /// Gives credit for what is on its way to the client.
    pub(super) fn credit_handler(&mut self, id: u32) {
        let pressed = self.is_pressed();
        let Some(exchange) = self.exchanges.get(id) else { return };
        // All that is held may be body.
        let held = u32::try_from(exchange.held.len()).unwrap_or(u32::MAX);
        let mut bytes = exchange.uncredited.saturating_sub(held);
        if bytes < CREDIT_STEP {
            return;
        }
        if pressed {
            // Enough to go on with.
            bytes = if exchange.allowance < CREDIT_STEP { CREDIT_STEP } else { return };
        }
        if let Some(out) = exchange.handler.and_then(|peer| self.handlers.out_unless_full(peer)) {
            Command::Credit { request: id, bytes }.encode(out.batch());
            exchange.uncredited -= bytes;
            exchange.allowance += bytes;
        }
    }

    /// The handler is to do nothing more for an exchange, if it has it.
    pub(super) fn cancel(&mut self, id: u32) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        if let Some(out) = exchange.handler.take().and_then(|peer| self.handlers.out(peer)) {
            Command::Cancel { request: id }.encode(out.batch());
        }
    }
}
