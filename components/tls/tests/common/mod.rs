//! The box between a network and a box that listens, both played by the test; and clients of TLS, which are rustls with the cryptography
//! of ring.
#![allow(dead_code, reason = "not every test uses all of it")]

pub mod hello;

use keys::{Config as KeysConfig, Keys as Holder};
use pearwood_tls::{
    Config, GetRandomFailed, Keys, Level, Outside, SecureRandom, TimeProvider, Tls, To, UnixTime, Wake,
};
use rustls::client::{ClientConfig, ClientConnection, Resumption};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    RootCertStore, SupportedProtocolVersion,
    crypto::{CryptoProvider, ring},
};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use wit::tcp::{Command, Endpoint, Event};
use wit::{Batch, Peer};

pub const PORT: u16 = 443;
pub const SECOND: u64 = 1_000_000_000;

#[derive(Debug)]
pub struct Machine;

impl SecureRandom for Machine {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), GetRandomFailed> {
        getrandom::fill(buffer).map_err(|_| GetRandomFailed)
    }
}

/// A wall clock of the test's: seconds since 1970; 0: it is not known.
#[derive(Debug, Default, Clone)]
pub struct WallClock(pub Arc<AtomicU64>);

impl TimeProvider for WallClock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = self.0.load(Relaxed);
        (seconds > 0).then(|| UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// The keys box.
pub struct KeysBox(pub Mutex<Holder<Memory>>);

impl Keys for KeysBox {
    fn public_key(&self, key: &str) -> Result<Vec<u8>, String> {
        self.0.lock().unwrap().public_key(key)
    }

    fn version(&self) -> u64 {
        self.0.lock().unwrap().version(None)
    }

    fn certificate(&self, key: &str, names: &[String]) -> Result<Vec<Vec<u8>>, String> {
        self.0.lock().unwrap().certificate(key, names, None)
    }

    fn prove(&self, name: &str) -> Option<(String, Vec<u8>)> {
        self.0.lock().unwrap().prove(name)
    }

    fn sign(&self, key: &str, message: &[u8]) -> Result<Vec<u8>, String> {
        self.0.lock().unwrap().sign(key, message)
    }
}

/// Where the keys are kept.
pub struct Memory(Vec<u8>);

impl keys::Disk for Memory {
    fn sector_size(&self) -> usize {
        512
    }

    fn sectors(&self) -> u64 {
        (self.0.len() / 512) as u64
    }

    fn read(&mut self, first: u64, count: u64) -> Result<Vec<u8>, String> {
        Ok(self.0[first as usize * 512..][..count as usize * 512].to_vec())
    }

    fn write(&mut self, first: u64, data: &[u8]) -> Result<(), String> {
        self.0[first as usize * 512..][..data.len()].copy_from_slice(data);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), String> {
        Ok(())
    }
}

pub fn random(buffer: &mut [u8]) -> Result<(), String> {
    getrandom::fill(buffer).map_err(|error| error.to_string())
}

/// Keys that sign for themselves, unless the settings have another authority.
pub fn keys_box(settings: &[(&str, &str)]) -> Arc<KeysBox> {
    let all = [&[("authority", "nobody.invalid")], settings].concat();
    let config = KeysConfig::read(all).unwrap();
    let keys = Holder::open(config, Memory(vec![0; 2 << 20]), &[1; 32], &mut random);
    Arc::new(KeysBox(Mutex::new(keys.unwrap())))
}

pub fn keys(settings: &[(&str, &str)]) -> Arc<dyn Keys> {
    keys_box(settings)
}

/// What a connection's client, the one that listens, has heard.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Heard {
    pub name: String,
    /// the names of the certificate
    pub covers: String,
    pub remote: String,
    pub protocol: String,
    /// its certificate
    pub client: Vec<u8>,
    pub data: Vec<u8>,
    /// credit given back
    pub sent: u64,
    pub finished: bool,
    pub closed: Option<String>,
}

/// What the network was told of a connection.
#[derive(Debug, Default)]
pub struct Told {
    pub data: Vec<u8>,
    pub credit: u64,
    pub finished: bool,
    pub aborted: bool,
}

pub struct World {
    pub tls: Tls,
    pub keys: Arc<dyn Keys>,
    pub now: u64,
    net: Batch,
    clients: Batch,
    pub sides: Sides,
}

/// What the two sides have got so far.
#[derive(Default)]
pub struct Sides {
    /// by the number that the client was given
    pub heard: BTreeMap<u32, Heard>,
    /// the numbers in the order in which connections were accepted
    pub accepted: Vec<u32>,
    pub told: BTreeMap<u32, Told>,
    pub listens: Vec<(u32, u16)>,
    pub answers: Vec<String>,
    pub log: Vec<String>,
    pub releases: Vec<To>,
    /// the figures that were reported last
    pub reported: Vec<wit::figures::Figure>,
    /// The one that listens takes nothing.
    pub is_deaf: bool,
    /// ... and the network
    pub net_is_deaf: bool,
}

impl Outside for Sides {
    fn send(&mut self, to: To, batch: &[u8]) -> bool {
        assert!(batch.len() <= wit::MAX_BATCH);
        match to {
            To::Client(_) if self.is_deaf => return false,
            To::Net(_) if self.net_is_deaf => return false,
            To::Names(_) => panic!("nothing is looked up"),
            _ => {}
        }
        for record in wit::Records::new(batch).map(Result::unwrap) {
            if record.kind >= Peer::FIRST_KIND {
                self.releases.push(to);
                continue;
            }
            match to {
                To::Net(peer) => self.command(peer, Command::decode(&record).unwrap()),
                To::Client(_) | To::Names(_) => self.event(Event::decode(&record).unwrap()),
            }
        }
        true
    }

    fn log(&mut self, _: Level, line: &str) {
        self.log.push(line.into());
    }

    fn report(&mut self, figures: Vec<wit::figures::Figure>) {
        self.reported = figures;
    }
}

impl Sides {
    fn command(&mut self, peer: u32, command: Command<'_>) {
        let connection = match &command {
            Command::Send { connection, .. } | Command::Credit { connection, .. } => *connection,
            Command::Finish { connection } | Command::Abort { connection } => *connection,
            _ => u32::MAX,
        };
        let of = self.told.entry(connection).or_default();
        match command {
            Command::Send { data, .. } => {
                assert!(!of.finished && !of.aborted);
                of.data.extend_from_slice(data);
            }
            Command::Credit { bytes, .. } => of.credit += u64::from(bytes),
            Command::Finish { .. } => assert!(!core::mem::replace(&mut of.finished, true), "finished twice"),
            Command::Abort { .. } => of.aborted = true,
            Command::Listen { port, .. } => self.listens.push((peer, port)),
            Command::Unlisten { port } => self.listens.retain(|(_, other)| *other != port),
            other => panic!("{other:?}"),
        }
    }

    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Accepted { connection, remote, port, secured } => {
                assert_eq!(port, PORT);
                let secured = secured.unwrap();
                let covers: Vec<_> = secured.covers.expect("names").iter().collect();
                let heard = Heard {
                    name: secured.name.into(),
                    covers: covers.join(" "),
                    remote: remote.address.to_canonical().to_string(),
                    protocol: secured.protocol.into(),
                    client: secured.client.into(),
                    ..Heard::default()
                };
                assert!(self.heard.insert(connection, heard).is_none());
                self.accepted.push(connection);
            }
            Event::Data { connection, data } => self.of(connection).data.extend_from_slice(data),
            Event::Sent { connection, bytes } => self.of(connection).sent += u64::from(bytes),
            Event::Finished { connection } => self.of(connection).finished = true,
            Event::Closed { connection, why } => self.of(connection).closed = Some(why.into()),
            Event::Secures => {}
            other => self.answers.push(format!("{other:?}")),
        }
    }

    fn of(&mut self, connection: u32) -> &mut Heard {
        let heard = self.heard.get_mut(&connection).expect("a connection that was announced");
        assert_eq!(heard.closed, None, "nothing comes of a connection that is closed");
        heard
    }
}

impl World {
    pub fn new(settings: &[(&str, &str)]) -> Self {
        Self::with(settings, 14 << 20, keys(&[]))
    }

    /// With so much memory. The network is there, and a box listens.
    pub fn with(settings: &[(&str, &str)], memory: usize, keys: Arc<dyn Keys>) -> Self {
        Self::at(settings, memory, keys, UnixTime::since_unix_epoch(Duration::ZERO)).0
    }

    /// ... at that time of day.
    pub fn at(settings: &[(&str, &str)], memory: usize, keys: Arc<dyn Keys>, time: UnixTime) -> (Self, WallClock) {
        let clock = WallClock::default();
        clock.0.store(time.as_secs(), Relaxed);
        let config = Config::read(settings.iter().copied()).unwrap();
        let tls = Tls::new(config, memory, &Machine, &keys, Arc::new(clock.clone())).unwrap();
        let mut world =
            World { tls, keys, now: SECOND, net: Batch::new(), clients: Batch::new(), sides: Sides::default() };
        Peer::Attach(0, &[]).encode(&mut world.net);
        Peer::Attach(0, &[]).encode(&mut world.clients);
        world.client_says(&Command::Listen { port: PORT, backlog: 16 });
        world.turn();
        world.net_says(&Event::Listening { port: PORT });
        world.turn();
        (world, clock)
    }

    pub fn net_batch(&mut self) -> &mut Batch {
        &mut self.net
    }

    pub fn clients_batch(&mut self) -> &mut Batch {
        &mut self.clients
    }

    pub fn net_says(&mut self, event: &Event<'_>) {
        Peer::Is(0).encode(&mut self.net);
        event.encode(&mut self.net);
    }

    pub fn client_says(&mut self, command: &Command<'_>) {
        Peer::Is(0).encode(&mut self.clients);
        command.encode(&mut self.clients);
    }

    /// Turns until there is nothing to do at once.
    pub fn turn(&mut self) {
        self.turn_with(false);
    }

    pub fn turn_with(&mut self, room: bool) {
        let (net, clients) = (core::mem::take(&mut self.net), core::mem::take(&mut self.clients));
        let wake = Wake { now: self.now, net: net.as_bytes(), clients: clients.as_bytes(), names: &[], room };
        self.tls.turn(wake, &mut self.sides);
        for _ in 0..100_000 {
            if self.tls.deadline() > self.now {
                return;
            }
            self.tls.turn(Wake { now: self.now, ..Wake::default() }, &mut self.sides);
        }
        panic!("there is always something to do");
    }

    pub fn accept(&mut self, number: u32) {
        self.accept_from(number, "::ffff:192.0.2.1".parse().unwrap());
    }

    pub fn accept_from(&mut self, number: u32, address: core::net::Ipv6Addr) {
        self.sides.told.remove(&number);
        let remote = Endpoint { address, port: 50_000 };
        self.net_says(&Event::Accepted { connection: number, remote, port: PORT, secured: None });
    }

    /// What came for the network since this was last asked.
    pub fn sent(&mut self, number: u32) -> Vec<u8> {
        self.sides.told.get_mut(&number).map(|told| core::mem::take(&mut told.data)).unwrap_or_default()
    }

    /// Whether the one that listens was told of anything, and what of the connection that came last.
    pub fn last(&self) -> &Heard {
        &self.sides.heard[self.sides.accepted.last().expect("a connection")]
    }

    pub fn last_number(&self) -> u32 {
        *self.sides.accepted.last().expect("a connection")
    }
}

/// A client of TLS, and its connection.
pub struct Client {
    pub number: u32,
    pub tls: ClientConnection,
    /// bytes of each record `data`
    pub piece: usize,
    pub error: Option<rustls::Error>,
    /// what has come, and whether that was all there will be
    got: Vec<u8>,
    is_over: bool,
}

/// A client that trusts the certificate that the world's key makes of some names.
pub fn client_config(
    world: &World,
    names: &[&str],
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    config_of(ring::default_provider(), world, names, versions)
}

pub fn config_of(
    provider: CryptoProvider,
    world: &World,
    names: &[&str],
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    config_for(provider, world, ("default", names), versions)
}

pub fn config_for(
    provider: CryptoProvider,
    world: &World,
    (key, names): (&str, &[&str]),
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let certificate = world.keys.certificate(key, &names).unwrap().remove(0);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(certificate)).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(provider));
    let builder = builder.with_protocol_versions(versions).unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.resumption = Resumption::in_memory_sessions(8);
    Arc::new(config)
}

impl Client {
    pub fn new(world: &mut World, number: u32, config: &Arc<ClientConfig>, name: &str) -> Self {
        world.accept(number);
        let name = ServerName::try_from(name.to_string()).unwrap();
        let tls = ClientConnection::new(config.clone(), name).unwrap();
        Client { number, tls, piece: usize::MAX, error: None, got: Vec::new(), is_over: false }
    }

    /// Passes bytes both ways until nobody has any.
    pub fn go(&mut self, world: &mut World) {
        loop {
            let mut bytes = Vec::new();
            while self.tls.wants_write() {
                self.tls.write_tls(&mut bytes).unwrap();
            }
            for piece in bytes.chunks(self.piece.min(60_000)) {
                world.net_says(&Event::Data { connection: self.number, data: piece });
                if self.piece < 60_000 {
                    world.turn();
                }
            }
            world.turn();
            let received = world.sent(self.number);
            if received.is_empty() && !self.tls.wants_write() {
                return;
            }
            // the network has passed them on
            world.net_says(&Event::Sent { connection: self.number, bytes: received.len() as u32 });
            let mut received = &received[..];
            while !received.is_empty() && self.error.is_none() {
                if self.tls.read_tls(&mut received).unwrap() == 0 {
                    break;
                }
                self.error = self.tls.process_new_packets().err();
                self.take();
            }
            if self.error.is_some() {
                return;
            }
        }
    }

    pub fn write(&mut self, data: &[u8]) {
        self.tls.writer().write_all(data).unwrap();
    }

    fn take(&mut self) {
        let mut part = [0; 4096];
        loop {
            match self.tls.reader().read(&mut part) {
                Ok(0) => return self.is_over = true,
                Ok(length) => self.got.extend_from_slice(&part[..length]),
                Err(_) => return,
            }
        }
    }

    /// What has come since this was last asked, and whether that was all there will be.
    pub fn read(&mut self) -> (Vec<u8>, bool) {
        (core::mem::take(&mut self.got), self.is_over)
    }
}
