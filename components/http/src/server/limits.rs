//! What clients together may use: connections and memory.

use super::{Http, Level};

/// Buffers are summed up each time this much has been put in them.
const LOOK_EACH: usize = 1 << 20;

impl Http {
    /// Connections beyond the limit, which are only being told so.
    pub(super) fn surplus(&self) -> usize {
        if self.connections.len() < self.config.connections {
            return 0;
        }
        self.connections.iter().filter(|(_, connection)| connection.is_surplus).count()
    }

    /// Resets the connection of which least is lost, the oldest of those that are idle or still send a head. False:
    /// there is none.
    pub(super) fn make_room(&mut self) -> bool {
        let candidates = self.connections.iter().filter(|(_, connection)| connection.is_expendable());
        let oldest = candidates.min_by_key(|(_, connection)| connection.since).map(|(key, _)| key);
        if let Some(key) = oldest {
            self.abort(key);
        }
        oldest.is_some()
    }

    /// Resets the connections for which most is held until what is held is within its limit.
    pub(super) fn keep_limits(&mut self) {
        if self.buffered < LOOK_EACH {
            return;
        }
        self.buffered = 0;
        let mut held = self.held_by_connection();
        let mut sum: usize = held.iter().map(|(bytes, _)| bytes).sum();
        if sum <= self.config.held_bytes {
            return;
        }
        held.sort_unstable();
        while sum > self.config.held_bytes
            && let Some((bytes, key)) = held.pop()
        {
            self.say(Level::Warn, format!("too much waits for slow clients: one with {bytes} bytes is given up"));
            self.abort(key);
            sum -= bytes;
        }
    }
    /// Bytes that wait for clients and handlers.
    pub fn held(&mut self) -> usize {
        self.held_by_connection().iter().map(|(bytes, _)| bytes).sum()
    }

    fn held_by_connection(&mut self) -> Vec<(usize, usize)> {
        let mut held = Vec::with_capacity(self.connections.len());
        for (key, connection) in self.connections.iter() {
            let output: usize =
                connection.exchanges.iter().map(|&id| self.exchanges.get(id).map_or(0, |e| e.held.len())).sum();
            held.push((output + connection.input.len(), key));
        }
        held
    }
}
