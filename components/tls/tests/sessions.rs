//! Handshakes with another implementation, what passes, and how connections end.

mod common;

use common::{Client, PORT, SECOND, World, client_config, config_for, config_of, keys};
use pearwood_tls::To;
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, ClientConfig, HandshakeKind, NamedGroup, SignatureScheme, SupportedProtocolVersion};
use std::sync::Arc;
use wit::Peer;
use wit::tcp::{Command, Event};

const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

fn established(world: &mut World, versions: &[&'static SupportedProtocolVersion]) -> Client {
    let config = client_config(world, &["localhost"], versions);
    let mut client = Client::new(world, 7, &config, "localhost");
    client.go(world);
    assert_eq!(client.error, None);
    assert!(!client.tls.is_handshaking());
    client
}

#[test]
fn both_versions_pass_data_both_ways() {
    for version in [&TLS13, &TLS12] {
        let mut world = World::new(&[]);
        let mut client = established(&mut world, &[version]);
        assert_eq!(client.tls.protocol_version(), Some(version.version));
        let number = world.last_number();
        assert_eq!((world.last().name.as_str(), world.last().protocol.as_str()), ("localhost", "h2"));
        client.write(b"GET / HTTP/1.1\r\n\r\n");
        client.go(&mut world);
        assert_eq!(world.last().data, b"GET / HTTP/1.1\r\n\r\n");
        let answer: Vec<u8> = (0..60_000_u32).map(|n| n as u8).collect();
        world.client_says(&Command::Send { connection: number, data: &answer });
        client.go(&mut world);
        assert_eq!(client.read(), (answer, false));
        assert!(world.last().sent >= 60_000 - (16 << 10), "credit comes back");
    }
}

#[test]
fn every_suite_and_group_of_the_other_side_works() {
    let all = rustls::crypto::ring::default_provider();
    let ecdsa = |suite: CipherSuite| !format!("{suite:?}").contains("RSA");
    let suites: Vec<_> = all.cipher_suites.iter().copied().filter(|suite| ecdsa(suite.suite())).collect();
    assert_eq!(suites.len(), 6);
    for suite in suites {
        for group in all.kx_groups.iter().copied().filter(|group| group.name() != NamedGroup::secp384r1) {
            let mut world = World::new(&[]);
            let mut provider = all.clone();
            (provider.cipher_suites, provider.kx_groups) = (vec![suite], vec![group]);
            let config = config_of(provider, &world, &["localhost"], &[suite.version()]);
            let mut client = Client::new(&mut world, 1, &config, "localhost");
            client.go(&mut world);
            assert_eq!(client.error, None, "{suite:?} {group:?}");
            client.write(b"ping");
            client.go(&mut world);
            assert_eq!(world.last().data, b"ping", "{suite:?} {group:?}");
            let number = world.last_number();
            world.client_says(&Command::Send { connection: number, data: b"pong" });
            client.go(&mut world);
            assert_eq!(client.read().0, b"pong", "{suite:?} {group:?}");
        }
    }
}

#[test]
fn any_pieces_will_do() {
    for piece in [1, 2, 5, 6, 100, 1460] {
        let mut world = World::new(&[]);
        let config = client_config(&world, &["localhost"], BOTH);
        let mut client = Client::new(&mut world, 7, &config, "localhost");
        client.piece = piece;
        client.go(&mut world);
        client.write(&[b'x'; 5_000]);
        client.go(&mut world);
        assert_eq!((client.error.clone(), world.last().data.len()), (None, 5_000), "pieces of {piece}");
    }
}

#[test]
fn a_session_goes_on_also_with_another_instance() {
    for version in [&TLS13, &TLS12] {
        let mut world = World::new(&[]);
        let config = client_config(&world, &["localhost"], &[version]);
        let kinds = [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed];
        for (number, kind) in (0..).zip(kinds) {
            if number == 2 {
                let state = world.tls.retire(world.now);
                let keys = world.keys.clone();
                let now = world.now;
                world = World::with(&[], 14 << 20, keys);
                world.now = now;
                world.tls.inherit(world.now, &state).unwrap();
            }
            world.now += 3600 * SECOND;
            let mut client = Client::new(&mut world, number, &config, "localhost");
            client.go(&mut world);
            assert_eq!((client.error.clone(), client.tls.handshake_kind()), (None, Some(kind)), "{version:?}");
            assert_eq!(world.last().name, "localhost");
        }
        world.now += 24 * 3600 * SECOND;
        let mut client = Client::new(&mut world, 3, &config, "localhost");
        client.go(&mut world);
        assert_eq!(client.tls.handshake_kind(), Some(HandshakeKind::Full), "tickets do not last for ever");
    }
}

#[test]
fn each_name_has_its_certificate() {
    let settings = [
        ("certificates.0.names", "one.example"),
        ("certificates.1.names.0", "*.two.example"),
        ("certificates.1.names.1", "two.example"),
        ("certificates.1.key", "other"),
    ];
    let mut world = World::with(&settings, 14 << 20, keys(&[("keys.default", "new"), ("keys.other", "new")]));
    let one = client_config(&world, &["one.example"], BOTH);
    let mut number = 0;
    let mut works = |config: &Arc<ClientConfig>, name: &str| {
        number += 1;
        let mut client = Client::new(&mut world, number, config, name);
        client.go(&mut world);
        client.error.is_none() && !client.tls.is_handshaking()
    };
    assert!(works(&one, "one.example"));
    // of another key
    assert!(!works(&one, "www.two.example") && !works(&one, "two.example"));
    // the first for all others, which the client does not take
    assert!(!works(&one, "three.example"));
}

/// A client gets the certificate whose key it can verify: of Ed25519 where it offers that, or else of ECDSA.
#[test]
fn a_name_may_have_keys_of_two_algorithms() {
    let settings = [
        ("certificates.0.names", "localhost"),
        ("certificates.0.key", "edwards"),
        ("certificates.1.names", "localhost"),
        ("certificates.2.names", "edwards.example"),
        ("certificates.2.key", "edwards"),
    ];
    let keys = keys(&[("keys.default", "new"), ("keys.edwards", "new-ed25519")]);
    let mut world = World::with(&settings, 14 << 20, keys);
    let with = |world: &World, key: &str, name: &str, offers: bool, version| {
        let mut provider = rustls::crypto::ring::default_provider();
        if !offers {
            let is_other = |(scheme, _): &&(SignatureScheme, _)| *scheme != SignatureScheme::ED25519;
            let mapping: Vec<_> =
                provider.signature_verification_algorithms.mapping.iter().filter(is_other).copied().collect();
            provider.signature_verification_algorithms.mapping = mapping.leak();
        }
        config_for(provider, world, (key, &[name]), &[version])
    };
    let mut number = 0;
    for version in [&TLS13, &TLS12] {
        // and so does one that asks for no name
        for (offers, key, names) in
            [(true, "edwards", true), (false, "default", true), (true, "edwards", false), (false, "default", false)]
        {
            let mut config = (*with(&world, key, "localhost", offers, version)).clone();
            config.enable_sni = names;
            let config = Arc::new(config);
            number += 1;
            let mut client = Client::new(&mut world, number, &config, "localhost");
            client.go(&mut world);
            assert_eq!((client.error.clone(), client.tls.is_handshaking()), (None, false), "{version:?} {key}");
            assert_eq!(world.last().covers, "localhost");
            let shown = client.tls.peer_certificates().unwrap()[0].to_vec();
            assert_eq!(vec![shown], world.keys.certificate(key, &["localhost".into()]).unwrap(), "{version:?}");
        }
        // where there is no other, whoever does not take it gets none
        number += 1;
        let config = with(&world, "edwards", "edwards.example", false, version);
        let mut client = Client::new(&mut world, number, &config, "edwards.example");
        client.go(&mut world);
        assert!(client.tls.is_handshaking(), "{version:?}");
    }
}

#[test]
fn a_chain_has_to_be_of_its_key() {
    let of = |keys: &Arc<dyn pearwood_tls::Keys>| {
        let der = keys.certificate("default", &["a.example".into()]).unwrap().remove(0);
        use std::fmt::Write;
        let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
        for line in base64(&der).as_bytes().chunks(64) {
            writeln!(pem, "{}", str::from_utf8(line).unwrap()).unwrap();
        }
        pem + "-----END CERTIFICATE-----\n"
    };
    let (own, others) = (keys(&[]), keys(&[]));
    let make = |chain: &str| {
        let settings = [("certificates.0.names", "a.example"), ("certificates.0.chain", chain)];
        let config = pearwood_tls::Config::read(settings).unwrap();
        pearwood_tls::Tls::new(config, 14 << 20, &common::Machine, &own, Arc::new(common::WallClock::default())).err()
    };
    assert_eq!(make(&of(&own)), None);
    let error = make(&of(&others)).unwrap();
    assert!(error.contains("a.example, key `default`: the certificate is not of this key"), "{error}");
}

/// What a certificate authority has signed meanwhile is shown from the next handshake on; connections that are open do not notice.
#[test]
fn another_certificate_takes_its_place_at_once() {
    let held = common::keys_box(&[]);
    let mut world = World::with(&[("certificates.0.names", "a.example")], 14 << 20, held.clone());
    let config = client_config(&world, &["a.example"], BOTH);
    let mut open = Client::new(&mut world, 1, &config, "a.example");
    open.go(&mut world);
    let names = ["a.example".to_string(), "more.example".into()];
    let chain = held.0.lock().unwrap().certificate("default", &names, None).unwrap();
    let shown = |client: &Client| client.tls.peer_certificates().map(|shown| shown[0].to_vec());
    assert!(shown(&open).is_some_and(|shown| shown != chain[0]));
    held.0.lock().unwrap().store("default", chain.clone(), &mut common::random).unwrap();
    let config = client_config(&world, &["a.example", "more.example"], BOTH);
    let mut next = Client::new(&mut world, 2, &config, "a.example");
    next.go(&mut world);
    assert_eq!((next.error.clone(), shown(&next)), (None, Some(chain[0].clone())));
    open.write(b"still here");
    open.go(&mut world);
    assert!(world.sides.heard.values().any(|heard| heard.data == b"still here"));
}

/// What a certificate authority has signed is told without a client that asks for it.
#[test]
fn a_certificate_that_nobody_visits_is_told_anew() {
    let held = common::keys_box(&[]);
    let mut world = World::with(&[("certificates.0.names", "a.example")], 14 << 20, held.clone());
    world.tls.reports();
    world.turn();
    let of_certificate = |world: &mut World| {
        let reported = core::mem::take(&mut world.sides.reported);
        reported.iter().filter(|figure| figure.name == "certificate-expires").count()
    };
    assert_eq!(of_certificate(&mut world), 1);
    let minute = |world: &mut World| {
        assert!(world.tls.deadline() <= world.now + 60 * SECOND);
        world.now += 60 * SECOND;
        world.turn();
        of_certificate(world)
    };
    assert_eq!(minute(&mut world), 0, "nothing has changed");
    let chain = held.0.lock().unwrap().certificate("default", &["a.example".into(), "b.example".into()], None).unwrap();
    held.0.lock().unwrap().store("default", chain, &mut common::random).unwrap();
    assert_eq!(minute(&mut world), 1);
    assert_eq!(minute(&mut world), 0);
}

/// The keys may have what is no certificate any more, or none: what was shown before still is.
#[test]
fn where_there_is_no_other_certificate_the_one_of_before_stays() {
    struct Changing(Arc<common::KeysBox>, std::sync::atomic::AtomicU64);
    impl pearwood_tls::Keys for Changing {
        fn public_key(&self, key: &str) -> Result<Vec<u8>, String> {
            self.0.public_key(key)
        }
        fn version(&self) -> u64 {
            self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
        }
        fn certificate(&self, key: &str, names: &[String]) -> Result<Vec<Vec<u8>>, String> {
            match self.1.load(std::sync::atomic::Ordering::Relaxed) {
                1 => self.0.certificate(key, names),
                2 => Ok(vec![]),
                3 => Ok(vec![b"no certificate".to_vec()]),
                _ => Err("there is none".into()),
            }
        }
        fn prove(&self, name: &str) -> Option<(String, Vec<u8>)> {
            self.0.prove(name)
        }
        fn sign(&self, key: &str, message: &[u8]) -> Result<Vec<u8>, String> {
            self.0.sign(key, message)
        }
    }
    let held = common::keys_box(&[]);
    let config = client_config(&World::with(&[], 14 << 20, held.clone()), &["localhost"], BOTH);
    let mut world = World::with(&[], 14 << 20, Arc::new(Changing(held, 0.into())));
    for number in 1..5 {
        // another one each time, so that no session is gone on with
        let mut config = (*config).clone();
        config.resumption = rustls::client::Resumption::disabled();
        let config = Arc::new(config);
        let mut client = Client::new(&mut world, number, &config, "localhost");
        client.go(&mut world);
        assert!(client.error.is_none() && !client.tls.is_handshaking(), "{number}: {:?}", client.error);
    }
}

/// A change that could not be taken over is taken over later, and only that of the certificate that a client asks for.
#[test]
fn a_certificate_that_was_missed_is_taken_at_the_next_handshake() {
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    struct Failing(Arc<common::KeysBox>, AtomicBool, std::sync::Mutex<Vec<String>>);
    impl pearwood_tls::Keys for Failing {
        fn public_key(&self, key: &str) -> Result<Vec<u8>, String> {
            self.0.public_key(key)
        }
        fn version(&self) -> u64 {
            self.0.version()
        }
        fn certificate(&self, key: &str, names: &[String]) -> Result<Vec<Vec<u8>>, String> {
            self.2.lock().unwrap().push(names.concat());
            if self.1.load(Relaxed) { Err("the box is started again".into()) } else { self.0.certificate(key, names) }
        }
        fn prove(&self, name: &str) -> Option<(String, Vec<u8>)> {
            self.0.prove(name)
        }
        fn sign(&self, key: &str, message: &[u8]) -> Result<Vec<u8>, String> {
            self.0.sign(key, message)
        }
    }
    let held = common::keys_box(&[]);
    let failing = Arc::new(Failing(held.clone(), false.into(), Vec::new().into()));
    let settings = [("certificates.0.names", "a.example"), ("certificates.1.names", "b.example")];
    let mut world = World::with(&settings, 14 << 20, failing.clone());
    let names = ["a.example".to_string(), "more.example".into()];
    let chain = held.0.lock().unwrap().certificate("default", &names, None).unwrap();
    let configs = [&["a.example"][..], &["a.example", "more.example"]].map(|names| client_config(&world, names, BOTH));
    held.0.lock().unwrap().store("default", chain.clone(), &mut common::random).unwrap();
    failing.2.lock().unwrap().clear();
    for (number, (fails, config)) in
        [true, false, false].into_iter().zip([&configs[0], &configs[1], &configs[1]]).enumerate()
    {
        failing.1.store(fails, Relaxed);
        let mut config = (**config).clone();
        config.resumption = rustls::client::Resumption::disabled();
        let mut client = Client::new(&mut world, number as u32 + 1, &Arc::new(config), "a.example");
        client.go(&mut world);
        assert!(client.error.is_none() && !client.tls.is_handshaking(), "{number}: {:?}", client.error);
        let shown = client.tls.peer_certificates().map(|shown| shown[0].to_vec());
        assert_eq!(shown == Some(chain[0].clone()), !fails, "{number}");
    }
    assert_eq!(*failing.2.lock().unwrap(), ["a.example", "a.example"]);
}

/// A certificate authority that asks for a proof (RFC 8737) gets that, and nothing behind this box hears of it.
#[test]
fn an_authority_gets_its_proof_and_nothing_else() {
    let held = common::keys_box(&[("keys.default", "new"), ("keys.other", "new")]);
    let mut world = World::with(&[("certificates.0.names", "a.example")], 14 << 20, held.clone());
    let mut config = (*client_config(&world, &["a.example"], BOTH)).clone();
    config.dangerous().set_certificate_verifier(Arc::new(AnyCertificate));
    let with = |protocols: &[&[u8]]| {
        let mut config = config.clone();
        config.resumption = rustls::client::Resumption::disabled();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Arc::new(config)
    };
    let mut number = 0;
    let mut shown = |world: &mut World, protocols: &[&[u8]], name: &str| {
        number += 1;
        let mut client = Client::new(world, number, &with(protocols), name);
        client.go(world);
        let is_over = client.tls.is_handshaking() || client.read().1;
        (client.tls.peer_certificates().map(|shown| shown[0].to_vec()), is_over)
    };
    const PROOF: &[u8] = b"acme-tls/1";
    assert_eq!(shown(&mut world, &[PROOF], "a.example"), (None, true));
    held.0.lock().unwrap().challenge("other", "a.example", Some(&[5; 32])).unwrap();
    let proof = held.0.lock().unwrap().prove("a.example").unwrap().1;
    assert_eq!(shown(&mut world, &[PROOF], "a.example"), (Some(proof.clone()), true));
    assert_eq!(shown(&mut world, &[PROOF], "b.example"), (None, true));
    assert!(world.sides.accepted.is_empty());
    let (usual, is_over) = shown(&mut world, &[PROOF, b"http/1.1"], "a.example");
    assert!(usual.is_some_and(|usual| usual != proof) && !is_over);
    assert_eq!((world.sides.accepted.len(), &world.last().protocol[..]), (1, "http/1.1"));
}

/// Who looks at a certificate later.
#[derive(Debug)]
struct AnyCertificate;

impl rustls::client::danger::ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        vec![rustls::SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for part in bytes.chunks(3) {
        let bits = part.iter().fold(0, |bits, byte| bits << 8 | usize::from(*byte)) << (8 * (3 - part.len()));
        for digit in 0..4 {
            let is_there = digit <= part.len();
            text.push(if is_there { DIGITS[bits >> (18 - 6 * digit) & 63].into() } else { '=' });
        }
    }
    text
}

#[test]
fn a_client_that_ends_is_told_of_as_such() {
    let mut world = World::new(&[]);
    let mut client = established(&mut world, BOTH);
    let number = world.last_number();
    client.write(b"last words");
    client.tls.send_close_notify();
    client.go(&mut world);
    assert_eq!((world.last().data.as_slice(), world.last().finished), (&b"last words"[..], true));
    // it may still be answered
    world.client_says(&Command::Send { connection: number, data: b"farewell" });
    world.client_says(&Command::Finish { connection: number });
    client.go(&mut world);
    assert_eq!(client.read(), (b"farewell".to_vec(), true));
    assert_eq!(world.last().closed.as_deref(), Some(""));
    assert!(world.sides.told[&7].finished && !world.sides.told[&7].aborted);
    // and the network gets the time to forget it
    world.now += 6 * SECOND;
    world.turn();
    assert!(world.sides.told[&7].aborted);
}

#[test]
fn a_box_that_ends_first_gets_what_comes_after() {
    let mut world = World::new(&[]);
    let mut client = established(&mut world, BOTH);
    let number = world.last_number();
    world.client_says(&Command::Send { connection: number, data: b"that is all" });
    world.client_says(&Command::Finish { connection: number });
    client.go(&mut world);
    assert_eq!(client.read(), (b"that is all".to_vec(), true));
    assert_eq!((world.last().closed.clone(), world.sides.told[&7].finished), (None, true));
    client.write(b"thanks");
    client.go(&mut world);
    assert_eq!(world.last().data, b"thanks");
    client.tls.send_close_notify();
    client.go(&mut world);
    world.net_says(&Event::Finished { connection: 7 });
    world.net_says(&Event::Closed { connection: 7, why: "" });
    world.turn();
    assert!(world.last().finished);
    assert_eq!(world.last().closed.as_deref(), Some(""));
}

/// An end that nobody has vouched for.
#[test]
fn what_is_cut_short_is_no_end() {
    let mut world = World::new(&[]);
    let mut client = established(&mut world, BOTH);
    client.write(b"half of a reque");
    client.go(&mut world);
    world.net_says(&Event::Finished { connection: 7 });
    world.turn();
    assert_eq!((world.last().finished, world.last().closed.as_deref()), (false, Some("the other side broke off")));
    assert!(world.sides.told[&7].aborted);
}

#[test]
fn resets_pass_both_ways() {
    let mut world = World::new(&[]);
    established(&mut world, BOTH);
    world.net_says(&Event::Closed { connection: 7, why: "reset" });
    world.turn();
    assert_eq!(world.last().closed.as_deref(), Some("reset"));
    established(&mut world, BOTH);
    let number = world.last_number();
    world.client_says(&Command::Abort { connection: number });
    world.turn();
    assert!(world.sides.told[&7].aborted);
}

#[test]
fn a_box_that_takes_nothing_makes_the_sender_wait() {
    let mut world = World::new(&[]);
    let mut client = established(&mut world, BOTH);
    let number = world.last_number();
    client.tls.set_buffer_limit(None);
    let data: Vec<u8> = (0..150_000_u32).map(|n| (n / 7) as u8).collect();
    client.write(&data);
    let mut encrypted = Vec::new();
    while client.tls.wants_write() {
        client.tls.write_tls(&mut encrypted).unwrap();
    }
    let mut rest = &encrypted[..];
    let mut given = 0;
    loop {
        let credit = 65_536 + world.sides.told.get(&7).map_or(0, |told| told.credit);
        let length = rest.len().min((credit - given) as usize);
        if length > 0 {
            let (now, later) = rest.split_at(length);
            world.net_says(&Event::Data { connection: 7, data: now });
            (rest, given) = (later, given + length as u64);
        } else {
            let held = world.last().data.len();
            if held == data.len() {
                break;
            }
            assert!(held <= 65_536 || held as u64 <= 65_536 + world.last().sent + 150_000);
            world.client_says(&Command::Credit { connection: number, bytes: 16 << 10 });
        }
        world.turn();
        if given < 100_000 && world.sides.told[&7].credit == 0 {
            assert!(world.last().data.len() <= 65_536, "no more than there is credit for");
        }
    }
    assert_eq!(world.last().data, data);
}

#[test]
fn a_network_that_takes_nothing_makes_the_box_wait() {
    let mut world = World::new(&[]);
    let mut client = established(&mut world, BOTH);
    let number = world.last_number();
    let data: Vec<u8> = (0..65_536_u32).map(|n| (n / 3) as u8).collect();
    world.client_says(&Command::Send { connection: number, data: &data });
    // `Sent` is not told until the client has read: the network has a window's worth
    world.turn();
    let before = world.sides.told[&7].data.len();
    assert!(before <= 65_536, "{before} bytes without credit");
    // a box that sends more than it may is cut off
    world.client_says(&Command::Send { connection: number, data: &[0; 65_536] });
    world.turn();
    assert_eq!(world.last().closed.as_deref(), Some("more was sent than there was credit for"));
    client.go(&mut world);
    assert!(data.starts_with(&client.read().0));
}

#[test]
fn all_comes_when_the_network_takes_it_slowly() {
    let mut world = World::new(&[]);
    let mut client = established(&mut world, BOTH);
    let number = world.last_number();
    world.sides.net_is_deaf = true;
    let data: Vec<u8> = (0..65_000_u32).map(|n| (n / 3) as u8).collect();
    for part in data.chunks(1_000) {
        world.client_says(&Command::Send { connection: number, data: part });
        world.turn();
    }
    world.client_says(&Command::Finish { connection: number });
    world.turn();
    world.sides.net_is_deaf = false;
    world.turn_with(true);
    client.go(&mut world);
    assert_eq!(client.read(), (data, true));
}

#[test]
fn nobody_listens_where_nobody_does() {
    let mut world = World::new(&[]);
    assert_eq!(world.sides.listens, [(0, PORT)]);
    assert!(world.sides.answers[0].contains("Listening"), "{:?}", world.sides.answers);
    world.client_says(&Command::Unlisten { port: PORT });
    let config = client_config(&world, &["localhost"], BOTH);
    let mut client = Client::new(&mut world, 7, &config, "localhost");
    client.go(&mut world);
    assert!(world.sides.told[&7].aborted && world.sides.accepted.is_empty());
    // another takes the port, and a third one cannot
    for peer in [1, 2] {
        Peer::Attach(peer, &[]).encode(world.clients_batch());
        Peer::Is(peer).encode(world.clients_batch());
        Command::Listen { port: PORT, backlog: 1 }.encode(world.clients_batch());
    }
    world.turn();
    assert_eq!(world.sides.listens, [(0, PORT)]);
    assert!(world.sides.answers.last().unwrap().contains("another box listens"), "{:?}", world.sides.answers);
}

#[test]
fn the_box_that_listens_is_replaced() {
    let mut world = World::new(&[]);
    let mut old = established(&mut world, BOTH);
    let number = world.last_number();
    Peer::Attach(1, &[]).encode(world.clients_batch());
    Peer::Retire(0).encode(world.clients_batch());
    Peer::Is(1).encode(world.clients_batch());
    Command::Listen { port: PORT, backlog: 1 }.encode(world.clients_batch());
    world.turn();
    assert!(world.sides.releases.is_empty(), "something is open");
    old.write(b"more");
    old.go(&mut world);
    assert_eq!(world.last().data, b"more");
    world.client_says(&Command::Abort { connection: number });
    world.turn();
    world.now += SECOND;
    world.turn();
    assert_eq!(world.sides.releases, [To::Client(0)]);
}

#[test]
fn the_network_is_replaced() {
    let mut world = World::new(&[]);
    established(&mut world, BOTH);
    let number = world.last_number();
    Peer::Attach(1, &[]).encode(world.net_batch());
    Peer::Retire(0).encode(world.net_batch());
    world.turn();
    assert_eq!(world.sides.listens, [(0, PORT), (1, PORT)]);
    assert!(!world.last().finished);
    world.now += 4 * SECOND;
    world.turn();
    assert!(world.last().finished, "it is idle, and told to end");
    world.client_says(&Command::Finish { connection: number });
    world.turn();
    world.net_says(&Event::Closed { connection: 7, why: "" });
    world.turn();
    world.now += SECOND;
    world.turn();
    assert_eq!(world.sides.releases, [To::Net(0)]);
}

#[test]
fn this_box_is_replaced() {
    let mut world = World::new(&[]);
    let mut client = established(&mut world, BOTH);
    let config = client_config(&world, &["localhost"], BOTH);
    let mut late = Client::new(&mut world, 8, &config, "localhost");
    world.turn();
    world.tls.retire(world.now);
    Peer::Retire(0).encode(world.clients_batch());
    world.turn();
    assert!(world.sides.releases.is_empty());
    // what had begun goes on
    client.write(b"more");
    client.go(&mut world);
    assert_eq!(world.last().data, b"more");
    late.go(&mut world);
    late.write(b"late");
    late.go(&mut world);
    assert_eq!(world.last().data, b"late");
    for number in world.sides.accepted.clone() {
        world.client_says(&Command::Abort { connection: number });
    }
    world.turn();
    world.now += SECOND;
    world.turn();
    assert_eq!((world.sides.releases.clone(), world.tls.is_done()), (vec![To::Client(0)], false));
    Peer::Detach(0, b"gone").encode(world.clients_batch());
    Peer::Detach(0, b"gone").encode(world.net_batch());
    world.turn();
    assert!(world.tls.is_done());
}

/// Certificates, and how handshakes come out, are reported.
#[test]
fn figures_are_reported() {
    use wit::figures::{Figure, Value};
    let mut world = World::new(&[("certificates.0.names", "localhost"), ("certificates.1.names", "own.example")]);
    world.tls.reports();
    let config = client_config(&world, &["localhost"], BOTH);
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let mut client = Client::new(&mut world, 7, &config, "localhost");
        client.go(&mut world);
        // a ticket comes after the handshake
        let _ = client.read();
        assert_eq!((client.error.clone(), client.tls.handshake_kind()), (None, Some(kind)));
        world.net_says(&Event::Closed { connection: 7, why: "" });
    }
    established(&mut world, &[&TLS12]);
    world.accept(8);
    world.net_says(&Event::Data { connection: 8, data: b"GET / HTTP/1.1\r\n\r\n" });
    world.accept(9);
    world.net_says(&Event::Closed { connection: 9, why: "" });
    world.now += SECOND;
    world.turn();
    let all = &world.sides.reported;
    let has = |figure: Figure| assert!(all.contains(&figure), "{figure:?} is not among {all:?}");
    let handshakes = |version, outcome, count| {
        has(Figure::counter("handshakes", count).of("version", version).of("outcome", outcome))
    };
    handshakes("1.3", "full", 1);
    handshakes("1.3", "resumed", 1);
    handshakes("1.2", "full", 1);
    handshakes("1.2", "resumed", 0);
    for (reason, count) in [("protocol", 1), ("broken-off", 1), ("timeout", 0), ("alert", 0), ("certificate", 0)] {
        has(Figure::counter("failed-handshakes", count).of("reason", reason));
    }
    let certificates: Vec<_> = all.iter().filter(|figure| figure.name == "certificate-expires").collect();
    let label = |figure: &Figure, name| figure.labels.iter().find(|label| label.0 == name).map(|label| label.1.clone());
    let told: Vec<_> =
        certificates.iter().map(|it| ["names", "from", "key"].map(|name| label(it, name).unwrap())).collect();
    assert_eq!(told, [["localhost", "self-signed", "default"], ["own.example", "self-signed", "default"]]);
    assert_eq!(label(certificates[0], "issuer").as_deref(), Some("itself"));
    assert!(certificates.iter().all(|it| matches!(it.value, Value::Moment(until) if until > 0)));
}
