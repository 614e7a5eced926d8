//! The server: what it knows, and one turn of it.

mod body;
mod handler;
mod input;
mod limits;
mod output;
mod request;
mod retire;
mod tcp;
mod timers;

use crate::config::Config;
use crate::connection::Connections;
use crate::date::Common;
use crate::exchange::Exchanges;
use crate::peers::Peers;
use crate::reader::Reader;
use crate::response::Heads;
use crate::route::Routes;
use wit::{Peer, Records};

/// An HTTP server between a TCP channel and handler channels.
#[derive(Debug)]
pub struct Http {
    config: Config,
    now: u64,
    tcp: Peers,
    handlers: Peers,
    routes: Routes,
    connections: Connections,
    exchanges: Exchanges,
    common: Common,
    /// ports that TCP has refused, to be asked for again
    refused: Vec<tcp::RefusedPort>,
    /// since when another takes the place of this box
    retired_at: Option<u64>,
    /// A peer retires, and is not let go yet.
    peers_retire: bool,
    /// No connection is due before this.
    earliest: u64,
    /// bytes put in buffers since their sum was last looked at
    buffered: usize,
    /// bytes of data put in batches since they were last sent
    batched: usize,
    log: Vec<(Level, String)>,
    /// buffers kept from turn to turn
    head: Vec<u8>,
    /// `None` while it reads
    reader: Option<Box<Reader>>,
    heads: Heads,
    due: Vec<usize>,
}

/// What has come up since the last turn.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wake<'a> {
    /// monotonic, in nanoseconds
    pub now: u64,
    /// events of `pearwood:net/tcp`
    pub tcp: &'a [u8],
    /// events of `pearwood:http/handler`
    pub handler: &'a [u8],
    /// A peer that had no room may have room again.
    pub room: bool,
}

/// Where a batch goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    Tcp(u32),
    Handler(u32),
}

/// The box's other arrows.
pub trait Outside {
    /// False: the peer has no room and has taken nothing.
    fn send(&mut self, to: To, batch: &[u8]) -> bool;
    /// `send` of a turn's only batch: there is nothing to do after it until the deadline.
    fn send_last(&mut self, to: To, batch: &[u8], _deadline: u64) -> bool {
        self.send(to, batch)
    }
    /// nanoseconds since 1970
    fn wall_clock(&mut self) -> Option<u64>;
    fn log(&mut self, level: Level, line: &str);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

/// Batches are sent before the end of the turn when this much data is in them.
const BATCHED: usize = 128 << 10;

/// Lines of log of one turn; more are counted only.
const MAX_LOG: usize = 64;

impl Http {
    pub fn new(config: Config) -> Self {
        Http {
            common: Common::new(&config.server),
            config,
            now: 0,
            tcp: Peers::default(),
            handlers: Peers::default(),
            routes: Routes::default(),
            connections: Connections::default(),
            exchanges: Exchanges::default(),
            refused: Vec::new(),
            retired_at: None,
            peers_retire: false,
            earliest: u64::MAX,
            buffered: 0,
            batched: 0,
            log: Vec::new(),
            head: Vec::new(),
            reader: Some(Box::default()),
            heads: Heads::default(),
            due: Vec::new(),
        }
    }

    /// Until when there is nothing to do unless something comes.
    pub fn deadline(&self) -> u64 {
        let deadline = self.refused.iter().map(|port| port.again_at).fold(self.earliest, u64::min);
        if self.peers_retire { deadline.min(self.now.saturating_add(retire::INTERVAL)) } else { deadline }
    }

    /// Takes in what has come, and sends what follows from it.
    pub fn turn(&mut self, wake: Wake<'_>, outside: &mut impl Outside) {
        self.now = wake.now;
        if self.common.is_stale(wake.now) {
            self.common.refresh(wake.now, outside.wall_clock());
        }
        if wake.room {
            self.flush(true, outside);
        }
        // TCP comes first, since it says what can be sent; but not before the news that a handler has been replaced,
        // which would not know of a request that was sent to its predecessor.
        if !wake.tcp.is_empty() && has_news_of_peers(wake.handler) {
            self.handler_events(wake.handler, outside);
            self.tcp_events(wake.tcp, outside);
        } else {
            self.tcp_events(wake.tcp, outside);
            self.handler_events(wake.handler, outside);
        }
        self.timers();
        self.keep_limits();
        if self.peers_retire {
            self.let_go(outside);
        }
        self.write_log(outside);
        if self.handlers.waiting() + self.tcp.waiting() == 1 {
            let deadline = self.deadline();
            self.flush_by(false, |to, batch| outside.send_last(to, batch, deadline));
        } else {
            self.flush(false, outside);
        }
    }

    fn flush(&mut self, room: bool, outside: &mut impl Outside) {
        self.flush_by(room, |to, batch| outside.send(to, batch));
    }

    fn flush_by(&mut self, room: bool, mut send: impl FnMut(To, &[u8]) -> bool) {
        self.batched = 0;
        let mut freed = self.handlers.flush(room, |peer, batch| send(To::Handler(peer), batch));
        freed |= self.tcp.flush(room, |peer, batch| send(To::Tcp(peer), batch));
        if freed {
            self.carry_on();
        }
    }

    /// Has every connection go on that can: a peer has room again, or another has taken its place.
    #[cold]
    #[inline(never)]
    fn carry_on(&mut self) {
        for key in self.connections.keys() {
            self.advance(key);
        }
    }

    fn tcp_events(&mut self, batch: &[u8], outside: &mut impl Outside) {
        let mut from = None;
        for record in Records::new(batch) {
            let Ok(record) = record else { return self.say(Level::Error, "tcp: a malformed batch".into()) };
            if record.kind < Peer::FIRST_KIND {
                if let Some(peer) = from {
                    self.tcp_event(peer, &record);
                }
            } else {
                match Peer::decode(&record) {
                    Some(Peer::Is(peer)) => from = Some(peer),
                    Some(Peer::Attach(peer, _)) => self.tcp_attached(peer),
                    Some(Peer::Detach(peer, why)) => self.tcp_detached(peer, why),
                    Some(Peer::Retire(peer)) => self.tcp_retires(peer),
                    Some(Peer::Release(_)) | None => {}
                }
            }
            if self.batched > BATCHED {
                self.flush(false, outside);
            }
        }
    }

    fn handler_events(&mut self, batch: &[u8], outside: &mut impl Outside) {
        let mut from = None;
        for record in Records::new(batch) {
            let Ok(record) = record else { return self.say(Level::Error, "handler: a malformed batch".into()) };
            if record.kind < Peer::FIRST_KIND {
                if let Some(peer) = from {
                    self.handler_event(peer, &record);
                }
            } else {
                match Peer::decode(&record) {
                    Some(Peer::Is(peer)) => from = Some(peer),
                    Some(Peer::Attach(peer, grant)) => self.handler_attached(peer, grant),
                    Some(Peer::Detach(peer, why)) => self.handler_detached(peer, why),
                    Some(Peer::Retire(peer)) => self.handler_retires(peer),
                    Some(Peer::Release(_)) | None => {}
                }
            }
            if self.batched > BATCHED {
                self.flush(false, outside);
            }
        }
    }

    fn say(&mut self, level: Level, line: String) {
        if self.log.len() < MAX_LOG || self.config.access_log {
            self.log.push((level, line));
        }
    }

    fn write_log(&mut self, outside: &mut impl Outside) {
        for (level, line) in self.log.drain(..) {
            outside.log(level, &line);
        }
    }
}

fn has_news_of_peers(batch: &[u8]) -> bool {
    Records::new(batch).flatten().any(|record| record.kind > Peer::IS)
}
