//! What rustls computes with, as a [`CryptoProvider`]: what the node lends ([`lent`]), or else algorithms of RustCrypto and dalek. Nothing
//! here is an algorithm.
//!
//! The suites are those of RFC 8446, section 9.1, and of RFC 7905 and RFC 5289 for TLS 1.2: all have forward secrecy and
//! authenticate what they encrypt. Keys are wiped when they are dropped.

mod aead;
mod hash;
mod hybrid;
mod kx;
pub mod lent;
mod verify;

use rustls::{
    CipherSuite, CipherSuiteCommon, Error, SignatureScheme, SupportedCipherSuite, Tls12CipherSuite, Tls13CipherSuite,
    crypto::{
        CryptoProvider, KeyExchangeAlgorithm, KeyProvider, SecureRandom, tls12::PrfUsingHmac, tls13::HkdfUsingHmac,
    },
    pki_types::PrivateKeyDer,
    sign::SigningKey,
};
use std::sync::Arc;

/// What the keys box signs by with a key of P-256.
pub const SCHEME: SignatureScheme = SignatureScheme::ECDSA_NISTP256_SHA256;

/// The provider, with what is random from `random`. Suites and groups are in the order of preference.
pub fn provider(random: &'static dyn SecureRandom) -> CryptoProvider {
    let mut cipher_suites = vec![
        SupportedCipherSuite::Tls13(&TLS13_AES_128),
        SupportedCipherSuite::Tls13(&TLS13_AES_256),
        SupportedCipherSuite::Tls13(&TLS13_CHACHA20),
        SupportedCipherSuite::Tls12(&TLS12_AES_128),
        SupportedCipherSuite::Tls12(&TLS12_AES_256),
        SupportedCipherSuite::Tls12(&TLS12_CHACHA20),
    ];
    if !lent::lent().is_some_and(|lent| lent.fast_aes()) {
        // Without instructions of the CPU's for AES, ChaCha20 takes a third of its time.
        cipher_suites.chunks_mut(3).for_each(|of_version| of_version.rotate_right(1));
    }
    CryptoProvider {
        cipher_suites,
        kx_groups: kx::groups(random),
        signature_verification_algorithms: verify::ALGORITHMS,
        secure_random: random,
        key_provider: &NoKeys,
    }
}

/// The same for this side as a client: servers may have keys of RSA too, which in TLS 1.2 have suites of their own.
pub fn client_provider(random: &'static dyn SecureRandom) -> CryptoProvider {
    let mut provider = CryptoProvider { kx_groups: hybrid::groups(random), ..provider(random) };
    let rsa = [&TLS12_RSA_CHACHA20, &TLS12_RSA_AES_128, &TLS12_RSA_AES_256];
    provider.cipher_suites.extend(rsa.map(SupportedCipherSuite::Tls12));
    provider
}

/// Private keys are in the keys box, and nowhere else.
#[derive(Debug)]
struct NoKeys;

impl KeyProvider for NoKeys {
    fn load_private_key(&self, _: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        Err(Error::General("this box holds no private key".into()))
    }
}

const fn common(suite: CipherSuite, hash: &'static dyn rustls::crypto::hash::Hash, limit: u64) -> CipherSuiteCommon {
    CipherSuiteCommon { suite, hash_provider: hash, confidentiality_limit: limit }
}

/// Records that AES-GCM may encrypt with one key (RFC 8446, section 5.5).
const GCM_RECORDS: u64 = 1 << 24;

macro_rules! tls13 {
    ($name:ident, $suite:ident, $hash:ident, $limit:expr, $aead:ident) => {
        static $name: Tls13CipherSuite = Tls13CipherSuite {
            common: common(CipherSuite::$suite, &hash::$hash, $limit),
            hkdf_provider: &HkdfUsingHmac(&hash::$hash),
            aead_alg: &aead::$aead,
            quic: None,
        };
    };
}

/// What the servers of a suite of TLS 1.2 sign by.
const ECDSA: &[SignatureScheme] = &[SCHEME, SignatureScheme::ECDSA_NISTP384_SHA384, SignatureScheme::ED25519];
const RSA: &[SignatureScheme] = &[
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA512,
    SignatureScheme::RSA_PKCS1_SHA256,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA512,
];

macro_rules! tls12 {
    ($name:ident, $suite:ident, $sign:ident, $hash:ident, $limit:expr, $aead:ident) => {
        static $name: Tls12CipherSuite = Tls12CipherSuite {
            common: common(CipherSuite::$suite, &hash::$hash, $limit),
            kx: KeyExchangeAlgorithm::ECDHE,
            sign: $sign,
            prf_provider: &PrfUsingHmac(&hash::$hash),
            aead_alg: &aead::$aead,
        };
    };
}

tls13!(TLS13_AES_128, TLS13_AES_128_GCM_SHA256, SHA256, GCM_RECORDS, AES_128_GCM);
tls13!(TLS13_AES_256, TLS13_AES_256_GCM_SHA384, SHA384, GCM_RECORDS, AES_256_GCM);
tls13!(TLS13_CHACHA20, TLS13_CHACHA20_POLY1305_SHA256, SHA256, u64::MAX, CHACHA20_POLY1305);
tls12!(TLS12_AES_128, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, ECDSA, SHA256, GCM_RECORDS, AES_128_GCM);
tls12!(TLS12_AES_256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, ECDSA, SHA384, GCM_RECORDS, AES_256_GCM);
tls12!(TLS12_CHACHA20, TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, ECDSA, SHA256, u64::MAX, CHACHA20_POLY1305);
tls12!(TLS12_RSA_AES_128, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, RSA, SHA256, GCM_RECORDS, AES_128_GCM);
tls12!(TLS12_RSA_AES_256, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, RSA, SHA384, GCM_RECORDS, AES_256_GCM);
tls12!(TLS12_RSA_CHACHA20, TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, RSA, SHA256, u64::MAX, CHACHA20_POLY1305);

/// The randomness of the machine that tests run on.
#[cfg(test)]
#[derive(Debug)]
pub struct Machine;

#[cfg(test)]
impl SecureRandom for Machine {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), rustls::crypto::GetRandomFailed> {
        getrandom::fill(buffer).map_err(|_| rustls::crypto::GetRandomFailed)
    }
}
