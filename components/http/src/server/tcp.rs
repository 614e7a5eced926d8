//! What TCP says.

use super::limits::TOLD;
use super::{Http, Level, in_words};
use crate::connection::{Connection, Reading, client_of};
use crate::response::OVERLOADED;
use wit::tcp::{Command, Endpoint, Event, Secured};
use wit::{INITIAL_CREDIT, Record};

/// A port that TCP did not let us listen on.
#[derive(Debug)]
pub struct RefusedPort {
    pub peer: u32,
    port: u16,
    pub again_at: u64,
    pause: u64,
    /// Why, unless that has been said: of several peers each may have its own ports, and then it is none of the others' fault.
    unsaid: Option<String>,
}

const SECOND: u64 = 1_000_000_000;
const LONGEST_PAUSE: u64 = 60 * SECOND;

impl Http {
    /// TCP is there, and knows no connection and no port.
    #[cold]
    #[inline(never)]
    pub(super) fn tcp_attached(&mut self, peer: u32) {
        self.forget_connections(peer);
        self.tcp.attach(peer, None);
        if self.retired_at.is_some() {
            return;
        }
        for index in 0..self.config.ports.len() {
            self.listen(peer, self.config.ports[index]);
        }
    }

    #[cold]
    #[inline(never)]
    pub(super) fn tcp_detached(&mut self, peer: u32, why: &[u8]) {
        self.tcp.detach(peer);
        let lost = self.forget_connections(peer);
        if lost > 0 {
            let why = in_words(why);
            self.say(Level::Warn, format!("tcp peer {peer} is gone with {lost} connections: {why}"));
        }
    }

    #[cold]
    #[inline(never)]
    fn forget_connections(&mut self, peer: u32) -> usize {
        self.refused.retain(|port| port.peer != peer);
        self.listening.retain(|(other, _)| *other != peer);
        let keys: Vec<_> = self.connections.iter().filter(|(_, c)| c.peer == peer).map(|(key, _)| key).collect();
        for &key in &keys {
            self.remove(key);
        }
        keys.len()
    }

    fn listen(&mut self, peer: u32, port: u16) {
        if let Some(out) = self.tcp.out(peer) {
            Command::Listen { port, backlog: self.config.backlog }.encode(out.batch());
        }
    }

    /// Asks again for the ports that it is time for.
    #[cold]
    #[inline(never)]
    pub(super) fn listen_again(&mut self) {
        let Http { refused, listening, now, .. } = self;
        refused.retain(|port| {
            port.unsaid.is_none() || port.again_at > *now || !listening.iter().any(|(_, at)| *at == port.port)
        });
        for index in 0..self.refused.len() {
            let port = &mut self.refused[index];
            if port.again_at <= self.now {
                port.pause = (port.pause * 2).min(LONGEST_PAUSE);
                port.again_at = self.now.saturating_add(port.pause);
                let (peer, port, why) = (port.peer, port.port, port.unsaid.take());
                if let Some(why) = why {
                    self.say(Level::Error, format!("port {port}: {why} (tcp peer {peer}); will ask again"));
                }
                self.listen(peer, port);
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn port_refused(&mut self, peer: u32, id: u32, why: &str) {
        let Ok(port) = u16::try_from(id) else { return };
        // it may have had it before
        self.listening.retain(|at| *at != (peer, port));
        if self.leaves_since(peer).is_some() {
            return;
        }
        if self.refused.iter().any(|refused| (refused.peer, refused.port) == (peer, port)) {
            return;
        }
        if self.config.ports.contains(&port) {
            let mut unsaid = Some(in_words(why.as_bytes()));
            if self.tcp.attached() == 1
                && let Some(why) = unsaid.take()
            {
                self.say(Level::Error, format!("port {port}: {why} (tcp peer {peer}); will ask again"));
            }
            let again_at = self.now.saturating_add(SECOND);
            self.refused.push(RefusedPort { peer, port, again_at, pause: SECOND, unsaid });
        }
    }

    #[inline]
    pub(super) fn tcp_event(&mut self, peer: u32, record: &Record<'_>) {
        let Ok(event) = Event::decode(record) else {
            return self.say(Level::Error, format!("tcp peer {peer}: a malformed record of kind {}", record.kind));
        };
        match event {
            Event::Data { connection, data } => {
                if let Some(key) = self.connections.key(peer, connection) {
                    self.received(key, data);
                    self.advance(key);
                }
            }
            Event::Sent { connection, bytes } => {
                let Some(key) = self.connections.key(peer, connection) else { return };
                let Some(connection) = self.connections.get(key) else { return };
                connection.credit = connection.credit.saturating_add(bytes);
                if !connection.exchanges.is_empty() || connection.session.is_some() {
                    self.advance(key);
                }
            }
            Event::Accepted { connection, remote, secured, .. } => self.accepted(peer, connection, remote, secured),
            Event::Finished { connection } => {
                let Some(key) = self.connections.key(peer, connection) else { return };
                let Some(connection) = self.connections.get(key) else { return };
                connection.client_finished = true;
                self.advance(key);
            }
            Event::Closed { connection, why: _ } => {
                if let Some(key) = self.connections.key(peer, connection) {
                    self.remove(key);
                }
            }
            Event::Listening { port } => {
                self.refused.retain(|refused| (refused.peer, refused.port) != (peer, port));
                if !self.listening.contains(&(peer, port)) {
                    self.listening.push((peer, port));
                }
                self.say(Level::Info, format!("listening on port {port}"));
            }
            Event::Refused { id, why } => self.port_refused(peer, id, why),
            // This box makes no connections.
            Event::Connected { .. } | Event::Secures | Event::Failed { .. } | Event::Unknown { .. } => {}
        }
    }

    fn accepted(&mut self, peer: u32, number: u32, remote: Endpoint, secured: Option<Secured<'_>>) {
        // of a secured connection, whether HTTP/2 was agreed on
        let is_2 = secured.map(|secured| secured.protocol == "h2");
        if let Some(key) = self.connections.key(peer, number) {
            self.remove(key);
        }
        if !self.tcp.is_attached(peer) {
            return;
        }
        let mut connection = Connection::new((peer, number), remote, is_2.is_some(), self.now);
        // In the clear a client may know without being told (RFC 9113, section 3.3).
        connection.reading = match is_2 {
            Some(_) => Reading::Head,
            None if self.begins_with_header(remote.address) => Reading::Proxy,
            None => Reading::Start,
        };
        connection.is_known_client = secured.is_some_and(|secured| !secured.client.is_empty());
        connection.origin = secured.and_then(|secured| self.origin_of(&secured));
        connection.known = self.reader.as_ref().map_or(0, |reader| reader.latest());
        connection.credit = INITIAL_CREDIT;
        let is_proxy = self.is_proxy(remote.address) || matches!(connection.reading, Reading::Proxy);
        let has_many =
            !is_proxy && self.connections.of_client(client_of(remote.address)) >= self.limits.client_connections;
        let is_full = self.connections.len() - self.surplus >= self.limits.connections;
        if (is_full || has_many) && !self.make_room(remote.address, has_many) {
            let Some(out) = self.tcp.out(peer) else { return };
            // Only one who speaks HTTP/1 can be told.
            if self.surplus >= TOLD.min(self.limits.connections) || is_2 == Some(true) {
                return Command::Abort { connection: number }.encode(out.batch());
            }
            Command::Send { connection: number, data: OVERLOADED }.encode(out.batch());
            Command::Finish { connection: number }.encode(out.batch());
            connection.is_surplus = true;
            self.surplus += 1;
            connection.finished = true;
            connection.reading = Reading::Nothing;
        }
        self.figures.pace.changed(self.now);
        let is_surplus = connection.is_surplus;
        let key = self.connections.insert(connection);
        if is_2 == Some(true) && !is_surplus {
            self.begin_session(key);
        }
        self.settle(key);
    }
}
