//! Connections to hosts: those that are kept, and new ones.

use super::gateway::Fault;
use super::{Fetch, Idle, Level, SECOND};
use crate::exchange::Link;
use support::dial::Step;
use wit::tcp::{Cause, Command, Endpoint};
use wit::{Incoming, names};

/// A connection that somebody was asked for.
#[derive(Debug)]
pub(super) struct Asked {
    pub peer: u32,
    /// for whom
    pub client: u32,
    pub what: What,
}

#[derive(Debug)]
pub(super) enum What {
    /// one that is secured, for an exchange
    Dial(usize),
    /// ... that is not: by the ticket of the attempt
    Connect(u32, Endpoint),
}

impl Fetch {
    /// Finds a connection for an exchange, or has one made.
    pub(super) fn connect(&mut self, key: usize) {
        let exchange = &mut self.exchanges[key];
        if exchange.request.is_idempotent && exchange.total.is_none() && !exchange.is_fresh {
            let fits = |idle: &Idle| idle.origin == exchange.request.origin && self.tcp.is_attached(idle.link.peer);
            if let Some(place) = self.idle.iter().rposition(fits)
                && let Some(Idle { mut link, .. }) = self.idle.remove(place)
            {
                link.is_reused = true;
                return self.linked(key, link);
            }
        }
        let origin = exchange.origin();
        if origin.is_https {
            return self.dial(key, None);
        }
        let (host, port, deadline) = (origin.host.clone(), origin.port, exchange.deadline);
        let step = self.dials.begin(self.now, deadline, (&host, port), key);
        self.dial_step(step);
    }

    /// Has a name looked up.
    fn look_up(&mut self, ticket: u32) {
        let asked = self.resolver().and_then(|peer| Some((peer, self.names.out(peer)?)));
        let Some((peer, out)) = asked else {
            let why = "nobody looks names up: the box at its arrow `pearwood:net/names` is not there, or there is no such arrow";
            let step = self.dials.not_found(ticket, why);
            return step.into_iter().for_each(|step| self.dial_step(step));
        };
        self.dials.looks_up(ticket, peer);
        let Some(exchange) = self.dials.sought(ticket).and_then(|key| self.exchanges.get(*key)) else { return };
        names::Command::Lookup { ticket, name: &exchange.origin().host }.encode(out.batch());
    }

    /// Who looks names up.
    fn resolver(&self) -> Option<u32> {
        let names = &self.names;
        names.numbers().find(|peer| names.is_attached(*peer) && !names.is_retiring(*peer))
    }

    /// The next one after `before` that makes such connections.
    fn carrier(&self, before: Option<u32>, secures: bool) -> Option<u32> {
        let mut numbers = self.tcp.numbers().skip(before.map_or(0, |before| before as usize + 1));
        numbers.find(|peer| {
            self.tcp.get(*peer).is_some_and(|carrier| carrier.secures == secures) && !self.tcp.is_retiring(*peer)
        })
    }

    fn ticket(&mut self) -> u32 {
        loop {
            self.tickets = self.tickets.wrapping_add(1);
            if !self.asked.contains_key(&self.tickets) {
                return self.tickets;
            }
        }
    }

    /// Asks for a secured connection, if there is somebody who makes them.
    pub(super) fn dial(&mut self, key: usize, before: Option<u32>) {
        if let Some(peer) = self.carrier(before, true) {
            self.dial_at(key, peer);
        }
    }

    fn dial_at(&mut self, key: usize, peer: u32) {
        let ticket = self.ticket();
        let exchange = &mut self.exchanges[key];
        exchange.asked = Some((peer, ticket));
        let client = exchange.client;
        self.asked.insert(ticket, Asked { peer, client, what: What::Dial(key) });
        let origin = exchange.origin();
        if let Some(out) = self.tcp.out(peer) {
            Command::Dial { ticket, port: origin.port, name: &origin.host }.encode(out.batch());
        }
    }

    /// One that secures connections is there: it is asked for those that wait for one.
    pub(super) fn secures(&mut self, peer: u32) {
        if let Some(carrier) = self.tcp.get_mut(peer) {
            carrier.secures = true;
        }
        for key in self.keys(|it| it.origin().is_https && it.link.is_none() && it.asked.is_none()) {
            self.dial(key, None);
        }
    }

    /// A secured connection was not made. Where the arrow does not grant it, another may.
    pub(super) fn dial_failed(&mut self, ticket: u32, fault: &Fault<'_>) {
        let cause = fault.cause;
        let Some(Asked { peer, what: What::Dial(key), .. }) = self.asked.remove(&ticket) else { return };
        let Some(exchange) = self.exchanges.get_mut(key) else { return };
        if exchange.asked.take_if(|asked| *asked == (peer, ticket)).is_none() {
            return;
        }
        if cause == Cause::Denied && self.carrier(Some(peer), true).is_some() {
            return self.dial(key, Some(peer));
        }
        // it has no room: what is kept there for later requests is less than this one
        if cause == Cause::Busy
            && !self.exchanges[key].has_made_room
            && let Some(place) = self.idle.iter().position(|idle| idle.link.peer == peer)
            && let Some(idle) = self.idle.remove(place)
        {
            self.exchanges[key].has_made_room = true;
            self.abort(&idle.link);
            return self.dial_at(key, peer);
        }
        self.fail(key, fault);
    }

    pub(super) fn dial_step(&mut self, step: Step<usize>) {
        match step {
            Step::Lookup { ticket } => self.look_up(ticket),
            Step::Connect { ticket, to } => {
                let Some(exchange) = self.dials.of(ticket).and_then(|key| self.exchanges.get(*key)) else { return };
                self.ask((exchange.client, ticket), to, None, "no box makes connections that are not secured");
            }
            Step::Failed { what, cause, why } => {
                // a host has no part in it where this node lacks what reaches hosts
                let is_hosts =
                    self.carrier(None, false).is_some() && (cause != Cause::Name || self.resolver().is_some());
                self.fail(what, &Fault { is_hosts, ..Fault::new(cause, &why) });
            }
        }
    }

    /// Asks the next one after `before` for a connection. If there is none, it is `why`.
    fn ask(&mut self, (client, attempt): (u32, u32), to: Endpoint, before: Option<u32>, why: &str) {
        let wanted = self.dials.of(attempt).and_then(|_| self.carrier(before, false));
        let Some(peer) = wanted else {
            let step = self.dials.refused(self.now, attempt, why);
            return step.into_iter().for_each(|step| self.dial_step(step));
        };
        let ticket = self.ticket();
        self.asked.insert(ticket, Asked { peer, client, what: What::Connect(attempt, to) });
        if let Some(out) = self.tcp.out(peer) {
            Command::Connect { ticket, to }.encode(out.batch());
        }
    }

    /// Whose the connections are that were asked for and are not wanted any more: those who make them still try.
    pub(super) fn unwanted(&self) -> impl Iterator<Item = u32> {
        let is_wanted = |ticket: u32, asked: &Asked| match asked.what {
            What::Dial(key) => self.exchanges.get(key).is_some_and(|it| it.asked == Some((asked.peer, ticket))),
            What::Connect(attempt, _) => self.dials.of(attempt).is_some(),
        };
        let unwanted = self.asked.iter().filter(move |(ticket, asked)| !is_wanted(**ticket, asked));
        unwanted.map(|(_, asked)| asked.client)
    }

    pub(super) fn refused(&mut self, ticket: u32, why: &str) {
        match self.asked.remove(&ticket) {
            Some(Asked { peer, client, what: What::Connect(attempt, to) }) => {
                self.ask((client, attempt), to, Some(peer), why);
            }
            Some(asked) => drop(self.asked.insert(ticket, asked)),
            None => {}
        }
    }

    pub(super) fn connected(&mut self, peer: u32, number: u32, ticket: u32) {
        let key = match self.asked.remove(&ticket).map(|asked| asked.what) {
            Some(What::Dial(key)) => {
                let exchange = self.exchanges.get_mut(key);
                let asked = exchange.and_then(|exchange| exchange.asked.take_if(|asked| *asked == (peer, ticket)));
                asked.map(|_| key)
            }
            Some(What::Connect(attempt, _)) => self.dials.connected(attempt),
            None => None,
        };
        let link = Link::new(peer, number);
        match key {
            Some(key) if self.exchanges.contains(key) => self.linked(key, link),
            _ => self.abort(&link),
        }
    }

    fn linked(&mut self, key: usize, link: Link) {
        self.links.insert((link.peer, link.number), key);
        let deadline = self.until_answer(key);
        let exchange = &mut self.exchanges[key];
        exchange.link = Some(link);
        exchange.deadline = deadline;
        self.advance(key);
    }

    /// What is said of a connection from now on is not for an exchange.
    pub(super) fn unlink(&mut self, link: &Link) {
        if !link.is_gone {
            self.links.remove(&(link.peer, link.number));
        }
    }

    pub(super) fn abort(&mut self, link: &Link) {
        if !link.is_gone
            && let Some(out) = self.tcp.out(link.peer)
        {
            Command::Abort { connection: link.number }.encode(out.batch());
        }
    }

    /// A connection is done with its request. It is kept for another if it can be, for no longer than the host keeps it: `lasts` seconds.
    pub(super) fn done(&mut self, link: Link, keeps: bool, lasts: Option<u64>, origin: crate::request::Origin) {
        self.unlink(&link);
        // a request that is on its way when the host closes the connection would be lost
        let keep = lasts.map_or(u64::MAX, |lasts| lasts.saturating_sub(1).saturating_mul(SECOND)).min(self.config.keep);
        let keeps = keeps
            && keep > 0
            && !link.is_finished
            && !link.is_gone
            && !self.is_retired
            && !self.tcp.is_retiring(link.peer);
        if !keeps {
            return self.abort(&link);
        }
        // what is kept takes no more places than requests do
        if self.idle.len() == self.places
            && let Some(oldest) = self.idle.pop_front()
        {
            self.abort(&oldest.link);
        }
        self.idle.push_back(Idle { link, origin, until: self.now.saturating_add(keep) });
    }

    /// What those say who look names up.
    pub(super) fn of_names(&mut self, incoming: Incoming<'_>) {
        let step = match incoming {
            Incoming::Attach(peer, _) => {
                self.lookups_lost(peer);
                self.names.attach(peer, ());
                None
            }
            Incoming::Detach(peer, _) => {
                self.names.detach(peer);
                self.lookups_lost(peer);
                None
            }
            Incoming::Retire(peer) => {
                self.names.retire(peer);
                None
            }
            Incoming::Record(peer, record) => match names::Event::decode(&record) {
                Ok(names::Event::Addresses { ticket, addresses }) => {
                    self.dials.found(self.now, ticket, addresses.iter())
                }
                Ok(names::Event::Failed { ticket, why }) => self.dials.not_found(ticket, why),
                Ok(names::Event::Unknown { .. }) => None,
                Err(_) => {
                    self.say(Level::Error, format!("names peer {peer}: a malformed record of kind {}", record.kind));
                    None
                }
            },
        };
        step.into_iter().for_each(|step| self.dial_step(step));
    }

    /// One who looks names up does not answer any more.
    fn lookups_lost(&mut self, peer: u32) {
        for step in self.dials.lost_lookups(peer) {
            self.dial_step(step);
        }
    }
}
