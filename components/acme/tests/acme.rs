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
use wit::figures::{Figure, Value as Told};

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
    /// What is asked of a URL with this end is answered with an error, until the fault is over.
    Busy(&'static str, u16, &'static str),
    /// The same is heard, and what is answered is lost.
    Lost(&'static str),
    /// The order is never done.
    Processing,
    /// Nobody looks at the proofs.
    Unseen,
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
    accounts: u32,
    contact: Value,
    /// when it has certificates renewed
    window: Option<(String, String)>,
    /// by what orders say
    replaced: Vec<String>,
    knows_replaced: bool,
    asked: Vec<String>,
    /// Orders have long URLs.
    long: bool,
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
            accounts: 0,
            contact: Value::Null,
            window: None,
            replaced: Vec::new(),
            knows_replaced: true,
            asked: Vec::new(),
            long: false,
        }
    }

    fn answer(&mut self, request: &Request, acme: &Acme, keys: &Box) -> Result<Response, String> {
        self.asked.push(request.url.clone());
        if self.fault == Fault::NoNetwork {
            return Err("no route".into());
        }
        if let Fault::Busy(end, status, body) = self.fault
            && request.url.ends_with(end)
        {
            let retry_after = (status == 503).then(|| "60".into());
            return Ok(Response { status, retry_after, body: body.into(), ..Response::default() });
        }
        let (status, location, body) = self.reply(request, acme, keys);
        if let Fault::Lost(end) = self.fault
            && request.url.ends_with(end)
        {
            return Err("it was lost".into());
        }
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
            (Method::Get, "/directory" | "/staging") => {
                let url = |name: &str| format!("{CA}/{name}");
                let mut directory = json!({ "newNonce": url("nonce"), "newAccount": url("account"), "newOrder": url("order"), "meta": {} });
                if self.external.is_some() {
                    directory["meta"]["externalAccountRequired"] = true.into();
                }
                if self.window.is_some() {
                    directory["renewalInfo"] = url("renewal").into();
                }
                return (200, None, directory);
            }
            (Method::Get, path) if path.starts_with("/renewal/") => {
                assert_eq!(path, format!("/renewal/{}", self.renewal_id()));
                let (start, end) = self.window.as_ref().expect("a window");
                let window = json!({ "start": start, "end": end });
                return (200, None, json!({ "suggestedWindow": window, "explanationURL": format!("{CA}/why") }));
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
                if payload["onlyReturnExisting"] == true {
                    return match &self.account {
                        Some(_) => (200, url("account/1"), json!({ "status": "valid" })),
                        None => {
                            let problem =
                                json!({ "type": "urn:ietf:params:acme:error:accountDoesNotExist", "detail": "none" });
                            (400, None, problem)
                        }
                    };
                }
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
                let is_new = self.account.replace(key).is_none();
                if is_new {
                    self.contact = payload["contact"].clone();
                }
                self.accounts += 1;
                (if is_new { 201 } else { 200 }, url("account/1"), json!({ "status": "valid" }))
            }
            "/account/1" => {
                self.contact = payload["contact"].clone();
                (200, None, json!({ "status": "valid" }))
            }
            "/order" => {
                if let Fault::Limited(_) = self.fault {
                    return (
                        429,
                        None,
                        json!({ "type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many" }),
                    );
                }
                if let Some(id) = payload["replaces"].as_str() {
                    if !self.knows_replaced {
                        let problem = json!({ "type": "urn:ietf:params:acme:error:malformed", "detail": "which?" });
                        return (404, None, problem);
                    }
                    self.replaced.push(id.into());
                }
                self.chain = None;
                self.orders += 1;
                let identifiers = payload["identifiers"].as_array().expect("names");
                self.names = identifiers.iter().map(|it| it["value"].as_str().unwrap().to_string()).collect();
                (self.valid, self.accepted) = (vec![false; self.names.len()], vec![false; self.names.len()]);
                self.looks = 0;
                let long = format!("{CA}/{}/a", "o".repeat(256 - CA.len() - 3));
                (201, if self.long { Some(long) } else { url("order/1") }, self.order("pending"))
            }
            "/order/1" => {
                if let Fault::NotReady(_) = self.fault
                    && self.chain.is_none()
                {
                    return (200, None, self.order("ready"));
                }
                if self.chain.is_none() {
                    let is_ready = self.valid.iter().all(|valid| *valid);
                    return (200, None, self.order(if is_ready { "ready" } else { "pending" }));
                }
                self.looks += 1;
                if self.fault == Fault::Processing {
                    self.looks = 0;
                }
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
                } else if self.accepted[place] && self.fault != Fault::Unseen {
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
            (false, true) if self.fault == Fault::Unseen => "pending",
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
        by_tls || acme.proof(&format!("token_{place}")) == Some(expected)
    }

    /// By which the last certificate is known, as OpenSSL reads it.
    fn renewal_id(&self) -> String {
        let show = "x509 -in own.pem -noout -serial -ext authorityKeyIdentifier".split(' ');
        let output = Command::new("openssl").args(show).current_dir(self.folder.path()).output().expect("openssl");
        let said = String::from_utf8(output.stdout).unwrap();
        let bytes = |text: &str| -> Vec<u8> {
            let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
            let pairs = digits.as_bytes().chunks(2);
            pairs.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
        };
        let (first, rest) = said.split_once('\n').unwrap();
        let mut serial = bytes(first.strip_prefix("serial=").unwrap());
        // as DER has it
        if serial[0] >= 0x80 {
            serial.insert(0, 0);
        }
        let identifier = bytes(rest.lines().nth(1).unwrap().trim().trim_start_matches("keyid:"));
        [identifier, serial].map(|bytes| BASE64_URL_SAFE_NO_PAD.encode(bytes)).join(".")
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

/// What the log has since the last call.
fn told(acme: &mut Acme) -> String {
    acme.take_log().into_iter().map(|(_, line)| line + "\n").collect()
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
    // another instance finds them, and asks for an hour nothing and then when to renew them, which this authority does not say
    let asked = authority.asked.len();
    let mut acme = Acme::new(config(all), &mut keys).unwrap();
    let (start, question) = run(&mut acme, &mut authority, &mut keys, time + 30 * DAY);
    assert_eq!((authority.asked.len(), question - start), (asked, 3_600));
    assert_eq!(run(&mut acme, &mut authority, &mut keys, question).1, until);
    assert_eq!(authority.asked[asked..], ["https://ca.example/directory"]);
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
    assert!(told(&mut acme).contains("badNonce"));
}

#[test]
fn what_fails_is_tried_again_after_longer_and_longer_pauses() {
    let (mut authority, mut keys) = (Authority::new(), Box::new());
    let mut acme = Acme::new(config(ONE), &mut keys).unwrap();
    let mut now = today();
    let mut pauses = Vec::new();
    for fault in [Fault::Invalid, Fault::OtherKey, Fault::OtherKey, Fault::Invalid] {
        authority.fault = fault;
        let (time, until) = run(&mut acme, &mut authority, &mut keys, now);
        pauses.push(until - time);
        now = until;
        let log = told(&mut acme);
        let why = match fault {
            Fault::Invalid => "the proof for a.example: not yours (urn:ietf:params:acme:error:unauthorized)",
            _ => "not of the key `default`",
        };
        assert!(log.contains(why) && log.contains("no certificate for a.example yet"), "{log}");
        assert!(keys.stored("default").unwrap().is_empty() && acme.proof("token_0").is_none());
        let figures = acme.figures();
        let of = |figure: Figure| figure.of("names", "a.example").of("key", "default");
        assert_eq!(
            figures[..2],
            [Figure::text("order-state", "waits for another try"), Figure::moment("next-order", until)].map(of)
        );
        assert!(matches!(&figures[2].value, Told::Text(error) if error.contains(why)), "{figures:?}");
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
    let figures = acme.figures();
    assert!(figures.len() == 2 && figures[0].value == Told::Text("there is a certificate".into()), "{figures:?}");
    // one that has succeeded begins with the shortest pause again
    authority.fault = Fault::Invalid;
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
        let log = told(&mut acme);
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

/// Where there is no network yet, that is tried often, and counts for nothing.
#[test]
fn a_network_that_comes_late_is_waited_for() {
    let (mut authority, mut keys, now) = (Authority::new(), Box::new(), today());
    authority.fault = Fault::NoNetwork;
    let mut acme = Acme::new(config(ONE), &mut keys).unwrap();
    let (mut time, mut pauses) = (now, Vec::new());
    while pauses.len() < 14 {
        match acme.next(time, &mut keys) {
            Next::Ask(request) => {
                let response = authority.answer(&request, &acme, &keys);
                acme.answer(time, &mut keys, response);
            }
            Next::Wait(until) => {
                pauses.push(until - time);
                time = until;
                let log = told(&mut acme);
                assert!(
                    log.contains("no certificate for a.example yet: the authority is not reached: no route"),
                    "{log}"
                );
            }
        }
    }
    assert_eq!((&pauses[..5], pauses[13]), (&[5, 10, 20, 40, 60][..], 60));
    authority.fault = Fault::None;
    let start = time;
    let (time, _) = run(&mut acme, &mut authority, &mut keys, time);
    assert!(!keys.stored("default").unwrap().is_empty() && time < start + 60, "{}", told(&mut acme));
}

/// After a start, at whichever of its requests that was, the order goes on: another would count against the authority's limits.
#[test]
fn a_start_goes_on_with_the_order_of_before() {
    let good = {
        let (mut authority, mut keys) = (Authority::new(), Box::new());
        run(&mut Acme::new(config(ONE), &mut keys).unwrap(), &mut authority, &mut keys, today());
        authority.asked.len()
    };
    for proof in [Proof::Http, Proof::Tls] {
        let one: &[(&str, &[&str], Proof)] = &[("default", &["a.example"], proof)];
        for at in 0..=good {
            for is_lost in [false, true] {
                let (mut authority, mut keys, mut time) = (Authority::new(), Box::new(), today());
                let mut acme = Acme::new(config(one), &mut keys).unwrap();
                while authority.asked.len() < at {
                    match acme.next(time, &mut keys) {
                        Next::Wait(until) if until > time + 200 => break,
                        Next::Wait(until) => time = until,
                        Next::Ask(request) => {
                            let response = authority.answer(&request, &acme, &keys);
                            // what was answered last may not have arrived
                            if !is_lost || authority.asked.len() < at {
                                acme.answer(time, &mut keys, response);
                            }
                        }
                    }
                }
                let was_heard =
                    authority.orders > 0 && !(is_lost && authority.asked.last().unwrap().ends_with("/order"));
                let mut acme = Acme::new(config(one), &mut keys).unwrap();
                run(&mut acme, &mut authority, &mut keys, time);
                assert!(!keys.stored("default").unwrap().is_empty(), "{proof} {at} {is_lost}: {}", told(&mut acme));
                assert!(authority.orders == 1 || !was_heard && authority.orders == 2, "{proof} {at} {is_lost}");
                let is_account_lost =
                    is_lost && authority.asked.get(at.wrapping_sub(1)).is_some_and(|url| url.ends_with("/account"));
                assert_eq!(authority.accounts, 1 + u32::from(is_account_lost), "{at} {is_lost}: {:?}", authority.asked);
            }
        }
    }
}

/// One that is started again and again after a failure waits as it would have.
#[test]
fn a_start_does_not_shorten_a_pause() {
    let (mut authority, mut keys, now) = (Authority::new(), Box::new(), today());
    authority.fault = Fault::Limited(10_000);
    let (time, until) = run(&mut Acme::new(config(ONE), &mut keys).unwrap(), &mut authority, &mut keys, now);
    let asked = authority.asked.len();
    for start in 0..5 {
        let mut acme = Acme::new(config(ONE), &mut keys).unwrap();
        assert_eq!(acme.next(time + start, &mut keys), Next::Wait(until));
    }
    assert_eq!(authority.asked.len(), asked);
    // ... but not by a clock that was years ahead when it failed
    let mut acme = Acme::new(config(ONE), &mut keys).unwrap();
    assert!(matches!(acme.next(time - 400 * DAY, &mut keys), Next::Ask(_)));
    // another authority knows nothing of it, and has to give a certificate of its own
    authority.fault = Fault::None;
    run(&mut Acme::new(config(ONE), &mut keys).unwrap(), &mut authority, &mut keys, until);
    let elsewhere = Config { directory: "https://other.example/directory".into(), ..config(ONE) };
    let mut acme = Acme::new(elsewhere.clone(), &mut keys).unwrap();
    let Next::Ask(request) = acme.next(until, &mut keys) else { panic!("it waits") };
    assert_eq!(request.url, elsewhere.directory);
}

/// The account's contact is changed where it is another one now.
#[test]
fn the_authority_hears_of_another_contact() {
    let (mut authority, mut keys, now) = (Authority::new(), Box::new(), today());
    let (time, until) = run(&mut Acme::new(config(ONE), &mut keys).unwrap(), &mut authority, &mut keys, now);
    let other = Config { contact: vec!["mailto:bert@example.org".into()], ..config(ONE) };
    run(&mut Acme::new(other.clone(), &mut keys).unwrap(), &mut authority, &mut keys, until);
    assert_eq!((authority.accounts, authority.contact), (1, json!(["mailto:bert@example.org"])));
    assert!(time < until);
}

/// RFC 9773: the authority has a certificate renewed before its time, and is told which one was.
#[test]
fn the_authority_says_when_to_renew() {
    let (mut authority, mut keys, now) = (Authority::new(), Box::new(), today());
    authority.window = Some(("2020-01-01T00:00:00Z".into(), "2020-01-02T00:00:00Z".into()));
    let mut acme = Acme::new(config(ONE), &mut keys).unwrap();
    // it is asked some hours later for the first time
    let (time, until) = run(&mut acme, &mut authority, &mut keys, now);
    assert_eq!((authority.orders, until - time), (1, 6 * 3_600));
    let id = authority.renewal_id();
    let (time, until) = run(&mut acme, &mut authority, &mut keys, until);
    assert_eq!((authority.orders, &authority.replaced, until - time), (2, &vec![id.clone()], 6 * 3_600));
    let log = told(&mut acme);
    assert!(
        log.contains("the authority has the certificate renewed on") && log.contains(": see https://ca.example/why"),
        "{log}"
    );
    // what it says is within bounds, and what makes no sense is as if nothing were said
    for window in [
        ("2090-01-01T00:00:00Z", "2090-01-02T00:00:00Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:58Z"),
        ("", ""),
        ("1970-01-01T00:00:00Z", "1960-01-01T00:00:00Z"),
    ] {
        authority.window = Some((window.0.into(), window.1.into()));
        let orders = authority.orders;
        let (_, until) = run(&mut acme, &mut authority, &mut keys, until);
        assert_eq!(authority.orders, orders, "{window:?}");
        assert!(until > now, "{window:?}");
    }
    // long after it should have been renewed, it is, before it ends: 2090 is not waited for
    authority.window = Some(("2090-01-01T00:00:00Z".into(), "2090-01-02T00:00:00Z".into()));
    let mut now = until;
    loop {
        match acme.next(now, &mut keys) {
            Next::Ask(request) if request.url.ends_with("/order") => break,
            Next::Ask(request) => {
                let response = authority.answer(&request, &acme, &keys);
                acme.answer(now, &mut keys, response);
            }
            Next::Wait(until) => now = until,
        }
    }
    assert!(now > today() + 79 * DAY && now < today() + 85 * DAY, "{}", now - today());
    // an authority that does not know the certificate is asked for one without saying so
    let (mut authority, mut keys, now) = (Authority::new(), Box::new(), today());
    authority.window = Some(("2020-01-01T00:00:00Z".into(), "2020-01-02T00:00:00Z".into()));
    authority.knows_replaced = false;
    let mut acme = Acme::new(config(ONE), &mut keys).unwrap();
    let (_, until) = run(&mut acme, &mut authority, &mut keys, now);
    run(&mut acme, &mut authority, &mut keys, until);
    assert!(authority.orders == 2 && authority.replaced.is_empty(), "{}", told(&mut acme));
}

/// The certificate of an authority for tests is not taken for one of another, however often the box starts until it has that.
#[test]
fn a_certificate_of_another_authority_is_replaced() {
    let (mut authority, mut keys, now) = (Authority::new(), Box::new(), today());
    let staging = Config { directory: format!("{CA}/staging"), ..config(ONE) };
    let mut acme = Acme::new(staging.clone(), &mut keys).unwrap();
    let (time, until) = run(&mut acme, &mut authority, &mut keys, now);
    assert!(authority.orders == 1 && until > time + 50 * DAY, "{}", told(&mut acme));
    // the other authority has made the account, and not the certificate
    authority.fault = Fault::Busy("/order", 503, "");
    let mut acme = Acme::new(config(ONE), &mut keys).unwrap();
    run(&mut acme, &mut authority, &mut keys, time);
    authority.fault = Fault::None;
    for start in [time + 1_000, time + 2_000] {
        let mut acme = Acme::new(config(ONE), &mut keys).unwrap();
        assert!(told(&mut acme).contains("there is a certificate of another authority until"));
        let Next::Ask(_) = acme.next(start, &mut keys) else { panic!("it waits") };
    }
    let mut acme = Acme::new(config(ONE), &mut keys).unwrap();
    let (time, until) = run(&mut acme, &mut authority, &mut keys, time + 3_000);
    assert!(authority.orders == 2 && until > time + 50 * DAY, "{}", told(&mut acme));
    // that one is its own
    let mut acme = Acme::new(config(ONE), &mut keys).unwrap();
    assert!(matches!(acme.next(time, &mut keys), Next::Wait(_)));
}

/// What the authority has not refused is not ordered again: each order counts against its limits.
#[test]
fn an_order_that_is_late_goes_on() {
    let limited = r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many"}"#;
    for proof in [Proof::Http, Proof::Tls] {
        let one: &[(&str, &[&str], Proof)] = &[("default", &["a.example"], proof)];
        for fault in [
            Fault::Busy("/chain", 503, "<html>"),
            Fault::Busy("/chain", 500, ""),
            Fault::Busy("/finalize", 429, limited),
            Fault::Busy("/order/1", 500, ""),
            Fault::Busy("/authorization/0", 502, ""),
            Fault::Processing,
            Fault::Unseen,
        ] {
            for is_started in [false, true] {
                let (mut authority, mut keys, mut now) = (Authority::new(), Box::new(), today());
                authority.fault = fault;
                let mut acme = Acme::new(config(one), &mut keys).unwrap();
                for pause in [300, 600, 1_200] {
                    let asked = authority.asked.len();
                    let (time, until) = run(&mut acme, &mut authority, &mut keys, now);
                    // that of before is asked for once, and no other is ordered at once
                    let log = told(&mut acme);
                    assert_eq!((until - time, authority.orders), (pause, 1), "{fault:?} {is_started}: {log}");
                    assert!(authority.asked.len() > asked && log.contains("no certificate for a.example yet"), "{log}");
                    now = until;
                    if is_started {
                        acme = Acme::new(config(one), &mut keys).unwrap();
                    }
                }
                authority.fault = Fault::None;
                run(&mut acme, &mut authority, &mut keys, now);
                let is_had = !keys.stored("default").unwrap().is_empty();
                assert!(is_had && authority.orders == 1, "{fault:?} {is_started}: {}", told(&mut acme));
                assert!(acme.proof("token_0").is_none() && keys.0.prove("a.example").is_none());
            }
        }
    }
    // ... but not for ever
    let (mut authority, mut keys, mut now) = (Authority::new(), Box::new(), today());
    authority.fault = Fault::Processing;
    let mut acme = Acme::new(config(ONE), &mut keys).unwrap();
    let start = now;
    while authority.orders < 2 {
        now = run(&mut acme, &mut authority, &mut keys, now).1;
    }
    assert!(now - start > 2 * DAY && now - start < 30 * DAY, "{}", now - start);
}

/// Where an answer is lost, the authority has heard what was asked, and looks at the proof.
#[test]
fn a_proof_stays_while_the_authority_may_look() {
    for proof in [Proof::Http, Proof::Tls] {
        let one: &[(&str, &[&str], Proof)] = &[("default", &["a.example"], proof)];
        let (mut authority, mut keys, now) = (Authority::new(), Box::new(), today());
        authority.fault = Fault::Lost("/challenge/0");
        let mut acme = Acme::new(config(one), &mut keys).unwrap();
        let mut time = now;
        while !authority.asked.last().is_some_and(|url| url.ends_with("/challenge/0")) {
            match acme.next(time, &mut keys) {
                Next::Ask(request) => {
                    let response = authority.answer(&request, &acme, &keys);
                    acme.answer(time, &mut keys, response);
                }
                Next::Wait(until) => time = until,
            }
        }
        let key = authority.account.clone().unwrap();
        assert!(authority.is_proved(0, &key, &acme, &keys), "{proof}: {}", told(&mut acme));
        authority.fault = Fault::None;
        run(&mut acme, &mut authority, &mut keys, time);
        assert_eq!((authority.orders, keys.stored("default").unwrap().len()), (1, 2), "{}", told(&mut acme));
        assert!(!acme.has_proofs() && keys.0.prove("a.example").is_none());
    }
    // one that is proved otherwise since leaves nothing of before
    let (mut authority, mut keys, now) = (Authority::new(), Box::new(), today());
    authority.fault = Fault::Unseen;
    let by = |proof| config(&[("default", &["a.example"], proof)]);
    let (time, _) = run(&mut Acme::new(by(Proof::Tls), &mut keys).unwrap(), &mut authority, &mut keys, now);
    assert!(keys.0.prove("a.example").is_some());
    authority.fault = Fault::None;
    let mut acme = Acme::new(by(Proof::Http), &mut keys).unwrap();
    run(&mut acme, &mut authority, &mut keys, time);
    assert!(!keys.stored("default").unwrap().is_empty(), "{}", told(&mut acme));
    assert!(!acme.has_proofs() && keys.0.prove("a.example").is_none());
}

/// What had failed with other settings is tried at once; what the network is to blame for, every hour.
#[test]
fn what_was_put_right_is_tried_soon() {
    let (mut authority, mut keys, mut now) = (Authority::new(), Box::new(), today());
    authority.fault = Fault::Invalid;
    let mut acme = Acme::new(config(ONE), &mut keys).unwrap();
    let mut pauses = Vec::new();
    for _ in 0..7 {
        let (time, until) = run(&mut acme, &mut authority, &mut keys, now);
        pauses.push(until - time);
        now = until;
    }
    assert_eq!(pauses[3..], [2_400, 3_600, 3_600, 3_600]);
    let before = now - 1_000;
    assert_eq!(Acme::new(config(ONE), &mut keys).unwrap().next(before, &mut keys), Next::Wait(now));
    let other = [
        config(&[("default", &["a.example"], Proof::Tls)]),
        config(&[("default", &["b.example"], Proof::Http)]),
        Config { contact: Vec::new(), ..config(ONE) },
        Config { external: Some(External { id: "me".into(), key: b"two".to_vec().into() }), ..config(ONE) },
    ];
    for other in other {
        let mut acme = Acme::new(other.clone(), &mut keys).unwrap();
        assert!(matches!(acme.next(before, &mut keys), Next::Ask(_)), "{other:?}");
    }
}

/// Each certificate has an order of its own that goes on.
#[test]
fn orders_of_several_certificates_go_on() {
    let (mut authority, mut keys, now) = (Authority::new(), Box::new(), today());
    let two: &[(&str, &[&str], Proof)] = &[("a", &["a.example"], Proof::Http), ("b", &["b.example"], Proof::Http)];
    authority.fault = Fault::Processing;
    let mut acme = Acme::new(config(two), &mut keys).unwrap();
    let mut time = now;
    while authority.orders < 2 {
        time = run(&mut acme, &mut authority, &mut keys, time).1;
    }
    let kept = String::from_utf8(keys.remembered().unwrap()).unwrap();
    assert_eq!(kept.matches("https://ca.example/order/1").count(), 2, "{kept}");
    let asked = authority.asked.len();
    let mut acme = Acme::new(config(two), &mut keys).unwrap();
    run(&mut acme, &mut authority, &mut keys, time + DAY);
    assert!(authority.asked[asked..].iter().any(|url| url.ends_with("/order/1")) && authority.orders == 2);
    // as many as there may be are kept, with long names
    let many: Vec<(String, [String; 1])> =
        (0..100).map(|at| (format!("{at:064}"), [format!("{at}.example")])).collect();
    let certificate = |(key, names): &(String, [String; 1])| Certificate {
        key: key.clone(),
        names: names.to_vec(),
        proof: Proof::Http,
    };
    let config = Config { certificates: many.iter().map(certificate).collect(), ..config(ONE) };
    let (mut authority, mut keys, mut time) = (Authority::new(), Box::new(), now);
    authority.long = true;
    authority.fault = Fault::Busy("/authorization/0", 500, "");
    let mut acme = Acme::new(config, &mut keys).unwrap();
    while authority.orders < 100 {
        match acme.next(time, &mut keys) {
            Next::Ask(request) => {
                let response = authority.answer(&request, &acme, &keys);
                acme.answer(time, &mut keys, response);
            }
            Next::Wait(until) => time = until,
        }
    }
    let log = told(&mut acme);
    assert!(!log.contains("will not be known"), "{log}");
    let kept = String::from_utf8(keys.remembered().unwrap()).unwrap();
    assert_eq!(kept.matches("/a\"").count(), 100);
}

/// Nothing is ordered for a key whose certificates are in the settings of the box with the keys: none could be stored.
#[test]
fn a_key_of_the_settings_gets_no_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let make = "ecparam -name prime256v1 -genkey -noout -out own.key";
    openssl(&make.split(' ').collect::<Vec<_>>(), folder.path());
    let mut keys = Box::with(&[("keys.own", &std::fs::read_to_string(folder.path().join("own.key")).unwrap())]);
    let why = Acme::new(config(&[("own", &["a.example"], Proof::Http)]), &mut keys).unwrap_err();
    assert!(why.contains("the key `own` is one of the settings, with certificates of its own"), "{why}");
}

/// Certificates that end at once, or that the authority has renewed at once, are ordered less and less often.
#[test]
fn renewals_that_come_early_come_later_and_later() {
    let (mut authority, mut keys, now) = (Authority::new(), Box::new(), today());
    authority.window = Some(("2020-01-01T00:00:00Z".into(), "2020-01-02T00:00:00Z".into()));
    let mut acme = Acme::new(config(ONE), &mut keys).unwrap();
    let (mut time, mut orders) = (now, Vec::new());
    while orders.len() < 5 {
        match acme.next(time, &mut keys) {
            Next::Ask(request) => {
                if request.url.ends_with("/order") {
                    orders.push(time);
                }
                let response = authority.answer(&request, &acme, &keys);
                acme.answer(time, &mut keys, response);
            }
            Next::Wait(until) => time = until,
        }
    }
    // this authority dates all of them back to the same day
    let pauses: Vec<u64> = orders.windows(2).map(|two| two[1] - two[0]).collect();
    assert!(orders[4] - orders[0] > 47 * 3_600, "{pauses:?}");
}

/// A clock that is put back does not stop the box for as long.
#[test]
fn a_clock_may_be_put_back() {
    let (mut authority, mut keys, now) = (Authority::new(), Box::new(), today());
    authority.fault = Fault::Invalid;
    let mut acme = Acme::new(config(ONE), &mut keys).unwrap();
    let (time, until) = run(&mut acme, &mut authority, &mut keys, now + 400 * DAY);
    assert_eq!(until - time, 300);
    assert_eq!(acme.next(now, &mut keys), Next::Wait(now + 300));
    // while something is waited for, as well
    let (mut authority, mut keys) = (Authority::new(), Box::new());
    authority.window = Some(("2090-01-01T00:00:00Z".into(), "2090-01-02T00:00:00Z".into()));
    let mut acme = Acme::new(config(ONE), &mut keys).unwrap();
    let mut time = now + DAY;
    loop {
        match acme.next(time, &mut keys) {
            Next::Ask(request) => {
                let response = authority.answer(&request, &acme, &keys);
                acme.answer(time, &mut keys, response);
            }
            Next::Wait(until) if time > now + DAY => {
                assert!(until > time);
                break;
            }
            Next::Wait(until) => time = until,
        }
    }
    time -= DAY;
    let (end, _) = run(&mut acme, &mut authority, &mut keys, time);
    assert!(end < time + 200 && !keys.stored("default").unwrap().is_empty(), "{}", told(&mut acme));
    // ... and neither is a certificate renewed sooner, nor is the authority not asked for so long
    let Next::Wait(until) = acme.next(now - 100 * DAY, &mut keys) else { panic!("it asks") };
    assert!(until < now - 99 * DAY, "{}", until - now);
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
    assert!(told(&mut acme).contains("orderNotReady") && authority.asked.len() < 400);
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
    let (time, until) = run(&mut acme, &mut authority, &mut keys, today());
    assert_eq!(authority.orders, 1, "{:?}", acme.take_log());
    // without the secret the account is found again, though the box does not know it any more
    keys.remember(Vec::new()).unwrap();
    let more: &[(&str, &[&str], Proof)] = &[("other", &["b.example"], Proof::Http)];
    let mut acme = Acme::new(config(more), &mut keys).unwrap();
    run(&mut acme, &mut authority, &mut keys, time);
    assert!(authority.orders == 2 && until > time, "{:?}", acme.take_log());
    // ... and none is made
    let mut keys = Box::new();
    authority.account = None;
    let mut acme = Acme::new(config(ONE), &mut keys).unwrap();
    run(&mut acme, &mut authority, &mut keys, time);
    assert!(told(&mut acme).contains("`config.external` does not say who this one is"));
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
    assert!(authority.account.is_none() && told(&mut acme).contains("terms of service"));
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
            // it may be looking still, where it has not refused the order
            let kept = String::from_utf8(keys.remembered().unwrap()).unwrap();
            let goes_on = kept.contains("/order/1") || kept.contains("https://ca.example/x");
            assert!((goes_on || acme.proof("token_0").is_none()) && acme.proof("../..").is_none(), "{at} {number}");
            assert!(acme.take_log().iter().all(|(_, line)| line.len() < 1_024 && !line.contains(['\r', '\n'])));
        }
    }
}
