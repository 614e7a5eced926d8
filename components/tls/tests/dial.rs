//! Connections to other hosts: servers are those of another implementation, with certificates that a CA of the test's has made.

mod common;

use common::{Machine, SECOND, WallClock, keys};
use pearwood_tls::{Config, Level, Outside, Tls, To, Wake};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls::server::{ServerConfig, ServerConnection};
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, SupportedProtocolVersion};
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use wit::tcp::{Cause, Command, Endpoint, Event};
use wit::{Batch, Peer, names};

const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
/// In the years for which rcgen makes certificates, if nothing else is said.
const TODAY: u64 = 1_800_000_000;

/// An issuer of certificates.
struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    fn new() -> Self {
        Self::named("some")
    }

    fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::OrganizationName, name);
        Ca(CertifiedIssuer::self_signed(params, KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// A server for these names.
    fn server(&self, names: &[&str], versions: &[&'static SupportedProtocolVersion]) -> ServerConfig {
        self.server_with(names, versions, |_| ())
    }

    fn server_with(
        &self,
        names: &[&str],
        versions: &[&'static SupportedProtocolVersion],
        change: impl FnOnce(&mut CertificateParams),
    ) -> ServerConfig {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        server_of(vec![certificate.der().clone()], key.serialize_der().try_into().unwrap(), versions)
    }
}

fn server_of(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    versions: &[&'static SupportedProtocolVersion],
) -> ServerConfig {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_protocol_versions(versions).unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

/// What the boxes around have heard.
#[derive(Default)]
struct Sides {
    /// by the number that the client was given
    data: Vec<u8>,
    events: Vec<String>,
    connected: Vec<u32>,
    failed: Option<(u32, Cause, u8, String)>,
    closed: Option<String>,
    finished: bool,
    sent: u64,
    lookups: Vec<(u32, String)>,
    connects: Vec<(u32, Endpoint)>,
    /// for the network
    out: Vec<u8>,
    credit: u64,
    net_finished: bool,
    aborted: Vec<u32>,
}

impl Outside for Sides {
    fn send(&mut self, to: To, batch: &[u8]) -> bool {
        for record in wit::Records::new(batch).map(Result::unwrap) {
            if record.kind >= Peer::FIRST_KIND {
                self.events.push(format!("{to:?} is let go"));
                continue;
            }
            match to {
                To::Names(_) => match names::Command::decode(&record).unwrap() {
                    names::Command::Lookup { ticket, name } => self.lookups.push((ticket, name.into())),
                    other => panic!("{other:?}"),
                },
                To::Net(_) => match Command::decode(&record).unwrap() {
                    Command::Connect { ticket, to } => self.connects.push((ticket, to)),
                    Command::Send { data, .. } => self.out.extend_from_slice(data),
                    Command::Credit { bytes, .. } => self.credit += u64::from(bytes),
                    Command::Finish { .. } => self.net_finished = true,
                    Command::Abort { connection } => self.aborted.push(connection),
                    other => panic!("{other:?}"),
                },
                To::Client(_) => match Event::decode(&record).unwrap() {
                    Event::Secures => self.events.push("secures".into()),
                    Event::Connected { connection, ticket } => {
                        self.events.push(format!("connected {ticket}"));
                        self.connected.push(connection);
                    }
                    Event::Failed { ticket, cause, alert, why } => {
                        assert_eq!(self.failed.replace((ticket, cause, alert, why.into())), None, "answered twice");
                    }
                    Event::Data { data, .. } => self.data.extend_from_slice(data),
                    Event::Sent { bytes, .. } => self.sent += u64::from(bytes),
                    Event::Finished { .. } => self.finished = true,
                    Event::Closed { why, .. } => {
                        assert_eq!(self.closed.replace(why.into()), None, "closed twice");
                    }
                    other => panic!("{other:?}"),
                },
            }
        }
        true
    }

    fn log(&mut self, _: Level, line: &str) {
        self.events.push(line.into());
    }
}

struct World {
    tls: Tls,
    sides: Sides,
    clock: WallClock,
    now: u64,
    batches: [Batch; 3],
}

/// Which of the batches.
const NET: usize = 0;
const NAMES: usize = 1;
const CLIENTS: usize = 2;

/// The number of every connection at the network, and of every ticket.
const NUMBER: u32 = 7;
const TICKET: u32 = 5;

impl World {
    fn new(trust: &str) -> Self {
        Self::with(&[("trust.0.names", "*.example"), ("trust.0.roots", trust)], 14 << 20)
    }

    fn with(settings: &[(&str, &str)], memory: usize) -> Self {
        let config = Config::read(settings.iter().copied()).unwrap();
        let clock = WallClock::default();
        clock.0.store(TODAY, Relaxed);
        let tls = Tls::new(config, memory, &Machine, &keys(&[]), Arc::new(clock.clone())).unwrap();
        let batches = [Batch::new(), Batch::new(), Batch::new()];
        let mut world = World { tls, sides: Sides::default(), clock, now: SECOND, batches };
        for batch in &mut world.batches {
            Peer::Attach(0, &[]).encode(batch);
        }
        world.turn();
        assert_eq!(core::mem::take(&mut world.sides.events), ["secures"]);
        world
    }

    fn turn(&mut self) {
        let [net, names, clients] = core::mem::take(&mut self.batches);
        let (net, names, clients) = (net.as_bytes(), names.as_bytes(), clients.as_bytes());
        self.tls.turn(Wake { now: self.now, net, names, clients, room: false }, &mut self.sides);
        for _ in 0..10_000 {
            if self.tls.deadline() > self.now {
                return;
            }
            self.tls.turn(Wake { now: self.now, ..Wake::default() }, &mut self.sides);
        }
        panic!("there is always something to do");
    }

    fn net_says(&mut self, event: &Event<'_>) {
        Peer::Is(0).encode(&mut self.batches[NET]);
        event.encode(&mut self.batches[NET]);
    }

    fn client_says(&mut self, command: &Command<'_>) {
        Peer::Is(0).encode(&mut self.batches[CLIENTS]);
        command.encode(&mut self.batches[CLIENTS]);
    }

    fn names_say(&mut self, event: &names::Event<'_>) {
        Peer::Is(0).encode(&mut self.batches[NAMES]);
        event.encode(&mut self.batches[NAMES]);
    }

    /// A client asks for a host; its name is found, and the network connects.
    fn dial(&mut self, name: &str) {
        self.client_says(&Command::Dial { ticket: TICKET, port: 443, name });
        self.turn();
        if let Some((ticket, _)) = self.sides.lookups.pop() {
            let found = ["::ffff:192.0.2.1".parse().unwrap()];
            self.names_say(&names::Event::Addresses { ticket, addresses: found[..].into() });
            self.turn();
        }
        let (ticket, _) = self.sides.connects.pop().expect("a connection is asked for");
        self.net_says(&Event::Connected { connection: NUMBER, ticket });
        self.turn();
    }

    /// ... and this server is at its other end.
    fn reach(&mut self, name: &str, server: ServerConfig) -> Server {
        self.reach_as(name, &Arc::new(server))
    }

    fn reach_as(&mut self, name: &str, server: &Arc<ServerConfig>) -> Server {
        self.dial(name);
        let mut server = Server::new(server);
        server.go(self);
        server
    }

    fn failed(&mut self) -> (Cause, String) {
        let (ticket, cause, _, why) = self.sides.failed.take().expect("it has failed");
        assert_eq!((ticket, &self.sides.connected[..]), (TICKET, &[][..]));
        (cause, why)
    }
}

struct Server {
    tls: ServerConnection,
    error: Option<rustls::Error>,
    got: Vec<u8>,
    is_over: bool,
    /// bytes of each record `data`
    piece: usize,
}

impl Server {
    fn new(config: &Arc<ServerConfig>) -> Self {
        let tls = ServerConnection::new(config.clone()).unwrap();
        Server { tls, error: None, got: Vec::new(), is_over: false, piece: 60_000 }
    }

    /// Passes bytes both ways until nobody has any.
    fn go(&mut self, world: &mut World) {
        loop {
            let sent = core::mem::take(&mut world.sides.out);
            world.net_says(&Event::Sent { connection: NUMBER, bytes: sent.len() as u32 });
            let mut rest = &sent[..];
            while !rest.is_empty() && self.error.is_none() && self.tls.read_tls(&mut rest).unwrap() > 0 {
                self.error = self.tls.process_new_packets().err();
                let mut part = [0; 4096];
                loop {
                    match self.tls.reader().read(&mut part) {
                        Ok(0) => break self.is_over = true,
                        Ok(length) => self.got.extend_from_slice(&part[..length]),
                        Err(_) => break,
                    }
                }
            }
            let mut bytes = Vec::new();
            while self.tls.wants_write() {
                self.tls.write_tls(&mut bytes).unwrap();
            }
            for piece in bytes.chunks(self.piece) {
                world.net_says(&Event::Data { connection: NUMBER, data: piece });
                world.turn();
            }
            world.turn();
            if bytes.is_empty() && world.sides.out.is_empty() {
                return;
            }
        }
    }

    fn write(&mut self, data: &[u8]) {
        self.tls.writer().write_all(data).unwrap();
    }
}

#[test]
fn both_versions_pass_data_both_ways() {
    let ca = Ca::new();
    for version in [&TLS13, &TLS12] {
        let mut world = World::new(&ca.pem());
        let mut server = world.reach("www.Example", ca.server(&["www.example"], &[version]));
        assert_eq!((server.error.clone(), world.sides.failed.clone()), (None, None));
        assert_eq!(world.sides.events, [format!("connected {TICKET}")]);
        assert_eq!(server.tls.protocol_version(), Some(version.version));
        assert_eq!(
            (server.tls.server_name(), server.tls.alpn_protocol()),
            (Some("www.example"), Some(&b"http/1.1"[..]))
        );
        let connection = world.sides.connected[0];
        let data: Vec<u8> = (0..60_000_u32).map(|n| n as u8).collect();
        world.client_says(&Command::Send { connection, data: &data });
        server.go(&mut world);
        assert!(server.got == data && world.sides.sent >= 60_000 - (16 << 10), "{}", world.sides.sent);
        server.write(&data);
        server.go(&mut world);
        assert!(world.sides.data == data && world.sides.credit >= 30_000, "{}", world.sides.credit);
        // to an end on both sides
        server.tls.send_close_notify();
        server.go(&mut world);
        assert!(world.sides.finished && world.sides.closed.is_none());
        world.client_says(&Command::Finish { connection });
        server.go(&mut world);
        assert_eq!((server.is_over, world.sides.net_finished, world.sides.closed.as_deref()), (true, true, Some("")));
    }
}

#[test]
fn every_suite_and_group_of_the_other_side_works() {
    let (ca, all) = (Ca::new(), ring::default_provider());
    for suite in all.cipher_suites.iter().copied().filter(|suite| !format!("{:?}", suite.suite()).contains("RSA")) {
        for group in all.kx_groups.iter().copied().filter(|group| group.name() != rustls::NamedGroup::secp384r1) {
            let mut provider = all.clone();
            (provider.cipher_suites, provider.kx_groups) = (vec![suite], vec![group]);
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
            let params = CertificateParams::new(vec!["a.example".into()]).unwrap();
            let chain = vec![params.signed_by(&key, &ca.0).unwrap().der().clone()];
            let builder = ServerConfig::builder_with_provider(Arc::new(provider));
            let builder = builder.with_protocol_versions(&[suite.version()]).unwrap().with_no_client_auth();
            let config = builder.with_single_cert(chain, key.serialize_der().try_into().unwrap()).unwrap();
            let mut world = World::new(&ca.pem());
            let mut server = world.reach("a.example", config);
            assert_eq!((server.error.clone(), world.sides.failed.clone()), (None, None), "{suite:?} {group:?}");
            server.write(b"pong");
            server.go(&mut world);
            assert_eq!(world.sides.data, b"pong", "{suite:?} {group:?}");
        }
    }
}

#[test]
fn keys_of_every_kind_are_believed() {
    let pem = include_str!("rsa.pem");
    let key = || PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    for version in [&TLS13, &TLS12] {
        let mut world = World::new(pem.split_once("-----BEGIN PRIVATE").unwrap().0);
        let server = world.reach("rsa.example", server_of(vec![certificate.clone()], key(), &[version]));
        assert_eq!((server.error.clone(), world.sides.failed.clone()), (None, None), "{version:?}");
        assert_eq!(world.sides.connected.len(), 1);
    }
    let ca = Ca::new();
    for kind in [&rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
        let key = KeyPair::generate_for(kind).unwrap();
        let certificate = CertificateParams::new(vec!["a.example".into()]).unwrap().signed_by(&key, &ca.0).unwrap();
        for version in [&TLS13, &TLS12] {
            let mut world = World::new(&ca.pem());
            let config =
                server_of(vec![certificate.der().clone()], key.serialize_der().try_into().unwrap(), &[version]);
            let server = world.reach("a.example", config);
            assert_eq!((server.error.clone(), world.sides.failed.clone()), (None, None), "{kind:?} {version:?}");
        }
    }
}

#[test]
fn certificates_that_are_not_right_are_refused() {
    let (ca, other, same) = (Ca::new(), Ca::named("other"), Ca::new());
    let old = |params: &mut CertificateParams| params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let new = |params: &mut CertificateParams| params.not_before = rcgen::date_time_ymd(2090, 1, 1);
    let is_ca = |params: &mut CertificateParams| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    type Make<'a> = &'a dyn Fn(&[&'static SupportedProtocolVersion]) -> ServerConfig;
    let cases: [(Make<'_>, &str); 6] = [
        (&|versions| ca.server(&["b.example", "c.example"], versions), "is not for a.example, but for: DnsName"),
        (&|versions| ca.server_with(&["a.example"], versions, old), "has expired"),
        (&|versions| ca.server_with(&["a.example"], versions, new), "is not valid yet"),
        (&|versions| other.server(&["a.example"], versions), "of an issuer that is not trusted"),
        (&|versions| same.server(&["a.example"], versions), "BadSignature"),
        (&|versions| ca.server_with(&["a.example"], versions, is_ca), "is not valid: "),
    ];
    for (make, expected) in cases {
        for version in [&TLS13, &TLS12] {
            let mut world = World::new(&ca.pem());
            let server = world.reach("a.example", make(&[version]));
            let (cause, why) = world.failed();
            assert!(cause == Cause::Certificate && why.contains(expected), "{why}");
            assert!(matches!(server.error, Some(rustls::Error::AlertReceived(_))), "{why}: {:?}", server.error);
            assert!(server.got.is_empty());
        }
    }
}

#[test]
fn hosts_that_are_not_named_are_held_against_well_known_roots() {
    let ca = Ca::new();
    let mut world = World::new(&ca.pem());
    world.reach("www.example.org", ca.server(&["www.example.org"], BOTH));
    assert_eq!(world.failed().0, Cause::Certificate);
}

#[test]
fn the_very_certificate_is_believed_whatever_is_in_it() {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let mut params = CertificateParams::new(vec!["elsewhere".into()]).unwrap();
    (params.is_ca, params.not_after) = (IsCa::Ca(BasicConstraints::Unconstrained), rcgen::date_time_ymd(2020, 1, 1));
    let certificate = params.self_signed(&key).unwrap();
    let server =
        |key: &KeyPair| server_of(vec![certificate.der().clone()], key.serialize_der().try_into().unwrap(), BOTH);
    let settings = [("trust.0.names", "192.0.2.9"), ("trust.0.roots", &certificate.pem())];
    for (name, is_it) in [("192.0.2.9", true), ("[::ffff:192.0.2.9]", true), ("192.0.2.8", false)] {
        let mut world = World::with(&settings, 14 << 20);
        world.reach(name, server(&key));
        assert_eq!(world.sides.connected.len(), usize::from(is_it), "{name}: {:?}", world.sides.failed);
    }
}

#[test]
fn an_address_is_believed_if_the_certificate_has_it() {
    let ca = Ca::new();
    // however it is written
    for (trusted, asked, has) in [
        ("2001:DB8:0:0::1", "[2001:db8::1]", "2001:db8::1"),
        ("::ffff:192.0.2.9", "192.0.2.9", "192.0.2.9"),
        ("192.0.2.9", "[::FFFF:c000:209]", "192.0.2.9"),
    ] {
        let mut world = World::with(&[("trust.0.names", trusted), ("trust.0.roots", &ca.pem())], 14 << 20);
        world.reach(asked, ca.server(&[has], BOTH));
        assert_eq!(world.sides.connected.len(), 1, "{asked}: {:?}", world.sides.failed);
    }
    for (has, is_it) in [("192.0.2.9", true), ("192.0.2.8", false), ("a.example", false)] {
        let mut world = World::with(&[("trust.0.names", "192.0.2.9"), ("trust.0.roots", &ca.pem())], 14 << 20);
        world.reach("192.0.2.9", ca.server(&[has], BOTH));
        assert_eq!((world.sides.connected.len(), world.sides.lookups.len()), (usize::from(is_it), 0));
        if !is_it {
            let (cause, why) = world.failed();
            assert!(cause == Cause::Certificate && why.contains("is not for this address"), "{why}");
        }
    }
}

#[test]
fn what_the_other_side_refuses_is_told() {
    let ca = Ca::new();
    let mut world = World::new(&ca.pem());
    let mut config = ca.server(&["a.example"], BOTH);
    config.alpn_protocols = vec![b"h3".to_vec()];
    world.reach("a.example", config);
    let (_, cause, alert, why) = world.sides.failed.take().unwrap();
    assert_eq!((cause, alert), (Cause::Alert, 120), "{why}");
    // of a version that is not offered
    let mut world =
        World::with(&[("trust.0.names", "a.example"), ("trust.0.roots", &ca.pem()), ("versions", "1.3")], 14 << 20);
    world.reach("a.example", ca.server(&["a.example"], &[&TLS12]));
    assert_eq!(world.failed().0, Cause::Alert);
}

/// RFC 8446, section 4.1.3: who could do better and does not is not believed.
#[test]
fn a_downgrade_is_noticed() {
    let ca = Ca::new();
    let mut world = World::new(&ca.pem());
    world.dial("a.example");
    let mut server = Server::new(&Arc::new(ca.server(&["a.example"], BOTH)));
    // somebody in between takes TLS 1.3 away: `supported_versions` becomes an extension that nobody knows
    let at = world.sides.out.windows(4).position(|bytes| bytes == [0, 43, 0, 5]).expect("the extension");
    world.sides.out[at..at + 2].copy_from_slice(&[0xfa, 0xfb]);
    server.go(&mut world);
    let (cause, why) = world.failed();
    assert!(cause == Cause::Security && why.contains("Downgrade"), "{why}");
}

#[test]
fn sessions_go_on() {
    let ca = Ca::new();
    for version in [&TLS13, &TLS12] {
        let mut world = World::new(&ca.pem());
        let mut config = ca.server(&["a.example", "b.example"], &[version]);
        config.ticketer = ring::Ticketer::new().unwrap();
        let config = Arc::new(config);
        for (name, kind) in [
            ("a.example", HandshakeKind::Full),
            ("a.example", HandshakeKind::Resumed),
            ("b.example", HandshakeKind::Full),
            ("a.example", HandshakeKind::Resumed),
        ] {
            let server = world.reach_as(name, &config);
            assert_eq!((server.tls.handshake_kind(), server.error.clone()), (Some(kind), None), "{name} {version:?}");
            world.net_says(&Event::Closed { connection: NUMBER, why: "over" });
            world.turn();
            world.sides = Sides::default();
        }
    }
}

#[test]
fn any_pieces_will_do() {
    let ca = Ca::new();
    let config = Arc::new(ca.server(&["a.example"], BOTH));
    for piece in [1, 3, 5, 100, 1460] {
        let mut world = World::new(&ca.pem());
        world.dial("a.example");
        let mut server = Server::new(&config);
        server.piece = piece;
        server.go(&mut world);
        server.write(&[b'x'; 5_000]);
        server.go(&mut world);
        assert_eq!((server.error.clone(), world.sides.data.len()), (None, 5_000), "pieces of {piece}");
    }
}

#[test]
fn nothing_passes_beyond_the_credit() {
    let ca = Ca::new();
    let mut world = World::new(&ca.pem());
    let mut server = world.reach("a.example", ca.server(&["a.example"], BOTH));
    let connection = world.sides.connected[0];
    server.write(&vec![b'y'; 64 << 10]);
    server.go(&mut world);
    server.write(&vec![b'y'; 60 << 10]);
    server.go(&mut world);
    assert!(world.sides.data.len() <= 64 << 10, "{}", world.sides.data.len());
    world.client_says(&Command::Credit { connection, bytes: 60 << 10 });
    server.go(&mut world);
    assert_eq!(world.sides.data.len(), 124 << 10);
    world.client_says(&Command::Send { connection, data: &vec![b'z'; 65_536] });
    world.client_says(&Command::Send { connection, data: &vec![b'z'; 65_536] });
    world.turn();
    assert!(world.sides.closed.as_deref().is_some_and(|why| why.contains("than there was credit")));
}

#[test]
fn names_that_lead_nowhere_and_networks_that_fail_are_told() {
    let ca = Ca::new();
    let mut world = World::new(&ca.pem());
    for name in ["", "a b", "*.example", "a..b", &"x".repeat(300)] {
        world.client_says(&Command::Dial { ticket: TICKET, port: 443, name });
        world.turn();
        assert_eq!((world.failed().0, world.sides.lookups.len()), (Cause::Name, 0), "{name}");
    }
    world.client_says(&Command::Dial { ticket: TICKET, port: 443, name: "a.example." });
    world.turn();
    let (ticket, name) = world.sides.lookups.pop().unwrap();
    assert_eq!(name, "a.example");
    world.names_say(&names::Event::Failed { ticket, why: "no such name" });
    world.turn();
    assert_eq!(world.failed(), (Cause::Name, "no such name".into()));
    world.client_says(&Command::Dial { ticket: TICKET, port: 443, name: "192.0.2.1" });
    world.turn();
    let (ticket, to) = world.sides.connects.pop().unwrap();
    assert_eq!((to.address.to_string().as_str(), to.port), ("::ffff:192.0.2.1", 443));
    world.net_says(&Event::Refused { id: ticket, why: "nobody listens" });
    world.turn();
    assert_eq!(world.failed(), (Cause::Unreachable, "nobody listens".into()));
    // what was to be looked up, or to be connected, is lost with whoever was to do it, if there is no other
    for (place, name) in [(NAMES, "a.example"), (NET, "192.0.2.1")] {
        world.client_says(&Command::Dial { ticket: TICKET, port: 443, name });
        world.turn();
        Peer::Detach(0, b"crashed").encode(&mut world.batches[place]);
        world.turn();
        assert!(matches!(world.failed().0, Cause::Name | Cause::Unreachable));
        world.client_says(&Command::Dial { ticket: TICKET, port: 443, name });
        world.turn();
        assert!(matches!(world.failed().0, Cause::Name | Cause::Unreachable));
    }
}

#[test]
fn without_the_time_nobody_is_believed() {
    let ca = Ca::new();
    let mut world = World::new(&ca.pem());
    world.clock.0.store(0, Relaxed);
    world.dial("a.example");
    let (cause, why) = world.failed();
    assert!(cause == Cause::Security && why.contains("does not know the time"), "{why}");
    assert_eq!(world.sides.aborted, [NUMBER]);
}

#[test]
fn what_takes_too_long_is_given_up() {
    let ca = Ca::new();
    let mut world = World::new(&ca.pem());
    for steps in 0..3 {
        world.client_says(&Command::Dial { ticket: TICKET, port: 443, name: "a.example" });
        world.turn();
        let (ticket, _) = world.sides.lookups.pop().unwrap();
        if steps > 0 {
            let found = ["::ffff:192.0.2.1".parse().unwrap()];
            world.names_say(&names::Event::Addresses { ticket, addresses: found[..].into() });
            world.turn();
        }
        if steps > 1 {
            let (ticket, _) = world.sides.connects.pop().unwrap();
            world.net_says(&Event::Connected { connection: NUMBER, ticket });
            world.turn();
        }
        world.now += 11 * SECOND;
        world.turn();
        assert_eq!(world.failed().0, Cause::Timeout, "{steps}");
        assert_eq!(world.sides.aborted.len(), usize::from(steps > 1), "{steps}");
        if let Some((ticket, _)) = world.sides.connects.pop() {
            // it comes after all
            world.net_says(&Event::Connected { connection: NUMBER, ticket });
            world.turn();
            assert_eq!(world.sides.aborted.pop(), Some(NUMBER));
        }
    }
}

#[test]
fn what_is_cut_short_is_told() {
    let ca = Ca::new();
    for is_open in [false, true] {
        let mut world = World::new(&ca.pem());
        if is_open {
            world.reach("a.example", ca.server(&["a.example"], BOTH));
        } else {
            world.dial("a.example");
        }
        world.net_says(&Event::Finished { connection: NUMBER });
        world.turn();
        assert_eq!(world.sides.aborted, [NUMBER]);
        let told = if is_open { world.sides.closed.take() } else { Some(world.failed().1) };
        assert_eq!(told.as_deref(), Some("the other side broke off"));
    }
}

#[test]
fn a_client_that_is_gone_leaves_nothing() {
    let ca = Ca::new();
    for steps in 0..3 {
        let mut world = World::new(&ca.pem());
        match steps {
            0 => world.client_says(&Command::Dial { ticket: TICKET, port: 443, name: "192.0.2.1" }),
            1 => world.dial("a.example"),
            _ => drop(world.reach("a.example", ca.server(&["a.example"], BOTH))),
        }
        world.turn();
        Peer::Detach(0, b"").encode(&mut world.batches[CLIENTS]);
        world.turn();
        if steps == 0 {
            let (ticket, _) = world.sides.connects.pop().unwrap();
            world.net_says(&Event::Connected { connection: NUMBER, ticket });
            world.turn();
        }
        assert_eq!((&world.sides.aborted[..], world.sides.failed.take()), (&[NUMBER][..], None), "{steps}");
    }
}

#[test]
fn one_box_cannot_have_all_connections() {
    let mut world = World::with(&[("connections", "64")], 14 << 20);
    Peer::Attach(1, &[]).encode(&mut world.batches[CLIENTS]);
    world.turn();
    let mut failed = 0;
    for ticket in 0..100 {
        world.client_says(&Command::Dial { ticket, port: 443, name: "192.0.2.1" });
        world.turn();
        failed += usize::from(world.sides.failed.take().is_some_and(|failed| failed.1 == Cause::Busy));
    }
    assert_eq!((failed, world.sides.connects.len()), (68, 32));
    Peer::Is(1).encode(&mut world.batches[CLIENTS]);
    Command::Dial { ticket: 1, port: 443, name: "192.0.2.1" }.encode(&mut world.batches[CLIENTS]);
    world.turn();
    assert_eq!((world.sides.failed.take(), world.sides.connects.len()), (None, 33), "another box has its own");
}

/// A connection that waits for its answer looks idle: only the box that asked knows which it can do without.
#[test]
fn a_box_that_has_many_connections_loses_none_by_asking_for_another() {
    let mut world = World::with(&[("connections", "64")], 14 << 20);
    for number in 1..=32 {
        world.client_says(&Command::Dial { ticket: number, port: 443, name: "192.0.2.1" });
        world.turn();
        let (ticket, _) = world.sides.connects.pop().expect("a connection is asked for");
        world.net_says(&Event::Connected { connection: number, ticket });
        world.turn();
    }
    world.client_says(&Command::Dial { ticket: 33, port: 443, name: "192.0.2.1" });
    world.turn();
    assert!(world.sides.aborted.is_empty(), "{:?}", world.sides.aborted);
    assert!(world.sides.failed.take().is_some_and(|(ticket, cause, ..)| (ticket, cause) == (33, Cause::Busy)));
}

#[test]
fn connections_that_are_being_made_have_places_too() {
    let mut world = World::with(&[("connections", "64")], 14 << 20);
    Peer::Attach(1, &[]).encode(&mut world.batches[CLIENTS]);
    for ticket in 0..64 {
        Peer::Is(ticket % 2).encode(&mut world.batches[CLIENTS]);
        Command::Dial { ticket, port: 443, name: "192.0.2.1" }.encode(&mut world.batches[CLIENTS]);
        world.turn();
    }
    assert_eq!((world.sides.failed.take(), world.sides.connects.len()), (None, 64));
    let remote = Endpoint { address: "::ffff:192.0.2.9".parse().unwrap(), port: 50_000 };
    world.net_says(&Event::Accepted { connection: NUMBER, remote, port: 443, secured: None });
    world.turn();
    assert_eq!(world.sides.aborted, [NUMBER]);
}

/// Another version of the network takes the place of one that was asked: that one still answers, or the other is asked.
#[test]
fn at_a_swap_of_the_network_no_dial_fails() {
    let ca = Ca::new();
    for (place, name) in [(NAMES, "a.example"), (NET, "192.0.2.1")] {
        let mut world = World::new(&ca.pem());
        world.client_says(&Command::Dial { ticket: TICKET, port: 443, name });
        world.turn();
        let asked = |world: &mut World| {
            let sides = &mut world.sides;
            (sides.lookups.drain(..).count() + sides.connects.drain(..).count(), sides.failed.take())
        };
        assert_eq!(asked(&mut world), (1, None));
        Peer::Attach(1, &[]).encode(&mut world.batches[place]);
        Peer::Retire(0).encode(&mut world.batches[place]);
        world.turn();
        assert_eq!(asked(&mut world), (0, None), "{name}: it is waited for");
        assert!(!world.sides.events.iter().any(|event| event.contains("let go")), "{:?}", world.sides.events);
        Peer::Detach(0, b"it has ended").encode(&mut world.batches[place]);
        world.turn();
        assert_eq!(asked(&mut world), (1, None), "{name}: the other is asked");
    }
}

#[test]
fn at_a_swap_what_is_open_goes_on() {
    let ca = Ca::new();
    let mut world = World::new(&ca.pem());
    let mut server = world.reach("a.example", ca.server(&["a.example"], BOTH));
    world.tls.retire(world.now);
    for batch in [NET, CLIENTS, NAMES] {
        Peer::Retire(0).encode(&mut world.batches[batch]);
    }
    world.turn();
    // the answer may take its time
    world.now += 30 * SECOND;
    world.turn();
    assert!(!world.sides.finished);
    server.write(b"still here");
    server.go(&mut world);
    assert_eq!((&world.sides.data[..], world.tls.is_done()), (&b"still here"[..], false));
    let connection = world.sides.connected[0];
    server.tls.send_close_notify();
    server.go(&mut world);
    world.client_says(&Command::Finish { connection });
    server.go(&mut world);
    world.net_says(&Event::Closed { connection: NUMBER, why: "" });
    world.turn();
    world.now += SECOND;
    world.turn();
    let let_go = world.sides.events.iter().filter(|event| event.contains("let go")).count();
    assert_eq!(let_go, 3, "{:?}", world.sides.events);
}

/// Whatever comes in place of what a server says, the client is told that it has failed, once, and the box goes on.
#[test]
fn hostile_servers_harm_nobody() {
    let ca = Ca::new();
    let config = Arc::new(ca.server(&["a.example"], BOTH));
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |most: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % most.max(1) as u64) as usize
    };
    let mut world = World::new(&ca.pem());
    let mut counts = [0; 2];
    for round in 0..1_500 {
        world.sides = Sides::default();
        world.dial("a.example");
        let mut server = Server::new(&config);
        let mut hello = &world.sides.out[..];
        server.tls.read_tls(&mut hello).unwrap();
        let _ = server.tls.process_new_packets();
        let mut bytes = Vec::new();
        server.tls.write_tls(&mut bytes).unwrap();
        match random(5) {
            0 => {
                let at = random(bytes.len());
                bytes[at] ^= 1 << random(8);
            }
            1 => bytes.truncate(random(bytes.len())),
            2 => {
                let (from, length) = (random(bytes.len()), random(40));
                bytes.splice(from..from, (0..length).map(|_| random(256) as u8).collect::<Vec<_>>());
            }
            3 => {
                let (kind, length) = (20 + random(6) as u8, random(200));
                let record = [&[kind, 3, 3, 0, length as u8][..], &vec![random(256) as u8; length]].concat();
                bytes.splice(0..0, record);
            }
            _ => bytes.rotate_left(random(200)),
        }
        for piece in bytes.chunks(1 + random(3_000)) {
            world.net_says(&Event::Data { connection: NUMBER, data: piece });
            world.turn();
        }
        world.net_says(&Event::Closed { connection: NUMBER, why: "reset" });
        world.turn();
        let (is_open, has_failed) = (!world.sides.connected.is_empty(), world.sides.failed.is_some());
        assert!(is_open || has_failed, "round {round}: nobody was told");
        counts[usize::from(is_open)] += 1;
    }
    assert!(counts[0] > 1_000, "{counts:?}");
    world.sides = Sides::default();
    world.reach_as("a.example", &config);
    assert_eq!(world.sides.connected.len(), 1);
}
