//! Replacement: of a peer, of a handler among many, or of this box itself.

use super::Http;

const SECOND: u64 = 1_000_000_000;

/// How long a connection without a request is kept when this box retires. A request that is on its way at the moment
/// of a close is lost, so connections are closed in the answer to their next request if there is one soon.
pub(super) const IDLE: u64 = 3 * SECOND;

/// How often peers that retire are looked at.
pub(super) const INTERVAL: u64 = SECOND / 20;

impl Http {
    /// Another takes the place of this box, and the ports that it listens on. The connections that are open are served
    /// until they end, each with one more request at most.
    pub fn retire(&mut self, now: u64) {
        self.retired_at.get_or_insert(now);
        self.refused.clear();
        self.retire_sessions(None);
        for key in self.connections.keys() {
            self.settle(key);
        }
    }

    /// It retires, and TCP has let go of it.
    pub fn is_done(&self) -> bool {
        self.retired_at.is_some() && !self.tcp.any_attached()
    }

    /// Requests go elsewhere from now on. Those that the handler has are finished.
    #[cold]
    #[inline(never)]
    pub(super) fn handler_retires(&mut self, peer: u32) {
        self.handlers.retire(peer);
        self.routes.remove(peer);
        self.carry_on();
    }

    #[cold]
    #[inline(never)]
    pub(super) fn tcp_retires(&mut self, peer: u32) {
        self.tcp.retire(peer);
        if let Some(retires_at) = self.tcp.get_mut(peer) {
            retires_at.get_or_insert(self.now);
        }
        self.refused.retain(|port| port.peer != peer);
        self.listening.retain(|(other, _)| *other != peer);
        self.retire_sessions(Some(peer));
        for key in self.connections.keys() {
            self.settle(key);
        }
    }

    /// Since when connections of a TCP peer are served with one more request at most.
    #[inline]
    pub(super) fn leaves_since(&self, peer: u32) -> Option<u64> {
        self.retired_at.or_else(|| self.tcp.get(peer).copied().flatten())
    }

    /// Lets go of peers that retire and that nothing is left of.
    #[cold]
    #[inline(never)]
    pub(super) fn let_go(&mut self) {
        let Http { handlers, tcp, exchanges, connections, .. } = self;
        handlers.release(|peer| !exchanges.of_handler(peer).is_empty());
        tcp.release(|peer| connections.iter().any(|(_, connection)| connection.peer == peer));
    }

    pub(super) fn any_retiring(&self) -> bool {
        self.handlers.any_retiring() || self.tcp.any_retiring()
    }
}
