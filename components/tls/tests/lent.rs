//! The same sessions with what a node lends in the place of what is compiled to wasm; also where it has room for some keys only. A
//! file of its own, since what is lent is lent to the whole process.

mod common;

use common::{Client, World, config_of};
use crypto_ring::{crypto, here};
use pearwood_tls::lent::{self, Aead, Group, Key, Lent, Secret};
use rustls::{CipherSuite, HandshakeKind, NamedGroup, version::TLS13};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use wit::tcp::Command;

/// Keys that have been made, and those that are to be refused from now on: one in so many.
static MADE: AtomicUsize = AtomicUsize::new(0);
static REFUSED: AtomicUsize = AtomicUsize::new(usize::MAX);

struct Node;

fn may_be_made() -> Option<()> {
    let made = MADE.fetch_add(1, Relaxed) + 1;
    (!made.is_multiple_of(REFUSED.load(Relaxed))).then_some(())
}

impl Lent for Node {
    fn fast_aes(&self) -> bool {
        true
    }

    fn key(&self, aead: Aead, key: &[u8]) -> Option<Box<dyn Key>> {
        may_be_made()?;
        let aead = match aead {
            Aead::Aes128Gcm => crypto::Aead::Aes128Gcm,
            Aead::Aes256Gcm => crypto::Aead::Aes256Gcm,
            Aead::ChaCha20Poly1305 => crypto::Aead::ChaCha20Poly1305,
        };
        Some(Box::new(OnNode(here().aead_key(aead, key).unwrap())))
    }

    fn secret(&self, group: Group) -> Option<Box<dyn Secret>> {
        may_be_made()?;
        let group = match group {
            Group::X25519 => crypto::Group::X25519,
            Group::P256 => crypto::Group::P256,
        };
        let secret = here().secret(group).unwrap();
        Some(Box::new(Exchange(secret.public(), secret)))
    }
}

struct OnNode(crypto::AeadKey);

impl Key for OnNode {
    fn seal(&self, nonce: &[u8; 12], additional: &[u8], data: &mut [u8]) -> Option<[u8; 16]> {
        self.0.seal(nonce, additional, data).ok()
    }

    fn open(&self, nonce: &[u8; 12], additional: &[u8], sealed: &mut [u8]) -> Option<usize> {
        self.0.open(nonce, additional, sealed).ok()
    }
}

struct Exchange(Vec<u8>, crypto::Secret);

impl Secret for Exchange {
    fn public(&self) -> &[u8] {
        &self.0
    }

    fn agree(self: Box<Self>, public: &[u8]) -> Option<Vec<u8>> {
        self.1.agree(public).ok().map(|shared| shared.to_vec())
    }
}

#[test]
fn every_suite_and_group_works_with_what_is_lent() {
    lent::lend(Box::new(Node));
    let all = rustls::crypto::ring::default_provider();
    let ecdsa = |suite: CipherSuite| !format!("{suite:?}").contains("RSA");
    let suites: Vec<_> = all.cipher_suites.iter().copied().filter(|suite| ecdsa(suite.suite())).collect();
    assert_eq!(suites.len(), 6);
    // as many as are wanted; some, so that one side of a connection is on the node and the other is not; none
    for refused in [usize::MAX, 3, 2, 1] {
        REFUSED.store(refused, Relaxed);
        for suite in suites.iter().copied() {
            for group in all.kx_groups.iter().copied().filter(|group| group.name() != NamedGroup::secp384r1) {
                let mut world = World::new(&[]);
                let mut provider = all.clone();
                (provider.cipher_suites, provider.kx_groups) = (vec![suite], vec![group]);
                let config = config_of(provider, &world, &["localhost"], &[suite.version()]);
                for (number, kind) in [(1, HandshakeKind::Full), (2, HandshakeKind::Resumed)] {
                    let before = MADE.load(Relaxed);
                    let mut client = Client::new(&mut world, number, &config, "localhost");
                    client.go(&mut world);
                    assert_eq!(client.error, None, "{suite:?} {group:?}");
                    assert_eq!(client.tls.handshake_kind(), Some(kind));
                    let data: Vec<u8> = (0..40_000_u32).map(|n| n as u8).collect();
                    client.write(&data[..10_000]);
                    client.go(&mut world);
                    assert_eq!(world.last().data, data[..10_000], "{suite:?} {group:?}");
                    let number = world.last_number();
                    world.client_says(&Command::Send { connection: number, data: &data });
                    client.go(&mut world);
                    assert_eq!(client.read().0, data, "{suite:?} {group:?}");
                    assert!(MADE.load(Relaxed) >= before + 2, "it was not asked for");
                }
            }
        }
    }
}

/// Who has instructions for AES prefers it; the suites of a client are in another order.
#[test]
fn the_fastest_suite_is_chosen() {
    lent::lend(Box::new(Node));
    let mut world = World::new(&[]);
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites.reverse();
    let config = config_of(provider, &world, &["localhost"], &[&TLS13]);
    let mut client = Client::new(&mut world, 1, &config, "localhost");
    client.go(&mut world);
    let suite = client.tls.negotiated_cipher_suite().map(|suite| suite.suite());
    assert_eq!(suite, Some(CipherSuite::TLS13_AES_128_GCM_SHA256));
}
