//! What clients together may use: connections and memory. All of it is derived from the memory that the box has, and from
//! the settings where they say less.

use super::{Http, Level, timers::Wait};
use crate::config::Config;
use crate::connection::{Connection, client_of};
use crate::exchange::Exchange;
use crate::session::{self, STREAM_BYTES};
use crate::stream::Stream;
use crate::{packing, reader, response};
use core::mem::size_of;
use core::net::Ipv6Addr;
use wit::INITIAL_CREDIT;

/// What the server may hold.
#[derive(Debug)]
pub(super) struct Limits {
    /// connections that are served
    pub connections: usize,
    /// ... of one client
    pub client_connections: usize,
    /// requests under way, at least one for each connection
    pub exchanges: usize,
    /// requests under way of which a connection may have more than one
    pub further: usize,
    /// requests under way of one connection of HTTP/2
    pub streams: usize,
    /// bytes of their bodies that may be under way
    pub window: usize,
    /// bytes of the batches that wait for TCP, and of those for handlers
    pub batches: usize,
    /// bytes of data that waits for clients and handlers
    data: usize,
    /// ... and of that, what bodies may take while they are packed
    pub packers: usize,
    /// The same in this turn.
    data_now: usize,
    /// bytes that can be allocated for all this, and for the batches that are received
    memory: usize,
}

/// Connections beyond the limit that may be there at once to be told so; others are reset.
pub(super) const TOLD: usize = 64;

/// A connection, its first exchange, its entries by name and by client, and its queue.
const CONNECTION: usize =
    size_of::<Connection>() + size_of::<Exchange>() + 2 * size_of::<(u64, usize)>() + 2 * size_of::<(u128, u32)>() + 64;

/// What a stream of HTTP/2 may hold, in a buffer that may be twice as large.
const STREAM: usize = STREAM_BYTES + 2 * INITIAL_CREDIT as usize;

/// One client may have half of the places, but so many in any case.
const CLIENT_CONNECTIONS: usize = 32;

/// A client that is behind by this part of its time is slow, and one that has this part of all places has many.
const PART: u64 = 8;

impl Limits {
    /// An eighth of the memory is for connections and requests, two eighths for data, one for batches to be sent. The other
    /// half is for batches that are received, and for what is there twice while it grows.
    pub fn new(config: &Config, memory: usize) -> Result<Self, String> {
        // what is kept of heads
        let kept = reader::MAX_BYTES + response::MAX_KEPT_BYTES;
        let least = kept + 32 * INITIAL_CREDIT as usize;
        if memory < least {
            let more = (least - memory).div_ceil(1 << 10);
            return Err(format!("the box's memory is too small for HTTP: it needs {more} KiB more"));
        }
        let memory = memory - kept;
        let places = memory / 16 / CONNECTION;
        let connections = config.connections.min(places - TOLD.min(places / 2));
        let further = memory / 16 / size_of::<Exchange>();
        let data = config.held_bytes.min(memory / 4);
        let client_connections = config.client_connections.unwrap_or((connections / 2).max(CLIENT_CONNECTIONS));
        Ok(Limits {
            connections,
            client_connections,
            exchanges: connections + TOLD + further,
            further,
            streams: config.streams.min(further).max(1),
            window: data / 16,
            batches: memory / 16,
            data,
            packers: data / 4,
            data_now: data,
            memory,
        })
    }

    /// What may be held until some are given up.
    fn limit_now(&self) -> usize {
        self.data_now - self.data_now / PART as usize
    }

    /// Batches of this many bytes are in memory too.
    pub fn received(&mut self, bytes: usize) {
        self.data_now = self.data.min(self.memory.saturating_sub(bytes) / 4);
    }
}

impl Http {
    /// Resets a connection to make room for one from `address`: of those that wait for their client, and either have no
    /// request or a slow client, the one that has used up the largest part of its time. If there is none, of the client
    /// that has most connections, should it have many. A client that has many makes room itself; `alone`, in any case. False:
    /// nobody does.
    pub(super) fn make_room(&mut self, address: Ipv6Addr, alone: bool) -> bool {
        // Of all places no more than a part change hands in one turn, however many connections come.
        self.displaced += 1;
        if self.displaced > 1 + self.limits.connections / PART as usize {
            return false;
        }
        let many = self.limits.connections / PART as usize;
        let own = client_of(address);
        let has = self.connections.of_client(own);
        let greedy = self.connections.clients().filter(|&(_, count)| count > many.max(has + 1) && !alone);
        let greedy = greedy.max_by_key(|&(_, count)| count).map(|(client, _)| client);
        let mut slowest = (0, None);
        let mut of_greedy = (0, None);
        for key in self.connections.keys() {
            let Some((wait, since, time)) = self.wait_of(key) else { continue };
            let Some(connection) = self.connections.get(key) else { continue };
            let late = lateness(self.now, since, time);
            let may_go = match wait {
                Wait::Request | Wait::Head => true,
                Wait::Close => !connection.is_surplus,
                Wait::Body | Wait::Write | Wait::Stream => late >= WHOLE / PART,
                Wait::Handler | Wait::Continue | Wait::Streams | Wait::Turn => false,
            };
            let (may_go, late) = match &connection.session {
                _ if connection.stream.is_some() => continue,
                Some(session) if wait == Wait::Streams => {
                    let streams = session.streams.clone();
                    self.lateness_of(&streams)
                }
                _ => (may_go, late),
            };
            let Some(connection) = self.connections.get(key) else { continue };
            let client = connection.client();
            if may_go && (slowest.1.is_none() || late > slowest.0) && ((has <= many && !alone) || client == own) {
                slowest = (late, Some(key));
            }
            if greedy == Some(client) && !connection.is_surplus && (of_greedy.1.is_none() || late > of_greedy.0) {
                of_greedy = (late, Some(key));
            }
        }
        let Some(key) = slowest.1.or(of_greedy.1) else { return false };
        self.abort(key);
        true
    }

    /// Of a connection with streams: whether all of them wait for their slow client, and how late the first of them is.
    fn lateness_of(&mut self, streams: &[usize]) -> (bool, u64) {
        let mut least = WHOLE;
        for &stream in streams {
            let Some((wait, since, time)) = self.wait_of(stream) else { continue };
            if wait == Wait::Turn {
                continue;
            }
            if matches!(wait, Wait::Handler | Wait::Continue) {
                return (false, 0);
            }
            least = least.min(lateness(self.now, since, time));
        }
        (least >= WHOLE / PART, least)
    }

    /// Much is held: no more than must be is added to it.
    #[inline]
    pub(super) fn is_pressed(&self) -> bool {
        self.held + self.buffered > self.limits.data_now / 2
    }

    /// How many requests of a connection of HTTP/2 may be under way, so that what they may hold is within the limit: no more than could be
    /// added, so that something is left for others however many there are. One in any case, and no more under pressure.
    pub(super) fn streams_at_once(&self) -> usize {
        let left = self.limits.limit_now().saturating_sub(self.in_any_case()) / STREAM;
        let left = left.saturating_sub(self.exchanges.streams());
        if self.is_pressed() || self.exchanges.len() >= self.limits.further { 1 } else { left.max(1) }
    }

    /// So much that some have to be given up.
    pub(super) fn is_over_limit(&self) -> bool {
        self.held + self.buffered + self.in_any_case() > self.limits.limit_now()
    }

    /// Bytes that the connections of HTTP/2, and the bodies that are packed, take in any case. That is no pressure: nobody has to wait for
    /// their end.
    fn in_any_case(&self) -> usize {
        self.sessions * session::BYTES + self.packers.bytes()
    }

    /// Much has been added since what is held was summed up.
    #[inline]
    pub(super) fn is_to_sum_up(&self) -> bool {
        self.buffered > self.limits.data_now / PART as usize
    }

    /// Sums up what is held if much has been added since that was last done, or `now`; resets connections until it is
    /// within its limit.
    #[inline]
    pub(super) fn keep_limits(&mut self, now: bool) {
        if now || self.is_to_sum_up() {
            self.sum_up();
        }
    }

    #[cold]
    #[inline(never)]
    fn sum_up(&mut self) {
        let mut held = Vec::with_capacity(self.connections.len());
        for key in self.connections.keys() {
            let bytes = self.memory_of(key);
            if bytes > 0 {
                held.push((bytes, key));
            }
        }
        let limit = self.limits.limit_now();
        let mut sum = held.iter().map(|(bytes, _)| bytes).sum::<usize>() + self.packers.spare_bytes();
        if sum > limit {
            sum -= self.packers.drop_spare();
        }
        if sum > limit {
            // First those who have most for the longest time.
            held.sort_by_cached_key(|&(bytes, key)| {
                let late = self.wait_of(key).map_or(0, |(_, since, time)| lateness(self.now, since, time));
                bytes as u64 * (late + WHOLE / PART / PART)
            });
            let before = (held.len(), sum);
            while sum > limit
                && let Some((bytes, key)) = held.pop()
            {
                self.abort(key);
                sum -= bytes;
            }
            let (connections, bytes) = (before.0 - held.len(), before.1 - sum);
            self.say(
                Level::Warn,
                format!("too much waits for slow clients: {connections} with {bytes} bytes are given up"),
            );
        }
        (self.held, self.buffered) = (sum.saturating_sub(self.in_any_case()), 0);
    }

    /// Peers that have been sent much, and do not take it.
    pub(super) fn give_up_peers(&mut self) {
        if let (waiting, Some(peer)) = self.handlers.waiting_bytes()
            && waiting > 2 * self.limits.batches
        {
            self.say(Level::Error, format!("handler {peer} does not take its requests: they are given up"));
            self.handlers.clear(peer);
            for id in self.exchanges.of_handler(peer) {
                let Some(exchange) = self.exchanges.get(id) else { continue };
                let key = exchange.connection;
                self.fail(id, 503, "the handler is busy");
                self.advance(key);
            }
        }
        if let (waiting, Some(peer)) = self.tcp.waiting_bytes()
            && waiting > 2 * self.limits.batches
        {
            self.tcp_detached(peer, b"it does not take what is sent to it");
        }
    }

    /// Bytes of memory for data of a connection.
    fn memory_of(&mut self, key: usize) -> usize {
        let Some(connection) = self.connections.get(key) else { return 0 };
        let of_exchange = |exchange: &mut Exchange| {
            let packer = if exchange.packer.is_some() { packing::BYTES } else { 0 };
            exchange.held.capacity() + exchange.record.line.capacity() + exchange.headers.capacity() + packer
        };
        let exchanges = connection.exchanges.iter().map(|&id| self.exchanges.get(id).map_or(0, of_exchange));
        let of_stream = |stream: &Stream| {
            STREAM_BYTES + stream.head.capacity() + stream.request_trailers.capacity() + stream.queued
        };
        let of_2 = connection.session.as_ref().map_or(0, |session| session.memory())
            + connection.stream.as_ref().map_or(0, |stream| of_stream(stream));
        let origin = connection.origin.as_ref().filter(|_| connection.stream.is_none()).map_or(0, |it| it.memory());
        exchanges.sum::<usize>() + connection.input.capacity() + of_2 + origin
    }

    /// Bytes that wait for clients and handlers.
    pub fn held(&mut self) -> usize {
        let held = |exchange: &mut Exchange| exchange.held.len();
        let of = |connection: &Connection| {
            let exchanges = connection.exchanges.iter().map(|&id| self.exchanges.get(id).map_or(0, held));
            exchanges.sum::<usize>() + connection.input.len()
        };
        self.connections.iter().map(|(_, connection)| connection).map(of).sum()
    }
}

/// All of a connection's time.
const WHOLE: u64 = 1 << 10;

/// How much of the `time` that it has from `since` on is over.
fn lateness(now: u64, since: u64, time: u64) -> u64 {
    u64::try_from(u128::from(now.saturating_sub(since)) * u128::from(WHOLE) / u128::from(time.max(1)))
        .unwrap_or(u64::MAX >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_within_the_memory() {
        let most = Config { connections: 2048, held_bytes: usize::MAX, ..Config::default() };
        assert!(Limits::new(&most, 1 << 20).is_err());
        for memory in [3 << 20, 14 << 20, 100 << 20, 1 << 31] {
            let limits = Limits::new(&most, memory).unwrap();
            let places = limits.connections * CONNECTION + limits.further * size_of::<Exchange>();
            assert!(places + limits.data + 4 * limits.batches <= memory * 5 / 8, "{limits:?}");
            assert!(limits.connections > 0 && limits.exchanges >= limits.connections + limits.further);
        }
        let limits = Limits::new(&Config { held_bytes: 1 << 20, ..Config::default() }, 14 << 20).unwrap();
        assert_eq!((limits.connections, limits.data), (800, 1 << 20));
    }
}
