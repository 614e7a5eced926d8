//! From names to certificates, one order after the other.

use crate::jws::{self, base64};
use crate::messages::{Authorization, Directory, MOST, Method, Order, Problem, Request, Response, Status};
use crate::{Certificate, Config, Keys, Proof, certificate};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Seconds until an order that has failed is tried again: the first time, and at most. It doubles each time.
const PAUSE: u64 = 300;
const LONGEST_PAUSE: u64 = 24 * 3_600;
/// Seconds after the start before which nothing is ordered: one that is started again and again asks for nothing.
const START: u64 = 60;
/// So often in a row a certificate cannot be stored before it is given up and ordered anew.
const STORINGS: u32 = 10;
/// Seconds between two looks at what the authority works on, and the most looks. An authority may say otherwise, within bounds.
const LOOK: u64 = 3;
const LOOKS: u32 = 100;
/// So often a nonce is refused in a row before that is an error.
const NONCES: u32 = 5;
const MAX_URL: usize = 2_048;

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    Ask(Request),
    /// Nothing until then, in seconds since 1970.
    Wait(u64),
}

/// The client of one authority. Times are seconds since 1970.
#[derive(Debug)]
pub struct Acme {
    config: Config,
    /// of each certificate: when it is to be ordered, and how often that has failed in a row
    due: Vec<(u64, u32)>,
    is_started: bool,
    /// By certificate: those that were issued, and could not be stored yet. To order them again would count against the authority's limits.
    issued: BTreeMap<usize, Issued>,
    directory: Option<Directory>,
    nonce: Option<String>,
    /// the account's URL
    account: Option<String>,
    current: Option<Current>,
    asked: Option<Asked>,
    /// by token
    proofs: BTreeMap<String, String>,
    log: Vec<String>,
}

/// A certificate that is not stored yet.
#[derive(Debug)]
struct Issued {
    chain: Vec<Vec<u8>>,
    /// when it is to be renewed
    renewal: u64,
    /// how often it could not be stored
    failures: u32,
}

/// The order that is under way.
#[derive(Debug)]
struct Current {
    /// of the certificate
    place: usize,
    step: Step,
    url: String,
    finalize: String,
    authorizations: Vec<String>,
    /// The request (DER) that the certificate is made from.
    request: Vec<u8>,
    /// Nothing is asked before this.
    not_before: u64,
    looks: u32,
    nonces: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Order,
    /// Looks at the last of the authorizations. True: its challenge has been accepted, so it is waited for.
    Authorization(bool),
    /// Accepts a challenge, by its URL.
    Accept(String),
    Finalize,
    /// Looks at the order.
    Await,
    Download(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Directory,
    Nonce,
    Account,
    Step,
}

/// Why an order does not go on.
enum Failed {
    Words(String),
    Problem(Problem, Option<u64>),
}

impl From<String> for Failed {
    fn from(why: String) -> Self {
        Failed::Words(why)
    }
}

impl From<&str> for Failed {
    fn from(why: &str) -> Self {
        Failed::Words(why.into())
    }
}

impl Acme {
    /// Certificates that `keys` has are renewed when two thirds of their life have passed; others are ordered a minute after the first
    /// call of [`next`](Acme::next).
    ///
    /// # Errors
    /// A key cannot be made, or the settings are wrong.
    pub fn new(config: Config, keys: &mut dyn Keys) -> Result<Self, String> {
        check_url(&config.directory)?;
        let mut due = Vec::with_capacity(config.certificates.len());
        for Certificate { key, names, proof } in &config.certificates {
            if names.is_empty() {
                return Err(format!("the certificate of the key `{key}` has no names"));
            }
            if let Some(name) = names.iter().find(|name| name.starts_with("*.")) {
                return Err(format!(
                    "{name}: authorities give no such name for a proof by {proof:?}, but for one by DNS alone"
                ));
            }
            keys.make(key)?;
            let stored = keys.stored(key)?;
            let own = stored.first().filter(|own| certificate::covers(own, names));
            due.push((own.and_then(|own| renewal(own)).unwrap_or(0), 0));
        }
        let (current, asked, log) = (None, None, Vec::new());
        let (directory, nonce, account, proofs) = (None, None, None, BTreeMap::new());
        let (is_started, issued) = (false, BTreeMap::new());
        Ok(Acme { config, due, is_started, issued, directory, nonce, account, current, asked, proofs, log })
    }

    /// What is answered at `/.well-known/acme-challenge/TOKEN` (section 8.3), as `application/octet-stream`.
    pub fn proof(&self, token: &str) -> Option<&str> {
        self.proofs.get(token).map(String::as_str)
    }

    /// What is worth a line of the log since the last call.
    pub fn take_log(&mut self) -> Vec<String> {
        core::mem::take(&mut self.log)
    }

    /// What to do now. After `Ask` comes [`answer`](Acme::answer).
    pub fn next(&mut self, now: u64, keys: &mut dyn Keys) -> Next {
        if !core::mem::replace(&mut self.is_started, true) {
            self.due.iter_mut().for_each(|(due, _)| *due = (*due).max(now.saturating_add(START)));
        }
        if self.current.is_none() {
            let first = self.due.iter().enumerate().min_by_key(|(_, (due, _))| *due);
            let Some((place, &(due, _))) = first else { return Next::Wait(u64::MAX) };
            if due > now {
                return Next::Wait(due);
            }
            if let Some(issued) = self.issued.remove(&place).filter(|issued| issued.renewal > now) {
                self.store(now, keys, place, issued);
                return self.next(now, keys);
            }
            self.current = Some(Current {
                place,
                step: Step::Order,
                url: String::new(),
                finalize: String::new(),
                authorizations: Vec::new(),
                request: Vec::new(),
                not_before: 0,
                looks: 0,
                nonces: 0,
            });
        }
        if let Some(Current { not_before, .. }) = self.current.as_ref().filter(|current| current.not_before > now) {
            return Next::Wait(*not_before);
        }
        match self.request(keys) {
            Ok((asked, request)) => {
                self.asked = Some(asked);
                Next::Ask(request)
            }
            Err(why) => {
                self.fail(now, keys, why);
                self.next(now, keys)
            }
        }
    }

    fn request(&mut self, keys: &mut dyn Keys) -> Result<(Asked, Request), Failed> {
        let get = |method, url: &str| Request { method, url: url.into(), body: String::new() };
        let Some(directory) = self.directory.clone() else {
            return Ok((Asked::Directory, get(Method::Get, &self.config.directory)));
        };
        let Some(nonce) = self.nonce.take() else {
            return Ok((Asked::Nonce, get(Method::Head, &directory.new_nonce)));
        };
        let (asked, url, payload) = if self.account.is_none() {
            (Asked::Account, directory.new_account.clone(), Some(self.account_payload(&directory.new_account, keys)?))
        } else {
            let (url, payload) = self.step_payload(&directory, keys)?;
            (Asked::Step, url, payload)
        };
        let account = self.account.as_deref().filter(|_| asked == Asked::Step);
        let body = jws::sign(keys, &url, &nonce, account, payload.as_ref())?;
        Ok((asked, Request { method: Method::Post, url, body }))
    }

    /// Section 7.3
    fn account_payload(&self, url: &str, keys: &mut dyn Keys) -> Result<Value, Failed> {
        if !self.config.agreed {
            return Err("nobody has agreed to the authority's terms of service yet".into());
        }
        let mut payload = json!({ "termsOfServiceAgreed": true, "contact": self.config.contact });
        if let Some(external) = &self.config.external {
            payload["externalAccountBinding"] = jws::bind(external, url, &keys.account()?)?;
        }
        Ok(payload)
    }

    fn step_payload(&mut self, directory: &Directory, keys: &mut dyn Keys) -> Result<(String, Option<Value>), Failed> {
        let current = self.current.as_mut().ok_or("there is no order")?;
        let Certificate { key, names, .. } = &self.config.certificates[current.place];
        Ok(match &current.step {
            Step::Order => {
                let identifiers: Vec<Value> =
                    names.iter().map(|name| json!({ "type": "dns", "value": name })).collect();
                (directory.new_order.clone(), Some(json!({ "identifiers": identifiers })))
            }
            Step::Authorization(_) => (current.authorizations.last().ok_or("there is no authorization")?.clone(), None),
            Step::Accept(url) => (url.clone(), Some(json!({}))),
            Step::Finalize => {
                current.request = keys.request(key, names)?;
                (current.finalize.clone(), Some(json!({ "csr": base64(&current.request) })))
            }
            Step::Await => (current.url.clone(), None),
            Step::Download(url) => (url.clone(), None),
        })
    }

    /// What came of the last request; an error in words is one of the network.
    pub fn answer(&mut self, now: u64, keys: &mut dyn Keys, response: Result<Response, String>) {
        let Some(asked) = self.asked.take() else { return };
        if let Err(why) = self.take(asked, now, keys, response) {
            self.fail(now, keys, why);
        }
    }

    fn take(
        &mut self,
        asked: Asked,
        now: u64,
        keys: &mut dyn Keys,
        response: Result<Response, String>,
    ) -> Result<(), Failed> {
        let response = response?;
        if response.body.len() > MOST {
            return Err("the authority's answer is too long".into());
        }
        self.nonce = response.nonce.clone().filter(|nonce| is_token(nonce)).or(self.nonce.take());
        let wait = response.retry_after.as_deref().and_then(|text| text.trim().parse::<u64>().ok());
        if !(200..300).contains(&response.status) {
            let problem = serde_json::from_slice(&response.body)
                .unwrap_or_else(|_| Problem { kind: format!("status {}", response.status), ..Problem::default() });
            return self.refused(now, problem, wait);
        }
        match asked {
            Asked::Directory => {
                let directory: Directory = read(&response)?;
                for url in [&directory.new_nonce, &directory.new_account, &directory.new_order] {
                    check_url(url)?;
                }
                self.directory = Some(directory);
            }
            Asked::Nonce if self.nonce.is_none() => return Err("the authority gives no nonce".into()),
            Asked::Nonce => {}
            Asked::Account => {
                let url = response.location.ok_or("the authority gives the account no URL")?;
                check_url(&url)?;
                self.account = Some(url);
            }
            Asked::Step => self.stepped(now, keys, &response, wait)?,
        }
        Ok(())
    }

    /// The authority does not do what it was asked.
    fn refused(&mut self, now: u64, problem: Problem, wait: Option<u64>) -> Result<(), Failed> {
        let current = self.current.as_mut().ok_or("there is no order")?;
        // section 6.5: the answer has another
        if problem.is("badNonce") && current.nonces < NONCES {
            current.nonces += 1;
            return Ok(());
        }
        // section 7.4: all names are proved, and the authority has yet to see it
        if problem.is("orderNotReady") && current.step == Step::Finalize && current.looks < LOOKS {
            current.looks += 1;
            (current.step, current.not_before, current.nonces) = (Step::Await, later(now, wait), 0);
            return Ok(());
        }
        if problem.is("accountDoesNotExist") && self.account.take().is_some() {
            return Err(Failed::Problem(problem, Some(PAUSE)));
        }
        Err(Failed::Problem(problem, wait))
    }

    fn stepped(&mut self, now: u64, keys: &mut dyn Keys, response: &Response, wait: Option<u64>) -> Result<(), Failed> {
        let current = self.current.as_mut().ok_or("there is no order")?;
        current.nonces = 0;
        let wanted = &self.config.certificates[current.place];
        let later = later(now, wait);
        match &current.step {
            Step::Order => {
                let url = response.location.clone().ok_or("the authority gives the order no URL")?;
                let order: Order = read(response)?;
                if order.authorizations.len() > wanted.names.len() {
                    return Err("the authority wants more authorizations than there are names".into());
                }
                for url in order.authorizations.iter().chain([&url, &order.finalize]) {
                    check_url(url)?;
                }
                (current.url, current.finalize) = (url, order.finalize);
                current.authorizations = order.authorizations;
                current.step = after_authorizations(&current.authorizations);
            }
            Step::Authorization(is_accepted) => {
                let authorization: Authorization = read(response)?;
                let name = authorization.identifier.value.to_ascii_lowercase();
                match authorization.status {
                    Status::Valid => {
                        current.authorizations.pop();
                        current.step = after_authorizations(&current.authorizations);
                        current.looks = 0;
                    }
                    Status::Pending if !is_accepted => {
                        if !wanted.names.contains(&name) {
                            return Err("the authority wants a proof for another name".into());
                        }
                        let kind = if wanted.proof == Proof::Http { "http-01" } else { "tls-alpn-01" };
                        let challenge = authorization.challenges.into_iter().find(|challenge| challenge.kind == kind);
                        let challenge =
                            challenge.ok_or_else(|| format!("the authority takes no proof by {kind} for {name}"))?;
                        check_url(&challenge.url)?;
                        if !is_token(&challenge.token) {
                            return Err("the authority's token is none".into());
                        }
                        let proof = jws::authorization(&challenge.token, &keys.account()?);
                        match wanted.proof {
                            Proof::Http => drop(self.proofs.insert(challenge.token, proof)),
                            Proof::Tls => keys.challenge(&wanted.key, &name, Some(&Sha256::digest(proof)))?,
                        }
                        current.step = Step::Accept(challenge.url);
                    }
                    Status::Pending | Status::Processing => {
                        current.looks += 1;
                        if current.looks > LOOKS {
                            return Err(format!("the authority does not look at the proof for {name}").into());
                        }
                        current.not_before = later;
                    }
                    _ => {
                        let problem = authorization.challenges.into_iter().find_map(|challenge| challenge.error);
                        let why = problem.map(|problem| format!(": {problem}")).unwrap_or_default();
                        return Err(format!("the authority does not take the proof for {name}{why}").into());
                    }
                }
            }
            Step::Accept(_) => {
                current.step = Step::Authorization(true);
                current.not_before = later;
            }
            Step::Finalize | Step::Await => {
                let order: Order = read(response)?;
                match (order.status, order.certificate) {
                    (Status::Valid, Some(url)) => {
                        check_url(&url)?;
                        current.step = Step::Download(url);
                    }
                    (Status::Ready, _) if current.step == Step::Await => current.step = Step::Finalize,
                    (Status::Ready | Status::Processing | Status::Pending, _) => {
                        current.looks += 1;
                        if current.looks > LOOKS {
                            return Err("the authority does not make the certificate".into());
                        }
                        (current.step, current.not_before) = (Step::Await, later);
                    }
                    _ => {
                        let why = order.error.map(|problem| format!(": {problem}")).unwrap_or_default();
                        return Err(format!("the authority makes no certificate{why}").into());
                    }
                }
            }
            Step::Download(_) => {
                let chain = certificate::read_chain(&response.body)?;
                if !certificate::covers(&chain[0], &wanted.names) {
                    return Err("the certificate is not for all of the names".into());
                }
                if !certificate::is_of(&chain[0], &current.request) {
                    return Err(format!("the certificate is not of the key `{}`", wanted.key).into());
                }
                let renewal =
                    renewal(&chain[0]).filter(|due| *due > now).ok_or("the certificate is good for no time")?;
                let place = current.place;
                self.forget(keys);
                self.due[place].1 = 0;
                self.store(now, keys, place, Issued { chain, renewal, failures: 0 });
            }
        }
        Ok(())
    }

    /// Where this fails, it is tried again after a pause.
    fn store(&mut self, now: u64, keys: &mut dyn Keys, place: usize, mut issued: Issued) {
        let Certificate { key, names, .. } = &self.config.certificates[place];
        let names = names.join(", ");
        let Err(why) = keys.store(key, issued.chain.clone()) else {
            self.log.push(format!("there is a certificate for {names}"));
            self.due[place] = (issued.renewal, 0);
            return;
        };
        issued.failures += 1;
        let pause = self.postpone(now, place, 0);
        let next = if issued.failures < STORINGS { "it is tried again" } else { "another one is ordered" };
        self.log.push(format!("the certificate for {names} cannot be stored: {why}; {next} in {pause} s"));
        if issued.failures < STORINGS {
            self.issued.insert(place, issued);
        }
    }

    /// After a failure there is nothing to do for a certificate for so many seconds, and at least for `least`.
    fn postpone(&mut self, now: u64, place: usize, least: u64) -> u64 {
        let (due, failures) = &mut self.due[place];
        let pause = PAUSE.checked_shl((*failures).min(32)).unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE).max(least);
        (*due, *failures) = (now.saturating_add(pause), failures.saturating_add(1));
        pause
    }

    /// The order is over: nothing is proved any more.
    fn forget(&mut self, keys: &mut dyn Keys) {
        self.proofs.clear();
        let Some(current) = self.current.take() else { return };
        let Certificate { key, names, proof } = &self.config.certificates[current.place];
        if *proof == Proof::Tls {
            for name in names {
                // what is not there need not be taken back
                let _ = keys.challenge(key, name, None);
            }
        }
    }

    /// The order has failed, and begins anew after a pause.
    fn fail(&mut self, now: u64, keys: &mut dyn Keys, why: Failed) {
        let Some(current) = &self.current else { return };
        let (place, names) = (current.place, self.config.certificates[current.place].names.join(", "));
        let (why, least) = match why {
            Failed::Words(why) => (why, 0),
            // an authority that has had too much says until when, and others of its answers may
            Failed::Problem(problem, wait) => (problem.to_string(), wait.unwrap_or(0).min(7 * LONGEST_PAUSE)),
        };
        let pause = self.postpone(now, place, least);
        self.log.push(format!("no certificate for {names} yet: {why}; it is tried again in {pause} s"));
        // its URLs may have changed
        self.directory = None;
        self.forget(keys);
    }
}

fn after_authorizations(left: &[String]) -> Step {
    if left.is_empty() { Step::Finalize } else { Step::Authorization(false) }
}

/// When to look again, if the authority says to wait so many seconds.
fn later(now: u64, wait: Option<u64>) -> u64 {
    now.saturating_add(wait.unwrap_or(LOOK).clamp(1, 3_600))
}

/// When a certificate is to be renewed: after two thirds of its life.
fn renewal(own: &[u8]) -> Option<u64> {
    let (from, until) = certificate::validity(own)?;
    Some(from + (until - from) / 3 * 2)
}

fn read<T: DeserializeOwned>(response: &Response) -> Result<T, Failed> {
    serde_json::from_slice(&response.body)
        .map_err(|error| format!("the authority's answer is not understood: {error}").into())
}

fn check_url(url: &str) -> Result<(), String> {
    let is_url = url.len() <= MAX_URL && url.starts_with("https://") && url.bytes().all(|byte| byte.is_ascii_graphic());
    if is_url { Ok(()) } else { Err("an authority has URLs with https://".into()) }
}

/// What goes into a path and a header as it is: BASE64URL.
fn is_token(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=512).contains(&text.len()) && text.bytes().all(fits)
}
