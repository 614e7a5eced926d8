//! Heads become requests for handlers, or are answered here.

use super::{Http, access, gate::Asked, input::Next};
use crate::connection::Reading;
use crate::exchange::Response;
use crate::packing::Offer;
use core::net::Ipv6Addr;
use message::chunked::Decoder;
use message::fields::value_of;
use message::rules::{canonical, is_ambiguous};
use message::{Framing, Head, Method, Refusal, Target};
use std::borrow::Cow;
use wit::http::{self, Command};

/// The header lines that say how a response is coded, and for whom it is.
const CODING: [&str; 5] = ["cache-control", "content-encoding", "content-type", "etag", "vary"];

/// What is to be done about a request.
pub(super) enum Choice {
    Handler(u32),
    Answer {
        status: u16,
        /// lines for the head
        extra: Cow<'static, str>,
        text: &'static str,
    },
    /// Its handler is there and has no room.
    Later,
}

impl Choice {
    pub fn answer(status: u16, extra: impl Into<Cow<'static, str>>, text: &'static str) -> Self {
        Choice::Answer { status, extra: extra.into(), text }
    }
}

/// Time in which a handler can refuse a request before its client, who waits for that, is told to send the body.
const REFUSAL: u64 = 20_000_000;

impl Http {
    /// Whether a connection may change to another protocol: not when half of all have done so, since those may stay for as long
    /// as something comes now and then. One that is to end soon may: else its client would take the answer for a refusal, while
    /// a connection that ends is opened anew.
    #[cold]
    #[inline(never)]
    fn may_stream(&mut self) -> bool {
        let streams = self.connections.iter().filter(|(_, it)| matches!(it.reading, Reading::Stream)).count();
        streams < self.limits.connections / 2
    }

    /// A whole head has come; `more` came after it.
    pub(super) fn request(&mut self, key: usize, head: &Head<'_>, more: bool) -> Next {
        let Some(connection) = self.connections.get(key) else { return Next::Wait(0) };
        let peer = connection.peer;
        let method = Method::of(head.method);
        let has_body = head.says.framing != Framing::None;
        let waits_for_continue = has_body && head.says.expects_continue && !more;
        let wants_upgrade = !head.says.upgrade.is_empty() && self.may_stream();
        let Some(connection) = self.connections.get(key) else { return Next::Wait(0) };
        let exclusive = !method.is_safe || waits_for_continue || wants_upgrade;
        if exclusive && !connection.exchanges.is_empty() {
            return Next::Wait(0);
        }
        let has_waited = core::mem::take(&mut connection.awaits_room);
        let Some(connection) = self.connections.peek(key) else { return Next::Wait(0) };
        let (client, scheme) = self.client_of(connection, head);
        let is_misdirected = self.is_misdirected(connection, head.authority);
        let choice = if is_misdirected {
            self.forget_asked();
            Choice::answer(421, "", "this connection is for other hosts")
        } else {
            self.choose(head, client, scheme, has_waited)
        };
        if matches!(choice, Choice::Later) {
            let Some(connection) = self.connections.get(key) else { return Next::Wait(0) };
            connection.awaits_room = true;
            return Next::Wait(0);
        }
        let host = self.figures.place(head.authority);
        if matches!(choice, Choice::Answer { status: 429, .. }) {
            self.figures.limited(host);
        }
        let leaves = self.leaves_since(peer);
        let is_stream = self.connections.get(key).is_some_and(|connection| connection.stream.is_some());
        let (Some(exchange), Some(connection)) = (self.exchanges.insert(is_stream), self.connections.get(key)) else {
            self.abort(key);
            return Next::Wait(0);
        };
        // When this box retires, or TCP, the connection ends with this request unless the client has sent the next already.
        let keep_alive = head.says.keep_alive && (leaves.is_none() || (more && !has_body));
        let id = exchange.id();
        // A stream ends with its response.
        let keep_alive = keep_alive && !is_stream;
        exchange.connection = key;
        exchange.method = method;
        exchange.host = host;
        exchange.is_11 = head.is_11;
        exchange.takes_trailers = head.says.takes_trailers;
        let has_secret = head.says.has_secret || connection.is_known_client;
        exchange.offer = Offer::of(self.compress, &head.says, head.is_11, has_secret);
        exchange.wants_upgrade = wants_upgrade;
        exchange.request_open = has_body;
        exchange.close = !keep_alive;
        exchange.progress_at = self.now;
        exchange.handler = None;
        exchange.record.started_at = self.now;
        if !self.headers.is_empty() {
            exchange.headers = core::mem::take(&mut self.headers);
            // a rule that says how the response is coded, or for whom, has chosen already
            if CODING.iter().any(|name| value_of(exchange.headers.as_bytes(), name).is_some()) {
                exchange.offer = Offer::None;
            }
        }
        if let Some(format) = self.config.access_log {
            let time = self.common.log_time();
            let version = if is_stream { "HTTP/2.0" } else { access::version(head) };
            access::note(&mut exchange.record, format, client, &self.user, &time, Some((head, version)));
            self.buffered += exchange.record.line.capacity();
        }
        connection.exchanges.push_back(id);
        connection.exclusive = exclusive;
        connection.scanned = 0;
        connection.closing = !keep_alive;
        connection.reading = match head.says.framing {
            Framing::Length(_) | Framing::Chunked if is_stream => Reading::Open,
            Framing::Length(length) => Reading::Length(length),
            Framing::Chunked => Reading::Chunked(Decoder::new()),
            // What comes may be of the protocol to change to.
            Framing::None if connection.closing && !wants_upgrade => Reading::Nothing,
            Framing::None => Reading::Head,
        };
        connection.read_at = self.now;
        connection.body_of = has_body.then_some(id);
        connection.body_bytes = 0;

        match (choice, &head.target) {
            (Choice::Handler(peer), Target::Path { target, .. }) => {
                exchange.handler = Some(peer);
                if let Some(out) = self.handlers.out(peer) {
                    let head = http::Head {
                        method: head.method,
                        target,
                        authority: head.authority.as_bytes(),
                        remote: client,
                        headers: head.headers,
                        scheme,
                        upgrade: if wants_upgrade { head.says.upgrade } else { "" },
                    };
                    Command::Request { request: id, head }.encode(out.batch());
                    if !has_body {
                        Command::End { request: id }.encode(out.batch());
                    }
                }
                if waits_for_continue {
                    exchange.continue_at = Some(self.now.saturating_add(REFUSAL));
                }
            }
            (Choice::Answer { status, extra, text }, _) => {
                if has_body {
                    exchange.close = true;
                    exchange.request_open = false;
                    connection.stop_reading();
                }
                self.answer(id, status, &extra, text);
            }
            _ => {}
        }
        Next::On(head.length)
    }

    /// What was found out about the last request is not about this one.
    fn forget_asked(&mut self) {
        self.user.clear();
        self.headers.clear();
        self.compress = self.config.compress;
    }

    /// `has_waited`: the request comes again, since its handler had no room.
    fn choose(&mut self, head: &Head<'_>, remote: Ipv6Addr, scheme: http::Scheme, has_waited: bool) -> Choice {
        let answer = |status, extra: &'static str, text| Choice::answer(status, extra, text);
        self.forget_asked();
        let Target::Path { target, .. } = &head.target else {
            return answer(204, "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n", "");
        };
        if matches!(head.says.framing, Framing::Length(length) if length > self.config.body_bytes) {
            return answer(413, "", "the body is too large");
        }
        let (path, query) = target.split_at(target.bytes().position(|byte| byte == b'?').unwrap_or(target.len()));
        if self.config.rules.is_empty() {
            return self.route(head.authority, path);
        }
        self.choose_by_rules(head, path, query, remote, scheme, has_waited)
    }

    #[inline(never)]
    fn choose_by_rules(
        &mut self,
        head: &Head<'_>,
        path: &str,
        query: &str,
        remote: Ipv6Addr,
        scheme: http::Scheme,
        has_waited: bool,
    ) -> Choice {
        let answer = |status, text| Choice::answer(status, "", text);
        // Rules and routes have to mean the same, and the handler too, whichever way it reads a path or a host.
        if is_ambiguous(path) {
            return answer(400, "the path has segments of dots, or an escaped separator");
        }
        if head.authority.contains('%') {
            return answer(400, "the host has escapes");
        }
        let asked = Asked { path, canonical: &canonical(path), query, remote, scheme, has_waited };
        let at_the_gate = self.at_the_gate(head, &asked);
        at_the_gate.unwrap_or_else(|| self.route(head.authority, asked.canonical))
    }

    fn route(&mut self, authority: &str, path: &str) -> Choice {
        let again = "Retry-After: 2\r\n";
        match self.routes.find_path(authority, path) {
            None if self.routes.is_empty() => Choice::answer(503, again, "no handler is there yet"),
            None => Choice::answer(404, "", "no handler is for this"),
            Some(peer) if !self.handlers.is_attached(peer) => {
                Choice::answer(503, again, "the handler is being restarted")
            }
            Some(peer) if self.handlers.room(peer).is_none() => Choice::Later,
            Some(peer) => Choice::Handler(peer),
        }
    }

    /// Answers what is no request, and reads no further.
    #[cold]
    #[inline(never)]
    pub(super) fn refuse(&mut self, key: usize, refusal: Refusal) {
        let Some(connection) = self.connections.get(key) else { return };
        let Some(exchange) = self.exchanges.insert(connection.stream.is_some()) else { return self.abort(key) };
        let id = exchange.id();
        exchange.connection = key;
        exchange.handler = None;
        exchange.method = Method::default();
        exchange.host = 0;
        exchange.is_11 = true;
        exchange.request_open = false;
        exchange.close = true;
        exchange.record.started_at = self.now;
        exchange.response = Response::Awaited;
        if let Some(format) = self.config.access_log {
            let time = self.common.log_time();
            access::note(&mut exchange.record, format, connection.remote.address, "", &time, None);
        }
        connection.exchanges.push_back(id);
        connection.stop_reading();
        self.answer(id, refusal.status, "", refusal.why);
    }
}
