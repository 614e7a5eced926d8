//! Stateless address autoconfiguration (RFC 4862) and router discovery (RFC 4861).
//!
//! smoltcp's own takes one prefix, no name servers, and asks to be polled without end once three solicitations have
//! gone unanswered.

use super::Network6;
use super::advertisement::{Advertisement, Prefix, Server};
use super::announce;
use crate::heritage::Heritage;
use crate::link::Link;
use crate::paths::LEAST6;
use core::net::Ipv6Addr;
use core::ops::Range;
use smoltcp::wire::{Icmpv6Packet, Ipv6Cidr, Ipv6Packet};

const ETHERNET_HEADER: usize = 14;

const SECOND: u64 = 1_000_000_000;
/// RFC 4861 section 10; doubled each time, as RFC 7559 says.
const FIRST_INTERVAL: u64 = 4 * SECOND;
const LONGEST_INTERVAL: u64 = 3600 * SECOND;
/// RFC 4862 section 5.5.3 (e): an advertisement, which anyone can send, shortens a lifetime to no less.
const TWO_HOURS: u64 = 7200 * SECOND;

const MAX_ROUTERS: usize = 4;
const MAX_PREFIXES: usize = 4;
const MAX_SERVERS: usize = 3;

/// Something that an advertisement said, until it expires.
#[derive(Debug, Clone, Copy)]
struct Timed<T> {
    what: T,
    expires: u64,
}

pub struct Routers {
    card: [u8; 6],
    routers: Vec<Timed<Ipv6Addr>>,
    prefixes: Vec<Timed<Prefix>>,
    dns: Vec<Timed<Ipv6Addr>>,
    mtu: Option<u16>,
    changed: bool,
    /// when to solicit next; never, once a router has answered
    solicit_at: u64,
    interval: u64,
}

/// RFC 4291 appendix A: the modified EUI-64 of an Ethernet address.
fn interface_identifier(card: [u8; 6]) -> u64 {
    let [a, b, c, d, e, f] = card;
    u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}

pub fn link_local(card: [u8; 6]) -> Ipv6Addr {
    Ipv6Addr::from_bits(0xfe80 << 112 | u128::from(interface_identifier(card)))
}

fn expiry(now: u64, seconds: u32) -> u64 {
    if seconds == u32::MAX { u64::MAX } else { now.saturating_add(u64::from(seconds) * SECOND) }
}

impl Routers {
    pub fn new(card: [u8; 6], now: u64) -> Self {
        Routers {
            card,
            routers: Vec::new(),
            prefixes: Vec::new(),
            dns: Vec::new(),
            mtu: None,
            changed: false,
            solicit_at: now,
            interval: FIRST_INTERVAL,
        }
    }

    /// Takes over what a router says, if it is one on this link (RFC 4861 section 6.1.2).
    pub fn receive(&mut self, now: u64, frame: &[u8], message: Range<usize>) {
        let Some(packet) = frame.get(ETHERNET_HEADER..message.end) else { return };
        let Ok(packet) = Ipv6Packet::new_checked(packet) else { return };
        let (source, destination) = (packet.src_addr(), packet.dst_addr());
        let message = &frame[message];
        let sound = Icmpv6Packet::new_checked(message).is_ok_and(|m| m.verify_checksum(&source, &destination));
        if !sound || packet.hop_limit() != 255 || !source.is_unicast_link_local() {
            return;
        }
        let Some(advertisement) = Advertisement::read(message) else { return };
        self.router(source, expiry(now, advertisement.router_lifetime.into()), now);
        for prefix in advertisement.prefixes {
            self.prefix(prefix, now);
        }
        for server in advertisement.dns {
            self.server(server, now);
        }
        // RFC 4861 section 6.3.4. One that is too small for IPv6 is nonsense.
        if let Some(mtu) = advertisement.mtu.and_then(|mtu| u16::try_from(mtu).ok()).filter(|mtu| *mtu >= LEAST6) {
            self.changed |= self.mtu.replace(mtu) != Some(mtu);
        }
        if advertisement.router_lifetime > 0 {
            self.solicit_at = u64::MAX;
        }
    }

    fn router(&mut self, address: Ipv6Addr, expires: u64, now: u64) {
        self.changed |= update(&mut self.routers, MAX_ROUTERS, Timed { what: address, expires }, now, |a, b| a == b);
    }

    fn server(&mut self, server: Server, now: u64) {
        let timed = Timed { what: server.address, expires: expiry(now, server.lifetime) };
        self.changed |= update(&mut self.dns, MAX_SERVERS, timed, now, |a, b| a == b);
    }

    fn prefix(&mut self, prefix: Prefix, now: u64) {
        let same = |a: &Prefix, b: &Prefix| a.prefix == b.prefix;
        let mut expires = expiry(now, prefix.valid);
        if let Some(known) = self.prefixes.iter().find(|known| same(&known.what, &prefix)) {
            let least = known.expires.min(now.saturating_add(TWO_HOURS));
            expires = expires.max(least);
        }
        self.changed |= update(&mut self.prefixes, MAX_PREFIXES, Timed { what: prefix, expires }, now, same);
    }

    /// Solicits routers when it is time to. The network after a change.
    pub fn step(&mut self, now: u64, link: &mut Link) -> Option<Network6> {
        if now >= self.solicit_at {
            announce::solicit_routers(link);
            self.solicit_at = now + self.interval;
            self.interval = (self.interval * 2).min(LONGEST_INTERVAL);
        }
        let before = self.routers.len() + self.prefixes.len() + self.dns.len();
        if now >= self.next_expiry() {
            self.routers.retain(|router| router.expires > now);
            self.prefixes.retain(|prefix| prefix.expires > now);
            self.dns.retain(|server| server.expires > now);
            self.changed |= before != self.routers.len() + self.prefixes.len() + self.dns.len();
            if self.routers.is_empty() && self.solicit_at == u64::MAX {
                self.interval = FIRST_INTERVAL;
                self.solicit_at = now;
            }
        }
        core::mem::take(&mut self.changed).then(|| self.network())
    }

    pub fn leave(self, heritage: &mut Heritage) {
        heritage.routers = self.routers.iter().map(|router| (router.what, router.expires)).collect();
        let prefix = |prefix: &Timed<Prefix>| (prefix.what.prefix, prefix.what.on_link, prefix.expires);
        heritage.prefixes = self.prefixes.iter().map(prefix).collect();
        heritage.mtu6 = self.mtu;
        heritage.servers = self.dns.iter().map(|server| (server.what, server.expires)).collect();
    }

    /// Goes on with what another instance had heard, as far as a router might say it.
    pub fn inherit(&mut self, now: u64, heritage: &Heritage) -> Network6 {
        for (router, expires) in heritage.routers.iter().filter(|(router, _)| router.is_unicast_link_local()) {
            self.router(*router, *expires, now);
        }
        for (prefix, on_link, expires) in &heritage.prefixes {
            let special = prefix.is_multicast() || prefix.is_unicast_link_local() || prefix.is_unspecified();
            if !special && *prefix == Ipv6Addr::from_bits(prefix.to_bits() >> 64 << 64) {
                let what = Prefix { prefix: *prefix, on_link: *on_link, valid: u32::MAX };
                let same = |a: &Prefix, b: &Prefix| a.prefix == b.prefix;
                update(&mut self.prefixes, MAX_PREFIXES, Timed { what, expires: *expires }, now, same);
            }
        }
        for (server, expires) in &heritage.servers {
            if !server.is_multicast() && !server.is_unspecified() && !server.is_loopback() {
                update(&mut self.dns, MAX_SERVERS, Timed { what: *server, expires: *expires }, now, |a, b| a == b);
            }
        }
        self.mtu = heritage.mtu6;
        if !self.routers.is_empty() {
            self.solicit_at = u64::MAX;
        }
        self.changed = false;
        self.network()
    }

    fn network(&self) -> Network6 {
        let identifier = u128::from(interface_identifier(self.card));
        let address = |prefix: &Timed<Prefix>| {
            let address = Ipv6Addr::from_bits(prefix.what.prefix.to_bits() | identifier);
            Ipv6Cidr::new(address, if prefix.what.on_link { 64 } else { 128 })
        };
        Network6 {
            addresses: self.prefixes.iter().map(address).collect(),
            gateway: self.routers.first().map(|router| router.what),
            dns: self.dns.iter().map(|server| server.what).collect(),
            mtu: self.mtu,
        }
    }

    fn next_expiry(&self) -> u64 {
        let routers = self.routers.iter().map(|router| router.expires);
        let prefixes = self.prefixes.iter().map(|prefix| prefix.expires);
        let dns = self.dns.iter().map(|server| server.expires);
        routers.chain(prefixes).chain(dns).min().unwrap_or(u64::MAX)
    }

    pub fn deadline(&self) -> u64 {
        if self.changed { 0 } else { self.solicit_at.min(self.next_expiry()) }
    }
}

/// Adds, prolongs or (when already expired) removes an entry. True if the network is another for it.
fn update<T>(list: &mut Vec<Timed<T>>, limit: usize, new: Timed<T>, now: u64, same: impl Fn(&T, &T) -> bool) -> bool {
    let gone = new.expires <= now;
    match list.iter().position(|known| same(&known.what, &new.what)) {
        Some(at) if gone => {
            list.remove(at);
            true
        }
        Some(at) => {
            list[at].expires = new.expires;
            false
        }
        None if gone || list.len() >= limit => false,
        None => {
            list.push(new);
            true
        }
    }
}
