//! Where a request comes from, and whether its connection is for what it asks for.

use super::Http;
use crate::connection::Connection;
use core::net::Ipv6Addr;
use message::{Head, forwarded, settings::Network, target::host_of};
use std::rc::Rc;
use wit::List;
use wit::http::Scheme;
use wit::tcp::Secured;

/// The names that a certificate is for.
#[derive(Debug, PartialEq, Eq)]
pub struct Covers(Box<[Box<str>]>);

/// The names that a secured connection is for (RFC 9110, section 4.3.3).
#[derive(Debug)]
pub struct Origin {
    /// what the client has asked for, if the certificate is not for it
    name: Box<str>,
    covers: Rc<Covers>,
}

/// The most bytes of all names that are kept.
const NAMES: usize = 4 << 10;
/// The longest name (RFC 1035, section 2.3.4).
const NAME: usize = 253;

impl Covers {
    /// `host`: in any case, without a dot at its end.
    fn has(&self, host: &str) -> bool {
        self.0.iter().any(|name| match name.strip_prefix("*.") {
            Some(parent) => host.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent)),
            None => name.eq_ignore_ascii_case(host),
        })
    }

    fn is(&self, names: &List<'_, &str>) -> bool {
        self.0.len() == names.len() && self.0.iter().zip(names.iter()).all(|(name, other)| **name == *other)
    }
}

impl Origin {
    /// Bytes of memory that it takes, but for what connections share.
    pub fn memory(&self) -> usize {
        size_of::<Self>() + self.name.len()
    }

    fn is_for(&self, host: &str) -> bool {
        host.eq_ignore_ascii_case(&self.name) || self.covers.has(host)
    }
}

fn is_of(networks: &[Network], address: Ipv6Addr) -> bool {
    networks.iter().any(|network| network.contains(address))
}

impl Http {
    /// What a connection is for. `None`: for anything. So it is if the client has not said what it wants, or if it is not known what the
    /// certificate is for.
    #[cold]
    #[inline(never)]
    pub(super) fn origin_of(&mut self, secured: &Secured<'_>) -> Option<Rc<Origin>> {
        let names = secured.covers.filter(|_| !secured.name.is_empty() && secured.name.len() <= NAME)?;
        if names.iter().map(|name| name.len() + size_of::<Box<str>>()).sum::<usize>() > NAMES {
            return None;
        }
        // each once, however many connections are for them
        self.covers.retain(|covers| Rc::strong_count(covers) > 1);
        let known = self.covers.iter().find(|covers| covers.is(&names)).cloned();
        let covers = known.unwrap_or_else(|| {
            names.iter().for_each(|name| self.figures.know(name));
            let new = Rc::new(Covers(names.iter().map(Into::into).collect()));
            self.covers.push(Rc::clone(&new));
            new
        });
        let name = secured.name.trim_end_matches('.');
        let name = if covers.has(name) { "" } else { name };
        Some(Rc::new(Origin { name: name.into(), covers }))
    }

    /// Whether a request is for a host that its connection is not for (RFC 9110, section 15.5.20).
    pub(super) fn is_misdirected(&self, connection: &Connection, authority: &str) -> bool {
        let Some(origin) = &connection.origin else { return false };
        let host = host_of(authority).trim_end_matches('.');
        // A proxy has connections for all its clients.
        !origin.is_for(host) && !self.is_proxy(connection.remote.address)
    }

    /// Whether an address is that of a proxy, which brings what many clients ask for.
    pub(super) fn is_proxy(&self, address: Ipv6Addr) -> bool {
        is_of(&self.config.trusted_proxies, address)
    }

    pub(super) fn begins_with_header(&self, address: Ipv6Addr) -> bool {
        is_of(&self.config.proxy_protocol_from, address)
    }

    /// The client that a request is from, and how it has come, as far as who has brought it is trusted.
    #[inline]
    pub(super) fn client_of(&self, connection: &Connection, head: &Head<'_>) -> (Ipv6Addr, Scheme) {
        let remote = connection.remote.address;
        let scheme = if connection.is_secured { Scheme::Https } else { Scheme::Http };
        if !head.says.is_forwarded || self.config.trusted_proxies.is_empty() {
            return (remote, scheme);
        }
        let is_trusted = |address| self.is_proxy(address);
        let (client, forwarded) = forwarded::client(head.raw, self.config.proxy_header, remote, is_trusted);
        (client, forwarded.unwrap_or(scheme))
    }
}
