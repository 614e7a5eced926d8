//! How often an address may fail to prove a key.

use super::SECOND;
use std::collections::BTreeMap;
use wit::tcp::Endpoint;

/// Failures that are forgiven at once, and how long it takes until one more is.
const BURST: u64 = 10;
const PAUSE: u64 = 6 * SECOND;

/// Addresses that are remembered.
const KEPT: usize = 256;

/// By address, when all its failures will have been paid for.
#[derive(Debug, Default)]
pub struct Failures(BTreeMap<[u8; 16], u64>);

impl Failures {
    pub fn add(&mut self, from: Endpoint, now: u64) {
        let key = place(from);
        if !self.0.contains_key(&key) && self.0.len() >= KEPT {
            let first = self.0.iter().min_by_key(|(_, paid)| **paid).map(|(key, _)| *key);
            first.and_then(|first| self.0.remove(&first));
        }
        let paid = self.0.entry(key).or_insert(now);
        // no more than what bars it: whoever shares the address with a crowd gets in soon after
        *paid = ((*paid).max(now) + PAUSE).min(now + BURST * PAUSE);
    }

    pub fn are_too_many(&mut self, from: Endpoint, now: u64) -> bool {
        self.0.retain(|_, paid| *paid > now);
        self.0.get(&place(from)).is_some_and(|paid| *paid - now >= BURST * PAUSE)
    }
}

/// An IPv4 address, or the network of an IPv6 one: its first 64 bits, which are one customer's.
pub fn place(from: Endpoint) -> [u8; 16] {
    let mut octets = from.address.octets();
    if from.address.to_ipv4_mapped().is_none() {
        octets[8..].fill(0);
    }
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(address: &str) -> Endpoint {
        Endpoint { address: address.parse().unwrap(), port: 1 }
    }

    #[test]
    fn an_address_that_fails_has_to_wait_and_others_do_not() {
        let mut failures = Failures::default();
        for port in 0..BURST as u16 {
            assert!(!failures.are_too_many(from("::ffff:10.0.0.1"), 0));
            failures.add(Endpoint { port, ..from("::ffff:10.0.0.1") }, 0);
        }
        assert!(failures.are_too_many(from("::ffff:10.0.0.1"), 0));
        assert!(!failures.are_too_many(from("::ffff:10.0.0.2"), 0));
        assert!(!failures.are_too_many(from("::ffff:10.0.0.1"), PAUSE + 1), "one is forgiven");
        for _ in 0..1_000 {
            failures.add(from("::ffff:10.0.0.1"), PAUSE);
        }
        assert!(failures.are_too_many(from("::ffff:10.0.0.1"), PAUSE));
        assert!(!failures.are_too_many(from("::ffff:10.0.0.1"), 2 * PAUSE + 1), "nor does it add up");
    }

    #[test]
    fn a_network_counts_as_one_and_the_memory_is_bounded() {
        let mut failures = Failures::default();
        for host in 0..BURST {
            failures.add(from(&format!("2001:db8::{host:x}")), 0);
        }
        assert!(failures.are_too_many(from("2001:db8::ffff"), 0));
        for network in 0..10_000 {
            failures.add(from(&format!("2001:db8:{network:x}::1")), 0);
        }
        assert_eq!(failures.0.len(), KEPT);
        assert!(failures.are_too_many(from("2001:db8::1"), 0), "who failed most is not forgotten first");
    }
}
