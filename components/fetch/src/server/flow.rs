//! A request on its way out, and its answer on its way in.
//!
//! Nothing is read of an answer that its client does not take, and nothing of a request's body is sent that its host does not take: what
//! waits, waits within the credit of whoever has sent it.

use super::gateway::Fault;
use super::{CHECK_HEAD, Fetch};
use crate::exchange::{Answer, Exchange, OWN, Who};
use crate::request::Framing;
use crate::response::{self, Head};
use message::chunked::{Step, size_line};
use message::fields::{ends_head, value_of};
use message::{Limits, status::is_interim, trailers};
use wit::http::Event;
use wit::tcp::{Cause, Command};

/// Credit is given back in steps of this many bytes at least.
const CREDIT_STEP: u32 = 16 << 10;

/// Bytes that a chunk takes beside its data, at most: a length of eight digits, and two ends of lines.
const CHUNK: u32 = 12;

/// Interim answers of one request.
const INTERIM: usize = 16;

/// What reading on has come to.
enum Read {
    /// There may be more to be read.
    More,
    /// Until more comes, or its client takes more.
    Waits,
    /// The answer has ended.
    End,
}

impl Fetch {
    /// Goes on with an exchange as far as possible.
    pub(super) fn advance(&mut self, key: usize) {
        let Some(exchange) = self.exchanges.get_mut(key) else { return };
        exchange.begin();
        self.write(key);
        loop {
            match self.read(key) {
                Ok(Read::More) => {}
                Ok(Read::Waits) => break,
                Ok(Read::End) => return self.ended(key),
                Err(why) => return self.fail(key, &Fault::new(Cause::Answer, why)),
            }
        }
        self.settle(key);
    }

    fn write(&mut self, key: usize) {
        let Some(exchange) = self.exchanges.get_mut(key) else { return };
        loop {
            exchange.close();
            let is_finished = exchange.is_finished();
            let Exchange { link: Some(link), out, held, request, is_begun: true, .. } = exchange else { return };
            if link.is_gone {
                return;
            }
            if is_finished {
                if !core::mem::replace(&mut link.has_finished, true)
                    && let Some(to) = self.tcp.out(link.peer)
                {
                    Command::Finish { connection: link.number }.encode(to.batch());
                }
                return;
            }
            let Some(to) = self.tcp.room(link.peer) else { return };
            let is_chunk = out.is_empty() && request.framing == Framing::Chunked;
            let is_body = out.is_empty();
            let from = if is_body { held } else { out };
            let most = if is_chunk { link.credit.saturating_sub(CHUNK) } else { link.credit };
            let data = &from.as_slice()[..from.len().min(most as usize)];
            let count = data.len();
            if count == 0 {
                return;
            }
            let mut line = [0; 18];
            let (line, end): (&[u8], &[u8]) =
                if is_chunk { (size_line(count, &mut line), b"\r\n") } else { (b"", b"") };
            to.stream(Command::SEND, link.number, [line, data, end]);
            link.credit -= (line.len() + count + end.len()) as u32;
            from.consume(count);
            if is_body {
                exchange.sends_body();
            }
        }
    }

    fn read(&mut self, key: usize) -> Result<Read, &'static str> {
        let Some(exchange) = self.exchanges.get_mut(key) else { return Ok(Read::Waits) };
        let Exchange { client, number, input, interim, deadline, scanned, answer, credit, .. } = exchange;
        let (client, request) = (*client, *number);
        if client == OWN {
            return self.read_check(key);
        }
        let Some(link) = exchange.link.as_mut() else { return Ok(Read::Waits) };
        // One that does not take what it was sent gets no more.
        let Some(out) = self.clients.room(client) else { return Ok(Read::Waits) };
        let (used, read) = match answer {
            Answer::Awaited => {
                let is_cut = *scanned > 0 && input.len() < response::MOST && !ends_head(input.as_slice(), *scanned);
                let head = if is_cut { None } else { Head::read(input.as_slice(), exchange.request.is_head)? };
                let Some(head) = head else {
                    *scanned = input.len();
                    return Ok(Read::Waits);
                };
                *scanned = 0;
                // what follows a head has its own time
                *deadline = self.now.saturating_add(self.config.answer_timeout);
                let used = head.length;
                if head.status < 200 {
                    *interim += 1;
                    if *interim > INTERIM {
                        return Err("the host sends more interim answers than anybody needs");
                    }
                }
                match head.status {
                    101 => {
                        let chosen = value_of(&head.lines, "upgrade").unwrap_or_default();
                        if !exchange.request.asks_for(chosen) {
                            return Err("the host has changed to a protocol that nobody has asked for");
                        }
                        Event::Response { request, status: 101, headers: &head.lines }.encode(out.batch());
                        *deadline = self.now.saturating_add(self.config.upgrade_timeout);
                        exchange.answered(&head);
                        exchange.change();
                    }
                    status if is_interim(status) => {
                        Event::Response { request, status, headers: &head.lines }.encode(out.batch());
                    }
                    // it says that the body may come, which it does without
                    ..200 => {}
                    status => {
                        Event::Response { request, status, headers: &head.lines }.encode(out.batch());
                        exchange.answered(&head);
                    }
                }
                let is_over = matches!(exchange.answer, Answer::Done);
                exchange.input.consume(used);
                let Some(link) = exchange.link.as_mut() else { return Ok(Read::Waits) };
                link.used += used as u32;
                self.answered(key);
                return Ok(if is_over { Read::End } else { Read::More });
            }
            Answer::Done => return Ok(Read::End),
            Answer::Length(left) => {
                let most = usize::try_from(*left).unwrap_or(usize::MAX).min(*credit as usize).min(input.len());
                *left -= most as u64;
                if most > 0 {
                    out.stream(Event::BODY, request, [&input.as_slice()[..most]]);
                }
                *credit -= most as u32;
                let read = if *left == 0 { Read::End } else { Read::Waits };
                (most, read)
            }
            Answer::UntilClose => {
                let most = input.len().min(*credit as usize);
                if most > 0 {
                    out.stream(Event::BODY, request, [&input.as_slice()[..most]]);
                }
                *credit -= most as u32;
                (most, if link.is_finished && most == input.len() { Read::End } else { Read::Waits })
            }
            Answer::Chunked(decoder) => {
                let (used, step) =
                    decoder.step(input.as_slice(), *credit as usize).map_err(|_| "a chunk is malformed")?;
                let read = match step {
                    Step::Data(data) => {
                        out.stream(Event::BODY, request, [data]);
                        *credit -= data.len() as u32;
                        Read::More
                    }
                    Step::Pause => Read::Waits,
                    Step::End => {
                        *answer = Answer::Trailers;
                        Read::More
                    }
                };
                (used, read)
            }
            Answer::Trailers => {
                let limits = Limits::default();
                let ends = input.as_slice().starts_with(b"\r\n") || ends_head(input.as_slice(), *scanned);
                if !ends && input.len() <= limits.head_bytes {
                    *scanned = input.len();
                    return Ok(Read::Waits);
                }
                let mut lines = Vec::new();
                let found = trailers::parse(input.as_slice(), &mut lines, &limits).map_err(|refusal| refusal.why)?;
                let Some(used) = found else { return Ok(Read::Waits) };
                if !lines.is_empty() {
                    Event::Trailers { request, lines: &lines }.encode(out.batch());
                }
                (used, Read::End)
            }
        };
        input.consume(used);
        link.used += used as u32;
        Ok(read)
    }

    /// Of the answer to a check, only its status counts.
    fn read_check(&mut self, key: usize) -> Result<Read, &'static str> {
        let Some(exchange) = self.exchanges.get_mut(key) else { return Ok(Read::Waits) };
        let Some(head) = Head::read(exchange.input.as_slice(), false)? else {
            let is_small = exchange.input.len() <= CHECK_HEAD;
            return if is_small { Ok(Read::Waits) } else { Err("the answer to a check has too large a head") };
        };
        if (100..200).contains(&head.status) && head.status != 101 && exchange.interim < INTERIM {
            exchange.interim += 1;
            exchange.input.consume(head.length);
            return Ok(Read::More);
        }
        self.checked(key, Ok(head.status));
        Ok(Read::Waits)
    }

    /// The answer is complete: what is left of the request is not sent.
    fn ended(&mut self, key: usize) {
        let Some(exchange) = self.exchanges.get_mut(key) else { return };
        let link = exchange.link.take();
        let keeps = exchange.keeps && exchange.is_sent() && exchange.input.is_empty();
        let (client, request) = (exchange.client, exchange.number);
        if let Some(out) = self.clients.out(client) {
            Event::End { request }.encode(out.batch());
        }
        let Some(exchange) = self.remove_as(key) else { return };
        if let Some(link) = link {
            // It is the other side's to close where it has said so; the network forgets it at once.
            self.done(link, keeps, exchange.lasts, exchange.request.origin);
        }
    }

    /// Gives credit back, and sees whether the other side has broken off.
    fn settle(&mut self, key: usize) {
        let Some(exchange) = self.exchanges.get_mut(key) else { return };
        exchange.pace(self.now, self.config.body_timeout);
        let bytes = exchange.owed.saturating_sub(u32::try_from(exchange.held.len()).unwrap_or(u32::MAX));
        if bytes >= CREDIT_STEP
            && let Some(out) = self.clients.out_unless_full(exchange.client)
        {
            Event::Credit { request: exchange.number, bytes }.encode(out.batch());
            exchange.owed -= bytes;
            exchange.allowance += bytes;
        }
        let Some(link) = &mut exchange.link else { return };
        if link.used >= CREDIT_STEP
            && !link.is_gone
            && let Some(out) = self.tcp.out_unless_full(link.peer)
        {
            Command::Credit { connection: link.number, bytes: link.used }.encode(out.batch());
            link.used = 0;
        }
        let is_over = link.is_finished || link.broken.is_some();
        // what has come and is complete is still read, as fast as its client takes it
        let mut is_heard = |client| client == OWN || self.clients.room(client).is_some();
        if is_over && exchange.cannot_go_on() && is_heard(exchange.client) {
            let broken = exchange.link.as_ref().and_then(|link| link.broken.clone());
            let why = broken.as_deref().unwrap_or("the host broke off before its answer was complete");
            self.broke_off(key, why);
        }
    }

    fn broke_off(&mut self, key: usize, why: &str) {
        let Some(exchange) = self.exchanges.get(key) else { return };
        // one that was kept may have ended when the request was on its way
        if exchange.link.as_ref().is_some_and(|link| link.is_reused) && exchange.may_be_repeated() {
            return self.repeat(key);
        }
        self.fail(key, &Fault::new(Cause::Terminated, why));
    }

    /// Nothing has come or gone for too long, or too little.
    pub(super) fn late(&mut self, key: usize) {
        let Some(exchange) = self.exchanges.get(key) else { return };
        let slow = exchange.slow.filter(|slow| slow.at <= self.now).map(|slow| slow.who);
        let fault = match slow {
            Some(Who::Sender) => Fault::own(Cause::Timeout, "the request's body comes too slowly"),
            Some(Who::Taker) => Fault::new(Cause::Timeout, "the host takes the request's body too slowly"),
            Some(Who::Giver) => Fault::new(Cause::Timeout, "the host sends its answer too slowly"),
            // a body that is left open is waited for by the host as well
            None if exchange.link.is_some()
                && (!exchange.is_begun || (!exchange.is_ended && matches!(exchange.answer, Answer::Awaited))) =>
            {
                Fault::own(Cause::Timeout, "the request does not go on")
            }
            None if exchange.link.is_some() => Fault::new(Cause::Timeout, "the host does not go on with its answer"),
            None if exchange.origin().is_https && exchange.asked.is_none() => {
                let why = "no box secures connections: the arrow `pearwood:net/tcp` to one such as `tls` is missing";
                Fault::own(Cause::Denied, why)
            }
            None => Fault::new(Cause::Timeout, "the host was not reached in time"),
        };
        self.fail(key, &fault);
    }
}

impl Exchange {
    /// The other side sends no more, and what has come of the answer is not complete and never will be.
    fn cannot_go_on(&self) -> bool {
        match self.answer {
            Answer::Awaited | Answer::Chunked(_) | Answer::Trailers => self.is_stuck(),
            Answer::Length(left) => left > self.input.len() as u64,
            Answer::UntilClose => !self.link.as_ref().is_some_and(|link| link.is_finished) && self.input.is_empty(),
            Answer::Done => false,
        }
    }

    /// What has come and was not read cannot be read without more, but for a client that takes none.
    fn is_stuck(&self) -> bool {
        self.input.is_empty() || self.credit > 0
    }
}
