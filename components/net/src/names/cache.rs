//! Addresses found lately, for as long as their servers said they are good.

use super::message::Name;
use core::net::Ipv6Addr;
use std::collections::BTreeMap;

const LIMIT: usize = 256;
/// Seconds: a server's mistake should not last.
const LONGEST: u32 = 3600;
const SECOND: u64 = 1_000_000_000;

#[derive(Default)]
pub struct Cache {
    names: BTreeMap<Name, (Vec<Ipv6Addr>, u64)>,
}

impl Cache {
    pub fn get(&self, now: u64, name: &Name) -> Option<&[Ipv6Addr]> {
        let (addresses, expires) = self.names.get(name)?;
        (*expires > now).then_some(addresses)
    }

    pub fn insert(&mut self, now: u64, name: Name, addresses: Vec<Ipv6Addr>, seconds: u32) {
        if self.names.len() >= LIMIT {
            self.names.retain(|_, (_, expires)| *expires > now);
        }
        if self.names.len() >= LIMIT {
            self.names.pop_first();
        }
        let expires = now + u64::from(seconds.min(LONGEST)) * SECOND;
        self.names.insert(name, (addresses, expires));
    }

    /// What was found from other addresses, or from other servers, may not hold.
    pub fn clear(&mut self) {
        self.names.clear();
    }
}
