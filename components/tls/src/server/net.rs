//! What the network says.

use super::{Level, Tls, in_words};
use crate::connection::{Connection, source_of};
use crate::session::Session;
use support::proxy;
use wit::Incoming;
use wit::tcp::{Command, Endpoint, Event};

impl Tls {
    pub(super) fn of_net(&mut self, incoming: Incoming<'_>) {
        match incoming {
            Incoming::Attach(peer, _) => {
                self.forget_net(peer, "the network was replaced");
                self.net.attach(peer, None);
                self.listen_at(peer);
            }
            Incoming::Detach(peer, why) => {
                self.net.detach(peer);
                let lost = self.forget_net(peer, "the network is gone");
                if lost > 0 {
                    let why = in_words(why);
                    self.say(Level::Warn, format!("tcp peer {peer} is gone with {lost} connections: {why}"));
                }
            }
            Incoming::Retire(peer) => self.net_retires(peer),
            Incoming::Record(peer, record) => match Event::decode(&record) {
                Ok(event) => self.net_event(peer, event),
                Err(_) => {
                    self.say(Level::Error, format!("tcp peer {peer}: a malformed record of kind {}", record.kind))
                }
            },
        }
    }

    fn net_event(&mut self, peer: u32, event: Event<'_>) {
        match event {
            Event::Data { connection, data } => {
                let Some(key) = self.connections.of_net(peer, connection) else { return };
                let Some(connection) = self.connections.get(key) else { return };
                connection.active_at = self.now;
                if connection.header.is_some() {
                    self.header(key, data);
                } else if connection.takes_input() {
                    connection.session.push(data);
                } else {
                    connection.used += data.len() as u32;
                }
                self.advance(key);
            }
            Event::Sent { connection, bytes } => {
                let Some(key) = self.connections.of_net(peer, connection) else { return };
                let Some(connection) = self.connections.get(key) else { return };
                connection.net_credit = connection.net_credit.saturating_add(bytes);
                self.advance(key);
            }
            Event::Accepted { connection, remote, port, .. } => self.accepted(peer, connection, remote, port),
            Event::Finished { connection } => {
                let Some(key) = self.connections.of_net(peer, connection) else { return };
                let Some(connection) = self.connections.get(key) else { return };
                connection.net_finished = true;
                self.advance(key);
            }
            Event::Closed { connection, why } => {
                let Some(key) = self.connections.of_net(peer, connection) else { return };
                self.connections.leave_net(key);
                let Some(connection) = self.connections.get(key) else { return };
                // both sides have finished: what has come before is still for the client
                if why.is_empty() && connection.is_open() && connection.close_sent {
                    (connection.net_gone, connection.net_finished) = (true, true);
                    connection.out.clear();
                    connection.plain.clear();
                    return self.advance(key);
                }
                self.end(key, why);
            }
            Event::Listening { port } => self.answer_listener(port, Event::Listening { port }),
            Event::Refused { id, why } => {
                // the ticket of a connection is no number of a port
                if let Ok(port) = u16::try_from(id) {
                    self.answer_listener(port, Event::Refused { id, why });
                } else if let Some(step) = self.dials.refused(self.now, id, why) {
                    self.dial_step(step);
                }
            }
            Event::Connected { connection, ticket } => self.connected(peer, connection, ticket),
            Event::Secures | Event::Failed { .. } | Event::Unknown { .. } => {}
        }
    }

    fn accepted(&mut self, peer: u32, number: u32, remote: Endpoint, port: u16) {
        if let Some(key) = self.connections.of_net(peer, number) {
            self.end(key, "its number is used again");
        }
        if !self.net.is_attached(peer) {
            return;
        }
        let source = source_of(remote.address);
        let is_proxy = self.config.proxy_protocol_from.iter().any(|network| network.contains(remote.address));
        let has_many = !is_proxy && self.connections.of_source(source) >= self.limits.of_source;
        let is_full = self.connections.len() + self.dials.len() >= self.limits.connections;
        let has_room = !(has_many || is_full) || self.make_room(source, has_many);
        let session = has_room.then(|| Session::server(self.rustls.clone()));
        let Some(Ok(session)) = session else {
            let Some(out) = self.net.out(peer) else { return };
            return Command::Abort { connection: number }.encode(out.batch());
        };
        let mut connection = Connection::new(peer, number, remote, port, session, self.now);
        connection.header = is_proxy.then(Vec::new);
        connection.deadline = self.now.saturating_add(self.config.handshake_timeout);
        self.earliest = self.earliest.min(connection.deadline);
        self.connections.insert(connection);
    }

    /// Data of a connection of which the header of the PROXY protocol is still awaited. From then on it counts as the client's.
    fn header(&mut self, key: usize, data: &[u8]) {
        let Some(connection) = self.connections.get(key) else { return };
        let Some(mut header) = connection.header.take() else { return };
        let before = header.len();
        header.extend_from_slice(&data[..data.len().min(proxy::MOST.saturating_sub(before))]);
        match proxy::read(&header) {
            Ok(None) => {
                connection.used += data.len() as u32;
                connection.header = Some(header);
            }
            Ok(Some(found)) => {
                let length = found.length.saturating_sub(before);
                connection.used += length as u32;
                connection.session.push(&data[length..]);
                let Some(client) = found.client else { return };
                self.connections.set_remote(key, client);
                let source = source_of(client.address);
                if self.connections.of_source(source) > self.limits.of_source && !self.make_room(source, true) {
                    self.abort(key, "its client has too many connections");
                }
            }
            Err(why) => {
                let proxy = connection.remote.address.to_canonical();
                self.say(Level::Warn, format!("{proxy}: {why}: the connection is reset"));
                self.abort(key, why);
            }
        }
    }

    /// The network knows nothing more of a peer's connections. How many there were.
    fn forget_net(&mut self, peer: u32, why: &str) -> usize {
        let keys = self.connections.which(|connection| connection.net == peer);
        for &key in &keys {
            self.end(key, why);
        }
        for step in self.dials.lost_attempts(self.now, peer) {
            self.dial_step(step);
        }
        keys.len()
    }
}
