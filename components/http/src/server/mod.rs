//! The server: what it knows, and one turn of it.

mod access;
mod body;
mod gate;
mod handler;
mod input;
mod limits;
mod origin;
mod output;
mod packing;
mod proxy;
mod request;
mod retire;
mod sessions;
mod tcp;
mod timers;

use crate::config::{Compress, Config};
use crate::connection::Connections;
use crate::date::Common;
use crate::exchange::Exchanges;
use crate::figures::Figures;
use crate::packing::Packers;
use crate::reader::Reader;
use crate::response::Heads;
use gate::Gate;
use limits::Limits;
use message::Routes;
pub use origin::Origin;

use origin::Covers;
use std::rc::Rc;
use wit::{MAX_BATCH, Peer, Peers, Records, figures::Figure};

/// An HTTP server between the services of TCP and the handlers.
#[derive(Debug)]
pub struct Http {
    config: Config,
    now: u64,
    tcp: Peers<RetiresAt>,
    handlers: Peers,
    routes: Routes,
    connections: Connections,
    exchanges: Exchanges,
    common: Common,
    /// ports that TCP has refused, to be asked for again
    refused: Vec<tcp::RefusedPort>,
    /// where connections come from: a TCP peer, and its port
    listening: Vec<(u32, u16)>,
    /// since when another takes the place of this box
    retired_at: Option<u64>,
    /// No connection is due before this.
    earliest: u64,
    limits: Limits,
    gate: Gate,
    /// who has sent the last request, if the gate asks for that
    user: String,
    /// header lines that the gate wants on the response to it
    headers: String,
    /// whether the response to it is to be compressed
    compress: Compress,
    packers: Packers,
    /// responses of this turn whose packers may hold something back
    behind: Vec<u32>,
    /// a buffer kept from turn to turn
    packed: Vec<u8>,
    /// the names that certificates are for, those of secured connections
    covers: Vec<Rc<Covers>>,
    /// connections beyond the limit, which are only being told so
    surplus: usize,
    /// connections of this turn for which others were to make room
    displaced: usize,
    /// bytes that were in buffers when they were last summed up
    held: usize,
    /// bytes put in buffers since
    buffered: usize,
    /// bytes of data put in batches since they were last sent
    batched: usize,
    log: Vec<(Level, String)>,
    figures: Figures,
    /// buffers kept from turn to turn
    head: Vec<u8>,
    /// `None` while it reads
    reader: Option<Box<Reader>>,
    heads: Heads,
    due: Vec<usize>,
    /// connections of HTTP/2 with something to do
    touched: Vec<usize>,
    /// how many of them there are
    sessions: usize,
    /// Some of their streams wait until more of a connection may be under way than this, which is the least of them.
    held_back: Option<usize>,
    /// a list kept from one to the next
    due_streams: Vec<usize>,
}

/// Since when a TCP peer retires, if it does.
type RetiresAt = Option<u64>;

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
    /// What is reported of it, if [`Http::reports`] was said.
    fn report(&mut self, _figures: Vec<Figure>) {}
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

/// What a record of a batch adds to that, at most, beside data: a record without any.
const RECORD: usize = wit::batch::HEADER + 8;

/// The part of the memory in which the gate keeps how often clients have asked.
const GATE: usize = 128;

/// Lines of log of one turn; more are counted only.
const MAX_LOG: usize = 64;

impl Http {
    /// `memory`: bytes that the server can allocate. They are the box's `memory` in system.toml, less what its memory
    /// holds before: code's constants, statics and the stack. What clients and handlers make it hold is bounded by that,
    /// whatever the settings. An error says that there is too little.
    pub fn new(config: Config, memory: usize) -> Result<Self, String> {
        let of_gate = if config.rules.is_empty() { 0 } else { memory / GATE };
        let limits = Limits::new(&config, memory - of_gate)?;
        let mut figures = Figures::default();
        let hosts = config.rules.iter().filter_map(|(_, rule)| rule.host.as_ref()?.text());
        hosts.for_each(|host| figures.know(host));
        Ok(Http {
            gate: Gate::new(of_gate),
            user: String::new(),
            headers: String::new(),
            compress: config.compress,
            packers: Packers::new(limits.packers),
            behind: Vec::new(),
            packed: Vec::new(),
            covers: Vec::new(),
            common: Common::new(&config.server),
            config,
            now: 0,
            tcp: Peers::new(MAX_BATCH, limits.batches),
            handlers: Peers::new(MAX_BATCH, limits.batches),
            routes: Routes::default(),
            connections: Connections::default(),
            exchanges: Exchanges::new(limits.exchanges),
            refused: Vec::new(),
            listening: Vec::new(),
            retired_at: None,
            earliest: u64::MAX,
            limits,
            surplus: 0,
            displaced: 0,
            held: 0,
            buffered: 0,
            batched: 0,
            log: Vec::new(),
            figures,
            head: Vec::new(),
            reader: Some(Box::default()),
            heads: Heads::default(),
            due: Vec::new(),
            touched: Vec::new(),
            sessions: 0,
            held_back: None,
            due_streams: Vec::new(),
        })
    }

    /// From here on it reports what it does.
    pub fn reports(&mut self) {
        self.figures.pace.start();
    }

    /// Until when there is nothing to do unless something comes.
    pub fn deadline(&self) -> u64 {
        let earliest = self.earliest.min(self.figures.pace.due());
        let deadline = self.refused.iter().map(|port| port.again_at).fold(earliest, u64::min);
        if self.any_retiring() { deadline.min(self.now.saturating_add(retire::INTERVAL)) } else { deadline }
    }

    /// Takes in what has come, and sends what follows from it.
    // A function of its own: in one as large as the box's loop would be with it, every value is kept on the stack.
    #[inline(never)]
    pub fn turn(&mut self, wake: Wake<'_>, outside: &mut impl Outside) {
        self.now = wake.now;
        if self.common.is_stale(wake.now) {
            self.common.refresh(wake.now, outside.wall_clock());
        }
        self.displaced = 0;
        self.limits.received(wake.tcp.len() + wake.handler.len());
        if wake.room {
            self.tcp.retry();
            self.handlers.retry();
            self.flush(outside);
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
        if self.held_back.is_some_and(|most| self.streams_at_once() > most) {
            self.held_back = None;
            self.carry_on();
        }
        if !self.behind.is_empty() {
            self.catch_up();
        }
        if !self.touched.is_empty() {
            self.drive();
        }
        self.limits.received(0);
        self.keep_limits(self.is_pressed());
        if self.any_retiring() {
            self.let_go();
        }
        self.write_log(outside);
        if self.figures.pace.take(self.now) {
            outside.report(self.figures.all([self.connections.len() - self.sessions, self.sessions]));
        }
        if self.tcp.any_refused() || self.handlers.any_refused() {
            self.flush(outside);
        }
        if self.handlers.waiting() + self.tcp.waiting() == 1 {
            let deadline = self.deadline();
            self.flush_by(Some(deadline), outside);
        } else {
            self.flush(outside);
        }
    }

    /// Sends what there is, and what can then be sent too.
    #[inline(never)]
    fn flush(&mut self, outside: &mut impl Outside) {
        let mut freed = self.flush_by(None, outside);
        while freed {
            self.carry_on();
            self.drive();
            freed = (self.tcp.any_refused() || self.handlers.any_refused()) && self.flush_by(None, outside);
        }
    }

    /// `rest_until`: there is one batch, and nothing to do after it until then.
    #[inline(never)]
    fn flush_by(&mut self, rest_until: Option<u64>, outside: &mut impl Outside) -> bool {
        self.batched = 0;
        let mut send = |to, batch: &[u8]| match rest_until {
            Some(deadline) => outside.send_last(to, batch, deadline),
            None => outside.send(to, batch),
        };
        let freed = self.handlers.flush(|peer, batch| send(To::Handler(peer), batch));
        self.tcp.flush(|peer, batch| send(To::Tcp(peer), batch)) | freed
    }

    /// Between two records of a batch, which may be as many as fit: what they have led to is not left to the turn's end.
    #[inline(always)]
    fn between_records(&mut self, outside: &mut impl Outside) {
        self.batched += RECORD;
        if self.batched > BATCHED || self.is_to_sum_up() || self.log.len() >= MAX_LOG {
            self.in_between(outside);
        }
    }

    #[cold]
    #[inline(never)]
    fn in_between(&mut self, outside: &mut impl Outside) {
        self.drive();
        if self.batched > BATCHED {
            self.flush(outside);
            self.give_up_peers();
        }
        self.keep_limits(false);
        if self.log.len() >= MAX_LOG && self.config.access_log.is_some() {
            self.write_log(outside);
        }
    }

    /// Has every connection go on that can: a peer has room again, or another has taken its place.
    #[cold]
    #[inline(never)]
    fn carry_on(&mut self) {
        for key in self.connections.keys() {
            for id in self.connections.get(key).map(|connection| connection.exchanges.clone()).unwrap_or_default() {
                self.credit_handler(id);
            }
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
            self.between_records(outside);
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
            self.between_records(outside);
        }
    }

    fn say(&mut self, level: Level, line: String) {
        if self.log.len() < MAX_LOG || self.config.access_log.is_some() {
            self.log.push((level, line));
        }
    }

    fn write_log(&mut self, outside: &mut impl Outside) {
        for (level, line) in self.log.drain(..) {
            outside.log(level, &line);
        }
    }
}

/// A reason, as a peer gives it, for the log: no longer than a line of it.
fn in_words(why: &[u8]) -> String {
    String::from_utf8_lossy(&why[..why.len().min(256)]).into_owned()
}

fn has_news_of_peers(batch: &[u8]) -> bool {
    Records::new(batch).flatten().any(|record| record.kind > Peer::IS)
}
