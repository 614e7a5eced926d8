//! Whom a box may connect to.

use super::Ports;
use alloc::{format, string::String, vec::Vec};
use core::fmt;
use core::net::{IpAddr, Ipv6Addr};
use serde::{Deserialize, Serialize};
use wit::tcp::Endpoint;

/// Whom a box may connect to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remote {
    pub host: Host,
    pub ports: Ports,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Host {
    Any,
    /// A name, in lower case.
    Name(String),
    /// All names below this one.
    Below(String),
    /// Addresses whose first `prefix` bits are those of `address`. IPv4 is in its IPv6-mapped form.
    Network {
        address: Ipv6Addr,
        prefix: u8,
    },
}

impl Remote {
    /// `host:443`, `*.example.org:443`, `192.0.2.1:*`, `10.0.0.0/8:8000-8010`, `[2001:db8::/32]:443`, `*:443`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (host, ports) = text
            .rsplit_once(':')
            .filter(|(host, _)| !host.is_empty())
            .ok_or_else(|| format!("`{text}` names no port; write \"host:443\", or \"host:*\" for any"))?;
        if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) {
            return Err(format!("`{text}`: an IPv6 address is written in brackets, as in \"[2001:db8::1]:443\""));
        }
        let ports = if ports == "*" { Ports::all() } else { Ports::parse(ports)? };
        Ok(Remote { host: Host::parse(host)?, ports })
    }

    /// What [`parse`](Self::parse) can yield.
    pub(super) fn is_sound(&self) -> bool {
        let is_host = |name: &str| host_name(name).is_ok_and(|lower| lower == name);
        self.ports.is_sound()
            && match &self.host {
                Host::Any => true,
                Host::Name(name) | Host::Below(name) => is_host(name),
                Host::Network { address, prefix } => {
                    *prefix <= 128 && address.to_bits() & mask(*prefix) == address.to_bits()
                }
            }
    }

    pub fn admits(&self, to: Endpoint, names: &[&str]) -> bool {
        self.ports.contains(to.port)
            && (self.host.admits_address(to.address) || names.iter().any(|name| self.host.admits_name(name)))
    }

    /// Whether everything that this admits is admitted by one of `others`.
    pub fn within(&self, others: &[Remote]) -> bool {
        let ports: Vec<Ports> = others.iter().filter(|o| self.host.within(&o.host)).map(|o| o.ports).collect();
        self.ports.within(&ports)
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.ports)
    }
}

impl Host {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Host::Any);
        }
        if let Some(name) = text.strip_prefix("*.") {
            return host_name(name).map(Host::Below);
        }
        let literal = text.trim_start_matches('[').trim_end_matches(']');
        let (address, prefix) = match literal.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (literal, None),
        };
        let Ok(address) = address.parse::<IpAddr>() else {
            if prefix.is_some() {
                return Err(format!("`{text}` is no network; write \"10.0.0.0/8\" or \"[2001:db8::/32]\""));
            }
            return host_name(text).map(Host::Name);
        };
        let (address, offset) = match address {
            IpAddr::V4(v4) => (v4.to_ipv6_mapped(), 96),
            IpAddr::V6(v6) => (v6, 0),
        };
        let prefix = match prefix.map(str::parse::<u8>) {
            None => 128,
            Some(Ok(prefix)) if prefix <= 128 - offset => prefix + offset,
            Some(_) => return Err(format!("`{text}`: the prefix of a network has 0 to {} bits", 128 - offset)),
        };
        let network = Ipv6Addr::from_bits(address.to_bits() & mask(prefix));
        if network != address {
            let network = Host::Network { address: network, prefix };
            return Err(format!("`{text}` has bits set beyond its prefix; did you mean \"{network}\"?"));
        }
        Ok(Host::Network { address, prefix })
    }

    fn admits_address(&self, to: Ipv6Addr) -> bool {
        match self {
            Host::Any => true,
            Host::Network { address, prefix } => to.to_bits() & mask(*prefix) == address.to_bits(),
            Host::Name(_) | Host::Below(_) => false,
        }
    }

    pub(super) fn admits_name(&self, name: &str) -> bool {
        let name = name.strip_suffix('.').unwrap_or(name);
        match self {
            Host::Name(own) => own.eq_ignore_ascii_case(name),
            Host::Below(parent) => name
                .len()
                .checked_sub(parent.len() + 1)
                .and_then(|at| name.split_at_checked(at))
                .is_some_and(|(below, rest)| {
                    !below.is_empty() && rest.strip_prefix('.').is_some_and(|rest| rest.eq_ignore_ascii_case(parent))
                }),
            Host::Any | Host::Network { .. } => false,
        }
    }

    fn within(&self, other: &Host) -> bool {
        match (self, other) {
            (_, Host::Any) => true,
            (Host::Network { address, prefix }, Host::Network { prefix: wider, .. }) => {
                wider <= prefix && other.admits_address(*address)
            }
            (Host::Name(name), _) => other.admits_name(name),
            (Host::Below(name), Host::Below(parent)) => name == parent || other.admits_name(name),
            _ => false,
        }
    }
}

fn mask(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Any => f.write_str("*"),
            Host::Name(name) => f.write_str(name),
            Host::Below(name) => write!(f, "*.{name}"),
            Host::Network { address, prefix } => match (address.to_ipv4_mapped(), prefix.checked_sub(96)) {
                (Some(v4), Some(32)) => write!(f, "{v4}"),
                (Some(v4), Some(prefix)) => write!(f, "{v4}/{prefix}"),
                _ if *prefix == 128 => write!(f, "[{address}]"),
                _ => write!(f, "[{address}/{prefix}]"),
            },
        }
    }
}

/// A host name (RFC 1123, section 2.1), in lower case.
pub fn host_name(text: &str) -> Result<String, String> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if text.len() <= 253 && text.split('.').all(label) {
        Ok(text.to_ascii_lowercase())
    } else if text.contains(':') {
        Err(format!("`{text}` is no host: it is given without a port"))
    } else {
        Err(format!("`{text}` is no host name"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn remote(text: &str) -> Remote {
        Remote::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn to(address: &str, port: u16) -> Endpoint {
        let address = match address.parse().unwrap() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        Endpoint { address, port }
    }

    #[test]
    fn remotes_admit_what_they_say() {
        let admits = |text: &str, address, port, names: &[&str]| remote(text).admits(to(address, port), names);
        assert!(admits("10.0.0.0/8:*", "10.1.2.3", 5, &[]) && !admits("10.0.0.0/8:*", "11.0.0.1", 5, &[]));
        assert!(admits("*:443", "::1", 443, &[]) && !admits("*:443", "::1", 80, &[]));
        assert!(admits("[2001:db8::/32]:443", "2001:db8::1", 443, &[]));
        assert!(!admits("0.0.0.0/0:*", "2001:db8::1", 443, &[]));
        assert!(admits("Example.org:443", "192.0.2.1", 443, &["example.ORG."]));
        assert!(!admits("example.org:443", "192.0.2.1", 443, &["evil.org"]));
        assert!(admits("*.example.org:443", "192.0.2.1", 443, &["a.b.example.org"]));
        assert!(!admits("*.example.org:443", "192.0.2.1", 443, &["example.org", "badexample.org", ".example.org"]));
    }

    #[test]
    fn remotes_are_written_as_read() {
        for text in [
            "host:443",
            "*.a.org:1-2",
            "192.0.2.1:*",
            "10.0.0.0/8:80",
            "[2001:db8::/32]:443",
            "[::1]:1",
            "*:443",
            "*:*",
        ] {
            assert_eq!(remote(text).to_string(), text);
        }
    }

    #[test]
    fn what_is_no_remote() {
        for bad in
            ["", "host", ":80", "host:", "host:0", "10.0.0.1/8:*", "10.0.0.0/33:*", "a/8:1", "::1:80", "a b:1", "*.:1"]
        {
            assert!(Remote::parse(bad).is_err(), "{bad}");
        }
        assert!(Remote::parse("10.0.0.1/8:*").unwrap_err().contains("\"10.0.0.0/8\""));
    }

    #[test]
    fn remotes_within_others() {
        let within = |a: &str, b: &[&str]| remote(a).within(&b.iter().map(|b| remote(b)).collect::<Vec<_>>());
        assert!(within("a.example.org:443", &["*.example.org:*"]));
        assert!(within("*.b.example.org:443", &["*.example.org:*"]));
        assert!(within("10.1.0.0/16:1-9", &["10.0.0.0/8:1-5", "10.0.0.0/8:6-20"]));
        assert!(!within("10.0.0.0/8:80", &["10.1.0.0/16:80"]) && !within("*:80", &["example.org:80"]));
        assert!(!within("example.org:80", &["10.0.0.0/8:80"]) && !within("example.org:80", &[]));
    }
}
