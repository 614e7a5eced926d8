//! What clients together may use: connections and memory. All of it is derived from the memory that the box has, and from the
//! settings where they say less.

use super::{Level, Tls};
use crate::config::Config;
use crate::connection::{self, Connection};
use crate::provider::lent;
use wit::INITIAL_CREDIT;

/// What the box may hold.
#[derive(Debug)]
pub(super) struct Limits {
    pub connections: usize,
    /// ... of one source
    pub of_source: usize,
    /// bytes of the batches that wait for the network, and of those for clients
    pub batches: usize,
    /// bytes of memory for what waits in connections
    pub data: usize,
}

/// Bytes that a connection takes beside what waits: what rustls keeps of it, most during the handshake. A test measures it.
pub const CONNECTION: usize = 8 << 10;

/// One source may have half of the places, but so many in any case.
const OF_SOURCE: usize = 32;

/// A source that has this part of all places has many.
const PART: usize = 8;

impl Limits {
    /// Half of the memory is for connections, a quarter for what waits in them, and an eighth for batches to be sent. The rest is for
    /// batches that are received, and for what is there twice while it grows.
    pub fn new(config: &Config, memory: usize) -> Result<Self, String> {
        let least = 32 * INITIAL_CREDIT as usize;
        if memory < least {
            let more = (least - memory).div_ceil(1 << 10);
            return Err(format!("the box's memory is too small for TLS: it needs {more} KiB more"));
        }
        let connections = config.connections.min(memory / 2 / (CONNECTION + lent::keys())).min(connection::MAX);
        let of_source = config.client_connections.unwrap_or((connections / 2).max(OF_SOURCE));
        Ok(Limits { connections, of_source, batches: memory / 16, data: memory / 4 })
    }
}

impl Tls {
    /// Whether the box can work with these settings and so many bytes that it can allocate; if not, why.
    ///
    /// # Errors
    /// There is too little.
    pub fn fits(config: &Config, memory: usize) -> Result<(), String> {
        Limits::new(config, memory).map(drop)
    }

    /// Resets a connection to make room for one from a source: of those that are not open, the one that has done nothing for
    /// longest, or else of those that are idle. A source that has many makes room itself; `alone`, in any case. False: nobody does.
    pub(super) fn make_room(&mut self, source: u128, alone: bool) -> bool {
        // Of all places no more than a part change hands in one turn, however many connections come.
        self.displaced += 1;
        if self.displaced > 1 + self.limits.connections / PART {
            return false;
        }
        let own_only = alone || self.has_part(source);
        let may_go = |connection: &Connection| {
            (!own_only || connection.source == source) && (!connection.is_open() || connection.is_idle())
        };
        let candidates = self.connections.iter().filter(|(_, connection)| may_go(connection));
        let first = candidates.min_by_key(|(_, connection)| (connection.is_open(), connection.active_at));
        let Some(key) = first.map(|(key, _)| key) else { return false };
        self.abort(key, "there are too many connections");
        true
    }

    /// Whether a source has so many connections that it makes room for another one itself.
    pub(super) fn has_part(&self, source: u128) -> bool {
        self.connections.of_source(source) > self.limits.connections / PART
    }

    /// Resets those that make the box hold most, until all is within its limit.
    pub(super) fn keep_limits(&mut self) {
        let (mut count, before) = (0, self.held);
        while self.held > self.limits.data {
            let most = self.connections.iter().max_by_key(|(_, connection)| connection.held);
            let Some(key) = most.map(|(key, _)| key) else { return };
            self.abort(key, "too much waits for slow clients");
            count += 1;
        }
        if count > 0 {
            let bytes = before - self.held;
            self.say(Level::Warn, format!("too much waits for slow clients: {count} with {bytes} bytes are given up"));
        }
    }
}

impl Connection {
    /// Nothing waits, here or at either end.
    pub(super) fn is_idle(&self) -> bool {
        self.plain.is_empty() && self.out.is_empty() && !self.session.has_record()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_within_the_memory() {
        let most = Config { connections: 16_384, ..Config::default() };
        assert!(Limits::new(&most, 1 << 20).unwrap_err().contains("it needs 1024 KiB more"));
        for memory in [3 << 20, 14 << 20, 100 << 20, 1 << 31] {
            let limits = Limits::new(&most, memory).unwrap();
            assert!(limits.connections * CONNECTION + limits.data + 2 * limits.batches <= memory * 7 / 8, "{limits:?}");
        }
    }
}
