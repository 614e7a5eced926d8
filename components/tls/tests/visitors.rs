//! Clients that are asked for a certificate.

mod common;

use common::{Client, PORT, SECOND, WallClock, World, keys};
use pearwood_tls::UnixTime;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::client::{ClientConfig, Resumption};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, RootCertStore, SupportedProtocolVersion};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

type Issuer = CertifiedIssuer<'static, KeyPair>;
type Shown = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

const TODAY: u64 = 1_800_000_000;

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

fn issuer(name: &str) -> Issuer {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::OrganizationName, name);
    CertifiedIssuer::self_signed(params, key()).unwrap()
}

fn shown(issuer: &Issuer, change: impl FnOnce(&mut CertificateParams)) -> Shown {
    let key = key();
    let mut params = CertificateParams::new(vec!["someone".into()]).unwrap();
    change(&mut params);
    let certificate = params.signed_by(&key, issuer).unwrap();
    (vec![certificate.der().clone()], key.serialize_der().try_into().unwrap())
}

fn config(world: &World, shown: Option<Shown>, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from(world.keys.certificate("default", &["localhost".into()]).unwrap().remove(0)))
        .unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_protocol_versions(&[version]).unwrap().with_root_certificates(roots);
    let mut config = match shown {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::in_memory_sessions(8);
    Arc::new(config)
}

fn world(settings: &[(&str, &str)]) -> (World, WallClock) {
    World::at(settings, 14 << 20, keys(&[]), UnixTime::since_unix_epoch(std::time::Duration::from_secs(TODAY)))
}

#[test]
fn who_shows_a_certificate_of_the_issuer_gets_in() {
    let (ours, theirs) = (issuer("ours"), issuer("theirs"));
    let old = |params: &mut CertificateParams| params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    for version in [&TLS13, &TLS12] {
        for required in ["true", "false"] {
            let (mut world, _) = world(&[("clients.roots", &ours.pem()), ("clients.required", required)]);
            let cases = [
                (Some(shown(&ours, |_| ())), true),
                (None, required == "false"),
                (Some(shown(&theirs, |_| ())), false),
                (Some(shown(&ours, old)), false),
            ];
            for (number, (shown, is_in)) in (0..).zip(cases) {
                let own = shown.as_ref().map(|(chain, _)| chain[0].to_vec()).unwrap_or_default();
                let before = world.sides.accepted.len();
                let config = config(&world, shown, version);
                let mut client = Client::new(&mut world, number, &config, "localhost");
                client.go(&mut world);
                assert_eq!(world.sides.accepted.len() - before, usize::from(is_in), "{version:?} {number} {required}");
                assert_eq!(client.error.is_none(), is_in, "{number}: {:?}", client.error);
                if is_in {
                    assert_eq!(world.last().client, own);
                }
            }
        }
    }
}

#[test]
fn who_goes_on_with_a_session_is_looked_at_again() {
    let ours = issuer("ours");
    let until_then = |params: &mut CertificateParams| params.not_after = rcgen::date_time_ymd(2027, 2, 1);
    for version in [&TLS13, &TLS12] {
        let (mut world, clock) = world(&[("clients.roots", &ours.pem())]);
        let config = config(&world, Some(shown(&ours, until_then)), version);
        for (number, kind, is_in) in
            [(0, HandshakeKind::Full, true), (1, HandshakeKind::Resumed, true), (2, HandshakeKind::Resumed, false)]
        {
            if !is_in {
                // its certificate ends before its session
                clock.0.store(TODAY + 30 * 24 * 3600, Relaxed);
                world.now += SECOND;
            }
            let before = world.sides.accepted.len();
            let mut client = Client::new(&mut world, number, &config, "localhost");
            client.go(&mut world);
            assert_eq!(client.tls.handshake_kind(), Some(kind), "{version:?}");
            assert_eq!(world.sides.accepted.len() - before, usize::from(is_in), "{version:?} {number}");
        }
        assert!(PORT > 0 && world.sides.told[&2].finished, "it is told nothing more");
    }
}

#[test]
fn without_the_time_no_certificate_is_believed() {
    let ours = issuer("ours");
    let (mut world, clock) = world(&[("clients.roots", &ours.pem())]);
    clock.0.store(0, Relaxed);
    let config = config(&world, Some(shown(&ours, |_| ())), &TLS13);
    let mut client = Client::new(&mut world, 1, &config, "localhost");
    client.go(&mut world);
    assert!(world.sides.accepted.is_empty() && client.error.is_some());
}
