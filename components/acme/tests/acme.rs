//! Certificates from an authority that the test plays: it checks each request as RFC 8555 wants, and signs with OpenSSL.

mod common;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use common::Box;
use hmac::{Hmac, KeyInit, Mac};
use p256::ecdsa::{Signature, VerifyingKey, signature::Verifier};
use pearwood_acme::{Acme, Certificate, Config, External, Keys, Method, Next, Proof, Request, Response};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::process::Command;

const NOW: u64 = 1_796_000_000;
const DAY: u64 = 24 * 3_600;
const CA: &str = "https://ca.example";

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// So many nonces are refused.
    Nonces(u32),
    /// No proof is taken.
    Invalid,
    /// Too many orders: `retry-after`.
    Limited(u64),
    /// The certificate is of another key.
    OtherKey,
    /// The order is not ready for so many times, though all proofs are taken.
    NotReady(u32),
    NoNetwork,
}

/// The authority.
struct Authority {
    folder: tempfile::TempDir,
    nonces: Vec<String>,
    given: u64,
    account: Option<Value>,
    external: Option<Vec<u8>>,
    names: Vec<String>,
    valid: Vec<bool>,
    accepted: Vec<bool>,
    looks: u32,
    chain: Option<String>,
    fault: Fault,
    orders: usize,
    /// from when on the certificate is good, in days from now
    asked: Vec<String>,
}

fn decode(text: &Value) -> Vec<u8> {
    BASE64_URL_SAFE_NO_PAD.decode(text.as_str().expect("a text")).expect("BASE64URL")
}

fn openssl(arguments: &[&str], folder: &std::path::Path) {
    let output = Command::new("openssl").args(arguments).current_dir(folder).output().expect("openssl");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let make = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=ca -keyout ca.key -out ca.pem";
        openssl(&make.split(' ').collect::<Vec<_>>(), folder.path());
        Authority {
            folder,
            nonces: Vec::new(),
            given: 0,
            account: None,
            external: None,
            names: Vec::new(),
            valid: Vec::new(),
            accepted: Vec::new(),
            looks: 0,
            chain: None,
            fault: Fault::None,
            orders: 0,
            asked: Vec::new(),
        }
    }

    fn answer(&mut self, request: &Request, acme: &Acme, keys: &Box) -> Result<Response, String> {
        self.asked.push(request.url.clone());
        if self.fault == Fault::NoNetwork {
            return Err("no route".into());
        }
        let (status, location, body) = self.reply(request, acme, keys);
        self.given += 1;
        let nonce = format!("nonce-{}", self.given);
        self.nonces.push(nonce.clone());
        let body = if let Value::String(text) = body { text.into_bytes() } else { body.to_string().into_bytes() };
        let retry_after = if let Fault::Limited(seconds) = self.fault { Some(seconds.to_string()) } else { None };
        Ok(Response { status, nonce: Some(nonce), location, retry_after, body })
    }

    fn reply(&mut self, request: &Request, acme: &Acme, keys: &Box) -> (u16, Option<String>, Value) {
        let path = request.url.strip_prefix(CA).unwrap_or_else(|| panic!("{}", request.url)).to_string();
        match (request.method, &path[..]) {
            (Method::Get, "/directory") => {
                let url = |name: &str| format!("{CA}/{name}");
                let directory = json!({ "newNonce": url("nonce"), "newAccount": url("account"), "newOrder": url("order"), "meta": {} });
                return (200, None, directory);
            }
            (Method::Head, "/nonce") => return (200, None, "".into()),
            (method, _) => assert_eq!(method, Method::Post, "{path}"),
        }
        let jws: Value = serde_json::from_str(&request.body).expect("JSON");
        let header: Value = serde_json::from_slice(&decode(&jws["protected"])).expect("JSON");
        assert_eq!((&header["alg"], &header["url"]), (&json!("ES256"), &json!(request.url)));
        let nonce = self.nonces.iter().position(|nonce| header["nonce"] == **nonce).expect("a nonce that was given");
        self.nonces.remove(nonce);
        if let Fault::Nonces(left @ 1..) = self.fault {
            self.fault = Fault::Nonces(left - 1);
            return (400, None, json!({ "type": "urn:ietf:params:acme:error:badNonce", "detail": "old" }));
        }
        let key = match &header["kid"] {
            Value::Null => header["jwk"].clone(),
            kid => {
                assert_eq!(kid, "https://ca.example/account/1");
                self.account.clone().expect("an account")
            }
        };
        let point = [&[4][..], &decode(&key["x"]), &decode(&key["y"])].concat();
        let input = format!("{}.{}", jws["protected"].as_str().unwrap(), jws["payload"].as_str().unwrap());
        let signature = Signature::from_slice(&decode(&jws["signature"])).expect("a signature");
        VerifyingKey::from_sec1_bytes(&point)
            .unwrap()
            .verify(input.as_bytes(), &signature)
            .expect("that of the account");
        let payload: Value = serde_json::from_slice(&decode(&jws["payload"])).unwrap_or_default();
        let url = |name: &str| Some(format!("{CA}/{name}"));
        match &path[..] {
            "/account" => {
                assert_eq!(payload["termsOfServiceAgreed"], true);
                if let Some(mac) = &self.external {
                    let bound = &payload["externalAccountBinding"];
                    let header: Value = serde_json::from_slice(&decode(&bound["protected"])).unwrap();
                    assert_eq!(header, json!({ "alg": "HS256", "kid": "me", "url": format!("{CA}/account") }));
                    let jwk: Value = serde_json::from_slice(&decode(&bound["payload"])).unwrap();
                    assert_eq!(jwk, key);
                    let input =
                        format!("{}.{}", bound["protected"].as_str().unwrap(), bound["payload"].as_str().unwrap());
                    let mut mac = Hmac::<Sha256>::new_from_slice(mac).unwrap();
                    mac.update(input.as_bytes());
                    mac.verify_slice(&decode(&bound["signature"])).expect("the other account's");
                }
                self.account = Some(key);
                (201, url("account/1"), json!({ "status": "valid" }))
            }
            "/order" => {
                if let Fault::Limited(_) = self.fault {
                    return (
                        429,
                        None,
                        json!({ "type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many" }),
                    );
                }
                self.orders += 1;
                let identifiers = payload["identifiers"].as_array().expect("names");
                self.names = identifiers.iter().map(|it| it["value"].as_str().unwrap().to_string()).collect();
                (self.valid, self.accepted) = (vec![false; self.names.len()], vec![false; self.names.len()]);
                self.looks = 0;
                (201, url("order/1"), self.order("pending"))
            }
            "/order/1" => {
                if let Fault::NotReady(_) = self.fault
                    && self.chain.is_none()
                {
                    return (200, None, self.order("ready"));
                }
                self.looks += 1;
                (200, None, self.order(if self.looks < 3 { "processing" } else { "valid" }))
            }
            "/finalize" => {
                assert!(self.valid.iter().all(|valid| *valid));
                if let Fault::NotReady(left @ 1..) = self.fault {
                    self.fault = Fault::NotReady(left - 1);
                    let problem = json!({ "type": "urn:ietf:params:acme:error:orderNotReady", "detail": "later" });
                    return (403, None, problem);
                }
                self.sign(&decode(&payload["csr"]));
                (200, None, self.order("processing"))
            }
            "/chain" => (200, None, self.chain.clone().expect("it was made").into()),
            _ => {
                let (what, place) = path[1..].split_once('/').expect("a place");
                let place: usize = place.parse().unwrap();
                let key = self.account.clone().expect("an account");
                if what == "challenge" {
                    assert_eq!(payload, json!({}));
                    self.accepted[place] = true;
                } else if self.accepted[place] {
                    self.valid[place] = self.fault != Fault::Invalid && self.is_proved(place, &key, acme, keys);
                }
                (200, None, self.authorization(place))
            }
        }
    }

    fn order(&self, status: &str) -> Value {
        let authorizations: Vec<String> =
            (0..self.names.len()).map(|place| format!("{CA}/authorization/{place}")).collect();
        let mut order =
            json!({ "status": status, "authorizations": authorizations, "finalize": format!("{CA}/finalize") });
        if status == "valid" {
            order["certificate"] = format!("{CA}/chain").into();
        }
        order
    }

    fn authorization(&self, place: usize) -> Value {
        let status = match (self.valid[place], self.accepted[place]) {
            (true, _) => "valid",
            (false, true) => "invalid",
            _ => "pending",
        };
        let challenge = |kind: &str| {
            let mut challenge =
                json!({ "type": kind, "url": format!("{CA}/challenge/{place}"), "token": format!("token_{place}") });
            if status == "invalid" {
                challenge["error"] =
                    json!({ "type": "urn:ietf:params:acme:error:unauthorized", "detail": "not\nyours" });
            }
            challenge
        };
        let challenges = ["dns-01", "http-01", "tls-alpn-01"].map(challenge);
        json!({ "status": status, "identifier": { "type": "dns", "value": self.names[place] }, "challenges": challenges })
    }

    /// Looks at the proof, as an authority does.
    fn is_proved(&self, place: usize, key: &Value, acme: &Acme, keys: &Box) -> bool {
        // RFC 7638
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":{},"y":{}}}"#, key["x"], key["y"]);
        let thumbprint = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(canonical));
        let expected = format!("token_{place}.{thumbprint}");
        let by_tls = keys
            .0
            .prove(&self.names[place])
            .is_some_and(|(_, certificate)| certificate.windows(32).any(|part| part == &Sha256::digest(&expected)[..]));
        by_tls || acme.proof(&format!("token_{place}")) == Some(&expected)
    }

    fn sign(&mut self, csr: &[u8]) {
        let folder = self.folder.path();
        std::fs::write(folder.join("csr.der"), csr).unwrap();
        openssl(&["req", "-inform", "DER", "-in", "csr.der", "-verify", "-noout"], folder);
        let mut sign =
            "x509 -req -inform DER -in csr.der -CA ca.pem -CAkey ca.key -days 90 -copy_extensions copy -out own.pem"
                .split(' ')
                .collect::<Vec<_>>();
        if self.fault == Fault::OtherKey {
            openssl(&"ecparam -name prime256v1 -genkey -noout -out other.key".split(' ').collect::<Vec<_>>(), folder);
            openssl(&"pkey -in other.key -pubout -out other.pem".split(' ').collect::<Vec<_>>(), folder);
            sign.extend(["-force_pubkey", "other.pem"]);
        }
        openssl(&sign, folder);
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        self.chain = Some(format!("{}\n{}", read("own.pem"), read("ca.pem")));
    }
}

fn config(certificates: &[(&str, &[&str], Proof)]) -> Config {
    let certificates = certificates.iter().map(|&(key, names, proof)| Certificate {
        key: key.into(),
        names: names.iter().map(ToString::to_string).collect(),
        proof,
    });
    Config {
        directory: format!("{CA}/directory"),
        contact: vec!["mailto:anna@example.org".into()],
        agreed: true,
        external: None,
        certificates: certificates.collect(),
    }
}

/// Goes on until there is nothing to do for an hour. The time then, and until when there is nothing to do.
fn run(acme: &mut Acme, authority: &mut Authority, keys: &mut Box, now: u64) -> (u64, u64) {
    let mut time = now;
    for _ in 0..2_000 {
        match acme.next(time, keys) {
            Next::Ask(request) => {
                let response = authority.answer(&request, acme, keys);
                acme.answer(time, keys, response);
            }
            Next::Wait(until) if until > time + 200 => return (time, until),
            Next::Wait(until) => time = until,
        }
    }
    panic!("it asks without end: {:?}", &authority.asked[authority.asked.len() - 20..]);
}

const ONE: &[(&str, &[&str], Proof)] = &[("default", &["a.example"], Proof::Http)];

fn today() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn certificates_are_had_by_both_proofs_and_renewed_in_time() {
    let (mut authority, mut keys, now) = (Authority::new(), Box::new(), today());
    let all: &[(&str, &[&str], Proof)] =
        &[("default", &["a.example", "www.a.example"], Proof::Http), ("new", &["b.example", "c.example"], Proof::Tls)];
    let mut acme = Acme::new(config(all), &mut keys).unwrap();
    let (time, until) = run(&mut acme, &mut authority, &mut keys, now);
    assert_eq!(authority.orders, 2, "{:?}", acme.take_log());
    // two thirds of 90 days
    assert!(until.abs_diff(now + 60 * DAY) < 600, "{}", until - now);
    for (key, names, _) in all {
        assert_eq!(keys.stored(key).unwrap().len(), 2);
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        assert_eq!(keys.0.certificate(key, &names, None).unwrap(), keys.stored(key).unwrap());
    }
    // nothing is proved any more
    assert!(
        acme.proof("token_0").is_none() && keys.0.prove("b.example").is_none() && keys.0.prove("c.example").is_none()
    );
    // another instance finds them
    let asked = authority.asked.len();
    let mut acme = Acme::new(config(all), &mut keys).unwrap();
    assert_eq!(run(&mut acme, &mut authority, &mut keys, time + 30 * DAY).1, until);
    assert_eq!(authority.asked.len(), asked);
    // ... unless they are for other names now
    let more: &[(&str, &[&str], Proof)] = &[("default", &["a.example", "d.example"], Proof::Http)];
    run(&mut Acme::new(config(more), &mut keys).unwrap(), &mut authority, &mut keys, time);
    assert_eq!(authority.orders, 3);
    run(&mut acme, &mut authority, &mut keys, until);
    assert!(authority.orders >= 4);
}

#[test]
fn nonces_that_are_refused_are_replaced() {
    let (mut authority, mut keys) = (Authority::new(), Box::new());
    authority.fault = Fault::Nonces(3);
    let mut acme = Acme::new(config(ONE), &mut keys).unwrap();
    run(&mut acme, &mut authority, &mut keys, today());
    assert_eq!(authority.orders, 1, "{:?}", acme.take_log());
    authority.fault = Fault::Nonces(u32::MAX);
    let mut acme = Acme::new(config(&[("new", &["b.example"], Proof::Http)]), &mut keys).unwrap();
    let asked = authority.asked.len();
    run(&mut acme, &mut authority, &mut keys, today());
    assert!(authority.asked.len() - asked < 12);
    assert!(acme.take_log()[0].contains("badNonce"));
}

#[test]
fn what_fails_is_tried_again_after_longer_and_longer_pauses() {
    let (mut authority, mut keys) = (Authority::new(), Box::new());
    let mut acme = Acme::new(config(ONE), &mut keys).unwrap();
    let mut now = today();
    let mut pauses = Vec::new();
    for fault in [Fault::Invalid, Fault::OtherKey, Fault::NoNetwork, Fault::Invalid] {
        authority.fault = fault;
        let (time, until) = run(&mut acme, &mut authority, &mut keys, now);
        pauses.push(until - time);
        now = until;
        let log = acme.take_log().concat();
        let why = match fault {
            Fault::Invalid => "the proof for a.example: not yours (urn:ietf:params:acme:error:unauthorized)",
            Fault::OtherKey => "not of the key `default`",
            _ => "no route",
        };
        assert!(log.contains(why) && log.contains("no certificate for a.example yet"), "{log}");
        assert!(keys.stored("default").unwrap().is_empty() && acme.proof("token_0").is_none());
    }
    assert_eq!(pauses, [300, 600, 1_200, 2_400]);
    authority.fault = Fault::Limited(10_000);
    let (time, until) = run(&mut acme, &mut authority, &mut keys, now);
    assert_eq!(until - time, 10_000);
    authority.fault = Fault::Limited(u64::MAX);
    let (time, until) = run(&mut acme, &mut authority, &mut keys, until);
    assert_eq!(until - time, 7 * DAY);
    authority.fault = Fault::None;
    let (_, until) = run(&mut acme, &mut authority, &mut keys, until);
    assert!(!keys.stored("default").unwrap().is_empty(), "{:?}", acme.take_log());
    // one that has succeeded begins with the shortest pause again
    authority.fault = Fault::NoNetwork;
    let (time, until) = run(&mut acme, &mut authority, &mut keys, until);
    assert_eq!(until - time, 300);
}

/// What was issued counts against the authority's limits: it is not ordered again because it could not be stored.
#[test]
fn what_cannot_be_stored_is_kept_and_not_ordered_again() {
    let (mut authority, mut keys) = (Authority::new(), Box::new());
    keys.1 = 3;
    let mut acme = Acme::new(config(ONE), &mut keys).unwrap();
    let (mut now, mut pauses) = (today(), Vec::new());
    let mut asked = 0;
    while keys.stored("default").unwrap().is_empty() {
        let (time, until) = run(&mut acme, &mut authority, &mut keys, now);
        assert_eq!((authority.orders, asked == 0 || asked == authority.asked.len()), (1, true));
        assert!(acme.proof("token_0").is_none());
        asked = authority.asked.len();
        pauses.push(until - time);
        now = until;
        let log = acme.take_log().concat();
        let is_stored = !keys.stored("default").unwrap().is_empty();
        assert!(
            is_stored || log.contains("the certificate for a.example cannot be stored: the disk has failed"),
            "{log}"
        );
    }
    assert_eq!(pauses[..3], [300, 600, 1_200]);
    // ... but a key that never takes it gets another one some day
    let (mut authority, mut keys) = (Authority::new(), Box::new());
    keys.1 = u32::MAX;
    let mut acme = Acme::new(config(ONE), &mut keys).unwrap();
    let mut now = today();
    let start = now;
    while authority.orders < 2 {
        now = run(&mut acme, &mut authority, &mut keys, now).1;
    }
    assert!(now - start > 2 * DAY && now - start < 30 * DAY, "{}", now - start);
}

/// A box that is started again and again asks for nothing, as long as it does not stay.
#[test]
fn nothing_is_ordered_right_after_a_start() {
    let (mut authority, mut keys, now) = (Authority::new(), Box::new(), today());
    for start in now..now + 10 {
        let mut acme = Acme::new(config(ONE), &mut keys).unwrap();
        let Next::Wait(until) = acme.next(start, &mut keys) else { panic!("it asks at once") };
        assert!(until > start && until <= start + 100);
        assert_eq!(acme.next(start + 1, &mut keys), Next::Wait(until));
    }
    run(&mut Acme::new(config(ONE), &mut keys).unwrap(), &mut authority, &mut keys, now);
    assert_eq!(authority.orders, 1);
}

#[test]
fn an_order_that_is_not_ready_is_waited_for() {
    let (mut authority, mut keys) = (Authority::new(), Box::new());
    authority.fault = Fault::NotReady(3);
    let mut acme = Acme::new(config(ONE), &mut keys).unwrap();
    run(&mut acme, &mut authority, &mut keys, today());
    assert!(authority.orders == 1 && !keys.stored("default").unwrap().is_empty(), "{:?}", acme.take_log());
    let mut keys = Box::new();
    let mut authority = Authority::new();
    authority.fault = Fault::NotReady(u32::MAX);
    let mut acme = Acme::new(config(ONE), &mut keys).unwrap();
    run(&mut acme, &mut authority, &mut keys, today());
    assert!(acme.take_log().concat().contains("orderNotReady") && authority.asked.len() < 400);
}

#[test]
fn one_that_fails_leaves_the_others_be() {
    let (mut authority, mut keys) = (Authority::new(), Box::new());
    let mut acme =
        Acme::new(config(&[("a", &["a.example"], Proof::Http), ("b", &["b.example"], Proof::Tls)]), &mut keys).unwrap();
    authority.fault = Fault::Invalid;
    run(&mut acme, &mut authority, &mut keys, NOW);
    authority.fault = Fault::None;
    run(&mut acme, &mut authority, &mut keys, today());
    assert!(!keys.stored("b").unwrap().is_empty() || !keys.stored("a").unwrap().is_empty());
}

#[test]
fn an_account_is_bound_to_one_that_the_authority_knows() {
    let (mut authority, mut keys) = (Authority::new(), Box::new());
    authority.external = Some(b"a secret of two".to_vec());
    let external = External { id: "me".into(), key: b"a secret of two".to_vec().into() };
    assert!(!format!("{external:?}").contains("115"));
    let mut acme = Acme::new(Config { external: Some(external), ..config(ONE) }, &mut keys).unwrap();
    run(&mut acme, &mut authority, &mut keys, today());
    assert_eq!(authority.orders, 1, "{:?}", acme.take_log());
}

#[test]
fn what_cannot_be_had_is_refused() {
    let mut keys = Box::new();
    let mut why = |config: Config| Acme::new(config, &mut keys).unwrap_err();
    assert!(why(Config { directory: "http://ca.example".into(), ..config(ONE) }).contains("https://"));
    assert!(why(config(&[("default", &[], Proof::Http)])).contains("has no names"));
    assert!(why(config(&[("default", &["*.a.example"], Proof::Http)])).contains("*.a.example"));
    let (mut authority, mut keys) = (Authority::new(), Box::new());
    let mut acme = Acme::new(Config { agreed: false, ..config(ONE) }, &mut keys).unwrap();
    run(&mut acme, &mut authority, &mut keys, NOW);
    assert!(authority.account.is_none() && acme.take_log()[0].contains("terms of service"));
}

/// At each of its answers the authority says something else. The client neither fails nor asks on and on, and stores nothing.
#[test]
fn an_authority_that_says_anything_is_borne() {
    let good = {
        let (mut authority, mut keys) = (Authority::new(), Box::new());
        run(&mut Acme::new(config(ONE), &mut keys).unwrap(), &mut authority, &mut keys, today());
        authority.asked.len()
    };
    assert!(good > 8, "{good}");
    let response = |status, body: &str| {
        let nonce = Some("n".into());
        Response { status, nonce, body: body.as_bytes().to_vec(), ..Response::default() }
    };
    let urls = |url: &str| {
        format!(
            r#"{{"newNonce":"{url}","newAccount":"{url}","newOrder":"{url}","status":"valid","finalize":"{url}","authorizations":["{url}"],"certificate":"{url}","identifier":{{"value":"other"}},"challenges":[{{"type":"http-01","url":"{url}","token":"../.."}}]}}"#
        )
    };
    let odd = [
        response(200, ""),
        response(200, "null"),
        response(200, &"[".repeat(100_000)),
        response(200, &" ".repeat(300_000)),
        response(200, &urls("http://ca.example/")),
        response(200, &urls("file:///etc/passwd")),
        response(200, &urls("https://ca.example/\\r\\nhost: a")),
        Response { location: Some("https://x y".into()), ..response(201, &urls("https://ca.example/x")) },
        response(200, &urls("https://ca.example/x").replace("valid", "pending")),
        response(200, &urls("https://ca.example/x").replace("valid", "other")),
        response(500, "<html>"),
        response(403, r#"{"type":"urn:ietf:params:acme:error:accountDoesNotExist","detail":"é"}"#),
        Response { nonce: Some("a\r\nb".into()), ..response(204, "") },
        Response { nonce: None, ..response(200, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n") },
    ];
    for at in 0..good {
        for (number, odd) in odd.iter().enumerate() {
            let (mut authority, mut keys) = (Authority::new(), Box::new());
            let mut acme = Acme::new(config(ONE), &mut keys).unwrap();
            let (mut time, mut asked) = (NOW, 0);
            loop {
                match acme.next(time, &mut keys) {
                    Next::Wait(until) if until > time + 200 => break,
                    Next::Wait(until) => time = until,
                    Next::Ask(_) if asked > at + 150 => panic!("{at} {number}: it asks without end"),
                    Next::Ask(request) => {
                        assert!(request.url.starts_with("https://") && !request.url.contains(['\r', '\n', ' ']));
                        // from then on it says nothing else
                        let response =
                            if asked >= at { Ok(odd.clone()) } else { authority.answer(&request, &acme, &keys) };
                        acme.answer(time, &mut keys, response);
                        asked += 1;
                    }
                }
            }
            assert!(keys.stored("default").unwrap().is_empty(), "{at} {number}");
            assert!(acme.proof("token_0").is_none() && acme.proof("../..").is_none());
            assert!(acme.take_log().iter().all(|line| line.len() < 1_024 && !line.contains(['\r', '\n'])));
        }
    }
}
