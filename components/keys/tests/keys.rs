//! What the box does for others, and what it does not.

mod common;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use common::{FakeDisk, SECRET, open, random};
use p256::{
    ecdsa::{DerSignature, Signature, VerifyingKey, signature::Verifier},
    pkcs8::{DecodePublicKey, EncodePrivateKey, LineEnding},
};
use pearwood_keys::{Config, Keys};

/// What a server of TLS 1.3 signs.
fn handshake() -> Vec<u8> {
    [&[b' '; 64], &b"TLS 1.3, server CertificateVerify\0"[..], &[7; 32]].concat()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

const NEW: &[(&str, &str)] = &[("keys.default", "new"), ("keys.other", "new")];

/// Seconds since 1970.
const NOW: Option<u64> = Some(1_796_000_000);

#[test]
fn signatures_are_of_the_key() {
    let keys = open(NEW, &FakeDisk::new(), 1).unwrap();
    for name in ["default", "other"] {
        let public = VerifyingKey::from_public_key_der(&keys.public_key(name).unwrap()).unwrap();
        let signature = keys.sign(name, &handshake()).unwrap();
        assert!(public.verify(&handshake(), &DerSignature::try_from(&signature[..]).unwrap()).is_ok());
    }
    assert_ne!(keys.public_key("default"), keys.public_key("other"));
}

/// Keys of Ed25519 sign what others do, and are kept; authorities that sign for the others sign nothing for them.
#[test]
fn keys_of_ed25519() {
    let settings = &[("keys.default", "new"), ("keys.edwards", "new-ed25519")];
    let disk = FakeDisk::new();
    let mut keys = open(settings, &disk, 1).unwrap();
    let der = keys.public_key("edwards").unwrap();
    let public = ed25519_dalek::VerifyingKey::from_public_key_der(&der).unwrap();
    let check = |keys: &Keys<FakeDisk>| {
        let signature = keys.sign("edwards", &handshake()).unwrap();
        public.verify_strict(&handshake(), &ed25519_dalek::Signature::from_slice(&signature).unwrap()).unwrap();
        assert_eq!(keys.sign("edwards", b"a document").unwrap_err(), "this is not what a server of TLS signs");
    };
    check(&keys);
    for names in [names(&["a.example"]), names(&["localhost"])] {
        let certificate = keys.certificate("edwards", &names, NOW).unwrap().remove(0);
        let certificate = certificate.as_slice().into();
        let parsed = webpki::EndEntityCert::try_from(&certificate).unwrap();
        assert_eq!(*parsed.subject_public_key_info(), *der);
    }
    let refusals = [
        keys.make("edwards", &mut random(2)),
        keys.request("edwards", &names(&["a.example"])).map(drop),
        keys.store("edwards", vec![vec![0x30, 0]], &mut random(2)),
        keys.stored("edwards").map(drop),
        keys.challenge("edwards", "a.example", Some(&[1; 32])),
    ];
    for refusal in refusals {
        let why = refusal.unwrap_err();
        assert!(why.contains("the key `edwards` is one of Ed25519") && why.contains("ECDSA is meant"), "{why}");
    }
    // after a start it is the same, and so it is when the settings no longer name it
    for settings in [settings, &settings[..1]] {
        check(&open(settings, &disk, 3).unwrap());
    }
    // a name may be one and the other: what was made first is not lost
    let other = open(&[("keys.default", "new"), ("keys.edwards", "new")], &disk, 4).unwrap();
    assert!(VerifyingKey::from_public_key_der(&other.public_key("edwards").unwrap()).is_ok());
    check(&open(settings, &disk, 5).unwrap());
    // of the two, none is guessed
    let mut neither = open(&settings[..1], &disk, 6).unwrap();
    for refusal in [
        neither.public_key("edwards").map(drop),
        neither.sign("edwards", &handshake()).map(drop),
        neither.make("edwards", &mut random(6)),
    ] {
        assert!(refusal.unwrap_err().contains("the key `edwards` is there twice"));
    }
    check(&open(settings, &disk, 7).unwrap());
    // one of the operator's own
    let pem = ed25519_dalek::SigningKey::from_bytes(&[7; 32]).to_pkcs8_pem(LineEnding::LF).unwrap();
    let own = open(&[("keys.own", &pem)], &FakeDisk::new(), 1).unwrap();
    let public = ed25519_dalek::SigningKey::from_bytes(&[7; 32]).verifying_key();
    assert_eq!(own.public_key("own").unwrap()[12..], public.to_bytes());
}

#[test]
fn nothing_else_is_signed() {
    let mut keys = open(NEW, &FakeDisk::new(), 1).unwrap();
    let account = keys.account(&mut random(1)).unwrap();
    let certificate = keys.certificate("default", &names(&["a.example"]), NOW).unwrap().remove(0);
    let request = request(&header(&account), "{}");
    let csr = keys.request("default", &names(&["a.example"])).unwrap();
    for message in [&b""[..], b"a document", &handshake()[1..], &certificate, &csr, request.as_bytes()] {
        assert_eq!(keys.sign("default", message).unwrap_err(), "this is not what a server of TLS signs");
    }
    let unknown = "there is no such key: there are default, other";
    for name in ["defaul", "", "account", "authority"] {
        assert_eq!(keys.sign(name, &handshake()).unwrap_err(), unknown);
        assert_eq!(keys.public_key(name).unwrap_err(), unknown);
    }
    for message in [&handshake()[..], &certificate, &csr, b"", b"."] {
        assert!(keys.sign_request(message).is_err());
    }
}

fn base64(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn request(header: &str, payload: &str) -> String {
    format!("{}.{}", base64(header.as_bytes()), base64(payload.as_bytes()))
}

fn header(account: &[u8; 64]) -> String {
    let (x, y) = (base64(&account[..32]), base64(&account[32..]));
    format!(
        r#"{{"alg":"ES256","nonce":"n","url":"https://ca.example/new","jwk":{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}}}}"#
    )
}

#[test]
fn an_account_asks_authorities_and_nobody_else() {
    let mut keys = open(NEW, &FakeDisk::new(), 1).unwrap();
    let why = keys.sign_request(request("{}", "").as_bytes()).unwrap_err();
    assert!(why.contains("there is no account"), "{why}");
    let account = keys.account(&mut random(5)).unwrap();
    assert_eq!(keys.account(&mut random(6)).unwrap(), account);
    let public = VerifyingKey::from_sec1_bytes(&[&[4][..], &account].concat()).unwrap();
    let own = header(&account);
    let known = r#"{"alg":"ES256","kid":"https://ca.example/1","nonce":"n","url":"https://ca.example/order"}"#;
    for (header, payload) in [(&own[..], r#"{"termsOfServiceAgreed":true}"#), (known, ""), (known, r#"{"csr":"AAAA"}"#)]
    {
        let message = request(header, payload);
        let signature = keys.sign_request(message.as_bytes()).unwrap_or_else(|why| panic!("{header}: {why}"));
        assert!(public.verify(message.as_bytes(), &Signature::from_slice(&signature).unwrap()).is_ok());
    }
    let mut other = account;
    other[0] ^= 1;
    let change = r#"{"protected":"e30","payload":"","signature":""}"#;
    for (bad, payload) in [
        (header(&other), "{}"),
        (own.replace("ES256", "none"), "{}"),
        (own.replace("https://ca", "http://ca"), "{}"),
        (own.replace(r#""nonce":"n","#, ""), "{}"),
        (own.replace(r#""nonce":"n""#, r#""nonce":"n","b64":false,"crit":["b64"]"#), "{}"),
        (own.replace(r#""nonce""#, r#""kid":"https://ca.example/1","nonce""#), "{}"),
        (r#"{"alg":"ES256","nonce":"n","url":"https://ca.example/new"}"#.into(), "{}"),
        ("[".repeat(5_000), "{}"),
        (own.clone(), "no JSON"),
        // RFC 8555, section 7.3.5
        (known.into(), change),
        // ... in other words, and those that are not understood
        (known.into(), r#"{"protected":"e30","payload":"","signature":"","signature":""}"#),
        (known.into(), r#"{"protected":"e30","payload":"","\u0073ignature":""}"#),
        (known.into(), r#"{"payload":"","signatures":[{"protected":"e30","signature":""}]}"#),
        (known.into(), r#"{"protected":"e30"}"#),
        (known.into(), r#"{"payload":"","Signature":""}"#),
        (known.into(), r#"{"csr":"AAAA","csr":"BBBB"}"#),
        (known.into(), r#"["e30","","signature"]"#),
        (known.into(), "7"),
        (known.into(), "{} {}"),
    ] {
        let why = keys.sign_request(request(&bad, payload).as_bytes()).unwrap_err();
        assert!(why.starts_with("this is not what an account"), "{bad}: {why}");
    }
    let long = request(known, &format!("\"{}\"", "a".repeat(100_000)));
    assert!(keys.sign_request(long.as_bytes()).unwrap_err().contains("65,536"));
}

#[test]
fn a_certificate_is_the_same_each_time() {
    let keys = open(NEW, &FakeDisk::new(), 1).unwrap();
    let of = |name: &str, all: &[&str], time| keys.certificate(name, &names(all), time).map(|chain| chain.concat());
    // one that the key has signed, and one that the node's authority has
    for all in [["example.org", "192.0.2.1"], ["localhost", "127.0.0.1"]] {
        let one = of("default", &all, NOW).unwrap();
        assert_eq!(one, of("default", &all, NOW.map(|now| now + 1)).unwrap());
        assert_ne!(one, of("other", &all, NOW).unwrap());
        assert_ne!(one, of("default", &all[..1], NOW).unwrap());
    }
    let later = NOW.map(|now| now + (180 * 24 * 3_600));
    assert_ne!(of("default", &["localhost"], NOW), of("default", &["localhost"], later));
    assert!(of("default", &["localhost"], None).is_ok() && of("default", &["localhost"], Some(u64::MAX)).is_ok());
    assert!(of("default", &[], NOW).is_err() && of("default", &["a"; 101], NOW).is_err());
    assert!(of("default", &["localhost"; 101], NOW).is_err());
    assert!(of("default", &["exämple.org"], NOW).unwrap_err().contains("exämple.org"));
}

#[test]
fn the_version_is_another_when_a_certificate_may_be() {
    let disk = FakeDisk::new();
    let mut keys = open(NEW, &disk, 1).unwrap();
    let mut seen = vec![keys.version(NOW)];
    assert_eq!(keys.version(NOW), seen[0]);
    seen.push(keys.version(NOW.map(|now| now + (180 * 24 * 3_600))));
    keys.store("default", common::signed_elsewhere(&keys, "default", "a.example"), &mut random(2)).unwrap();
    seen.push(keys.version(NOW.map(|now| now + (180 * 24 * 3_600))));
    seen.push(open(NEW, &disk, 9).unwrap().version(NOW));
    for (place, version) in seen.iter().enumerate() {
        assert!(!seen[..place].contains(version), "{seen:?}");
    }
}

/// What `openssl` says of a certificate that it is to accept.
fn verify(chain: &[Vec<u8>], trusted: &[u8], name: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let write = |file: &str, ders: &[&[u8]]| {
        let path = folder.path().join(file);
        std::fs::write(&path, ders.iter().map(|der| common::pem(der)).collect::<String>()).unwrap();
        path
    };
    let all: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
    let (own, trusted) = (write("own.pem", &all[..1]), write("trusted.pem", &[trusted]));
    let mut command = std::process::Command::new("openssl");
    command.args(["verify", "-x509_strict", "-purpose", "sslserver", "-check_ss_sig"]).args(name);
    let output = command.arg("-CAfile").arg(trusted).arg(own).output().expect("openssl");
    [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat()
}

#[test]
fn the_authority_signs_for_its_names_and_no_others() {
    let settings = [("authority.0", "Home.Example"), ("authority.1", "192.0.2.1")];
    let keys = open(&settings, &FakeDisk::new(), 1).unwrap();
    let trusted = keys.authority_certificate().unwrap();
    assert_eq!(trusted, keys.authority_certificate().unwrap());
    let of = |all: &[&str]| keys.certificate("default", &names(all), NOW).unwrap();
    let good = of(&["www.home.example", "HOME.example", "*.home.example", "192.0.2.1"]);
    for name in [["-verify_hostname", "www.home.example"], ["-verify_ip", "192.0.2.1"]] {
        let said = verify(&good, &trusted, &name);
        assert!(said.ends_with(": OK\n"), "{said}");
    }
    assert!(!verify(&good, &trusted, &["-verify_hostname", "other.example"]).ends_with(": OK\n"));
    let said = verify(&of(&["192.0.2.1"]), &trusted, &["-verify_ip", "192.0.2.1"]);
    assert!(said.ends_with(": OK\n"), "{said}");
    for names in [&["example.org"][..], &["home.example", "example.org"], &["192.0.2.2"], &["::1"], &["ahome.example"]]
    {
        let said = verify(&of(names), &trusted, &[]);
        assert!(said.contains("self-signed") || said.contains("self signed"), "{names:?}: {said}");
    }
    // what its key could sign for others, with another list, is not accepted by those who trust this certificate
    let wide = [("authority.0", "home.example"), ("authority.1", "example.org"), ("authority.2", "::1")];
    let disk = FakeDisk::new();
    let narrow = open(&[("authority.0", "home.example")], &disk, 1).unwrap();
    let trusted = narrow.authority_certificate().unwrap();
    let wide = open(&wide, &disk, 2).unwrap();
    for name in ["example.org", "::1"] {
        let said = verify(&wide.certificate("default", &names(&[name]), NOW).unwrap(), &trusted, &[]);
        assert!(!said.ends_with(": OK\n"), "{name}: {said}");
    }
    let said = verify(&wide.certificate("default", &names(&["home.example"]), NOW).unwrap(), &trusted, &[]);
    assert!(said.ends_with(": OK\n"), "{said}");
}

#[test]
fn what_an_authority_has_signed_takes_the_place_of_what_was_made_here() {
    let disk = FakeDisk::new();
    let mut keys = open(NEW, &disk, 1).unwrap();
    assert!(keys.stored("default").unwrap().is_empty());
    let chain = common::signed_elsewhere(&keys, "default", "a.example");
    let mut random = random(3);
    // an authority's own certificate may be of a form that is not understood here
    keys.store("default", vec![chain[0].clone(), vec![0x30, 0]], &mut random).unwrap();
    for bad in [vec![0x30, 1], vec![0x30, 0, 0], vec![5, 0], b"no DER".to_vec()] {
        assert!(keys.store("default", vec![chain[0].clone(), bad], &mut random).unwrap_err().contains("DER"));
    }
    // of another key, none, too many, too long
    assert!(keys.store("other", chain.clone(), &mut random).unwrap_err().contains("not of the key `other`"));
    for bad in [vec![], vec![b"no certificate".to_vec()], vec![chain[0].clone(), vec![]], vec![chain[0].clone(); 9]] {
        assert!(keys.store("default", bad, &mut random).is_err());
    }
    assert!(keys.store("default", vec![chain[0].clone(), vec![0x30; 40_000]], &mut random).is_err());
    assert!(keys.store("third", chain.clone(), &mut random).is_err());
    keys.store("default", chain.clone(), &mut random).unwrap();
    for keys in [keys, open(NEW, &disk, 4).unwrap()] {
        assert_eq!(keys.stored("default").unwrap(), chain);
        for covered in [&["a.example"][..], &["A.example", "192.0.2.1"]] {
            assert_eq!(keys.certificate("default", &names(covered), NOW).unwrap(), chain, "{covered:?}");
        }
        for other in [&["a.example", "b.example"][..], &["192.0.2.1"], &["localhost"], &["x.a.example"]] {
            assert_ne!(keys.certificate("default", &names(other), NOW).unwrap(), chain, "{other:?}");
        }
        assert_ne!(keys.certificate("other", &names(&["a.example"]), NOW).unwrap(), chain);
    }
}

#[test]
fn a_request_is_of_the_key_and_the_names() {
    let keys = open(NEW, &FakeDisk::new(), 1).unwrap();
    let request = keys.request("default", &names(&["a.example", "*.b.example"])).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("request.der");
    std::fs::write(&path, request).unwrap();
    let mut command = std::process::Command::new("openssl");
    command.args(["req", "-verify", "-text", "-noout", "-inform", "DER", "-in"]).arg(path);
    let output = command.output().expect("openssl");
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(said.contains("verify OK") && said.contains("DNS:a.example, DNS:*.b.example"), "{said}");
    assert!(keys.request("third", &names(&["a.example"])).is_err() && keys.request("default", &[]).is_err());
}

#[test]
fn a_proof_is_shown_for_its_name_until_it_is_taken_back() {
    let mut keys = open(NEW, &FakeDisk::new(), 1).unwrap();
    assert_eq!(keys.prove("a.example"), None);
    keys.challenge("other", "A.example", Some(&[9; 32])).unwrap();
    let (key, certificate) = keys.prove("a.EXAMPLE").unwrap();
    assert_eq!(key, "other");
    // id-pe-acmeIdentifier, critical, with the digest (RFC 8737, section 3)
    let extension = [&[6, 8, 0x2b, 6, 1, 5, 5, 7, 1, 31, 1, 1, 0xff, 4, 34, 4, 32][..], &[9; 32]].concat();
    assert!(certificate.windows(extension.len()).any(|part| part == extension));
    keys.challenge("other", "a.example", None).unwrap();
    assert_eq!(keys.prove("a.example"), None);
    assert!(keys.challenge("third", "a.example", Some(&[9; 32])).is_err());
    assert!(keys.challenge("other", "a.example", Some(&[9; 31])).is_err());
    for number in 0..100 {
        keys.challenge("other", &format!("{number}.example"), Some(&[9; 32])).unwrap();
    }
    assert!(keys.challenge("other", "a.example", Some(&[9; 32])).unwrap_err().contains("100"));
    keys.challenge("other", "7.example", Some(&[8; 32])).unwrap();
}

#[test]
fn a_key_of_ones_own_is_read_and_not_told() {
    let secret = p256::SecretKey::from_slice(&[7; 32]).unwrap();
    let pem = secret.to_pkcs8_pem(LineEnding::LF).unwrap();
    let disk = FakeDisk::new();
    let mut own = open(&[("keys.own", &pem)], &disk, 1).unwrap();
    let public = VerifyingKey::from_public_key_der(&own.public_key("own").unwrap()).unwrap();
    assert_eq!(public, secret.public_key().into());
    // what is in the settings is not kept elsewhere, has its certificates there, and nothing that is printed has it
    own.make("own", &mut random(2)).unwrap();
    let chain = common::signed_elsewhere(&own, "own", "a.example");
    assert!(own.store("own", chain, &mut random(2)).unwrap_err().contains("one of the settings"));
    // before anything is ordered for it
    assert!(own.stored("own").unwrap_err().contains("one of the settings"));
    assert_eq!(
        open(NEW, &disk, 2).unwrap().public_key("own").unwrap_err(),
        "there is no such key: there are default, other"
    );
    let config = Config::read([("keys.own", &**pem)]).unwrap();
    let cut = &pem[..100];
    let fault = Config::read([("keys.own", cut)]).unwrap_err();
    for shown in [format!("{own:?} {config:?}"), fault[0].to_string()] {
        assert!(!shown.contains("MIG") && !shown.contains("7, 7"), "{shown}");
    }
    assert!(fault[0].to_string().contains("a private key of ECDSA with P-256"), "{}", fault[0]);
}

#[test]
fn settings_that_are_wrong_are_told() {
    for (key, value, why) in [
        ("keys.", "new", "a key's name"),
        ("keys.a\nb", "new", "on one line"),
        ("authority", "*.example.org", "a host's name"),
        ("authority.0", "", "a host's name"),
        ("discard.0", "a", "no such setting"),
        ("disk", "a", "no such setting"),
    ] {
        let faults = Config::read([(key, value)]).unwrap_err();
        assert!(faults[0].to_string().contains(why), "{}", faults[0]);
    }
    let long = format!("keys.{}", "k".repeat(254));
    assert!(Config::read([(&long[..], "new")]).is_err());
}

#[test]
fn there_are_so_many_keys_and_no_more() {
    let disk = FakeDisk::new();
    let mut keys = open(&[], &disk, 1).unwrap();
    let mut random = random(2);
    let long = "k".repeat(253);
    keys.make(&long, &mut random).unwrap();
    for bad in ["", &"k".repeat(254), "a\nb"] {
        assert!(keys.make(bad, &mut random).is_err());
    }
    for number in 2..1_024 {
        keys.make(&format!("key {number}"), &mut random).unwrap();
    }
    assert!(keys.make("another", &mut random).unwrap_err().contains("1024"));
    // one that is there is there
    keys.make(&long, &mut random).unwrap();
    let again = open(&[], &disk, 3).unwrap();
    assert_eq!(again.public_key("key 1000"), keys.public_key("key 1000"));
    // ... and no more certificates than fit
    let full = (2..1_024).find_map(|number| {
        let name = format!("key {number}");
        let mut chain = common::signed_elsewhere(&keys, &name, "a.example");
        let own = chain[0].clone();
        while chain.len() < 8 {
            chain.push(own.clone());
        }
        // a certificate with many names, of some 3,000 bytes
        let names: Vec<String> = (0..100).map(|n| format!("a-long-name-of-a-host-{n}.example.org")).collect();
        chain[1..].fill(keys.certificate(&name, &names, NOW).unwrap().remove(0));
        let before = keys.version(NOW);
        keys.store(&name, chain, &mut random).err().map(|why| (name, why, before))
    });
    let (name, why, _) = full.expect("the disk is full at some time");
    assert!(why.contains("there is no room"), "{why}");
    assert!(keys.stored(&name).unwrap().is_empty());
    assert_eq!(open(&[], &disk, 3).unwrap().stored("key 2"), keys.stored("key 2"));
}

#[test]
fn without_randomness_there_is_nothing() {
    let config = Config::read([]).unwrap();
    assert_eq!(Keys::open(config, FakeDisk::new(), &SECRET, &mut |_| Err("none".into())).unwrap_err(), "none");
}
