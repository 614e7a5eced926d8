//! What takes too long, and what is done about it.

use super::{Http, Level, retire};
use crate::connection::Reading;
use crate::response::CONTINUE;
use h2::Reason;
use message::Refusal;

/// How long a connection that this side has finished may take to close (RFC 9112, section 9.6).
const LINGER: u64 = 5_000_000_000;

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// The client is to finish too.
    Close,
    /// The client is to take some of the response.
    Write,
    /// The client is to send more of a body.
    Body,
    /// The handler is to refuse the request, if it will, before the client is told to send the body.
    Continue,
    /// The handler is to do something.
    Handler,
    /// Either side is to send something, after an answer 101.
    Stream,
    /// The client is to send the rest of a head.
    Head,
    /// Other streams of its connection are to end first.
    Turn,
    /// Its streams wait, each for something.
    Streams,
    /// There is nothing to do.
    Request,
}

impl Http {
    /// What a connection waits for, since when, and how long it may.
    #[inline]
    pub(super) fn wait_of(&mut self, key: usize) -> Option<(Wait, u64, u64)> {
        let connection = self.connections.get(key)?;
        let config = &self.config;
        Some(if connection.finished {
            (Wait::Close, connection.since, LINGER)
        } else if connection.session.is_some() {
            return self.wait_of_session(key);
        } else if let Some(&id) = connection.exchanges.front() {
            let exchange = self.exchanges.get(id)?;
            let is_cut = matches!(connection.reading, Reading::Trailers) && connection.scanned > 0;
            let has_none = connection.input.is_empty() && exchange.request_credit > 0;
            let reads = connection.body_of == Some(id) && (has_none || is_cut);
            if let Some(at) = exchange.continue_at {
                (Wait::Continue, at, 0)
            } else if !exchange.held.is_empty() {
                (Wait::Write, connection.wrote_at, config.write_timeout)
            } else if exchange.is_stream() {
                (Wait::Stream, exchange.progress_at, config.upgrade_timeout)
            } else if reads {
                let part = (Wait::Body, connection.read_at, config.body_timeout);
                let whole = (Wait::Body, exchange.record.started_at, config.request_timeout);
                core::cmp::min_by_key(part, whole, |(_, since, time)| since.saturating_add(*time))
            } else {
                (Wait::Handler, exchange.progress_at, config.handler_timeout)
            }
        } else {
            match connection.reading {
                Reading::Head if connection.awaits_room => (Wait::Handler, connection.read_at, config.handler_timeout),
                Reading::Waiting if connection.awaits_room => {
                    (Wait::Handler, connection.read_at, config.handler_timeout)
                }
                Reading::Waiting => return self.wait_for_turn(key),
                Reading::Proxy => (Wait::Head, connection.since, config.header_timeout),
                Reading::Start | Reading::Head if connection.scanned > 0 => {
                    (Wait::Head, connection.since, config.header_timeout)
                }
                Reading::Start | Reading::Head => self.idle_of(key)?,
                _ => (Wait::Body, connection.read_at, config.body_timeout),
            }
        })
    }

    /// What a connection of HTTP/2 waits for.
    #[cold]
    #[inline(never)]
    fn wait_of_session(&mut self, key: usize) -> Option<(Wait, u64, u64)> {
        let connection = self.connections.get(key)?;
        let session = connection.session.as_ref()?;
        Some(if session.is_blocked() {
            (Wait::Write, connection.wrote_at, self.config.write_timeout)
        } else if let Some(since) = session.frames.is_held_up_since() {
            (Wait::Head, since, self.config.header_timeout)
        } else if !session.streams.is_empty() {
            (Wait::Streams, self.now, u64::MAX)
        } else {
            self.idle_of(key)?
        })
    }

    /// The wait of a stream for others, for as long as they go on.
    #[cold]
    #[inline(never)]
    fn wait_for_turn(&mut self, key: usize) -> Option<(Wait, u64, u64)> {
        let connection = self.connections.get(key)?;
        let (since, parent) = (connection.read_at, connection.stream.as_ref()?.session);
        let wrote_at = self.connections.get(parent)?.wrote_at;
        Some((Wait::Turn, since.max(wrote_at), self.config.handler_timeout))
    }

    /// The wait for a request.
    #[inline]
    fn idle_of(&mut self, key: usize) -> Option<(Wait, u64, u64)> {
        let connection = self.connections.get(key)?;
        Some(match self.retired_at.or_else(|| self.tcp.get(connection.peer).copied().flatten()) {
            Some(at) => (Wait::Request, connection.since.max(at), self.config.idle_timeout.min(retire::IDLE)),
            None => (Wait::Request, connection.since, self.config.idle_timeout),
        })
    }

    pub(super) fn timers(&mut self) {
        if !self.refused.is_empty() {
            self.listen_again();
        }
        if self.now < self.earliest {
            return;
        }
        self.earliest = u64::MAX;
        let mut due = core::mem::take(&mut self.due);
        for (key, connection) in self.connections.iter() {
            if connection.deadline <= self.now {
                due.push(key);
            } else {
                self.earliest = self.earliest.min(connection.deadline);
            }
        }
        for key in due.drain(..) {
            if let Some((wait, since, time)) = self.wait_of(key)
                && since.saturating_add(time) <= self.now
            {
                self.expire(key, wait);
            }
            self.settle(key);
        }
        self.due = due;
    }

    fn tell_to_continue(&mut self, id: u32) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        exchange.continue_at = None;
        let key = exchange.connection;
        if let Some(connection) = self.connections.get(key) {
            connection.read_at = self.now;
        }
        self.put_head(id, [CONTINUE]);
    }

    #[cold]
    #[inline(never)]
    fn expire(&mut self, key: usize, wait: Wait) {
        let Some(connection) = self.connections.get(key) else { return };
        if connection.session.is_some() {
            return match wait {
                Wait::Write => self.abort(key),
                _ => self.close_session(key, Reason::NO_ERROR),
            };
        }
        if matches!(connection.reading, Reading::Proxy) {
            return self.refuse_proxy(key, "no header of the PROXY protocol has come");
        }
        let front = connection.exchanges.front().copied();
        match (wait, front) {
            (Wait::Close | Wait::Write | Wait::Stream, _) => return self.abort(key),
            (Wait::Request, _) => return self.finish(key),
            (Wait::Streams, _) | (Wait::Turn, Some(_)) => {}
            (Wait::Turn, None) => {
                self.refuse(key, Refusal { status: 503, why: "the connection's other requests take too long" })
            }
            (Wait::Head, _) => self.refuse(key, Refusal { status: 408, why: "the headers took too long" }),
            (Wait::Continue, Some(id)) => self.tell_to_continue(id),
            (Wait::Continue, None) => {}
            (Wait::Body, Some(_)) => self.refuse_body(key, 408, "the body took too long"),
            (Wait::Body, None) => {
                connection.patience = 0;
                connection.stop_reading();
            }
            (Wait::Handler, Some(id)) => {
                let peer = self.exchanges.get(id).and_then(|exchange| exchange.handler).unwrap_or_default();
                self.say(Level::Warn, format!("handler {peer}: no progress with a request"));
                self.fail(id, 504, "the handler took too long");
            }
            (Wait::Handler, None) => self.refuse(key, Refusal { status: 503, why: "the handler is busy" }),
        }
        self.advance(key);
    }
}
