//! The two directions of a connection, and its end.
//!
//! Nothing is decrypted that its client does not take, and nothing is encrypted that the network does not take: what waits, waits as it
//! came, and whoever sends it has no credit for more. So a connection holds what is under way at most, 64 KiB each way.

use super::{Tls, timers::LINGER};
use crate::certificates::PROOF;
use crate::connection::{Connection, Dialed};
use crate::session::{Failed, MAX_PAYLOAD, OVERHEAD, Progress};
use wit::packed::Packed;
use wit::tcp::{Cause, Command, Event, Secured};
use wit::{List, Peers};

/// Credit is given back in steps of this many bytes at least.
const CREDIT_STEP: u32 = 16 << 10;

/// Names of a certificate are told if they have no more bytes.
const NAMES: usize = 4 << 10;

/// The network has room for no more than part of what is to be encrypted: for less than this it is not worth a record.
const WORTH: usize = 2 << 10;

impl Connection {
    /// Whether anybody wants what comes.
    pub(super) fn takes_input(&self) -> bool {
        !self.peer_closed && (self.is_open() || !self.close_sent)
    }
}

/// Passes encrypted bytes to the network as far as it takes them; the rest is kept.
fn put(net: &mut Peers<Option<u64>>, connection: &mut Connection, bytes: &[u8]) {
    if connection.net_gone {
        return;
    }
    let mut rest = bytes;
    if connection.out.is_empty()
        && let Some(out) = net.room(connection.net)
    {
        let (now, later) = bytes.split_at(bytes.len().min(connection.net_credit as usize));
        if !now.is_empty() {
            out.stream(Command::SEND, connection.number, [now]);
            connection.net_credit -= now.len() as u32;
        }
        rest = later;
    }
    connection.out.push(rest);
}

impl Tls {
    /// Goes on with a connection as far as possible.
    pub(super) fn advance(&mut self, key: usize) {
        self.flush_out(key);
        self.encrypt(key);
        let Some(connection) = self.connections.get(key) else { return };
        let is_handshake = !connection.session.is_established() && !connection.close_sent;
        if is_handshake && connection.session.is_ready(usize::MAX >> 1) {
            if !core::mem::replace(&mut connection.is_queued, true) {
                self.handshakes.push_back(key);
            }
            self.settle(key);
        } else {
            self.read(key);
        }
    }

    /// Passes on what was encrypted before.
    fn flush_out(&mut self, key: usize) {
        let Some(connection) = self.connections.get(key) else { return };
        let length = connection.out.len().min(connection.net_credit as usize);
        if length > 0
            && !connection.net_gone
            && let Some(out) = self.net.room(connection.net)
        {
            out.stream(Command::SEND, connection.number, [&connection.out.as_slice()[..length]]);
            connection.out.consume(length);
            connection.net_credit -= length as u32;
        }
    }

    /// Data of the client's: encrypted at once where that is possible.
    pub(super) fn write(&mut self, key: usize, data: &[u8]) {
        let Some(connection) = self.connections.get(key) else { return };
        let mut data = data;
        if connection.plain.is_empty() {
            while !data.is_empty() {
                let length = self.encrypt_some(key, data);
                if length == 0 {
                    break;
                }
                data = &data[length..];
            }
        }
        if let Some(connection) = self.connections.get(key) {
            connection.plain.push(data);
        }
    }

    /// Encrypts what the network takes of what has waited, and says the end once all is sent.
    fn encrypt(&mut self, key: usize) {
        while let Some(connection) = self.connections.get(key).filter(|connection| !connection.plain.is_empty()) {
            let mut plain = core::mem::take(&mut connection.plain);
            let length = self.encrypt_some(key, plain.as_slice());
            plain.consume(length);
            let Some(connection) = self.connections.get(key) else { return };
            connection.plain = plain;
            if length == 0 {
                return;
            }
        }
        let Some(connection) = self.connections.get(key) else { return };
        if connection.client_finished && !connection.close_sent && connection.is_open() {
            let mut sealed = core::mem::take(&mut self.sealed);
            sealed.clear();
            // a session that has failed has said so
            let _ = connection.session.close(&mut sealed);
            put(&mut self.net, connection, &sealed);
            self.sealed = sealed;
            connection.close_sent = true;
        }
    }

    /// Encrypts the first part of data if the network takes it now. How long that part is.
    fn encrypt_some(&mut self, key: usize, data: &[u8]) -> usize {
        let Some(connection) = self.connections.get(key) else { return data.len() };
        if !connection.is_open() {
            return data.len();
        }
        let room = (connection.net_credit as usize).saturating_sub(2 * OVERHEAD);
        let length = data.len().min(MAX_PAYLOAD).min(room);
        let is_worth_it = length == data.len() || length >= WORTH;
        if !is_worth_it || !connection.out.is_empty() || self.net.room(connection.net).is_none() {
            return 0;
        }
        let mut sealed = core::mem::take(&mut self.sealed);
        sealed.clear();
        let encrypted = connection.session.encrypt(&data[..length], &mut sealed);
        put(&mut self.net, connection, &sealed);
        self.sealed = sealed;
        if let Err(failed) = encrypted {
            self.fail(key, &failed);
            return data.len();
        }
        connection.owed += length as u32;
        length
    }

    /// Goes on with what has come, and then with what follows from that.
    pub(super) fn read(&mut self, key: usize) {
        let mut opened = core::mem::take(&mut self.opened);
        let mut sealed = core::mem::take(&mut self.sealed);
        while let Some(connection) = self.connections.get(key) {
            // A client that makes the box talk, and does not listen, gets no more said to it.
            let is_open = connection.takes_input() && connection.out.is_empty();
            let takes = connection.client.is_none_or(|client| self.clients.room(client).is_some());
            if !is_open || !takes {
                break;
            }
            opened.clear();
            sealed.clear();
            let room = connection.client_credit as usize;
            let (progress, used) = connection.session.advance(room, &mut sealed, &mut opened);
            connection.used += used as u32;
            put(&mut self.net, connection, &sealed);
            let is_handshake = !connection.session.is_established() || progress == Ok(Progress::Established);
            if is_handshake && let Some(asked) = self.certificates.take_asked() {
                connection.asked = asked;
            }
            match progress {
                Ok(Progress::Waits) => break,
                Ok(Progress::Established) => self.established(key),
                Ok(Progress::Data) => {
                    connection.client_credit = connection.client_credit.saturating_sub(opened.len() as u32);
                    if let Some(out) = connection.client.and_then(|client| self.clients.out(client)) {
                        out.stream(Event::DATA, connection.own, [&opened]);
                    }
                }
                Ok(Progress::PeerClosed) => self.peer_closed(key),
                Err(failed) => self.fail(key, &failed),
            }
        }
        zeroize::Zeroize::zeroize(&mut opened);
        (self.opened, self.sealed) = (opened, sealed);
        self.settle(key);
    }

    /// The handshake is over: whoever listens, or has asked for it, gets the connection.
    fn established(&mut self, key: usize) {
        let Some(connection) = self.connections.get(key) else { return };
        if let Some(Dialed { client, ticket, .. }) = connection.dialed.take() {
            connection.client = Some(client);
            connection.deadline = u64::MAX;
            let Some(out) = self.clients.answer(client) else { return self.abort(key, "") };
            Event::Connected { connection: connection.own, ticket }.encode(out.batch());
            return self.leave_if_idle(key);
        }
        if connection.session.protocol().as_bytes() == PROOF {
            return self.finish_proof(key);
        }
        let visitors = self.visitors.as_ref();
        if let Some(Err(failed)) = visitors.map(|visitors| visitors.admit(connection.session.certificates())) {
            return self.fail(key, &failed);
        }
        let client = self.listeners.get(&connection.port).map(|listener| listener.client);
        // One that takes nothing gets no more.
        let Some(out) = client.and_then(|client| self.clients.answer(client)) else {
            return self.abort(key, "nobody listens");
        };
        connection.client = client;
        connection.deadline = u64::MAX;
        self.figures.established(&connection.session, self.now);
        let (remote, port) = (connection.remote, connection.port);
        let shown = connection.session.certificates().first().map(|own| &own[..]).unwrap_or_default();
        let names = self.certificates.names(connection.asked.place).iter().map(String::as_str);
        let mut packed = Vec::new();
        let covers = List::pack(names, &mut packed);
        let covers = (covers.size() <= NAMES).then_some(covers);
        let (name, protocol) = (connection.asked.name.as_str(), connection.session.protocol());
        let secured = Secured { name, protocol, client: shown, covers };
        let accepted = Event::Accepted { connection: connection.own, remote, port, secured: Some(secured) };
        accepted.encode(out.batch());
        self.leave_if_idle(key);
    }

    /// A certificate authority has seen in the handshake what it wanted to (RFC 8737, section 3): the connection is of no more use.
    fn finish_proof(&mut self, key: usize) {
        let Some(connection) = self.connections.get(key) else { return };
        let mut sealed = Vec::new();
        // a session that has failed has said so
        let _ = connection.session.close(&mut sealed);
        put(&mut self.net, connection, &sealed);
        connection.close_sent = true;
        self.linger(key);
    }

    /// The other side sends no more, or nobody wants it: the client is told.
    pub(super) fn peer_closed(&mut self, key: usize) {
        let Some(connection) = self.connections.get(key) else { return };
        if core::mem::replace(&mut connection.peer_closed, true) {
            return;
        }
        let own = connection.own;
        if let Some(out) = connection.client.and_then(|client| self.clients.out(client)) {
            Event::Finished { connection: own }.encode(out.batch());
        }
        if !connection.is_open() && !connection.close_sent {
            // in the middle of the handshake
            self.abort(key, "");
        }
    }

    /// Gives credit back, and looks whether that was all.
    fn settle(&mut self, key: usize) {
        let Some(connection) = self.connections.get(key) else { return };
        let held = connection.memory();
        self.held = self.held + held - core::mem::replace(&mut connection.held, held);
        if connection.used >= CREDIT_STEP
            && !connection.net_gone
            && let Some(out) = self.net.out_unless_full(connection.net)
        {
            Command::Credit { connection: connection.number, bytes: connection.used }.encode(out.batch());
            connection.used = 0;
        }
        if connection.owed >= CREDIT_STEP
            && let Some(out) = connection.client.and_then(|client| self.clients.out_unless_full(client))
        {
            Event::Sent { connection: connection.own, bytes: connection.owed }.encode(out.batch());
            connection.allowance += connection.owed;
            connection.owed = 0;
        }
        if connection.close_sent
            && connection.out.is_empty()
            && !connection.finish_sent
            && !connection.net_gone
            && let Some(out) = self.net.out(connection.net)
        {
            Command::Finish { connection: connection.number }.encode(out.batch());
            connection.finish_sent = true;
        }
        let waits = connection.takes_input() && connection.session.has_record();
        if connection.net_finished && !waits && !connection.peer_closed && !connection.is_queued {
            if connection.net_gone {
                return self.end(key, "");
            }
            if !connection.close_sent {
                // Without a word that this is the end, it may be cut short by anybody (RFC 8446, section 6.1).
                return self.abort(key, "the other side broke off");
            }
        }
        let is_over = connection.peer_closed && connection.close_sent;
        if is_over && connection.is_open() {
            // The client is done with it. The network is to forget it as well, for as long as that takes.
            let own = connection.own;
            if let Some(out) = connection.client.take().and_then(|client| self.clients.out(client)) {
                Event::Closed { connection: own, why: "" }.encode(out.batch());
            }
            self.linger(key);
        }
        self.keep_limits();
    }

    /// A connection whose client is done with it waits for the network.
    fn linger(&mut self, key: usize) {
        let Some(connection) = self.connections.get(key) else { return };
        if connection.net_gone {
            return self.end(key, "");
        }
        connection.deadline = self.now.saturating_add(LINGER);
        self.earliest = self.earliest.min(connection.deadline);
    }

    /// The session has failed. The other side is told why, and the connection is finished.
    pub(super) fn fail(&mut self, key: usize, failed: &Failed) {
        let Some(connection) = self.connections.get(key) else { return };
        let (own, dialed) = (connection.own, connection.dialed.take());
        connection.plain.clear();
        match (connection.client.take().and_then(|client| self.clients.out(client)), dialed) {
            (Some(out), _) => Event::Closed { connection: own, why: &failed.why }.encode(out.batch()),
            (None, Some(dialed)) => self.dial_failed(&dialed, failed),
            (None, None) => {
                self.failures.add(connection.remote.address, &failed.why);
                self.figures.failed(failed.cause, self.now);
            }
        }
        let Some(connection) = self.connections.get(key) else { return };
        connection.close_sent = true;
        self.linger(key);
    }

    /// Resets a connection; its client is told why, unless it is gone itself.
    pub(super) fn abort(&mut self, key: usize, why: &str) {
        let Some(connection) = self.connections.get(key) else { return };
        if !connection.net_gone
            && let Some(out) = self.net.out(connection.net)
        {
            Command::Abort { connection: connection.number }.encode(out.batch());
        }
        self.end(key, why);
    }

    /// The connection is no more.
    pub(super) fn end(&mut self, key: usize, why: &str) {
        let Some(connection) = self.connections.remove(key) else { return };
        self.held -= connection.held;
        if connection.is_queued {
            // another connection may have its place soon
            self.handshakes.retain(|queued| *queued != key);
        }
        if !connection.session.is_established() && !connection.close_sent && !connection.is_own {
            let is_late = connection.deadline <= self.now;
            self.figures.failed(if is_late { Cause::Timeout } else { Cause::Terminated }, self.now);
        }
        // how many there are has changed
        self.figures.pace.changed(self.now);
        if let Some(dialed) = &connection.dialed {
            let why = if why.is_empty() { "the other side broke off" } else { why };
            self.dial_failed(dialed, &Failed { cause: Cause::Terminated, alert: 0, why: why.into() });
        }
        if let Some(out) = connection.client.and_then(|client| self.clients.out(client)) {
            Event::Closed { connection: connection.own, why }.encode(out.batch());
        }
    }
}
