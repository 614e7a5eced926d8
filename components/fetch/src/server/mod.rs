//! The box: what it knows, and one turn of it.

mod clients;
mod flow;
mod gateway;
mod hosts;
mod tcp;

use crate::config::Config;
use crate::exchange::{Exchange, Link};
use crate::request::Origin;
use crate::upstreams::Upstreams;
use hashbrown::HashMap;
use message::Routes;
use slab::Slab;
use std::collections::VecDeque;
use support::dial::Dials;
use wit::{
    INITIAL_CREDIT, Incoming, MAX_BATCH, Peers,
    figures::{Figure, Pace},
};

/// Requests of boxes to other hosts.
pub struct Fetch {
    config: Config,
    now: u64,
    /// who asks, and what its arrow is for
    clients: Peers<Routes>,
    /// who makes connections
    tcp: Peers<Carrier>,
    names: Peers,
    exchanges: Slab<Exchange>,
    /// by the client, and its number
    requests: HashMap<(u32, u32), usize>,
    /// by who has made the connection, and its number there
    links: HashMap<(u32, u32), usize>,
    /// connections that are to be made, of the hosts that do not secure theirs
    dials: Dials<usize>,
    /// connections that somebody was asked for, by the ticket
    asked: HashMap<u32, hosts::Asked>,
    tickets: u32,
    /// connections without a request, the oldest first
    idle: VecDeque<Idle>,
    /// where requests go, if they do not say it themselves
    upstreams: Upstreams,
    /// requests at once
    places: usize,
    is_retired: bool,
    log: Vec<(Level, String)>,
    figures: Pace,
    /// when what was reported is not so any more, without anything happening
    figures_until: u64,
    /// no failure is told of before this
    quiet_until: u64,
    /// those that were not told of
    untold: usize,
}

/// One that makes connections.
#[derive(Debug, Default)]
struct Carrier {
    /// It has said that it secures them.
    secures: bool,
}

#[derive(Debug)]
struct Idle {
    link: Link,
    origin: Origin,
    until: u64,
}

/// What has come up since the last turn.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wake<'a> {
    /// monotonic, in nanoseconds
    pub now: u64,
    /// commands of `pearwood:http/handler`, of which this box is a service
    pub clients: &'a [u8],
    /// events of `pearwood:net/tcp`, of which it is a client
    pub tcp: &'a [u8],
    /// events of `pearwood:net/names`, of which it is a client
    pub names: &'a [u8],
    /// A peer that had no room may have room again.
    pub room: bool,
}

/// Where a batch goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    Client(u32),
    Tcp(u32),
    Names(u32),
}

/// The box's other arrows.
pub trait Outside {
    /// False: the peer has no room and has taken nothing.
    fn send(&mut self, to: To, batch: &[u8]) -> bool;
    fn log(&mut self, level: Level, line: &str);
    /// What is reported of it, if [`Fetch::reports`] was said.
    fn report(&mut self, _figures: Vec<Figure>) {}
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Error,
    Warn,
}

const SECOND: u64 = 1_000_000_000;

/// What a request may make the box hold: what waits for the host, what has come from it, its head, and each of them twice while it
/// grows.
const PLACE: usize = 6 * INITIAL_CREDIT as usize;

/// What is kept of the answer to a check, at most. Checks have no places of their own, but as much memory as all can take, each of them
/// this twice while it grows.
const CHECK_HEAD: usize = 8 << 10;

/// Lines of log of one turn; more are dropped.
const MAX_LOG: usize = 16;

/// How often peers that retire are looked at.
const INTERVAL: u64 = SECOND / 20;

impl Fetch {
    /// `memory`: bytes that the box can allocate. What requests make it hold is bounded by that, whatever the settings.
    ///
    /// # Errors
    /// There is too little memory.
    pub fn new(config: Config, memory: usize) -> Result<Self, String> {
        let checks = if config.health_path.is_some() { config.upstreams.len() * 2 * CHECK_HEAD } else { 0 };
        let places = config.requests.min(memory.saturating_sub(checks) / 2 / PLACE);
        if places == 0 {
            let least = 2 * PLACE + checks;
            return Err(format!("the box's memory is too small for a request: it needs {least} bytes"));
        }
        let batches = || (MAX_BATCH, memory / 16);
        let upstreams = Upstreams::new(&config.upstreams, config.retries, places);
        Ok(Fetch {
            upstreams,
            config,
            now: 0,
            clients: Peers::new(batches().0, batches().1),
            tcp: Peers::new(batches().0, batches().1),
            names: Peers::default(),
            exchanges: Slab::new(),
            requests: HashMap::new(),
            links: HashMap::new(),
            dials: Dials::default(),
            asked: HashMap::new(),
            tickets: 0,
            idle: VecDeque::new(),
            places,
            is_retired: false,
            log: Vec::new(),
            figures: Pace::default(),
            figures_until: u64::MAX,
            quiet_until: 0,
            untold: 0,
        })
    }

    /// From here on it reports how its upstreams fare, if it has some.
    pub fn reports(&mut self) {
        if !self.upstreams.is_empty() {
            self.figures.start();
        }
    }

    /// Another takes the place of this box: requests that are there go on.
    pub fn retire(&mut self) {
        self.is_retired = true;
        while let Some(idle) = self.idle.pop_front() {
            self.abort(&idle.link);
        }
        for key in self.keys(Exchange::is_own) {
            self.remove(key);
        }
    }

    /// It retires, and nobody asks it any more.
    pub fn is_done(&self) -> bool {
        self.is_retired && self.exchanges.is_empty() && !self.clients.any_attached()
    }

    /// Until when there is nothing to do unless something comes.
    pub fn deadline(&self) -> u64 {
        let exchanges = self.exchanges.iter().map(|(_, exchange)| exchange.due()).min().unwrap_or(u64::MAX);
        let idle = self.idle.iter().map(|idle| idle.until).min().unwrap_or(u64::MAX);
        let retiring = self.clients.any_retiring() || self.tcp.any_retiring() || self.names.any_retiring();
        let again = if retiring { self.now.saturating_add(INTERVAL) } else { u64::MAX };
        let figures = self.figures.due().min(self.figures_until);
        exchanges.min(idle).min(self.dials.deadline()).min(again).min(self.next_check()).min(figures)
    }

    /// Takes in what has come, and sends what follows from it.
    pub fn turn(&mut self, wake: Wake<'_>, outside: &mut impl Outside) {
        self.now = wake.now;
        if wake.room {
            self.clients.retry();
            self.tcp.retry();
            self.names.retry();
            self.flush(outside);
        }
        self.take(wake.tcp, Self::of_tcp, outside);
        self.take(wake.names, Self::of_names, outside);
        self.take(wake.clients, Self::of_client, outside);
        self.timers();
        self.let_go();
        if self.figures_until <= self.now {
            self.figures_until = u64::MAX;
            self.figures.changed(self.now);
        }
        if self.figures.take(self.now) {
            self.figures_until = self.upstreams.next_in(self.now);
            outside.report(self.upstreams.figures(self.now));
        }
        for (level, line) in self.log.drain(..) {
            outside.log(level, &line);
        }
        self.flush(outside);
    }

    fn take(&mut self, batch: &[u8], each: impl Fn(&mut Self, Incoming<'_>), outside: &mut impl Outside) {
        for incoming in wit::incoming(batch) {
            match incoming {
                Ok(incoming) => each(self, incoming),
                Err(error) => return self.say(Level::Error, error.to_string()),
            }
            // what many records have led to is not left to the turn's end
            if self.clients.any_refused() || self.tcp.any_refused() {
                self.flush(outside);
            }
        }
    }

    /// Sends what there is, and what can then be sent too.
    fn flush(&mut self, outside: &mut impl Outside) {
        loop {
            let clients = self.clients.flush(|peer, batch| outside.send(To::Client(peer), batch));
            let tcp = self.tcp.flush(|peer, batch| outside.send(To::Tcp(peer), batch));
            self.names.flush(|peer, batch| outside.send(To::Names(peer), batch));
            if !(clients || tcp) {
                return;
            }
            for key in self.keys(|_| true) {
                self.advance(key);
            }
        }
    }

    fn timers(&mut self) {
        while let Some(step) = self.dials.due(self.now) {
            self.dial_step(step);
        }
        let now = self.now;
        for key in self.keys(|exchange| exchange.due() <= now) {
            self.late(key);
        }
        self.check();
        while let Some(at) = self.idle.iter().position(|idle| idle.until <= now)
            && let Some(idle) = self.idle.remove(at)
        {
            self.abort(&idle.link);
        }
    }

    fn let_go(&mut self) {
        let Fetch { clients, tcp, names, exchanges, dials, asked, .. } = self;
        if clients.any_retiring() {
            clients.release(|peer| exchanges.iter().any(|(_, exchange)| exchange.client == peer));
        }
        if tcp.any_retiring() {
            let holds = |exchange: &Exchange, peer| exchange.link.as_ref().is_some_and(|link| link.peer == peer);
            tcp.release(|peer| {
                asked.values().any(|asked| asked.peer == peer) || exchanges.iter().any(|(_, it)| holds(it, peer))
            });
        }
        if names.any_retiring() {
            names.release(|peer| dials.any_lookup_of(peer));
        }
    }

    /// The keys of the exchanges that something is true of.
    fn keys(&self, is_it: impl Fn(&Exchange) -> bool) -> Vec<usize> {
        self.exchanges.iter().filter(|(_, exchange)| is_it(exchange)).map(|(key, _)| key).collect()
    }

    fn say(&mut self, level: Level, line: String) {
        if self.log.len() < MAX_LOG {
            self.log.push((level, line));
        }
    }
}
