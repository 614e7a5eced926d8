//! The arrow `pearwood:control/node`: what was asked of the node, for whom, and what is to be done with the answers.

use crate::message::{self, Request, Settings};
use std::collections::BTreeMap;
use wit::{
    MAX_BATCH, Malformed, Outbox, Record,
    control::{Attach, Command, Event},
};

/// Bytes of a request in one record.
const PART: usize = 64 << 10;

/// With this much to send, nothing more is asked.
const MUCH: usize = MAX_BATCH / 2;

/// Requests that may be under way beside those that are followed.
const OTHERS: usize = 64;

/// Requests under way whose answers may be long.
const LONG: usize = 2;

/// A request of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whose {
    /// a peer and a connection
    pub place: (u32, u32),
    /// which of all connections, since numbers come again
    pub session: u64,
    /// the client's own number of the request
    pub id: u32,
}

/// What is to be done with the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Then {
    /// It is the client's, as it is.
    Pass,
    /// The same; it is short.
    PassShort,
    /// So are those after it.
    Follow,
    /// It is the declaration, which may have a secret in it.
    System,
    Metrics,
    /// The same, for those who scrape.
    Scraped,
    /// The upload has begun, unless this is a refusal.
    Begun,
    /// There is no upload any more, unless this is a refusal.
    Taken,
    /// It says who would have the power over the node. If that is as it should be, this is asked.
    Judge(Next),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    Deploy(Settings),
    RollBack(Settings),
}

/// Lines of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    pub done: String,
    /// the reason follows
    pub refused: String,
}

pub struct Asked {
    /// None: this box asks for itself, and no answer is needed.
    pub whose: Option<Whose>,
    pub then: Then,
    /// What it changes has a line in the log.
    pub noted: Option<Noted>,
    /// The node waits until the client has taken the last answer.
    pub owes: bool,
    cancelled: bool,
}

pub struct Node {
    out: Outbox,
    next: u32,
    depth: usize,
    longest: usize,
    asked: BTreeMap<u32, Asked>,
    /// the answer of which parts have come
    heard: Option<(u32, Vec<u8>)>,
}

/// An answer, whole.
pub struct Answer {
    pub ticket: u32,
    pub bytes: Vec<u8>,
    pub is_last: bool,
}

impl Default for Node {
    fn default() -> Self {
        Node { out: Outbox::new(), next: 1, depth: 0, longest: 0, asked: BTreeMap::new(), heard: None }
    }
}

impl Node {
    pub fn attached(&mut self, attach: &Attach<'_>) {
        *self = Node { depth: attach.depth as usize, longest: attach.longest as usize, ..Node::default() };
    }

    /// Bytes that are held.
    pub fn held(&self) -> usize {
        self.out.len() + self.heard.as_ref().map_or(0, |heard| heard.1.len())
    }

    /// Whether another request may be passed on. None is while it is judged what one would lead to: nothing comes between
    /// that and the request itself.
    pub fn has_room(&self) -> bool {
        let long = |asked: &&Asked| !matches!(asked.then, Then::Follow | Then::PassShort);
        let judges = self.asked.values().any(|asked| matches!(asked.then, Then::Judge(_)));
        let longs = self.asked.values().filter(long).count();
        !judges && self.out.len() < MUCH && self.asked.len() < self.depth && longs < LONG
    }

    /// Whether another may be followed.
    pub fn may_follow(&self) -> bool {
        self.asked.len() + OTHERS < self.depth
    }

    /// Yields the ticket.
    pub fn ask(
        &mut self,
        whose: Option<Whose>,
        by: &str,
        request: &Request<'_>,
        then: Then,
        noted: Option<Noted>,
    ) -> u32 {
        while self.asked.contains_key(&self.next) {
            self.next = self.next.wrapping_add(1);
        }
        let ticket = self.next;
        self.next = ticket.wrapping_add(1);
        self.asked.insert(ticket, Asked { whose, then, noted, owes: false, cancelled: false });
        let request = message::encode(request);
        let out = self.out.batch();
        let mut rest = &request[..];
        while let Some((data, after)) = rest.split_at_checked(PART).filter(|(_, after)| !after.is_empty()) {
            Command::Part { ticket, data }.encode(out);
            rest = after;
        }
        Command::Ask { ticket, by, data: rest }.encode(out);
        ticket
    }

    pub fn cancel(&mut self, ticket: u32) {
        let Some(asked) = self.asked.get_mut(&ticket) else { return };
        if !std::mem::replace(&mut asked.cancelled, true) {
            (asked.whose, asked.owes) = (None, false);
            Command::Cancel { ticket }.encode(self.out.batch());
        }
    }

    /// Lets go of what is followed for clients that are not there any more.
    pub fn sweep(&mut self, is_there: impl Fn(&Whose) -> bool) {
        let gone = |asked: &Asked| asked.then == Then::Follow && asked.whose.as_ref().is_some_and(|it| !is_there(it));
        let gone: Vec<u32> = self.asked.iter().filter(|(_, it)| gone(it)).map(|(ticket, _)| *ticket).collect();
        gone.into_iter().for_each(|ticket| self.cancel(ticket));
    }

    /// Clients that are owed an answer more, and their tickets.
    pub fn owing(&self) -> Vec<(u32, Whose)> {
        let owing = |(ticket, asked): (&u32, &Asked)| Some((*ticket, asked.whose.filter(|_| asked.owes)?));
        self.asked.iter().filter_map(owing).collect()
    }

    /// The next answer may come.
    pub fn go_on(&mut self, ticket: u32) {
        if let Some(asked) = self.asked.get_mut(&ticket) {
            asked.owes = false;
            Command::Next { ticket }.encode(self.out.batch());
        }
    }

    /// Takes in an event. Yields an answer if it is whole.
    pub fn heard(&mut self, record: &Record<'_>) -> Result<Option<Answer>, Malformed> {
        let (ticket, data, is_last, is_whole) = match Event::decode(record)? {
            Event::Part { ticket, data } => (ticket, data, false, false),
            Event::More { ticket, data } => (ticket, data, false, true),
            Event::Last { ticket, data } => (ticket, data, true, true),
            Event::Unknown { .. } => return Ok(None),
        };
        let (_, mut bytes) = self.heard.take_if(|heard| heard.0 == ticket).unwrap_or_default();
        if bytes.len() + data.len() > self.longest {
            return Err(Malformed);
        }
        bytes.extend_from_slice(data);
        if !is_whole {
            self.heard = Some((ticket, bytes));
            return Ok(None);
        }
        Ok(Some(Answer { ticket, bytes, is_last }))
    }

    /// What the answer is for. If it is the last, its ticket is free.
    pub fn take(&mut self, answer: &Answer) -> Option<(Option<Whose>, Then, Option<Noted>)> {
        if answer.is_last {
            return self.asked.remove(&answer.ticket).map(|asked| (asked.whose, asked.then, asked.noted));
        }
        let asked = self.asked.get_mut(&answer.ticket)?;
        asked.owes = asked.then == Then::Follow && !asked.cancelled;
        Some((asked.whose, asked.then.clone(), None))
    }

    pub fn flush(&mut self, room: bool, send: impl FnMut(&[u8]) -> bool) {
        if room || !self.out.is_full() {
            self.out.flush(send);
        }
    }
}
