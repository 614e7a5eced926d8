//! Connections to hosts by name, for a box that is a client of `pearwood:net/names` and `pearwood:net/tcp`.
//!
//! The addresses of a name are tried in their order; the next one a moment after the one before, whether or not that has answered
//! (RFC 8305, section 5). The first connection that stands is it, and those that come later are not wanted.

use alloc::{
    collections::{BTreeMap, VecDeque},
    string::String,
    vec::Vec,
};
use core::net::{IpAddr, Ipv6Addr};
use wit::tcp::{Cause, Endpoint};

/// How long an address is waited for before the next one is tried as well.
const STAGGER: u64 = 300_000_000;

/// Tickets are no numbers of ports: a refusal may be of either.
const FIRST: u32 = 1 << 16;

/// Addresses of one name that are tried.
const ADDRESSES: usize = 8;

/// Connections that are to be made; `T` is what each is for. Times are in nanoseconds.
#[derive(Debug)]
pub struct Dials<T> {
    /// by the ticket of the lookup
    dials: BTreeMap<u32, Dial<T>>,
    /// by the ticket of the connection that was asked for
    attempts: BTreeMap<u32, Attempt>,
    next: u32,
}

#[derive(Debug)]
struct Attempt {
    dial: u32,
    address: Ipv6Addr,
    /// who was asked
    peer: Option<u32>,
}

#[derive(Debug)]
struct Dial<T> {
    what: T,
    port: u16,
    is_looked_up: bool,
    /// who looks its name up
    resolver: Option<u32>,
    /// not tried
    addresses: VecDeque<Ipv6Addr>,
    /// tried, and not answered
    open: usize,
    next_at: u64,
    deadline: u64,
    /// why the last one was refused
    why: String,
}

/// What a dial wants, or has come to.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<T> {
    /// A name is to be looked up: [`Dials::found`] or [`Dials::not_found`] is to be told.
    Lookup {
        ticket: u32,
    },
    /// A connection is to be made: [`Dials::connected`] or [`Dials::refused`] is to be told.
    Connect {
        ticket: u32,
        to: Endpoint,
    },
    Failed {
        what: T,
        cause: Cause,
        why: String,
    },
}

impl<T> Default for Dials<T> {
    fn default() -> Self {
        Dials { dials: BTreeMap::new(), attempts: BTreeMap::new(), next: FIRST }
    }
}

impl<T> Dials<T> {
    /// Begins to connect to a host: a name, or an address in words.
    pub fn begin(&mut self, now: u64, deadline: u64, (name, port): (&str, u16), what: T) -> Step<T> {
        let ticket = self.ticket();
        let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
        let addresses = address.into_iter().map(|address| match address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        });
        let dial = Dial {
            what,
            port,
            is_looked_up: address.is_some(),
            resolver: None,
            addresses: addresses.collect(),
            open: 0,
            next_at: now,
            deadline,
            why: String::new(),
        };
        self.dials.insert(ticket, dial);
        match address {
            Some(_) => self.step(now, ticket).unwrap_or(Step::Lookup { ticket }),
            None => Step::Lookup { ticket },
        }
    }

    fn ticket(&mut self) -> u32 {
        loop {
            self.next = self.next.checked_add(1).unwrap_or(FIRST);
            if !self.dials.contains_key(&self.next) && !self.attempts.contains_key(&self.next) {
                return self.next;
            }
        }
    }

    /// A name has these addresses.
    pub fn found(&mut self, now: u64, ticket: u32, addresses: impl Iterator<Item = Ipv6Addr>) -> Option<Step<T>> {
        let dial = self.dials.get_mut(&ticket).filter(|dial| !dial.is_looked_up)?;
        dial.is_looked_up = true;
        dial.addresses.extend(addresses.take(ADDRESSES));
        if dial.addresses.is_empty() {
            return self.fail(ticket, Cause::Name, "its name has no address");
        }
        self.step(now, ticket)
    }

    /// A name has none.
    pub fn not_found(&mut self, ticket: u32, why: &str) -> Option<Step<T>> {
        self.dials.get(&ticket).filter(|dial| !dial.is_looked_up)?;
        self.fail(ticket, Cause::Name, why)
    }

    /// What a connection is for, unless it is not wanted any more.
    pub fn connected(&mut self, ticket: u32) -> Option<T> {
        let attempt = self.attempts.remove(&ticket)?;
        self.dials.remove(&attempt.dial).map(|dial| dial.what)
    }

    /// What a lookup is for.
    pub fn sought(&self, ticket: u32) -> Option<&T> {
        self.dials.get(&ticket).map(|dial| &dial.what)
    }

    /// What an attempt is for, if its connection is still wanted.
    pub fn of(&self, ticket: u32) -> Option<&T> {
        self.attempts.get(&ticket).and_then(|attempt| self.dials.get(&attempt.dial)).map(|dial| &dial.what)
    }

    pub fn refused(&mut self, now: u64, ticket: u32, why: &str) -> Option<Step<T>> {
        let key = self.attempts.remove(&ticket)?.dial;
        let dial = self.dials.get_mut(&key)?;
        dial.open -= 1;
        dial.why = why.into();
        dial.next_at = now;
        self.step(now, key)
    }

    /// Tries the next address if it is time, or gives up if there is none.
    fn step(&mut self, now: u64, key: u32) -> Option<Step<T>> {
        let dial = self.dials.get_mut(&key)?;
        if dial.deadline <= now {
            let why = if dial.is_looked_up { "it does not answer" } else { "its name was not found in time" };
            return self.fail(key, Cause::Timeout, why);
        }
        if !dial.is_looked_up || dial.next_at > now {
            return None;
        }
        let Some(address) = dial.addresses.pop_front() else {
            if dial.open > 0 {
                dial.next_at = u64::MAX;
                return None;
            }
            let why = core::mem::take(&mut dial.why);
            return self.fail(key, Cause::Unreachable, &why);
        };
        dial.open += 1;
        dial.next_at = now.saturating_add(STAGGER);
        let to = Endpoint { address, port: dial.port };
        let ticket = self.ticket();
        self.attempts.insert(ticket, Attempt { dial: key, address, peer: None });
        Some(Step::Connect { ticket, to })
    }

    fn fail(&mut self, key: u32, cause: Cause, why: &str) -> Option<Step<T>> {
        let dial = self.dials.remove(&key)?;
        Some(Step::Failed { what: dial.what, cause, why: why.into() })
    }

    /// One step of those that it is time for: to be called until there is none.
    pub fn due(&mut self, now: u64) -> Option<Step<T>> {
        while self.deadline() <= now {
            let due = |dial: &Dial<T>| dial.due() <= now;
            let key = self.dials.iter().find(|(_, dial)| due(dial)).map(|(key, _)| *key)?;
            if let Some(step) = self.step(now, key) {
                return Some(step);
            }
        }
        None
    }

    /// Gives up those that are for something.
    pub fn forget(&mut self, is_it: impl Fn(&T) -> bool) {
        self.dials.retain(|_, dial| !is_it(&dial.what));
    }

    /// A peer was asked for what [`Step::Lookup`] wants.
    pub fn looks_up(&mut self, ticket: u32, peer: u32) {
        if let Some(dial) = self.dials.get_mut(&ticket) {
            dial.resolver = Some(peer);
        }
    }

    /// ... for what [`Step::Connect`] wants.
    pub fn connects(&mut self, ticket: u32, peer: u32) {
        if let Some(attempt) = self.attempts.get_mut(&ticket) {
            attempt.peer = Some(peer);
        }
    }

    /// Whether a peer that looks names up was asked, and has not answered.
    pub fn any_lookup_of(&self, peer: u32) -> bool {
        self.dials.values().any(|dial| !dial.is_looked_up && dial.resolver == Some(peer))
    }

    /// The same for a peer that makes connections.
    pub fn any_attempt_of(&self, peer: u32) -> bool {
        self.attempts.values().any(|attempt| attempt.peer == Some(peer) && self.dials.contains_key(&attempt.dial))
    }

    /// A peer that looks names up has forgotten what it was asked: that is to be asked of another.
    pub fn lost_lookups(&mut self, peer: u32) -> Vec<Step<T>> {
        let lost = self.dials.iter_mut().filter(|(_, dial)| !dial.is_looked_up && dial.resolver == Some(peer));
        let steps = lost.map(|(ticket, dial)| {
            dial.resolver = None;
            Step::Lookup { ticket: *ticket }
        });
        steps.collect()
    }

    /// The same for a peer that makes connections.
    pub fn lost_attempts(&mut self, now: u64, peer: u32) -> Vec<Step<T>> {
        let lost = |attempt: &Attempt| attempt.peer == Some(peer);
        let tickets: Vec<u32> =
            self.attempts.iter().filter(|(_, attempt)| lost(attempt)).map(|(ticket, _)| *ticket).collect();
        let attempts: Vec<Attempt> = tickets.iter().filter_map(|ticket| self.attempts.remove(ticket)).collect();
        let again = attempts.into_iter().filter_map(|Attempt { dial: key, address, .. }| {
            let dial = self.dials.get_mut(&key)?;
            dial.open -= 1;
            dial.addresses.push_front(address);
            dial.next_at = now;
            self.step(now, key)
        });
        again.collect()
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.dials.values().map(|dial| &dial.what)
    }

    pub fn len(&self) -> usize {
        self.dials.len()
    }

    pub fn is_empty(&self) -> bool {
        self.dials.is_empty()
    }

    /// Until when there is nothing to do.
    pub fn deadline(&self) -> u64 {
        self.dials.values().map(Dial::due).min().unwrap_or(u64::MAX)
    }
}

impl<T> Dial<T> {
    fn due(&self) -> u64 {
        if self.is_looked_up { self.deadline.min(self.next_at) } else { self.deadline }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    const LATE: u64 = 100 * STAGGER;

    fn connect(step: Option<Step<&'static str>>) -> (u32, String) {
        match step {
            Some(Step::Connect { ticket, to }) => (ticket, to.address.to_canonical().to_string()),
            other => panic!("{other:?}"),
        }
    }

    fn looked_up(addresses: &[&str]) -> (Dials<&'static str>, (u32, String)) {
        let mut dials = Dials::default();
        let Step::Lookup { ticket } = dials.begin(0, LATE, ("a.example", 443), "a") else { panic!("no lookup") };
        let addresses = addresses.iter().map(|address| address.parse().unwrap());
        let first = connect(dials.found(0, ticket, addresses));
        assert_eq!(dials.found(0, ticket, core::iter::empty()), None, "it is answered once");
        (dials, first)
    }

    #[test]
    fn the_first_that_stands_is_it() {
        let (mut dials, (first, address)) = looked_up(&["2001:db8::1", "::ffff:192.0.2.1", "::ffff:192.0.2.2"]);
        assert_eq!((address.as_str(), dials.due(STAGGER - 1), dials.deadline()), ("2001:db8::1", None, STAGGER));
        let (second, address) = connect(dials.due(STAGGER));
        assert_eq!((address.as_str(), dials.due(STAGGER)), ("192.0.2.1", None));
        let (third, address) = connect(dials.refused(STAGGER, second, "refused"));
        assert_eq!(address, "192.0.2.2", "at once");
        assert_eq!(dials.connected(third), Some("a"));
        assert_eq!((dials.connected(first), dials.is_empty()), (None, true), "one that is late is not wanted");
        assert_eq!(dials.refused(0, second, ""), None);
    }

    #[test]
    fn all_fail_or_none_answers() {
        let (mut dials, (first, _)) = looked_up(&["::1", "::2"]);
        let (second, _) = connect(dials.refused(0, first, "no"));
        let failed = |cause, why: &str| Some(Step::Failed { what: "a", cause, why: why.into() });
        assert_eq!(dials.refused(0, second, "none"), failed(Cause::Unreachable, "none"));
        let (mut dials, _) = looked_up(&["::1"]);
        assert_eq!((dials.due(LATE - 1), dials.due(LATE)), (None, failed(Cause::Timeout, "it does not answer")));
        let mut dials = Dials::default();
        let Step::Lookup { ticket } = dials.begin(0, LATE, ("a.example", 443), "a") else { panic!("no lookup") };
        assert_eq!(dials.not_found(ticket, "no such name"), failed(Cause::Name, "no such name"));
    }

    #[test]
    fn an_address_is_not_looked_up() {
        for (name, expected) in [("192.0.2.7", "192.0.2.7"), ("[2001:db8::7]", "2001:db8::7")] {
            let mut dials = Dials::default();
            assert_eq!(connect(Some(dials.begin(0, LATE, (name, 1), "a"))).1, expected);
        }
    }

    #[test]
    fn what_is_lost_is_asked_of_another() {
        let (mut dials, (first, _)) = looked_up(&["::1"]);
        let Step::Lookup { ticket } = dials.begin(0, LATE, ("b.example", 443), "b") else { panic!("no lookup") };
        dials.looks_up(ticket, 7);
        dials.connects(first, 8);
        assert!(dials.any_lookup_of(7) && dials.any_attempt_of(8) && !dials.any_attempt_of(7));
        assert_eq!((dials.lost_lookups(8), dials.lost_attempts(0, 7)), (Vec::new(), Vec::new()), "others were asked");
        assert_eq!(dials.lost_lookups(7), [Step::Lookup { ticket }]);
        let (again, address) = connect(dials.lost_attempts(5, 8).pop());
        assert_eq!(address, "::1");
        assert_eq!((dials.connected(first), dials.connected(again), dials.len()), (None, Some("a"), 1));
        // it is asked again until its time is over
        let (mut dials, (first, _)) = looked_up(&["::1"]);
        dials.connects(first, 8);
        let late = Step::Failed { what: "a", cause: Cause::Timeout, why: "it does not answer".into() };
        assert_eq!((dials.lost_attempts(LATE, 8), dials.is_empty()), ([late].into(), true));
    }
}
