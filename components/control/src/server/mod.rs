//! The box's state: its port, its connections, and one turn of serving them.

mod answer;
mod connection;
mod limits;
mod lockout;
mod node;
mod scrapes;
mod uploads;

pub use lockout::lockout;

use crate::{
    channel::Identity,
    config::Config,
    message::Request,
    power::{Level, Outside},
};
use connection::{Around, Connection, Ending, State};
use limits::Failures;
use node::{Node, Then};
use scrapes::{Admission, Scrapes};
use std::collections::BTreeMap;
use uploads::Uploads;
use wit::{
    Incoming, Peers, Record,
    control::Attach,
    tcp::{Command, Endpoint, Event},
};

const SECOND: u64 = 1_000_000_000;

/// Pauses before a port that was refused is asked for again.
const AGAIN: u64 = 5 * SECOND;

/// A batch with this much in it takes no more data until it is sent.
const MUCH: usize = 128 << 10;

pub struct Control {
    config: Config,
    identity: Identity,
    now: u64,
    /// of each, when the port is asked for again
    peers: Peers<Option<u64>>,
    /// by peer and connection
    connections: BTreeMap<(u32, u32), Connection>,
    failures: Failures,
    uploads: Uploads,
    node: Node,
    scrapes: Scrapes,
    /// by which metrics are read: one for each key
    tokens: Vec<blake3::Hash>,
    /// connections so far
    sessions: u64,
    /// turns so far
    turns: usize,
    retiring: bool,
}

/// What has come up since the last turn.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wake<'a> {
    /// monotonic, in nanoseconds
    pub now: u64,
    /// events of `pearwood:net/tcp`
    pub tcp: &'a [u8],
    /// events of `pearwood:control/node`
    pub node: &'a [u8],
    /// commands of `pearwood:http/handler`
    pub http: &'a [u8],
    /// A peer that had no room may have room again.
    pub room: bool,
}

impl Control {
    pub fn new(config: Config, identity: Identity) -> Self {
        let tokens = config.keys.iter().map(|grantee| identity.token(&grantee.key)).collect();
        Control {
            config,
            identity,
            tokens,
            scrapes: Scrapes::default(),
            now: 0,
            peers: Peers::default(),
            connections: BTreeMap::new(),
            failures: Failures::default(),
            uploads: Uploads::default(),
            node: Node::default(),
            sessions: 0,
            turns: 0,
            retiring: false,
        }
    }

    /// Until when there is nothing to do unless something comes.
    pub fn deadline(&self) -> u64 {
        let connections = self.connections.iter().map(|(key, connection)| {
            let retires = self.peers.is_retiring(key.0);
            connection.deadline().min(if retires { connection.rests_at(self.now) } else { u64::MAX })
        });
        let asks = self.peers.iter().filter_map(|(_, again, _)| *again);
        connections.chain(asks).chain([self.uploads.deadline()]).min().unwrap_or(u64::MAX)
    }

    /// Another takes the place of this box: nothing new is begun, and connections end when what was asked is answered.
    pub fn retire(&mut self) {
        self.retiring = true;
        self.peers.numbers().for_each(|peer| self.ask_again(peer, None));
    }

    /// When the port is asked for again.
    fn ask_again(&mut self, peer: u32, at: Option<u64>) {
        if let Some(again) = self.peers.get_mut(peer) {
            *again = at;
        }
    }

    pub fn is_done(&self) -> bool {
        self.retiring && self.connections.is_empty() && self.scrapes.is_done()
    }

    /// The number of connections, for tests.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Bytes that are held for connections.
    pub fn held(&self) -> usize {
        self.connections.values().map(Connection::held).sum::<usize>() + self.node.held()
    }

    /// Takes in what has come, and sends what follows from it.
    pub fn turn(&mut self, wake: Wake<'_>, outside: &mut impl Outside) {
        self.now = wake.now;
        if wake.room {
            self.peers.retry();
        }
        for incoming in wit::incoming(wake.tcp).flatten() {
            match incoming {
                Incoming::Attach(peer, _) => self.attached(peer),
                Incoming::Detach(peer, _) => {
                    self.forget(peer);
                    self.peers.detach(peer);
                }
                Incoming::Retire(peer) => {
                    self.ask_again(peer, None);
                    self.peers.retire(peer);
                }
                Incoming::Record(peer, record) => self.event(peer, &record, outside),
            }
        }
        for incoming in wit::incoming(wake.node).flatten() {
            match incoming {
                Incoming::Attach(_, attach) => {
                    if let Ok(attach) = Attach::decode(attach) {
                        self.node.attached(&attach);
                    }
                }
                Incoming::Detach(..) | Incoming::Retire(_) => {}
                Incoming::Record(_, record) => self.heard(&record, outside),
            }
        }
        self.scrapes.turn(wake.http, &Admission { config: &self.config, tokens: &self.tokens });
        if self.scrapes.take_wish() {
            self.node.ask(None, "", &Request::Describe, Then::Scraped, None);
        }
        self.listen_again();
        self.serve(outside);
        self.send(outside);
        let Control { peers, connections, .. } = self;
        peers.flush(|peer, batch| outside.send(peer, batch));
        if peers.any_retiring() {
            peers.release(|peer| connections.keys().any(|key| key.0 == peer));
            peers.flush(|peer, batch| outside.send(peer, batch));
        }
        let there = |place| self.connections.get(&place).is_some_and(|it| !it.is_over());
        if let Some(name) = self.uploads.take_stale(self.now, there) {
            self.node.ask(None, &name, &Request::Forget, Then::PassShort, None);
            outside.log(Level::Warn, &format!("the image that {name} was bringing is dropped"));
        }
        let connections = &self.connections;
        self.node.sweep(|whose| {
            connections.get(&whose.place).is_some_and(|it| it.session == whose.session && !it.is_over())
        });
        self.node.flush(wake.room, |batch| outside.ask(batch));
        self.scrapes.flush(wake.room, |peer, batch| outside.answer(peer, batch));
    }

    fn attached(&mut self, peer: u32) {
        self.forget(peer);
        self.peers.attach(peer, None);
        if !self.retiring && !self.config.keys.is_empty() {
            self.listen(peer);
        }
    }

    fn forget(&mut self, peer: u32) {
        self.connections.retain(|key, _| key.0 != peer);
    }

    fn listen(&mut self, peer: u32) {
        if let Some(out) = self.peers.out(peer) {
            Command::Listen { port: self.config.port, backlog: 16 }.encode(out.batch());
        }
    }

    fn listen_again(&mut self) {
        for peer in self.peers.numbers() {
            if self.peers.get_mut(peer).is_some_and(|again| again.take_if(|at| *at <= self.now).is_some()) {
                self.listen(peer);
            }
        }
    }

    fn event(&mut self, peer: u32, record: &Record<'_>, outside: &mut impl Outside) {
        let Ok(event) = Event::decode(record) else { return };
        match event {
            Event::Listening { port } => outside.log(Level::Info, &format!("listening on port {port}")),
            Event::Refused { id: _, why } => {
                let waits = !self.retiring && !self.peers.is_retiring(peer);
                if waits
                    && let Some(again) = self.peers.get_mut(peer)
                    && again.replace(self.now + AGAIN).is_none()
                {
                    outside.log(Level::Error, &format!("port {}: {why}; will ask again", self.config.port));
                }
            }
            Event::Accepted { connection, remote, .. } => self.accepted(peer, connection, remote, outside),
            Event::Data { connection, data } => {
                let Some(connection) = self.connections.get_mut(&(peer, connection)) else { return };
                connection.received(data);
            }
            Event::Sent { connection, bytes } => {
                let Some(connection) = self.connections.get_mut(&(peer, connection)) else { return };
                connection.credit = connection.credit.saturating_add(bytes);
            }
            Event::Finished { connection } => {
                if let Some(connection) = self.connections.get_mut(&(peer, connection)) {
                    connection.client_finished = true;
                }
            }
            Event::Closed { connection, why: _ } => {
                if let Some(mut gone) = self.connections.remove(&(peer, connection)) {
                    self.note_failure(&mut gone);
                }
            }
            // This box makes no connections.
            Event::Connected { .. } | Event::Secures | Event::Failed { .. } | Event::Unknown { .. } => {}
        }
    }

    /// A client that goes without having proved a key has tried and failed.
    fn note_failure(&mut self, connection: &mut Connection) {
        if !connection.has_proved() && !std::mem::replace(&mut connection.counted, true) {
            self.failures.add(connection.remote, self.now);
        }
    }

    fn accepted(&mut self, peer: u32, number: u32, remote: Endpoint, outside: &mut impl Outside) {
        let Some(out) = self.peers.out(peer) else { return };
        let abort = Command::Abort { connection: number };
        if self.retiring || self.failures.are_too_many(remote, self.now) {
            return abort.encode(out.batch());
        }
        let unproved: Vec<(u32, u32)> =
            self.connections.iter().filter(|(_, it)| !it.has_proved()).map(|(key, _)| *key).collect();
        let full = self.connections.len() >= self.config.connections;
        if full || unproved.len() >= self.config.connections / 2 {
            let Some(victim) = self.victim(&unproved) else {
                self.peers.out(peer).into_iter().for_each(|out| abort.encode(out.batch()));
                return;
            };
            if let Some(mut gone) = self.connections.remove(&victim) {
                self.note_failure(&mut gone);
            }
            if let Some(out) = self.peers.out(victim.0) {
                Command::Abort { connection: victim.1 }.encode(out.batch());
            }
        }
        let state = State::begin(&self.identity, outside.random());
        self.sessions += 1;
        self.connections.insert((peer, number), Connection::new(self.sessions, remote, state, self.now));
    }

    /// Which of those that have proved nothing makes room: one of whoever has most of them, rather one that has said
    /// nothing, the oldest.
    fn victim(&self, unproved: &[(u32, u32)]) -> Option<(u32, u32)> {
        let of = |key: &(u32, u32)| limits::place(self.connections[key].remote);
        let mut counts: BTreeMap<[u8; 16], usize> = BTreeMap::new();
        unproved.iter().for_each(|key| *counts.entry(of(key)).or_default() += 1);
        let rank = |key: &&(u32, u32)| {
            let connection = &self.connections[*key];
            (counts[&of(key)], connection.is_silent(), core::cmp::Reverse((connection.since, **key)))
        };
        unproved.iter().max_by_key(rank).copied()
    }

    /// Lets each connection do what it can.
    fn serve(&mut self, outside: &mut impl Outside) {
        let mut held = self.held();
        let mut keys: Vec<(u32, u32)> = self.connections.keys().copied().collect();
        // somebody else is first each time, since the node takes only so many requests at once
        let count = keys.len().max(1);
        keys.rotate_left(self.turns % count);
        self.turns = self.turns.wrapping_add(1);
        let mut sessions = self.connections.values().filter_map(Connection::key).collect();
        for key in keys {
            let Some(connection) = self.connections.get_mut(&key) else { continue };
            held -= connection.held();
            let mut around = Around {
                now: self.now,
                config: &self.config,
                identity: &self.identity,
                uploads: &mut self.uploads,
                node: &mut self.node,
                session: connection.session,
                since: connection.since,
                place: key,
                held,
                sessions: &mut sessions,
            };
            connection.advance(&mut around, outside);
            if self.retiring {
                connection.retire(self.now);
            } else if self.peers.is_retiring(key.0) {
                connection.retire_idle(self.now);
            }
            held += connection.held();
        }
        for (ticket, whose) in self.node.owing() {
            let Some(connection) = self.connections.get(&whose.place) else { continue };
            if connection.takes_more(held - connection.held()) {
                self.node.go_on(ticket);
            }
        }
    }

    /// Sends what there is, and ends what is over.
    fn send(&mut self, outside: &mut impl Outside) {
        let keys: Vec<(u32, u32)> = self.connections.keys().copied().collect();
        for (peer, number) in keys {
            let Some(mut connection) = self.connections.remove(&(peer, number)) else { continue };
            if let Some(out) = self.peers.out_unless_full(peer) {
                let space = MUCH.saturating_sub(out.len());
                connection.send(number, out.batch(), space);
            }
            let ending = connection.ending(self.now);
            if ending != Ending::NotYet {
                if let Some(why) = connection.end_reason(self.now) {
                    outside.log(Level::Warn, &format!("{}: {why}", connection.who()));
                }
                self.note_failure(&mut connection);
            }
            let command = match ending {
                Ending::NotYet => None,
                Ending::Finish => {
                    connection.finish(self.now);
                    Some(Command::Finish { connection: number })
                }
                Ending::Abort => Some(Command::Abort { connection: number }),
            };
            if let (Some(command), Some(out)) = (command, self.peers.out(peer)) {
                command.encode(out.batch());
            }
            if ending != Ending::Abort {
                self.connections.insert((peer, number), connection);
            }
        }
    }
}
