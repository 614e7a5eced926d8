//! What the box does for others, and what it does not.

use p256::{
    ecdsa::{DerSignature, VerifyingKey, signature::Verifier},
    pkcs8::{DecodePublicKey, EncodePrivateKey, LineEnding},
};
use pearwood_keys::{Config, Keys};

/// Bytes that are the same each time, and differ from each other.
fn random(seed: u64) -> impl FnMut(&mut [u8]) -> Result<(), String> {
    let mut next = seed;
    move |buffer| {
        buffer.fill_with(|| {
            next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (next >> 56) as u8
        });
        Ok(())
    }
}

fn keys(settings: &[(&str, &str)], left: Option<&[u8]>, seed: u64) -> Keys {
    Keys::new(&Config::read(settings.iter().copied()).unwrap(), left, random(seed)).unwrap()
}

/// What a server of TLS 1.3 signs.
fn handshake() -> Vec<u8> {
    [&[b' '; 64], &b"TLS 1.3, server CertificateVerify\0"[..], &[7; 32]].concat()
}

const NEW: &[(&str, &str)] = &[("keys.default", "new"), ("keys.other", "new")];

#[test]
fn signatures_are_of_the_key() {
    let keys = keys(NEW, None, 1);
    for name in ["default", "other"] {
        let public = VerifyingKey::from_public_key_der(&keys.public_key(name).unwrap()).unwrap();
        let signature = keys.sign(name, &handshake()).unwrap();
        assert!(public.verify(&handshake(), &DerSignature::try_from(&signature[..]).unwrap()).is_ok());
    }
    assert_ne!(keys.public_key("default"), keys.public_key("other"));
}

#[test]
fn nothing_else_is_signed() {
    let keys = keys(NEW, None, 1);
    for message in [&b""[..], b"a document", &handshake()[1..], &keys.self_signed("default", &["a".into()]).unwrap()] {
        assert_eq!(keys.sign("default", message).unwrap_err(), "this is not what a server of TLS signs");
    }
    let unknown = "there is no such key: there are default, other";
    assert_eq!(keys.sign("defaul", &handshake()).unwrap_err(), unknown);
    assert_eq!(keys.public_key("").unwrap_err(), unknown);
}

#[test]
fn a_certificate_is_the_same_each_time() {
    let keys = keys(NEW, None, 1);
    let of =
        |name: &str, names: &[&str]| keys.self_signed(name, &names.iter().map(ToString::to_string).collect::<Vec<_>>());
    let one = of("default", &["example.org", "192.0.2.1"]).unwrap();
    assert_eq!(one, of("default", &["example.org", "192.0.2.1"]).unwrap());
    assert_ne!(one, of("other", &["example.org", "192.0.2.1"]).unwrap());
    assert_ne!(one, of("default", &["example.net"]).unwrap());
    assert!(of("default", &[]).is_err() && of("default", &["a"; 101]).is_err());
    assert!(of("default", &["exämple.org"]).unwrap_err().contains("exämple.org"));
}

#[test]
fn keys_outlive_the_instance() {
    let old = keys(NEW, None, 1);
    let state = old.write();
    // another name, and one that is gone
    let settings = [("keys.default", "new"), ("keys.third", "new")];
    let new = keys(&settings, Some(&state), 2);
    assert_eq!(new.public_key("default"), old.public_key("default"));
    assert!(new.public_key("other").is_err());
    let config = Config::read(settings).unwrap();
    for bad in [&state[1..], &state[..state.len() - 1], &[], &[9], &[1, 255, 255, 255, 255]] {
        assert!(Keys::new(&config, Some(bad), random(3)).is_err(), "{} bytes", bad.len());
    }
    assert_eq!(Keys::new(&config, None, |_| Err("none".into())).unwrap_err(), "none");
}

#[test]
fn a_key_of_ones_own_is_read_and_not_told() {
    let secret = p256::SecretKey::from_slice(&[7; 32]).unwrap();
    let pem = secret.to_pkcs8_pem(LineEnding::LF).unwrap();
    let own = keys(&[("keys.own", &pem)], None, 1);
    let public = VerifyingKey::from_public_key_der(&own.public_key("own").unwrap()).unwrap();
    assert_eq!(public, secret.public_key().into());
    // what is in the settings is not carried over, and nothing that is printed has it
    assert_eq!(*own.write(), [1]);
    let config = Config::read([("keys.own", &**pem)]).unwrap();
    let cut = &pem[..100];
    let fault = Config::read([("keys.own", cut)]).unwrap_err();
    for shown in [format!("{own:?} {config:?}"), fault[0].to_string()] {
        assert!(!shown.contains("MIG") && !shown.contains("7, 7"), "{shown}");
    }
    assert!(fault[0].to_string().contains("a private key of ECDSA with P-256"), "{}", fault[0]);
}
