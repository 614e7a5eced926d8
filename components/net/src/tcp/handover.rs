//! One instance of the box leaves its ports to the next, and keeps its connections.

use super::connection::Origin;
use super::time_wait::DURATION;
use super::{Beside, NOBODY, Tcp};
use crate::heritage::Heritage;
use crate::packet::Segment;

const SECOND: u64 = 1_000_000_000;
/// How long a port waits for the box that listened on it before. Connections are taken meanwhile.
const PROMISED: u64 = 5 * SECOND;

/// For how long after a SYN its repetition may come: that of the first three times.
const YOUNG: u64 = 7 * SECOND;

impl Tcp {
    /// Another takes over: from now on there are only the connections that are open, or being opened.
    pub fn leave(&mut self, now: u64, heritage: &mut Heritage) {
        self.beside = Beside::Heir;
        self.promised_until = u64::MAX;
        heritage.listeners = self.listeners.leave();
        heritage.time_wait = self.time_wait.leave();
        heritage.paths = self.paths.leave();
        let old = now.saturating_sub(YOUNG);
        for slot in self.table.select(|connection| connection.began >= old || connection.is_half_open()) {
            heritage.young.extend(self.table.get(slot).map(|connection| connection.flow));
        }
        let ports = &mut heritage.ports;
        for slot in self.table.select(|connection| matches!(connection.origin, Origin::Ticket(_))) {
            ports.extend(self.table.get(slot).map(|connection| connection.flow.local_port));
        }
    }

    pub fn inherit(&mut self, now: u64, heritage: &Heritage) {
        for (port, backlog) in &heritage.listeners {
            // One too many is refused when its box asks for it.
            let backlog = self.table.limit().min(usize::from(*backlog)).max(1);
            let _ = self.listeners.listen(NOBODY, *port, backlog, &self.peers);
        }
        self.time_wait.inherit(now, &heritage.time_wait);
        self.paths.inherit(now, &heritage.paths);
        self.young = heritage.young.iter().take(self.table.limit()).copied().collect();
        self.promised_until = now.saturating_add(PROMISED);
    }

    /// Whether another instance has connections that this one does not know.
    pub fn shares(&mut self, now: u64, shares: bool) {
        if self.beside != Beside::Heir {
            self.beside = if shares { Beside::Other } else { Beside::Nobody };
            if !shares {
                self.young.clear();
                self.quiet_until = now.saturating_add(DURATION);
            }
        }
    }

    /// Whether a segment that belongs to no connection, or opens none, may mean another instance.
    pub(super) fn is_for_other(&self, now: u64, segment: &Segment) -> bool {
        match self.beside {
            Beside::Heir => true,
            Beside::Other => !segment.opens(),
            // Its last acknowledgement was lost, and nobody remembers it; the remote side gives up by itself.
            Beside::Nobody => segment.is_fin() && now < self.quiet_until,
        }
    }

    pub fn promised_until(&self) -> u64 {
        self.promised_until
    }

    /// Gives up ports that nobody has asked for again.
    pub fn keep_promises(&mut self, now: u64) {
        if now >= self.promised_until {
            self.promised_until = u64::MAX;
            self.listeners.forget(NOBODY);
            self.abort("nobody listens any more", |connection| connection.peer == NOBODY && !connection.is_announced());
        }
    }
}
