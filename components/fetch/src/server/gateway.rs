//! Upstreams: which one has a request, what becomes of it when that one fails, and whether they are well.

use super::{Fetch, Level, SECOND};
use crate::exchange::{Answer, Exchange, OWN};
use crate::request::Request;
use crate::upstreams::Failure;
use wit::http::Event;
use wit::tcp::Cause;

/// Why a request has failed on its way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fault<'a> {
    pub cause: Cause,
    /// as in `pearwood:net/tcp`
    pub alert: u8,
    pub why: &'a str,
    /// It says something of the host, and not of what is between it and this box, or of who asks.
    pub is_hosts: bool,
}

impl<'a> Fault<'a> {
    pub fn new(cause: Cause, why: &'a str) -> Self {
        Fault { cause, alert: 0, why, is_hosts: true }
    }

    /// One that the host has no part in.
    pub fn own(cause: Cause, why: &'a str) -> Self {
        Fault { is_hosts: false, ..Fault::new(cause, why) }
    }
}

impl Exchange {
    /// It is this box's own: a check of an upstream.
    pub fn is_own(&self) -> bool {
        self.client == OWN
    }
}

impl Fetch {
    /// Gives an exchange to an upstream that it has not been tried at. False: there is none.
    pub(super) fn assign(&mut self, key: usize) -> bool {
        let Some(exchange) = self.exchanges.get_mut(key) else { return false };
        let Some(at) = self.upstreams.choose(self.now, exchange.tried) else { return false };
        self.figures.changed(self.now);
        exchange.upstream = Some(at);
        exchange.tried |= 1 << at;
        exchange.request.origin = self.upstreams.get(at).origin.clone();
        exchange.deadline = self.now.saturating_add(self.config.connect_timeout());
        true
    }

    /// What a failure says of an upstream is remembered.
    pub(super) fn blame(&mut self, key: usize, fault: &Fault<'_>) {
        let Some(exchange) = self.exchanges.get(key) else { return };
        let Some(at) = exchange.upstream.filter(|_| fault.is_hosts && fault.cause != Cause::Busy) else { return };
        let failure = if exchange.is_begun { Failure::Broken } else { Failure::Unreachable };
        // an answer that breaks off may be the client's wish, and so may be what was reached and got nothing to answer
        let is_asked = exchange.is_begun || exchange.link.is_none();
        if !is_asked || !matches!(exchange.answer, Answer::Awaited) {
            return;
        }
        self.figures.changed(self.now);
        if let Some(time) = self.upstreams.failed(self.now, at, failure) {
            let origin = &self.upstreams.get(at).origin;
            let line = format!("upstream {origin} is left out for {} s: {}", time / SECOND, fault.why);
            self.say(Level::Warn, line);
        }
    }

    /// Tries a request that has failed at another upstream. False: it has to fail.
    pub(super) fn retry(&mut self, key: usize, fault: &Fault<'_>) -> bool {
        let Some(exchange) = self.exchanges.get(key) else { return false };
        let Some(at) = exchange.upstream else { return false };
        // what waits for its answer for too long may have been done, and what is not begun by then does not go on elsewhere either; what
        // finds no room here finds none for another
        let is_late = exchange.link.is_some() && fault.cause == Cause::Timeout;
        let may = exchange.may_be_repeated() && matches!(exchange.answer, Answer::Awaited) && !is_late;
        if !may || fault.cause == Cause::Busy || !self.upstreams.has_other(exchange.tried) {
            return false;
        }
        // what no server has got may go on until one gets it
        if exchange.is_begun && !self.upstreams.may_retry() {
            return false;
        }
        self.give_back(key);
        self.upstreams.leaves(at);
        self.exchanges[key].upstream = None;
        if !self.assign(key) {
            return false;
        }
        self.exchanges[key].is_fresh = false;
        self.connect(key);
        true
    }

    /// Sends the same request to the same host again, over a new connection.
    pub(super) fn repeat(&mut self, key: usize) {
        self.give_back(key);
        let exchange = &mut self.exchanges[key];
        exchange.is_fresh = true;
        exchange.deadline = self.now.saturating_add(self.config.connect_timeout());
        self.connect(key);
    }

    /// An exchange is as it was before it had a connection.
    fn give_back(&mut self, key: usize) {
        let link = self.exchanges[key].link.take();
        self.dials.forget(|of| *of == key);
        if let Some(link) = link {
            self.unlink(&link);
            self.abort(&link);
        }
        self.exchanges[key].repeat();
    }

    /// How long the head of an answer is waited for, or what follows it.
    pub(super) fn until_answer(&self, key: usize) -> u64 {
        let exchange = self.exchanges.get(key);
        let time = match exchange {
            Some(exchange) if exchange.is_own() => self.config.connect_timeout(),
            Some(exchange) if exchange.request.framing == crate::request::Framing::Raw => self.config.upgrade_timeout,
            _ => self.config.answer_timeout,
        };
        self.now.saturating_add(time)
    }

    /// The head of an answer has come.
    pub(super) fn answered(&mut self, key: usize) {
        if let Some(at) = self.exchanges.get(key).and_then(|exchange| exchange.upstream) {
            self.upstreams.answered(at);
            self.figures.changed(self.now);
        }
    }

    /// Whether upstreams can be checked, and are to be.
    fn checks(&self) -> bool {
        self.config.health_path.is_some() && !self.is_retired && self.tcp.any_attached()
    }

    pub(super) fn next_check(&self) -> u64 {
        if self.checks() { self.upstreams.next_check() } else { u64::MAX }
    }

    /// Asks those upstreams whose time it is.
    pub(super) fn check(&mut self) {
        if !self.checks() || self.upstreams.next_check() > self.now {
            return;
        }
        let path = self.config.health_path.clone().unwrap_or_default();
        let (now, interval) = (self.now, self.config.health_interval);
        let mut due = Vec::new();
        for (at, upstream) in self.upstreams.iter_mut().enumerate().filter(|(_, upstream)| upstream.check_at <= now) {
            upstream.check_at = now.saturating_add(interval);
            // one that takes longer than this has its own time
            if !core::mem::replace(&mut upstream.is_checked, true) {
                due.push((at, upstream.origin.clone()));
            }
        }
        for (at, origin) in due {
            let deadline = now.saturating_add(self.config.connect_timeout());
            let request = Request::check(origin, &path, self.config.health_host.as_deref());
            let mut exchange = Exchange::new(OWN, at as u32, request, deadline);
            (exchange.is_ended, exchange.is_fresh) = (true, true);
            let key = self.exchanges.insert(exchange);
            self.requests.insert((OWN, at as u32), key);
            self.connect(key);
        }
    }

    /// A check has come out; `Err` says how.
    pub(super) fn checked(&mut self, key: usize, result: Result<u16, &str>) {
        let Some(exchange) = self.remove_as(key) else { return };
        let at = exchange.number as usize;
        let is_well = matches!(result, Ok(200..400));
        self.figures.changed(self.now);
        if !self.upstreams.checked(at, is_well) {
            return;
        }
        let origin = &self.upstreams.get(at).origin;
        let line = match result {
            Ok(_) if is_well => format!("upstream {origin} is well again"),
            Ok(status) => {
                format!("upstream {origin} gets no requests until it is well: its check was answered with {status}")
            }
            Err(why) => format!("upstream {origin} gets no requests until it is well: {why}"),
        };
        self.say(Level::Warn, line);
    }

    /// Answers a client of the gateway, that knows nothing of what is behind it.
    pub(super) fn answer_visitor(&mut self, (client, request): (u32, u32), fault: Option<&Fault<'_>>) {
        let (status, text) = match fault.map(|fault| (fault.cause, fault.is_hosts)) {
            None => (400, "this request cannot be passed on\n"),
            Some((Cause::Busy, _)) => (503, "no server is there for this\n"),
            Some((Cause::Timeout, false)) => (408, "the request took too long\n"),
            Some((Cause::Timeout, true)) => (504, "the server took too long\n"),
            Some(_) => (502, "the server gave no answer\n"),
        };
        let again = if status == 503 { "retry-after: 2\r\n" } else { "" };
        let length = text.len();
        let headers =
            format!("content-type: text/plain\r\ncontent-length: {length}\r\ncache-control: no-store\r\n{again}");
        let Some(out) = self.clients.answer(client) else { return };
        Event::Response { request, status, headers: headers.as_bytes() }.encode(out.batch());
        Event::Body { request, data: text.as_bytes() }.encode(out.batch());
        Event::End { request }.encode(out.batch());
    }
}
