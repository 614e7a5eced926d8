//! The box: what it knows, and one turn of it.

mod clients;
mod dial;
mod flow;
mod limits;
mod net;
mod retire;
mod timers;

use crate::certificates::{Certificates, Keys, PROOF};
use crate::clock::Clock;
use crate::config::Config;
use crate::connection::{Connections, Dialed};
use crate::figures::Figures;
use crate::provider::provider;
use crate::tickets::Tickets;
use crate::trust::Trust;
use crate::visitors::Visitors;
use clients::Listener;
pub use limits::CONNECTION;
use limits::Limits;
use rustls::{ServerConfig, crypto::SecureRandom, time_provider::TimeProvider, version};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use support::dial::Dials;
use wit::{Incoming, MAX_BATCH, Peers, figures::Figure};

/// TLS between the network and the boxes that listen here.
pub struct Tls {
    config: Config,
    rustls: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
    tickets: Arc<Tickets>,
    clock: Arc<Clock>,
    now: u64,
    /// who brings connections, and since when each of them retires, if it does
    net: Peers<Option<u64>>,
    /// who looks names up
    names: Peers,
    /// whom connections are for
    clients: Peers,
    trust: Trust,
    /// None: clients are not asked who they are.
    visitors: Option<Arc<Visitors>>,
    /// connections that this side is to make, and that the network has not made yet
    dials: Dials<Dialed>,
    listeners: BTreeMap<u16, Listener>,
    connections: Connections,
    /// those that may go on with their handshake, in the order in which they came
    handshakes: VecDeque<usize>,
    /// No connection is due before this.
    earliest: u64,
    limits: Limits,
    /// connections of this turn for which others were to make room
    displaced: usize,
    /// bytes of memory in the connections' buffers
    held: usize,
    failures: timers::Failures,
    figures: Figures,
    is_retired: bool,
    log: Vec<(Level, String)>,
    /// buffers kept from turn to turn
    sealed: Vec<u8>,
    opened: Vec<u8>,
}

/// What has come up since the last turn.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wake<'a> {
    /// monotonic, in nanoseconds
    pub now: u64,
    /// events of `pearwood:net/tcp`, of which this box is a client
    pub net: &'a [u8],
    /// events of `pearwood:net/names`, of which it is a client
    pub names: &'a [u8],
    /// commands of `pearwood:net/tcp`, of which it is a service
    pub clients: &'a [u8],
    /// A peer that had no room may have room again.
    pub room: bool,
}

/// Where a batch goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    Net(u32),
    Names(u32),
    Client(u32),
}

/// The box's other arrows.
pub trait Outside {
    /// False: the peer has no room and has taken nothing.
    fn send(&mut self, to: To, batch: &[u8]) -> bool;
    /// `send` of a turn's only batch: there is nothing to do after it until the deadline.
    fn send_last(&mut self, to: To, batch: &[u8], _deadline: u64) -> bool {
        self.send(to, batch)
    }
    fn log(&mut self, level: Level, line: &str);
    /// What is reported of it, if [`Tls::reports`] was said.
    fn report(&mut self, _figures: Vec<Figure>) {}
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Error,
    Warn,
    Info,
}

/// Steps of handshakes of one turn. Each takes as long as hundreds of requests, and those are to go on in between.
const HANDSHAKES: usize = 4;

/// Lines of log of one turn; more are dropped.
const MAX_LOG: usize = 64;

impl Tls {
    /// `memory`: bytes that the box can allocate. What clients make it hold is bounded by that, whatever the settings.
    /// `wall_clock`: what certificates of others are held against.
    ///
    /// # Errors
    /// There is too little memory, or `keys` lacks a key.
    pub fn new(
        config: Config,
        memory: usize,
        random: &'static dyn SecureRandom,
        keys: &Arc<dyn Keys>,
        wall_clock: Arc<dyn TimeProvider>,
    ) -> Result<Self, String> {
        let limits = Limits::new(&config, memory)?;
        let certificates = Arc::new(Certificates::new(&config.certificates, keys)?);
        let clock = Arc::new(Clock::default());
        let tickets = Arc::new(Tickets::new(random, clock.clone()));
        let versions = [(config.tls13, &version::TLS13), (config.tls12, &version::TLS12)];
        let versions: Vec<_> = versions.into_iter().filter(|(is_on, _)| *is_on).map(|(_, version)| version).collect();
        let provider = Arc::new(provider(random));
        let visitors = config.clients.as_ref();
        let visitors = visitors.map(|clients| Visitors::new(clients, &provider, &wall_clock)).transpose()?;
        let builder = ServerConfig::builder_with_details(provider, clock.clone());
        let builder = builder.with_protocol_versions(&versions).map_err(|error| error.to_string())?;
        let builder = match &visitors {
            Some(visitors) => builder.with_client_cert_verifier(visitors.clone()),
            None => builder.with_no_client_auth(),
        };
        let mut rustls = builder.with_cert_resolver(certificates.clone());
        rustls.alpn_protocols = config.protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        rustls.alpn_protocols.push(PROOF.to_vec());
        // that of the provider
        rustls.ignore_client_order = true;
        rustls.ticketer = tickets.clone();
        rustls.send_tls13_tickets = 1;
        let trust = Trust::new(&config, &versions, memory, random, wall_clock);
        Ok(Tls {
            trust,
            visitors,
            dials: Dials::default(),
            names: Peers::default(),
            config,
            rustls: Arc::new(rustls),
            certificates,
            tickets,
            clock,
            now: 0,
            net: Peers::new(MAX_BATCH, limits.batches),
            clients: Peers::new(MAX_BATCH, limits.batches),
            listeners: BTreeMap::new(),
            connections: Connections::default(),
            handshakes: VecDeque::new(),
            earliest: u64::MAX,
            limits,
            displaced: 0,
            held: 0,
            failures: timers::Failures::default(),
            figures: Figures::default(),
            is_retired: false,
            log: Vec::new(),
            sealed: Vec::new(),
            opened: Vec::new(),
        })
    }

    /// From here on it reports what it does.
    pub fn reports(&mut self) {
        self.figures.start();
    }

    /// Until when there is nothing to do unless something comes.
    pub fn deadline(&self) -> u64 {
        if !self.handshakes.is_empty() {
            return 0;
        }
        let deadline = self.earliest.min(self.failures.due()).min(self.dials.deadline()).min(self.figures.due());
        let retiring = self.net.any_retiring() || self.clients.any_retiring();
        if retiring { deadline.min(self.now.saturating_add(retire::INTERVAL)) } else { deadline }
    }

    /// Takes in what has come, and sends what follows from it.
    #[inline(never)]
    pub fn turn(&mut self, wake: Wake<'_>, outside: &mut impl Outside) {
        self.now = wake.now;
        self.clock.set(wake.now);
        self.displaced = 0;
        if wake.room {
            self.net.retry();
            self.names.retry();
            self.clients.retry();
            self.flush(outside);
        }
        // The network says what can be sent; but who is there to get anything comes before that.
        if has_news_of_peers(wake.clients) {
            self.take(wake.clients, Self::of_client, outside);
            self.take(wake.net, Self::of_net, outside);
        } else {
            self.take(wake.net, Self::of_net, outside);
            self.take(wake.clients, Self::of_client, outside);
        }
        self.take(wake.names, Self::of_names, outside);
        self.shake_hands();
        self.timers();
        if self.net.any_retiring() || self.clients.any_retiring() {
            self.let_go();
        }
        if self.figures.takes_look(self.now) && self.certificates.renew() {
            self.figures.pace.changed(self.now);
        }
        for why in self.certificates.take_troubles() {
            self.say(Level::Warn, format!("{why}; the one of before stays"));
        }
        if self.figures.pace.take(self.now) {
            outside.report(self.figures.all(self.connections.len(), self.certificates.figures()));
        }
        for (level, line) in self.log.drain(..) {
            outside.log(level, &line);
        }
        if self.net.any_refused() || self.clients.any_refused() {
            self.flush(outside);
        }
        if self.net.waiting() + self.names.waiting() + self.clients.waiting() == 1 {
            let deadline = self.deadline();
            self.flush_by(Some(deadline), outside);
        } else {
            self.flush(outside);
        }
        // what was as long as it gets seldom is not kept
        for buffer in [&mut self.sealed, &mut self.opened] {
            if buffer.capacity() > MAX_BATCH / 4 {
                *buffer = Vec::new();
            }
        }
    }

    fn take(&mut self, batch: &[u8], each: impl Fn(&mut Self, Incoming<'_>), outside: &mut impl Outside) {
        for incoming in wit::incoming(batch) {
            match incoming {
                Ok(incoming) => each(self, incoming),
                Err(error) => return self.say(Level::Error, error.to_string()),
            }
            // what many records have led to is not left to the turn's end
            if self.net.any_refused() || self.clients.any_refused() {
                self.flush(outside);
            }
        }
    }

    /// Sends what there is, and what can then be sent too.
    #[inline(never)]
    fn flush(&mut self, outside: &mut impl Outside) {
        let mut freed = self.flush_by(None, outside);
        while freed {
            for key in self.connections.which(|_| true) {
                self.advance(key);
            }
            freed = (self.net.any_refused() || self.clients.any_refused()) && self.flush_by(None, outside);
        }
    }

    /// `rest_until`: there is one batch, and nothing to do after it until then.
    fn flush_by(&mut self, rest_until: Option<u64>, outside: &mut impl Outside) -> bool {
        let mut send = |to, batch: &[u8]| match rest_until {
            Some(deadline) => outside.send_last(to, batch, deadline),
            None => outside.send(to, batch),
        };
        let freed = self.clients.flush(|peer, batch| send(To::Client(peer), batch));
        self.names.flush(|peer, batch| send(To::Names(peer), batch));
        self.net.flush(|peer, batch| send(To::Net(peer), batch)) | freed
    }

    /// Goes on with some of the handshakes that can.
    fn shake_hands(&mut self) {
        let mut steps = 0;
        while steps < HANDSHAKES
            && let Some(key) = self.handshakes.pop_front()
        {
            if let Some(connection) = self.connections.get(key) {
                connection.is_queued = false;
                self.read(key);
                steps += 1;
            }
        }
    }

    fn say(&mut self, level: Level, line: String) {
        if self.log.len() < MAX_LOG {
            self.log.push((level, line));
        }
    }
}

fn has_news_of_peers(batch: &[u8]) -> bool {
    wit::Records::new(batch).flatten().any(|record| record.kind > wit::Peer::IS)
}

/// A reason, as a peer gives it, for the log: no longer than a line of it.
fn in_words(why: &[u8]) -> String {
    String::from_utf8_lossy(&why[..why.len().min(256)]).into_owned()
}
