//! Connections to other hosts, for the boxes that ask for them: towards those hosts this box is TLS's client.

use super::{Level, Tls};
use crate::config::canonical;
use crate::connection::{Connection, Dialed, source_of_box};
use crate::session::{Failed, Session};
use core::net::Ipv6Addr;
use rustls::pki_types::ServerName;
use support::dial::Step;
use wit::Incoming;
use wit::names;
use wit::tcp::{Cause, Command, Endpoint, Event};

fn failed(cause: Cause, why: &str) -> Failed {
    Failed { cause, alert: 0, why: why.into() }
}

impl Tls {
    /// What those say who look names up.
    pub(super) fn of_names(&mut self, incoming: Incoming<'_>) {
        match incoming {
            Incoming::Attach(peer, _) => {
                self.lookups_lost(peer);
                self.names.attach(peer, ());
            }
            Incoming::Detach(peer, _) => {
                self.names.detach(peer);
                self.lookups_lost(peer);
            }
            Incoming::Retire(peer) => self.names.retire(peer),
            Incoming::Record(peer, record) => {
                let step = match names::Event::decode(&record) {
                    Ok(names::Event::Addresses { ticket, addresses }) => {
                        self.dials.found(self.now, ticket, addresses.iter())
                    }
                    Ok(names::Event::Failed { ticket, why }) => self.dials.not_found(ticket, why),
                    Ok(names::Event::Unknown { .. }) => None,
                    Err(_) => {
                        let kind = record.kind;
                        return self.say(Level::Error, format!("names peer {peer}: a malformed record of kind {kind}"));
                    }
                };
                step.into_iter().for_each(|step| self.dial_step(step));
            }
        }
    }

    /// A box wants a connection to a host. The node has seen to it that it may have one.
    pub(super) fn dial(&mut self, client: u32, ticket: u32, (name, port): (&str, u16)) {
        // One that does not take its answers is not listened to.
        if self.clients.is_deaf(client) {
            return;
        }
        let plain = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        let plain = canonical(plain.strip_suffix('.').unwrap_or(plain));
        let Ok(name) = ServerName::try_from(plain.clone()) else {
            let why = "it is no name of a host, and no address";
            return self.answer(client, Event::Failed { ticket, cause: Cause::Name, alert: 0, why });
        };
        let dialed = Dialed { client, ticket, host: plain.clone(), name, port };
        if !self.may_dial(client) {
            return self.dial_failed(&dialed, &failed(Cause::Busy, "this box has no room for another connection"));
        }
        let deadline = self.now.saturating_add(self.config.handshake_timeout);
        let step = self.dials.begin(self.now, deadline, (&plain, port), dialed);
        self.dial_step(step);
    }

    /// Has a name looked up. What comes of it, if nobody does that.
    fn look_up(&mut self, ticket: u32) -> Option<Step<Dialed>> {
        let names = &mut self.names;
        let peer = names.numbers().find(|peer| names.is_attached(*peer) && !names.is_retiring(*peer));
        let asked = peer.and_then(|peer| Some((peer, names.out(peer)?)));
        let Some((peer, out)) = asked else {
            let why = "nobody looks names up: the box at its arrow `pearwood:net/names` is not there, or there is no such arrow";
            return self.dials.not_found(ticket, why);
        };
        self.dials.looks_up(ticket, peer);
        let name = &self.dials.sought(ticket)?.host;
        names::Command::Lookup { ticket, name }.encode(out.batch());
        None
    }

    /// Whether there is room for another connection of a box. Those that are not made yet count as made.
    fn may_dial(&mut self, client: u32) -> bool {
        let source = source_of_box(client);
        let own = self.dials.iter().filter(|dialed| dialed.client == client).count();
        let has_many = self.connections.of_source(source) + own >= self.limits.of_source;
        let is_full = self.connections.len() + self.dials.len() >= self.limits.connections;
        // Its own are not reset: one that waits for an answer looks idle, and the box knows which it can do without.
        !has_many && (!is_full || (!self.has_part(source) && self.make_room(source, false)))
    }

    pub(super) fn dial_step(&mut self, step: Step<Dialed>) {
        let mut next = Some(step);
        while let Some(step) = next.take() {
            match step {
                Step::Lookup { ticket } => next = self.look_up(ticket),
                Step::Connect { ticket, to } => {
                    let net = &mut self.net;
                    let peer = net.numbers().find(|peer| net.is_attached(*peer) && !net.is_retiring(*peer));
                    match peer.and_then(|peer| Some((peer, net.out(peer)?))) {
                        Some((peer, out)) => {
                            Command::Connect { ticket, to }.encode(out.batch());
                            self.dials.connects(ticket, peer);
                        }
                        None => next = self.dials.refused(self.now, ticket, "the network is not there"),
                    }
                }
                Step::Failed { what, cause, why } => self.dial_failed(&what, &failed(cause, &why)),
            }
        }
    }

    /// One who looks names up does not answer any more.
    fn lookups_lost(&mut self, peer: u32) {
        for step in self.dials.lost_lookups(peer) {
            self.dial_step(step);
        }
    }

    pub(super) fn dial_failed(&mut self, dialed: &Dialed, failed: &Failed) {
        let Failed { cause, alert, why } = failed;
        self.answer(dialed.client, Event::Failed { ticket: dialed.ticket, cause: *cause, alert: *alert, why });
    }

    /// The network has made a connection: the handshake begins.
    pub(super) fn connected(&mut self, peer: u32, number: u32, ticket: u32) {
        if let Some(key) = self.connections.of_net(peer, number) {
            self.end(key, "its number is used again");
        }
        if !self.net.is_attached(peer) {
            return;
        }
        let mut hello = Vec::new();
        let session = self.dials.connected(ticket).map(|dialed| {
            let session = match self.trust.of(&dialed.host) {
                Ok(config) => Session::client(config, dialed.name.clone(), &mut hello),
                Err(why) => Err(failed(Cause::Security, &why)),
            };
            (dialed, session)
        });
        let (dialed, session) = match session {
            Some((dialed, Ok(session))) => (dialed, session),
            other => {
                if let Some(out) = self.net.out(peer) {
                    Command::Abort { connection: number }.encode(out.batch());
                }
                if let Some((dialed, Err(why))) = other {
                    self.dial_failed(&dialed, &why);
                }
                return;
            }
        };
        let remote = Endpoint { address: Ipv6Addr::UNSPECIFIED, port: dialed.port };
        let mut connection = Connection::new(peer, number, remote, dialed.port, session, self.now);
        connection.is_own = true;
        connection.source = source_of_box(dialed.client);
        connection.asked.name = dialed.host.clone();
        connection.deadline = self.now.saturating_add(self.config.handshake_timeout);
        connection.dialed = Some(dialed);
        connection.out.push(&hello);
        self.earliest = self.earliest.min(connection.deadline);
        let key = self.connections.insert(connection);
        self.advance(key);
    }
}
