//! What stands in front of the handlers: redirects, and who may ask for what, and how often. Rules say it; see
//! `message::rules`.

use super::Http;
use super::request::Choice;
use crate::connection::client_of;
use crate::password::same_secret;
use crate::rules::{Rate, Says};
use base64::{Engine, prelude::BASE64_STANDARD};
use core::hash::BuildHasher;
use core::net::Ipv6Addr;
use hashbrown::{DefaultHashBuilder, HashMap};
use message::{Head, fields, rules::as_sent, target};
use std::{borrow::Cow, collections::BTreeMap};
use wit::http::Scheme;

#[derive(Debug)]
pub(super) struct Gate {
    buckets: Buckets,
    /// the guesses of all clients; not in the table, whose entries make room for others
    guesses: Bucket,
    /// The password that a user had last, by rule and name: to compare one with its hash takes long, on purpose.
    known: HashMap<(u16, String), Box<[u8]>>,
}

/// A user's name and password together; longer ones are nobody's.
const CREDENTIALS: usize = 256;

/// Passwords that one client may try in vain, and how many at once.
const GUESSES: Rate = Rate { interval: 8_000_000_000, burst: 4 };

/// A password of cost 1; each cost more takes twice as long. All clients together may try for about a tenth of the time: each
/// guess counts as ten times what it takes, at 0.1 s for a cost of 10. So one client that tries all the time takes an eighth of
/// what there is for all.
const GUESS_TIME: u64 = 1_000_000;

/// What all clients together may try at once: eight passwords of the highest cost.
const ALL_GUESSES: u64 = 7 * (GUESS_TIME << 10);

/// Instead of the number of a rule, for a client's guesses.
const GUESS: u32 = 1 << 16;

/// What is asked for.
pub(super) struct Asked<'a> {
    /// as it was sent, without its query
    pub path: &'a str,
    /// see [`canonical`](message::rules::canonical)
    pub canonical: &'a str,
    /// empty, or with its `?`
    pub query: &'a str,
    pub remote: Ipv6Addr,
    pub scheme: Scheme,
    /// It has been at the gate before, and then had to wait for its handler.
    pub has_waited: bool,
}

impl Gate {
    /// `bytes`: of memory that it may take.
    pub fn new(bytes: usize) -> Self {
        Gate { buckets: Buckets::new(bytes), guesses: Bucket::default(), known: HashMap::new() }
    }

    /// Whether a request has the name and password of one of a rule's users, whose name is left in `user`. Else how long to
    /// wait before another try, in nanoseconds.
    fn admits(
        &mut self,
        (rule, says): (u16, &Says),
        head: &Head<'_>,
        client: u128,
        now: u64,
        user: &mut String,
    ) -> Result<(), Option<u64>> {
        let credentials = credentials(head.headers).ok_or(None)?;
        let (name, password) = credentials.split_once(':').ok_or(None)?;
        let key = (rule, name.to_owned());
        let is_known = self.known.get(&key).is_some_and(|known| same_secret(known, password.as_bytes()));
        if !is_known {
            // Every name takes as long as that whose password takes longest: else the time would tell which are users.
            let found = says.users.get(name);
            let highest = says.users.values().max_by_key(|hash| hash.cost);
            let (Some(hash), Some(highest)) = (found.or(highest), highest) else { return Err(None) };
            let interval = GUESS_TIME << highest.cost;
            // The client is charged only once there is room for all, and for a wrong password.
            let mut own = *self.buckets.bucket(client, GUESS, now);
            own.take(GUESSES.interval, GUESSES.at_once(), now).map_err(Some)?;
            self.guesses.take(interval, ALL_GUESSES, now).map_err(Some)?;
            let is_right = hash.is_of(password.as_bytes());
            // 2^n + 2^n + 2^(n+1) + … = 2^highest
            (hash.cost..highest.cost).for_each(|cost| hash.spend(cost));
            if !is_right || found.is_none() {
                let _ = self.buckets.take(client, GUESS, GUESSES, now);
                return Err(None);
            }
            self.guesses.give_back(interval);
            self.known.insert(key, password.as_bytes().into());
        }
        name.clone_into(user);
        Ok(())
    }
}

/// Name and password of basic authentication (RFC 7617).
fn credentials(lines: &[u8]) -> Option<String> {
    let (scheme, digits) = fields::value_of(lines, "authorization")?.split_at_checked(6)?;
    let digits = digits.trim_ascii();
    let is_basic = scheme.eq_ignore_ascii_case(b"basic ") && digits.len() <= CREDENTIALS / 3 * 4;
    String::from_utf8(is_basic.then(|| BASE64_STANDARD.decode(digits).ok())??).ok()
}

impl Http {
    /// What is answered to a request in place of a handler, if a rule says so.
    #[cold]
    #[inline(never)]
    pub(super) fn at_the_gate(&mut self, head: &Head<'_>, asked: &Asked<'_>) -> Option<Choice> {
        let Asked { path, canonical, query, remote, scheme, has_waited } = *asked;
        let host = target::host_of(head.authority).trim_end_matches('.');
        let is_lower = !host.bytes().any(|byte| byte.is_ascii_uppercase());
        let host: Cow<'_, str> = if is_lower { host.into() } else { host.to_ascii_lowercase().into() };
        let (mut allow, mut rate, mut users, mut redirect, mut compress) = (None, None, None, None, None);
        let mut headers: BTreeMap<&str, &str> = BTreeMap::new();
        for (at, says, rest) in self.config.rules.that_fit(&host, canonical) {
            if says.scheme.is_some_and(|of_rule| of_rule != scheme) {
                continue;
            }
            allow = allow.or((!says.allow.is_empty()).then_some(&says.allow));
            rate = rate.or(says.rate().map(|rate| (at, rate)));
            compress = compress.or(says.compress);
            users = users.or((!says.users.is_empty()).then_some((at, says)));
            for (name, value) in &says.headers {
                headers.entry(name).or_insert(value);
            }
            redirect = redirect.or(says.redirect.as_ref().map(|to| (says.status.unwrap_or(301), to, rest)));
        }
        self.compress = compress.unwrap_or(self.compress);
        for (name, value) in headers {
            self.headers.extend([name, ": ", value, "\r\n"]);
        }
        let client = client_of(remote);
        if allow.is_some_and(|networks| !networks.iter().any(|network| network.contains(remote))) {
            return Some(Choice::answer(403, "", "this is not for your address"));
        }
        // A request that comes again is counted once.
        if let Some((at, rate)) = rate
            && !has_waited
            && let Err(wait) = self.gate.buckets.take(client, at.into(), rate, self.now)
        {
            return Some(too_many(wait));
        }
        if let Some((at, says)) = users {
            match self.gate.admits((at, says), head, client, self.now, &mut self.user) {
                Ok(()) => {}
                Err(Some(wait)) => return Some(too_many(wait)),
                Err(None) => {
                    let realm = says.realm.as_deref().unwrap_or("Restricted");
                    let ask = format!("WWW-Authenticate: Basic realm=\"{realm}\", charset=\"UTF-8\"\r\n");
                    return Some(Choice::answer(401, ask, "a name and its password are needed"));
                }
            }
        }
        let (status, to, rest) = redirect?;
        let mut location = without_empty_segments(&to.filled(&as_sent(path, rest)));
        if !location.contains('?') {
            let mut encoded = Vec::new();
            target::encode_query(query, &mut encoded);
            location += &String::from_utf8_lossy(&encoded);
        }
        Some(Choice::answer(status, format!("Location: {location}\r\n"), "it is elsewhere"))
    }
}

/// A URL, or a path, without empty segments: two slashes at the start of a path would lead to another host.
fn without_empty_segments(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let (before, query) = url.split_at(end);
    let (origin, path) = match before.split_once("://") {
        Some((scheme, rest)) if !before.starts_with('/') => {
            before.split_at(scheme.len() + 3 + rest.find('/').unwrap_or(rest.len()))
        }
        _ => ("", before),
    };
    let mut shorter = origin.to_owned();
    for character in path.chars() {
        if character != '/' || !shorter[origin.len()..].ends_with('/') {
            shorter.push(character);
        }
    }
    shorter + query
}

fn too_many(wait: u64) -> Choice {
    Choice::answer(429, format!("Retry-After: {}\r\n", wait.div_ceil(1_000_000_000).max(1)), "too many requests")
}

/// How often clients have asked, in tables of fixed size: of clients, and of the networks that they are in.
///
/// A bucket makes room for another when it is full again, so that to forget it changes nothing: nobody who is limited gets a
/// fresh one because thousands of addresses come. A client for which no room is to be made shares a bucket with the others
/// of its network that are not known either: its /24, or /48 of IPv6, and where that has no room, its /16 or /32. The
/// last of all buckets, one for each rule, is everybody's.
#[derive(Debug)]
struct Buckets {
    tables: [Table; NETWORKS.len()],
    everybody: HashMap<u32, Bucket>,
    hasher: DefaultHashBuilder,
}

type Table = Vec<[Bucket; WAYS]>;

const WAYS: usize = 8;

/// The bits of an IPv4 address, and of one of IPv6, that are not of the network; clients as they are first. Each table has half
/// of the room that is left, the last one all of it.
const NETWORKS: [(u32, u32); 3] = [(0, 0), (8, 80), (16, 96)];

/// The generic cell rate algorithm: until when a client has used up what it may, if it asks at the rate.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    client: u128,
    rule: u32,
    until: u64,
}

impl Bucket {
    /// Takes `interval` ns, unless more than `at_once` ns are taken beyond now. `Err`: in how many nanoseconds they are not.
    fn take(&mut self, interval: u64, at_once: u64, now: u64) -> Result<(), u64> {
        let until = self.until.max(now);
        match (until - now).checked_sub(at_once) {
            None | Some(0) => {
                self.until = until.saturating_add(interval);
                Ok(())
            }
            Some(wait) => Err(wait),
        }
    }

    /// What was taken last does not count.
    fn give_back(&mut self, interval: u64) {
        self.until = self.until.saturating_sub(interval);
    }
}

impl Buckets {
    fn new(bytes: usize) -> Self {
        let sets = bytes / size_of::<[Bucket; WAYS]>();
        let table = |sets| vec![[Bucket::default(); WAYS]; sets];
        let tables = [table(sets - sets / 2), table(sets / 2 - sets / 4), table(sets / 4)];
        Buckets { tables, everybody: HashMap::new(), hasher: DefaultHashBuilder::default() }
    }

    /// A request of a client. `Err`: it is one too many, and in how many nanoseconds it is not.
    fn take(&mut self, client: u128, rule: u32, rate: Rate, now: u64) -> Result<(), u64> {
        self.bucket(client, rule, now).take(rate.interval, rate.at_once(), now)
    }

    fn bucket(&mut self, client: u128, rule: u32, now: u64) -> &mut Bucket {
        let is_ipv4 = client >> 32 == 0xffff;
        for (table, (of_ipv4, of_ipv6)) in self.tables.iter_mut().zip(NETWORKS) {
            let network = client & u128::MAX << if is_ipv4 { of_ipv4 } else { of_ipv6 };
            let place = self.hasher.hash_one((network, rule)) % table.len().max(1) as u64;
            let Some(set) = table.get_mut(place as usize) else { continue };
            let is_its = |bucket: &Bucket| (bucket.client, bucket.rule) == (network, rule);
            let way = set.iter().position(is_its).or_else(|| set.iter().position(|bucket| bucket.until <= now));
            let Some(bucket) = way.and_then(|way| set.get_mut(way)) else { continue };
            if !is_its(bucket) {
                *bucket = Bucket { client: network, rule, until: 0 };
            }
            return bucket;
        }
        self.everybody.entry(rule).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_rate_and_a_burst() {
        let mut buckets = Buckets::new(1 << 12);
        let rate = Rate { interval: SECOND / 2, burst: 3 };
        let mut take = |now: u64| buckets.take(7, 1, rate, now);
        assert_eq!([take(SECOND), take(SECOND), take(SECOND)], [Ok(()); 3]);
        assert_eq!(take(SECOND), Err(SECOND / 2));
        assert_eq!(take(SECOND * 3 / 2 - 1), Err(1));
        assert_eq!(take(SECOND * 3 / 2), Ok(()));
        assert_eq!([take(100 * SECOND), take(100 * SECOND), take(100 * SECOND)], [Ok(()); 3], "no more is saved up");
        assert!(take(100 * SECOND).is_err());
        assert_eq!(buckets.take(8, 1, rate, 100 * SECOND), Ok(()));
        assert_eq!(buckets.take(7, 2, rate, 100 * SECOND), Ok(()));
    }

    /// However many clients there are, the tables do not grow; whoever is limited stays so, and addresses of one network do not
    /// limit those of others.
    #[test]
    fn many_addresses_reset_nobody_and_hold_up_their_own_network() {
        let mut buckets = Buckets::new(1 << 14);
        let sizes = |buckets: &Buckets| buckets.tables.each_ref().map(Vec::len);
        let before = sizes(&buckets);
        let rate = Rate { interval: 60 * SECOND, burst: 2 };
        let ipv4 = |address: u32| 0xffff << 32 | u128::from(address);
        let ipv6 = |network: u128, client: u128| network << 96 | client << 64;
        for client in [ipv4(0x0a00_0001), ipv6(0x2001_0db8, 7)] {
            assert_eq!([0, 1].map(|now| buckets.take(client, 1, rate, now)), [Ok(()); 2]);
            assert!(buckets.take(client, 1, rate, 2).is_err());
        }
        let mut served = 0;
        for many in 0..50_000 {
            served += usize::from(buckets.take(ipv6(0x2001_0bad, many), 1, rate, 3).is_ok());
            served += usize::from(buckets.take(ipv4(0xc000_0000 + many as u32), 1, rate, 3).is_ok());
        }
        let places: usize = before.iter().map(|sets| sets * WAYS).sum();
        assert!(served <= rate.burst as usize * (places + 1), "{served} of {places} places");
        assert_eq!((sizes(&buckets), buckets.everybody.len() <= 1), (before, true));
        for client in [ipv4(0x0a00_0001), ipv6(0x2001_0db8, 7)] {
            assert!(buckets.take(client, 1, rate, 4).is_err(), "it is limited as before");
        }
        // networks that nobody has come from
        for client in [ipv4(0x0b00_0001), ipv6(0x2002_0db8, 1)] {
            assert_eq!(buckets.take(client, 1, rate, 5), Ok(()));
        }
        // there is room again when what was taken has come back
        let later = 1_000 * SECOND;
        let again = (0..20).try_for_each(|many| buckets.take(ipv6(0x2001_0bad, many), 1, rate, later));
        assert_eq!(again, Ok(()));
        let mut none = Buckets::new(0);
        assert_eq!([7, 8].map(|client| none.take(client, 1, rate, 1)), [Ok(()); 2]);
        assert!(none.take(9, 1, rate, 1).is_err(), "all share what there is");
    }
}
