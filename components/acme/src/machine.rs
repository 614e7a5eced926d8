//! From names to certificates, one order after the other.

use crate::jws::{self, base64};
use crate::memory::{self, Failures, Memory};
use crate::messages::{Authorization, Directory, MOST, Method, Order, Problem, RenewalInfo, Request, Response, Status};
use crate::time::{date, span};
use crate::{Certificate, Config, Keys, Level, Proof, certificate};
use message::target::{host_of, is_authority, is_path};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use wit::figures::{Figure, Report};

/// Seconds until an order that has failed is tried again: the first time, and at most. It doubles each time.
const PAUSE: u64 = 300;
const LONGEST_PAUSE: u64 = 24 * 3_600;
/// The longest while there is no certificate and the names are not proved: it may be the network that is put right, of which nobody tells.
const LONGEST_UNPROVED: u64 = 3_600;
/// The same where the authority was not reached, so that it has not counted anything: a node that starts has no network yet.
const QUICK_PAUSE: u64 = 5;
const LONGEST_QUICK_PAUSE: u64 = 60;
/// So often in a row an order that the authority has not refused goes on after a failure, before another one takes its place.
const RESUMPTIONS: u32 = 10;
/// The longest that an authority may have the client wait.
const LONGEST_WAIT: u64 = 7 * LONGEST_PAUSE;
/// The least seconds from one certificate to the next, whatever the authority says of them: they double where each is renewed early, up
/// to the longest.
const LEAST_LIFE: u64 = 20;
const LONGEST_LEAST_LIFE: u64 = 3_600;
/// Seconds from a start, and from a certificate, until the authority is asked when to renew it; and those between two such questions: at
/// least, unless it says otherwise, and at most (RFC 9773, section 4.3.2).
const FIRST_QUESTION: u64 = 3_600;
const LEAST_QUESTION: u64 = 3_600;
const QUESTION: u64 = 6 * 3_600;
const LONGEST_QUESTION: u64 = 24 * 3_600;
/// So often in a row a certificate cannot be stored before it is given up and ordered anew.
const STORINGS: u32 = 10;
/// Seconds between two looks at what the authority works on, and the most looks. An authority may say otherwise, within bounds.
const LOOK: u64 = 3;
const LOOKS: u32 = 100;
/// So many seconds a clock may go back without a word.
const CLOCK: u64 = 60;
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
    /// of each certificate, in their order
    due: Vec<Due>,
    memory: Memory,
    is_started: bool,
    /// By certificate: those that were issued, and could not be stored yet. To order them again would count against the authority's limits.
    issued: BTreeMap<usize, Issued>,
    directory: Option<Directory>,
    nonce: Option<String>,
    /// the account's URL
    account: Option<String>,
    /// The authority has yet to hear the contact.
    has_news: bool,
    /// the latest time so far
    seen: u64,
    current: Option<Current>,
    asked: Option<Asked>,
    /// the certificates of which an order is to be proved by http-01
    proving: BTreeSet<usize>,
    /// While there are some: what proves them, with any token. Only this account's orders are proved by it.
    thumbprint: Option<String>,
    log: Vec<(Level, String)>,
}

/// When there is something to do for a certificate.
#[derive(Debug, Clone)]
struct Due {
    /// when it is to be ordered
    order: u64,
    /// when the authority is asked when to renew it; without a certificate never
    question: u64,
    /// how often an order has failed in a row
    failures: u32,
    /// how often the authority was not reached in a row
    misses: u32,
    /// how many certificates in a row took the place of one that was new
    hurried: u32,
    /// why the last order has come to nothing; empty: it has not
    error: String,
    /// the certificate that there is
    own: Option<Own>,
}

#[derive(Debug, Clone)]
struct Own {
    /// RFC 9773, section 4.1
    id: Option<String>,
    from: u64,
    until: u64,
    /// a number that other certificates do not have
    number: u64,
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
    /// An instance of before has made the order.
    is_resumed: bool,
    /// The authority is told which certificate is replaced.
    replaces: Option<String>,
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
    Contact,
    /// When to renew a certificate.
    Question(usize),
    Step,
}

/// Why an order does not go on.
enum Failed {
    /// The authority was not reached.
    Network(String),
    /// It works for longer than it is waited for.
    Late(String),
    Words(String),
    Problem(Problem, Option<u64>),
}

impl Failed {
    /// Whether the same may be had later: the authority has not refused it.
    fn is_passing(&self) -> bool {
        match self {
            Failed::Network(_) | Failed::Late(_) => true,
            Failed::Words(_) => false,
            Failed::Problem(problem, wait) => wait.is_some() || problem.is_passing(),
        }
    }
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
    /// Certificates that `keys` has are renewed when two thirds of their life have passed, or when the authority says (RFC 9773); others
    /// are ordered at once, unless an instance of before has been refused and has had to wait.
    ///
    /// # Errors
    /// A key cannot be made, or the settings are wrong.
    pub fn new(config: Config, keys: &mut dyn Keys) -> Result<Self, String> {
        check_url(&config.directory)?;
        let mut told = Vec::new();
        // what cannot be read is as if it were not there: what it says can be asked again
        let before: Option<Memory> = Memory::read(&keys.remembered()?);
        let is_elsewhere = before.as_ref().is_some_and(|memory| memory.directory != config.directory);
        let mut memory = before.filter(|_| !is_elsewhere).unwrap_or_default();
        memory.directory = config.directory.clone();
        memory.keep_to(&config);
        if is_elsewhere {
            memory.elsewhere = config.certificates.iter().map(|one| one.key.clone()).collect();
        }
        let mut due = Vec::with_capacity(config.certificates.len());
        for Certificate { key, names, proof } in &config.certificates {
            if names.is_empty() {
                return Err(format!("the certificate of the key `{key}` has no names"));
            }
            if let Some(name) = names.iter().find(|name| name.starts_with("*.")) {
                return Err(format!(
                    "{name}: authorities give no such name for a proof by {proof}, but for one by DNS alone"
                ));
            }
            keys.make(key)?;
            let stored = keys.stored(key)?;
            let own = stored.first().filter(|own| certificate::covers(own, names)).and_then(|own| Own::of(own));
            let is_other = memory.elsewhere.contains(key);
            if let Some(own) = &own {
                let (whose, end) = (if is_other { " of another authority" } else { "" }, date(own.until));
                told.push((Level::Info, format!("{}: there is a certificate{whose} until {end}", names.join(", "))));
            }
            // that of another authority, which may be one for tests, is not what is wanted
            let own = own.filter(|_| !is_other);
            let order = own.as_ref().map_or(0, Own::renewal);
            let error = String::new();
            due.push(Due { order, question: u64::MAX, failures: 0, misses: 0, hurried: 0, error, own });
        }
        // the authority may ask for the proof of an order that is under way
        let is_proving =
            |(_, one): &(usize, &Certificate)| one.proof == Proof::Http && memory.order(&one.key, &one.names).is_some();
        let proving: BTreeSet<usize> =
            config.certificates.iter().enumerate().filter(is_proving).map(|(place, _)| place).collect();
        let thumbprint = if proving.is_empty() { None } else { Some(jws::thumbprint(&keys.account()?)) };
        let (account, has_news) = (memory.account.clone(), memory.contact != config.contact);
        Ok(Acme {
            config,
            due,
            memory,
            is_started: false,
            issued: BTreeMap::new(),
            directory: None,
            nonce: None,
            has_news: has_news && account.is_some(),
            account,
            seen: 0,
            current: None,
            asked: None,
            proving,
            thumbprint,
            log: told,
        })
    }

    /// What is answered at `/.well-known/acme-challenge/TOKEN` (section 8.3), as `application/octet-stream`.
    pub fn proof(&self, token: &str) -> Option<String> {
        let thumbprint = self.thumbprint.as_ref().filter(|_| is_token(token))?;
        Some(format!("{token}.{thumbprint}"))
    }

    /// Whether the authority may ask for a proof.
    pub fn has_proofs(&self) -> bool {
        self.thumbprint.is_some()
    }

    /// What is worth a line of the log since the last call.
    pub fn take_log(&mut self) -> Vec<(Level, String)> {
        core::mem::take(&mut self.log)
    }

    /// How each certificate fares: its order's state, when there is something to do for it, and what has gone wrong last; those first
    /// with which something has.
    pub fn figures(&self) -> Vec<Figure> {
        let mut all = Vec::new();
        for (place, (due, Certificate { key, .. })) in self.due.iter().zip(&self.config.certificates).enumerate() {
            let state = match &self.current {
                Some(current) if current.place == place => current.step.in_words(),
                _ if self.issued.contains_key(&place) => "waits to be stored",
                _ if due.own.is_some() => "there is a certificate",
                _ if due.error.is_empty() => "is to be ordered",
                _ => "waits for another try",
            };
            let names = self.names(place);
            let mut figures = Vec::new();
            let mut tell = |figure: Figure| figures.push(figure.of("names", names.clone()).of("key", key.as_str()));
            tell(Figure::text("order-state", state));
            if due.order > 0 {
                tell(Figure::moment("next-order", due.order));
            }
            if !due.error.is_empty() {
                tell(Figure::text("last-error", due.error.clone()));
            }
            all.push((due.error.is_empty(), figures));
        }
        all.sort_by_key(|(is_well, _)| *is_well);
        Report::of(Vec::new()).with(all.into_iter().map(|(_, figures)| figures), "orders-left-out")
    }

    fn say(&mut self, level: Level, line: String) {
        self.log.push((level, line));
    }

    /// The names of a certificate, for the log: not more of them than a line has room for.
    fn names(&self, place: usize) -> String {
        const TOLD: usize = 4;
        let names = &self.config.certificates[place].names;
        let more = names.len().saturating_sub(TOLD);
        let told = names[..names.len().min(TOLD)].join(", ");
        if more > 0 { format!("{told} and {more} more") } else { told }
    }

    /// For a start after this one. Without it the same is asked again.
    fn remember(&mut self, keys: &mut dyn Keys) {
        if let Err(why) = keys.remember(self.memory.write()) {
            self.say(Level::Warn, format!("what is under way will not be known after a start: {why}"));
        }
    }

    /// The clock is known for the first time.
    fn start(&mut self, now: u64) {
        for (due, Certificate { key, .. }) in self.due.iter_mut().zip(&self.config.certificates) {
            if due.own.is_some() {
                due.question = now.saturating_add(FIRST_QUESTION);
            }
            // a time that is further away was written with a clock that was wrong
            let failed =
                self.memory.failures.get(key).filter(|failed| failed.until <= now.saturating_add(LONGEST_WAIT));
            if let Some(failed) = failed {
                (due.order, due.failures) = (due.order.max(failed.until), failed.count);
            }
        }
    }

    /// The clock was put back: pauses end as much sooner by it, and certificates end when they say.
    fn put_back(&mut self, by: u64) {
        for due in &mut self.due {
            if due.failures > 0 || due.misses > 0 {
                due.order = due.order.saturating_sub(by).max(due.own.as_ref().map_or(0, Own::renewal));
            }
            if due.question < u64::MAX {
                due.question = due.question.saturating_sub(by);
            }
        }
        if let Some(current) = &mut self.current {
            current.not_before = current.not_before.saturating_sub(by);
        }
        for failed in self.memory.failures.values_mut() {
            failed.until = failed.until.saturating_sub(by);
        }
    }

    /// What to do now. After `Ask` comes [`answer`](Acme::answer).
    pub fn next(&mut self, now: u64, keys: &mut dyn Keys) -> Next {
        if !core::mem::replace(&mut self.is_started, true) {
            self.start(now);
        }
        if now.saturating_add(CLOCK) < self.seen {
            self.put_back(self.seen - now);
            self.seen = now;
        }
        self.seen = self.seen.max(now);
        if self.current.is_none() {
            let first = self.due.iter().enumerate().min_by_key(|(_, due)| due.order.min(due.question));
            let Some((place, due)) = first else { return Next::Wait(u64::MAX) };
            if due.order.min(due.question) > now {
                return Next::Wait(due.order.min(due.question));
            }
            if due.order > now {
                return self.question(now, place);
            }
            if let Some(issued) = self.issued.remove(&place).filter(|issued| issued.renewal > now) {
                self.store(now, keys, place, issued);
                return self.next(now, keys);
            }
            self.current = Some(self.begin(place, true));
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
                // the authority has refused nothing
                self.fail(now, keys, why, true);
                self.next(now, keys)
            }
        }
    }

    /// The order for a certificate: that of an instance of before, if there is one, since another would count against the authority's
    /// limits.
    fn begin(&self, place: usize, may_resume: bool) -> Current {
        let Certificate { key, names, .. } = &self.config.certificates[place];
        let before = self.memory.order(key, names).filter(|_| may_resume && self.account.is_some());
        Current {
            place,
            step: if before.is_some() { Step::Await } else { Step::Order },
            url: before.unwrap_or_default().into(),
            finalize: String::new(),
            authorizations: Vec::new(),
            is_resumed: before.is_some(),
            replaces: self.due[place].own.as_ref().and_then(|own| own.id.clone()),
            not_before: 0,
            looks: 0,
            nonces: 0,
        }
    }

    /// Asks when to renew a certificate (RFC 9773, section 4.1), which needs no account.
    fn question(&mut self, now: u64, place: usize) -> Next {
        let get = |url: String| Next::Ask(Request { method: Method::Get, url, body: String::new() });
        let Some(directory) = &self.directory else {
            self.asked = Some(Asked::Directory);
            return get(self.config.directory.clone());
        };
        let due = &mut self.due[place];
        let id = due.own.as_ref().and_then(|own| own.id.as_ref());
        let Some((url, id)) = directory.renewal_info.as_ref().zip(id) else {
            due.question = u64::MAX;
            return Next::Wait(now);
        };
        self.asked = Some(Asked::Question(place));
        due.question = now.saturating_add(QUESTION);
        get(format!("{}/{id}", url.trim_end_matches('/')))
    }

    /// Takes the answer to [`question`](Self::question). One that makes no sense is as none.
    fn told_renewal(&mut self, now: u64, place: usize, response: &Response) {
        let wait = response.wait(now).unwrap_or(QUESTION).clamp(LEAST_QUESTION, LONGEST_QUESTION);
        self.due[place].question = now.saturating_add(wait);
        let info: Option<RenewalInfo> = serde_json::from_slice(&response.body).ok();
        let window = info.as_ref().and_then(|info| info.suggested_window.times());
        let (names, due) = (self.names(place), &mut self.due[place]);
        let (Some((start, end)), Some(own)) = (window.filter(|_| response.status == 200), &due.own) else { return };
        // Each certificate at a time of its own within the window, and the same whenever it is asked. A certificate is renewed before it
        // ends, whatever the authority says.
        let time = start + own.number % (end - start).max(1);
        // ... and one after the other is not
        let time = time.max(own.from.saturating_add(pause(QUESTION, LONGEST_WAIT, due.hurried)));
        let time = time.min(own.until - (own.until - own.from) / 10);
        if time == due.order || due.failures > 0 {
            return;
        }
        let is_sooner = time < due.order;
        due.order = time;
        let why = info.and_then(|info| info.explanation_url).filter(|url| is_sooner && check_url(url).is_ok());
        let why = why.map(|url| format!(": see {url}")).unwrap_or_default();
        let line = format!("{names}: the authority has the certificate renewed on {}{why}", date(time));
        self.say(Level::Info, line);
    }

    fn request(&mut self, keys: &mut dyn Keys) -> Result<(Asked, Request), Failed> {
        let get = |method, url: &str| Request { method, url: url.into(), body: String::new() };
        let Some(directory) = self.directory.clone() else {
            return Ok((Asked::Directory, get(Method::Get, &self.config.directory)));
        };
        let Some(nonce) = self.nonce.take() else {
            return Ok((Asked::Nonce, get(Method::Head, &directory.new_nonce)));
        };
        let (asked, url, payload) = match &self.account {
            None => (Asked::Account, directory.new_account.clone(), Some(self.account_payload(&directory, keys)?)),
            // section 7.3.2
            Some(account) if self.has_news => {
                (Asked::Contact, account.clone(), Some(json!({ "contact": self.config.contact })))
            }
            Some(_) => {
                let (url, payload) = self.step_payload(&directory, keys)?;
                (Asked::Step, url, payload)
            }
        };
        let account = self.account.as_deref().filter(|_| asked != Asked::Account);
        let body = jws::sign(keys, &url, &nonce, account, payload.as_ref())?;
        Ok((asked, Request { method: Method::Post, url, body }))
    }

    /// Section 7.3
    fn account_payload(&self, directory: &Directory, keys: &mut dyn Keys) -> Result<Value, Failed> {
        if !self.config.agreed {
            let terms = directory.meta.terms_of_service.as_ref().filter(|url| check_url(url).is_ok());
            let terms = terms.map(|url| format!(": {url}")).unwrap_or_default();
            return Err(format!("nobody has agreed to the authority's terms of service yet{terms}").into());
        }
        let mut payload = json!({ "termsOfServiceAgreed": true, "contact": self.config.contact });
        match &self.config.external {
            Some(external) => {
                payload["externalAccountBinding"] = jws::bind(external, &directory.new_account, &keys.account()?)?;
            }
            // there may be one of before (section 7.3.1)
            None if directory.meta.external_account_required => payload["onlyReturnExisting"] = true.into(),
            None => {}
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
                let mut order = json!({ "identifiers": identifiers });
                // RFC 9773, section 5
                match &current.replaces {
                    Some(id) if directory.renewal_info.is_some() => order["replaces"] = id.as_str().into(),
                    _ => current.replaces = None,
                }
                (directory.new_order.clone(), Some(order))
            }
            Step::Authorization(_) => (current.authorizations.last().ok_or("there is no authorization")?.clone(), None),
            Step::Accept(url) => (url.clone(), Some(json!({}))),
            Step::Finalize => (current.finalize.clone(), Some(json!({ "csr": base64(&keys.request(key, names)?) }))),
            Step::Await => (current.url.clone(), None),
            Step::Download(url) => (url.clone(), None),
        })
    }

    /// What came of the last request; an error in words is one of the network.
    pub fn answer(&mut self, now: u64, keys: &mut dyn Keys, response: Result<Response, String>) {
        let Some(asked) = self.asked.take() else { return };
        if let Asked::Question(place) = asked {
            return if let Ok(response) = response {
                self.told_renewal(now, place, &response)
            };
        }
        let Err(why) = self.take(asked, now, keys, response) else { return };
        let is_passing = why.is_passing();
        // An order of before is one that there may be no more.
        let resumed = self.current.as_ref().filter(|current| current.is_resumed && current.finalize.is_empty());
        let resumed = resumed.map(|current| current.place).filter(|_| asked == Asked::Step && !is_passing);
        if let Some(place) = resumed {
            self.memory.orders.remove(&self.config.certificates[place].key);
            self.current = Some(self.begin(place, false));
            return;
        }
        self.fail(now, keys, why, is_passing || asked != Asked::Step);
    }

    fn take(
        &mut self,
        asked: Asked,
        now: u64,
        keys: &mut dyn Keys,
        response: Result<Response, String>,
    ) -> Result<(), Failed> {
        let response = response.map_err(Failed::Network)?;
        if response.body.len() > MOST {
            return Err("the authority's answer is too long".into());
        }
        self.nonce = response.nonce.clone().filter(|nonce| is_token(nonce)).or(self.nonce.take());
        let wait = response.wait(now);
        if !(200..300).contains(&response.status) {
            let status = response.status;
            let problem = serde_json::from_slice(&response.body)
                .unwrap_or_else(|_| Problem { kind: format!("status {status}"), ..Problem::default() });
            let problem = Problem { status, ..problem };
            return self.refused(asked, now, problem, wait);
        }
        match asked {
            Asked::Directory => {
                let directory: Directory = read(&response)?;
                for url in [&directory.new_nonce, &directory.new_account, &directory.new_order] {
                    check_url(url)?;
                }
                directory.renewal_info.iter().try_for_each(|url| check_url(url))?;
                self.directory = Some(directory);
            }
            Asked::Nonce if self.nonce.is_none() => return Err("the authority gives no nonce".into()),
            Asked::Nonce => {}
            Asked::Account => {
                let url = response.location.ok_or("the authority gives the account no URL")?;
                check_url(&url)?;
                // one that there was already has the contact of before
                self.has_news = response.status == 200;
                if !self.has_news {
                    self.memory.contact.clone_from(&self.config.contact);
                }
                self.memory.account = Some(url.clone());
                self.account = Some(url);
                self.remember(keys);
            }
            Asked::Contact => {
                self.has_news = false;
                if self.memory.contact != self.config.contact {
                    self.memory.contact.clone_from(&self.config.contact);
                    self.remember(keys);
                }
            }
            Asked::Question(_) => {}
            Asked::Step => self.stepped(now, keys, &response, wait)?,
        }
        Ok(())
    }

    /// The authority does not do what it was asked.
    fn refused(&mut self, asked: Asked, now: u64, problem: Problem, wait: Option<u64>) -> Result<(), Failed> {
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
            self.memory.account = None;
            return Err(Failed::Problem(problem, None));
        }
        if problem.is("accountDoesNotExist") && asked == Asked::Account {
            return Err(
                "the authority knows its clients from elsewhere, and `config.external` does not say who this one is"
                    .into(),
            );
        }
        // a certificate can be had without, and whom it would go to is no reason against it
        if asked == Asked::Contact {
            self.has_news = false;
            self.say(Level::Warn, format!("the authority does not take the contact: {problem}"));
            return Ok(());
        }
        // RFC 9773, section 5: it is only said where it helps
        if asked == Asked::Step
            && current.step == Step::Order
            && wait.is_none()
            && !problem.is_passing()
            && current.replaces.take().is_some()
        {
            return Ok(());
        }
        Err(Failed::Problem(problem, wait))
    }

    fn stepped(&mut self, now: u64, keys: &mut dyn Keys, response: &Response, wait: Option<u64>) -> Result<(), Failed> {
        let current = self.current.as_mut().ok_or("there is no order")?;
        current.nonces = 0;
        let place = current.place;
        let wanted = &self.config.certificates[place];
        let later = later(now, wait);
        match &current.step {
            Step::Order => {
                let url = response.location.clone().ok_or("the authority gives the order no URL")?;
                let order: Order = read(response)?;
                check_url(&url)?;
                order.check(wanted.names.len(), check_url)?;
                let authority = host_of(url["https://".len()..].split('/').next().unwrap_or_default()).to_string();
                (current.url, current.finalize) = (url, order.finalize);
                current.authorizations = order.authorizations;
                current.step = after_authorizations(&current.authorizations);
                self.memory.set_order(&wanted.key, &wanted.names, &current.url);
                self.remember(keys);
                let line = format!("{}: a certificate is ordered from {authority}", self.names(place));
                self.say(Level::Info, line);
            }
            Step::Authorization(is_accepted) => {
                let authorization: Authorization = read(response)?;
                let name = authorization.identifier.value.to_ascii_lowercase();
                match authorization.status {
                    Status::Valid => {
                        let is_proved = *is_accepted;
                        current.authorizations.pop();
                        current.step = after_authorizations(&current.authorizations);
                        current.looks = 0;
                        if is_proved && wanted.names.contains(&name) {
                            let line = format!("{name}: proved by {}", wanted.proof);
                            self.say(Level::Info, line);
                        }
                    }
                    Status::Pending | Status::Processing if !is_accepted || wanted.proof == Proof::Tls => {
                        if !wanted.names.contains(&name) {
                            return Err("the authority wants a proof for another name".into());
                        }
                        let is_accepted = *is_accepted;
                        let kind = wanted.proof.kind();
                        let challenge = authorization.challenges.into_iter().find(|challenge| challenge.kind == kind);
                        let challenge =
                            challenge.ok_or_else(|| format!("the authority takes no proof by {kind} for {name}"))?;
                        check_url(&challenge.url)?;
                        if !is_token(&challenge.token) {
                            return Err("the authority's token is none".into());
                        }
                        let thumbprint = jws::thumbprint(&keys.account()?);
                        match wanted.proof {
                            Proof::Http => {
                                self.proving.insert(place);
                                self.thumbprint = Some(thumbprint);
                            }
                            // at each look, since a start of the box with the keys forgets it
                            Proof::Tls => {
                                let proof = Sha256::digest(format!("{}.{thumbprint}", challenge.token));
                                keys.challenge(&wanted.key, &name, Some(&proof))?;
                            }
                        }
                        if is_accepted || challenge.status == Some(Status::Processing) {
                            // it is looked at already
                            (current.step, current.not_before) = (Step::Authorization(true), later);
                            current.looked(|| format!("the authority does not look at the proof for {name}"))?;
                        } else {
                            current.step = Step::Accept(challenge.url);
                        }
                    }
                    Status::Pending | Status::Processing => {
                        current.not_before = later;
                        current.looked(|| format!("the authority does not look at the proof for {name}"))?;
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
                if current.finalize.is_empty() {
                    // one of before, which may be at any of its steps
                    order.check(wanted.names.len(), check_url)?;
                    (current.finalize, current.authorizations) = (order.finalize.clone(), order.authorizations.clone());
                    if order.status == Status::Pending {
                        current.step = after_authorizations(&current.authorizations);
                        return Ok(());
                    }
                }
                match (order.status, order.certificate) {
                    (Status::Valid, Some(url)) => {
                        check_url(&url)?;
                        current.step = Step::Download(url);
                    }
                    (Status::Ready, _) if current.step == Step::Await => current.step = Step::Finalize,
                    (Status::Ready | Status::Processing | Status::Pending, _) => {
                        (current.step, current.not_before) = (Step::Await, later);
                        current.looked(|| "the authority has not made the certificate yet".into())?;
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
                if !certificate::is_of(&chain[0], &keys.request(&wanted.key, &wanted.names)?) {
                    return Err(format!("the certificate is not of the key `{}`", wanted.key).into());
                }
                let renewal = Own::of(&chain[0]).map(|own| own.renewal()).filter(|due| *due > now);
                let least = pause(LEAST_LIFE, LONGEST_LEAST_LIFE, self.due[place].hurried(now));
                let renewal = renewal.ok_or("the certificate is good for no time")?.max(now.saturating_add(least));
                self.forget(keys);
                self.due[place].failures = 0;
                self.store(now, keys, place, Issued { chain, renewal, failures: 0 });
            }
        }
        Ok(())
    }

    /// Where this fails, it is tried again after a pause.
    fn store(&mut self, now: u64, keys: &mut dyn Keys, place: usize, mut issued: Issued) {
        let names = self.names(place);
        let key = &self.config.certificates[place].key;
        let Err(why) = keys.store(key, issued.chain.clone()) else {
            let own = Own::of(&issued.chain[0]);
            let (until, renewal) = (own.as_ref().map_or(0, |own| own.until), issued.renewal);
            let line = format!("{names}: there is a certificate until {}, renewed on {}", date(until), date(renewal));
            self.say(Level::Info, line);
            let is_told = self.directory.as_ref().is_none_or(|directory| directory.renewal_info.is_some());
            let question = if is_told { now.saturating_add(QUESTION) } else { u64::MAX };
            let hurried = self.due[place].hurried(now);
            let error = String::new();
            self.due[place] = Due { order: renewal, question, failures: 0, misses: 0, hurried, error, own };
            let key = &self.config.certificates[place].key;
            self.memory.failures.remove(key);
            self.memory.elsewhere.remove(key);
            self.memory.orders.remove(key);
            self.remember(keys);
            return;
        };
        issued.failures += 1;
        let pause = self.postpone(now, place, LONGEST_PAUSE, 0);
        let next = if issued.failures < STORINGS { "it is tried again" } else { "another one is ordered" };
        let line = format!("the certificate for {names} cannot be stored: {why}; {next} in {}", span(pause));
        self.due[place].error = why;
        self.say(Level::Error, line);
        if issued.failures < STORINGS {
            self.issued.insert(place, issued);
        } else {
            self.memory.orders.remove(&self.config.certificates[place].key);
        }
    }

    /// After a failure there is nothing to do for a certificate for so many seconds, and at least for `least`.
    fn postpone(&mut self, now: u64, place: usize, longest: u64, least: u64) -> u64 {
        let Due { order, failures, .. } = &mut self.due[place];
        let pause = pause(PAUSE, longest, *failures).max(least);
        (*order, *failures) = (now.saturating_add(pause), failures.saturating_add(1));
        pause
    }

    /// The order is over: it is not proved any more.
    fn forget(&mut self, keys: &mut dyn Keys) {
        let Some(current) = self.current.take() else { return };
        self.proving.remove(&current.place);
        if self.proving.is_empty() {
            self.thumbprint = None;
        }
        // whatever it is proved by now: an instance of before may have had other settings
        let Certificate { key, names, .. } = &self.config.certificates[current.place];
        for name in names {
            // what is not there need not be taken back
            let _ = keys.challenge(key, name, None);
        }
    }

    /// There is a pause. `keeps`: the order goes on then, and is proved until then, since the authority may be looking; else another one
    /// takes its place.
    fn fail(&mut self, now: u64, keys: &mut dyn Keys, why: Failed, keeps: bool) {
        // its URLs may have changed
        self.directory = None;
        let Some(current) = &self.current else {
            let asked = self.due.iter_mut().filter(|due| due.question <= now);
            return asked.for_each(|due| due.question = now.saturating_add(QUESTION));
        };
        let place = current.place;
        let keeps = keeps && (matches!(why, Failed::Network(_)) || self.due[place].failures < RESUMPTIONS);
        if !keeps {
            self.memory.orders.remove(&self.config.certificates[place].key);
        }
        let (why, pause) = match why {
            Failed::Network(why) => {
                let Due { order, misses, .. } = &mut self.due[place];
                let pause = pause(QUICK_PAUSE, LONGEST_QUICK_PAUSE, *misses);
                (*order, *misses) = (now.saturating_add(pause), misses.saturating_add(1));
                (format!("the authority is not reached: {why}"), pause)
            }
            Failed::Late(why) | Failed::Words(why) => (why, self.put_off(now, keys, place, 0)),
            // an authority that has had too much says until when, and others of its answers may
            Failed::Problem(problem, wait) => {
                (problem.to_string(), self.put_off(now, keys, place, wait.unwrap_or(0).min(LONGEST_WAIT)))
            }
        };
        let line = format!("no certificate for {} yet: {why}; it is tried again in {}", self.names(place), span(pause));
        self.due[place].error = why;
        self.say(Level::Warn, line);
        if keeps {
            self.current = None;
        } else {
            self.forget(keys);
        }
    }

    /// The order has come to nothing so far.
    fn put_off(&mut self, now: u64, keys: &mut dyn Keys, place: usize, least: u64) -> u64 {
        let is_unproved = self.current.as_ref().is_some_and(|current| current.step.is_unproved());
        let has_none = self.due[place].own.as_ref().is_none_or(|own| own.until <= now);
        let longest = if is_unproved && has_none { LONGEST_UNPROVED } else { LONGEST_PAUSE };
        let pause = self.postpone(now, place, longest, least);
        let Due { order: until, failures: count, misses, .. } = &mut self.due[place];
        *misses = 0;
        let certificate = &self.config.certificates[place];
        let failed = Failures { of: memory::settings(&self.config, certificate), until: *until, count: *count };
        self.memory.failures.insert(certificate.key.clone(), failed);
        self.remember(keys);
        pause
    }
}

impl Step {
    fn in_words(&self) -> &'static str {
        match self {
            Step::Order => "is ordered",
            Step::Authorization(_) | Step::Accept(_) => "names are proved",
            Step::Finalize | Step::Await => "is being made",
            Step::Download(_) => "is fetched",
        }
    }

    /// Before all names are proved.
    fn is_unproved(&self) -> bool {
        matches!(self, Step::Order | Step::Authorization(_) | Step::Accept(_))
    }
}

impl Due {
    /// How many certificates in a row took the place of one that was new, with one that is there now.
    fn hurried(&self, now: u64) -> u32 {
        let young = |own: &Own| now < own.from.saturating_add(((own.until - own.from) / 3).max(LONGEST_LEAST_LIFE));
        if self.own.as_ref().is_some_and(young) { self.hurried.saturating_add(1) } else { 0 }
    }
}

impl Current {
    /// Counts how often the authority is asked the same.
    fn looked(&mut self, why: impl FnOnce() -> String) -> Result<(), Failed> {
        self.looks += 1;
        if self.looks > LOOKS { Err(Failed::Late(why())) } else { Ok(()) }
    }
}

impl Own {
    /// None: it is no certificate.
    fn of(certificate: &[u8]) -> Option<Self> {
        let (from, until) = support::certificate::validity(certificate)?;
        let hash = Sha256::digest(certificate);
        let number = u64::from_le_bytes(core::array::from_fn(|byte| hash[byte]));
        Some(Own { id: certificate::renewal_id(certificate), from, until, number })
    }

    /// When it is renewed unless the authority says otherwise: after two thirds of its life.
    fn renewal(&self) -> u64 {
        self.from + (self.until - self.from) / 3 * 2
    }
}

/// A pause that doubles with each failure.
fn pause(first: u64, longest: u64, failures: u32) -> u64 {
    first.saturating_mul(1 << failures.min(32)).min(longest)
}

fn after_authorizations(left: &[String]) -> Step {
    if left.is_empty() { Step::Finalize } else { Step::Authorization(false) }
}

/// When to look again, if the authority says to wait so many seconds.
fn later(now: u64, wait: Option<u64>) -> u64 {
    now.saturating_add(wait.unwrap_or(LOOK).clamp(1, 3_600))
}

fn read<T: DeserializeOwned>(response: &Response) -> Result<T, Failed> {
    serde_json::from_slice(&response.body)
        .map_err(|error| format!("the authority's answer is not understood: {error}").into())
}

/// A URL that can be asked, or shown: `https://AUTHORITY/PATH`.
pub(crate) fn check_url(url: &str) -> Result<(), String> {
    split(url).map(drop).ok_or_else(|| "an authority has URLs with https://".into())
}

/// The authority and the target of a URL.
pub(crate) fn split(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("https://").filter(|_| url.len() <= MAX_URL)?;
    let (authority, target) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let target = if target.is_empty() { "/" } else { target };
    let is_one = !host_of(authority).is_empty() && is_authority(authority.as_bytes()) && is_path(target);
    is_one.then_some((authority, target))
}

/// What goes into a path and a header as it is: BASE64URL.
fn is_token(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=512).contains(&text.len()) && text.bytes().all(fits)
}
