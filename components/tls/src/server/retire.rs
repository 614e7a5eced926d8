//! Replacement: of the network, of a box that listens, or of this box itself.
//!
//! What rustls knows of a connection cannot be handed over, so an instance that is replaced serves its connections until they end,
//! while new ones come to its successor. That one goes on with the keys of the session tickets: to go on with a session costs a client
//! no more than before.

use super::Tls;

const SECOND: u64 = 1_000_000_000;

/// How long a connection whose network is replaced has nothing to do before its client is told that the other side is done: a request
/// that is on its way at that moment is lost.
const IDLE: u64 = 3 * SECOND;

/// How often peers that retire are looked at.
pub(super) const INTERVAL: u64 = SECOND / 20;

impl Tls {
    /// Another takes the place of this box, and the ports that it listens at. What it needs to go on.
    pub fn retire(&mut self, now: u64) -> Vec<u8> {
        self.clock.set(now);
        self.is_retired = true;
        self.tickets.write()
    }

    /// Takes over from the instance before.
    ///
    /// # Errors
    /// What that has left is of another form. It is done without.
    pub fn inherit(&mut self, now: u64, state: &[u8]) -> Result<(), &'static str> {
        self.clock.set(now);
        self.tickets.read(state)
    }

    /// It retires, nothing is open, and those who brought connections and those who got them have turned to another.
    pub fn is_done(&self) -> bool {
        self.is_retired && !self.net.any_attached() && !self.clients.any_attached()
    }

    /// Connections that begin now are for another instance of the network.
    pub(super) fn net_retires(&mut self, peer: u32) {
        self.net.retire(peer);
        if let Some(retires_at) = self.net.get_mut(peer) {
            retires_at.get_or_insert(self.now);
        }
        for key in self.connections.which(|connection| connection.net == peer && connection.is_open()) {
            self.leave_if_idle(key);
        }
    }

    /// A connection of a network that retires is brought to its end once it is idle.
    pub(super) fn leave_if_idle(&mut self, key: usize) {
        let Some(connection) = self.connections.get(key) else { return };
        let Some(retires_at) = self.net.get(connection.net).copied().flatten() else {
            return connection.deadline = u64::MAX;
        };
        // whoever has asked for it may wait for an answer, and ends it when that has come
        if connection.peer_closed || connection.is_own {
            return connection.deadline = u64::MAX;
        }
        let is_idle = connection.is_idle();
        let since = if is_idle { connection.active_at.max(retires_at) } else { self.now };
        connection.deadline = since.saturating_add(IDLE);
        self.earliest = self.earliest.min(connection.deadline);
        if connection.deadline <= self.now {
            connection.deadline = u64::MAX;
            self.peer_closed(key);
            self.advance(key);
        }
    }

    /// Lets go of peers that retire and that nothing is left of.
    pub(super) fn let_go(&mut self) {
        let Tls { net, names, clients, connections, dials, is_retired, .. } = self;
        names.release(|peer| dials.any_lookup_of(peer));
        net.release(|peer| {
            dials.any_attempt_of(peer) || connections.iter().any(|(_, connection)| connection.net == peer)
        });
        // those whose handshake is not over are still for whoever listens
        let any = *is_retired && !connections.is_empty();
        clients.release(|peer| {
            any || dials.iter().any(|dialed| dialed.client == peer)
                || connections.iter().any(|(_, connection)| connection.is_of(peer))
        });
    }
}
