//! What the boxes say that ask.

use super::gateway::Fault;
use super::{Fetch, Level, SECOND};
use crate::exchange::{Answer, Exchange, OWN};
use crate::request::{Behind, Request};
use message::Routes;
use message::rules::{canonical, is_ambiguous};
use message::trailers;
use wit::Incoming;
use wit::http::{Attach, Command, Event, Head};
use wit::tcp::Cause;

/// The most bytes of trailers that are passed on.
const TRAILERS: usize = 16 << 10;

/// Failures are told of no more often than this.
const QUIET: u64 = 10 * SECOND;

impl Fetch {
    pub(super) fn of_client(&mut self, incoming: Incoming<'_>) {
        match incoming {
            Incoming::Attach(peer, grant) => {
                self.clients.detach(peer);
                self.forget(peer);
                match Attach::decode(grant) {
                    Ok(Attach { host, path }) => {
                        let mut route = Routes::default();
                        route.set(peer, host, path);
                        self.clients.attach(peer, route);
                    }
                    Err(_) => self.say(Level::Error, format!("client {peer}: what its arrow is for is malformed")),
                }
            }
            Incoming::Detach(peer, _) => {
                self.clients.detach(peer);
                self.forget(peer);
            }
            Incoming::Retire(peer) => self.clients.retire(peer),
            Incoming::Record(peer, record) if self.clients.is_attached(peer) => match Command::decode(&record) {
                Ok(command) => self.command(peer, command),
                Err(_) => self.say(Level::Error, format!("client {peer}: a malformed record of kind {}", record.kind)),
            },
            Incoming::Record(..) => {}
        }
    }

    fn command(&mut self, peer: u32, command: Command<'_>) {
        let (Command::Body { request, .. }
        | Command::End { request }
        | Command::Credit { request, .. }
        | Command::Cancel { request }
        | Command::Trailers { request, .. }
        | Command::Request { request, .. }) = command
        else {
            return;
        };
        let key = self.requests.get(&(peer, request)).copied();
        if let Command::Request { head, .. } = command {
            // One that does not take its answers is not listened to; a number that is in use is the client's mistake.
            if key.is_none() && !self.clients.is_deaf(peer) {
                self.request(peer, request, &head);
            }
            return;
        }
        let Some(key) = key else { return };
        let (now, per, deadline) = (self.now, self.config.body_timeout, self.until_answer(key));
        let exchange = &mut self.exchanges[key];
        if exchange.link.is_some() {
            exchange.deadline = deadline;
        }
        let result = match command {
            Command::Body { data, .. } if !exchange.is_ended => {
                match exchange.allowance.checked_sub(data.len() as u32) {
                    Some(allowance) => {
                        exchange.allowance = allowance;
                        exchange.comes.earn(now, data.len(), per);
                        exchange.body(data)
                    }
                    None => Err("more of a body was sent than there was credit for"),
                }
            }
            Command::End { .. } if !exchange.is_ended => exchange.end(),
            Command::Trailers { lines, .. } if !exchange.is_ended => {
                exchange.trailers.clear();
                if lines.len() > TRAILERS || trailers::pass(lines, &mut exchange.trailers).is_err() {
                    Err("the request's trailers are malformed or too large")
                } else {
                    Ok(())
                }
            }
            Command::Credit { bytes, .. } => {
                exchange.credit = exchange.credit.saturating_add(bytes);
                Ok(())
            }
            Command::Cancel { .. } => return self.remove(key),
            _ => Ok(()),
        };
        match result {
            Ok(()) => self.advance(key),
            Err(why) => self.refuse(key, why),
        }
    }

    fn request(&mut self, peer: u32, number: u32, head: &Head<'_>) {
        let is_visitors = !head.remote.is_unspecified();
        let asker = (peer, number, is_visitors);
        // which of the upstreams it is, is found out below
        let behind = self.config.upstreams.first();
        let behind = behind.map(|origin| Behind { origin, keeps_host: self.config.keeps_host });
        let request = match Request::new(head, behind) {
            Ok(request) => request,
            Err(why) => return self.answer_failed(asker, None, why),
        };
        if !self.is_granted(peer, head) {
            let path = head.target.split('?').next().unwrap_or_default();
            let host = String::from_utf8_lossy(head.authority);
            let why = format!("the arrow of the box that asks is not for {host}{path}");
            let fault = Fault::own(Cause::Denied, &why);
            return self.answer_failed(asker, Some(&fault).filter(|_| !is_visitors), &why);
        }
        // A cancelled request has its place until whoever was asked for its connection has answered: or else a box that asks and
        // cancels would have more connections under way than there are places.
        let owners = self.exchanges.iter().map(|(_, exchange)| exchange.client).chain(self.unwanted());
        // checks have places of their own
        if !self.clients.may_have(peer, self.places, owners.filter(|owner| *owner != OWN)) {
            let why = "too many requests to other hosts are under way";
            self.tell(format!(
                "{why}: there is room for {} at once, by the box's memory and its `requests`",
                self.places
            ));
            return self.answer_failed(asker, Some(&Fault::own(Cause::Busy, why)), why);
        }
        let deadline = self.now.saturating_add(self.config.connect_timeout());
        let mut exchange = Exchange::new(peer, number, request, deadline);
        exchange.is_visitors = is_visitors;
        let key = self.exchanges.insert(exchange);
        self.requests.insert((peer, number), key);
        self.upstreams.asked();
        if !self.upstreams.is_empty() && !self.assign(key) {
            return self.fail(key, &Fault::own(Cause::Busy, "no upstream is well"));
        }
        self.connect(key);
    }

    /// Whether the host and the path are among those that the client's arrow is for. Of a WASI box the node has seen to that; any other
    /// may ask for what it likes.
    fn is_granted(&self, peer: u32, head: &Head<'_>) -> bool {
        let path = head.target.split('?').next().unwrap_or_default();
        let authority = str::from_utf8(head.authority).unwrap_or_default();
        let is_for = |path| self.clients.get(peer).is_some_and(|route| route.find_path(authority, path).is_some());
        // what the host may read as another path is only for a client that may have any
        if is_ambiguous(path) {
            return is_for(path) && is_for("/");
        }
        // `http` goes by what the path means, however it is spelt
        is_for(path) || (!self.upstreams.is_empty() && is_for(&canonical(path)))
    }

    /// A client knows nothing more of its requests.
    fn forget(&mut self, peer: u32) {
        for key in self.keys(|exchange| exchange.client == peer) {
            self.remove(key);
        }
    }

    /// The client has sent what nobody may send.
    fn refuse(&mut self, key: usize, why: &str) {
        let Some(exchange) = self.remove_as(key) else { return };
        self.answer_failed((exchange.client, exchange.number, exchange.awaits_any()), None, why);
    }

    /// The request has failed on its way, unless it can take another.
    pub(super) fn fail(&mut self, key: usize, fault: &Fault<'_>) {
        let why = fault.why;
        if self.exchanges.get(key).is_some_and(Exchange::is_own) {
            return self.checked(key, Err(why));
        }
        self.blame(key, fault);
        if self.retry(key, fault) {
            return;
        }
        let Some(exchange) = self.remove_as(key) else { return };
        let line = format!("{}: {why}", exchange.origin());
        self.answer_failed((exchange.client, exchange.number, exchange.awaits_any()), Some(fault), &line);
        self.tell(line);
    }

    /// Logs why a request has failed, for some of those that do.
    fn tell(&mut self, line: String) {
        if self.now < self.quiet_until {
            self.untold += 1;
            return;
        }
        self.quiet_until = self.now.saturating_add(QUIET);
        let untold = core::mem::take(&mut self.untold);
        let before = if untold > 0 { format!(" ({untold} others have failed before)") } else { String::new() };
        self.say(Level::Warn, line + &before);
    }

    /// `for_visitor`: it is to be told by an answer.
    fn answer_failed(&mut self, (client, number, for_visitor): (u32, u32, bool), fault: Option<&Fault<'_>>, why: &str) {
        if for_visitor {
            return self.answer_visitor((client, number), fault);
        }
        let Some(out) = self.clients.answer(client) else { return };
        if let Some(&Fault { cause, alert, .. }) = fault {
            Event::Fault { request: number, cause, alert }.encode(out.batch());
        }
        Event::Failed { request: number, why }.encode(out.batch());
    }

    pub(super) fn remove(&mut self, key: usize) {
        self.remove_as(key);
    }

    /// The exchange is no more, and neither is its connection.
    pub(super) fn remove_as(&mut self, key: usize) -> Option<Exchange> {
        let mut exchange = self.exchanges.try_remove(key)?;
        if let Some(at) = exchange.upstream {
            self.upstreams.leaves(at);
        }
        self.requests.remove(&(exchange.client, exchange.number));
        self.dials.forget(|of| *of == key);
        if let Some(link) = exchange.link.take() {
            self.unlink(&link);
            self.abort(&link);
        }
        Some(exchange)
    }
}

impl Exchange {
    /// A client of `http` waits for the head of an answer, and can be given one.
    fn awaits_any(&self) -> bool {
        self.is_visitors && matches!(self.answer, Answer::Awaited)
    }
}
