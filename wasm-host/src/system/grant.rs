//! Grants: what an arrow carries beyond its type.

use super::Place;
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;
use core::net::{IpAddr, Ipv6Addr};
use wit::tcp::Endpoint;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Grant {
    /// The type says all.
    #[default]
    None,
    /// For `pearwood:net/tcp` and `pearwood:net/udp`.
    Net(NetGrant),
    /// For `pearwood:http/handler`: which requests go that way.
    Http(HttpGrant),
}

/// The ports that a box may listen at (or bind, with UDP), and whom it may talk to by itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NetGrant {
    pub listen: Vec<Ports>,
    pub connect: Vec<Remote>,
}

impl NetGrant {
    pub fn may_listen(&self, port: u16) -> bool {
        self.listen.iter().any(|ports| ports.contains(port))
    }

    /// `names` are those that the box has found this address under.
    pub fn may_connect(&self, to: Endpoint, names: &[&str]) -> bool {
        self.connect.iter().any(|remote| remote.admits(to, names))
    }

    /// Whether looking this name up can be of use.
    pub fn may_look_up(&self, name: &str) -> bool {
        self.connect.iter().any(|remote| remote.host == Host::Any || remote.host.admits_name(name))
    }
}

/// A range of ports, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    pub first: u16,
    pub last: u16,
    pub at: Place,
}

impl Ports {
    /// `80` or `8000-8010`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let port = |text: &str| match text.trim().parse::<u32>() {
            Ok(0) => Err("port 0 is no port".to_string()),
            Ok(port) => u16::try_from(port).map_err(|_| format!("port {port} is above 65535")),
            Err(_) => Err(format!("`{text}` is no port; write 80 or \"8000-8010\"")),
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (port(first)?, port(last)?);
        if first > last {
            return Err(format!("the range {first}-{last} is empty; did you mean \"{last}-{first}\"?"));
        }
        Ok(Ports { first, last, at: Place::default() })
    }

    pub const fn all() -> Self {
        Ports { first: 1, last: u16::MAX, at: Place { line: 0, column: 0, length: 0 } }
    }

    pub fn contains(&self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }

    pub fn overlaps(&self, other: &Ports) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// Whether each port of this range is in one of `others`.
    pub fn within(&self, others: &[Ports]) -> bool {
        let mut next = u32::from(self.first);
        // a range may be covered piece by piece
        while next <= u32::from(self.last) {
            let covering = others.iter().filter(|o| o.contains(next as u16)).map(|o| u32::from(o.last)).max();
            match covering {
                Some(last) => next = last + 1,
                None => return false,
            }
        }
        true
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.first, self.last) {
            (1, u16::MAX) => f.write_str("*"),
            (first, last) if first == last => write!(f, "{first}"),
            (first, last) => write!(f, "{first}-{last}"),
        }
    }
}

/// Whom a box may connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    pub host: Host,
    pub ports: Ports,
    pub at: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
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
        let (host, ports) = text.rsplit_once(':').filter(|(host, _)| !host.is_empty()).ok_or_else(|| {
            format!("`{text}` names no port; write \"host:443\", or \"host:*\" for any")
        })?;
        if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) {
            return Err(format!("`{text}`: an IPv6 address is written in brackets, as in \"[2001:db8::1]:443\""));
        }
        let ports = if ports == "*" { Ports::all() } else { Ports::parse(ports)? };
        Ok(Remote { host: Host::parse(host)?, ports, at: Place::default() })
    }

    fn admits(&self, to: Endpoint, names: &[&str]) -> bool {
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

    fn admits_name(&self, name: &str) -> bool {
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

/// Which requests an arrow to a handler is for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HttpGrant {
    /// In lower case. Empty: any.
    pub host: String,
    /// A prefix of the path, by whole segments. Empty or `/`: any.
    pub path: String,
}

impl HttpGrant {
    /// As the channel's `attach` says it.
    pub fn encode(&self) -> Vec<u8> {
        wit::http::Route { host: &self.host, path: &self.path }.encode()
    }

    /// Whether both are for exactly the same requests.
    pub fn same_requests(&self, other: &HttpGrant) -> bool {
        let path = |grant: &HttpGrant| grant.path.trim_end_matches('/').to_string();
        self.host == other.host && path(self) == path(other)
    }
}

impl fmt::Display for HttpGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.host, self.path)
    }
}

/// A path prefix as requests can have it.
pub fn http_path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err(format!("the path `{text}` does not begin with `/`"));
    }
    if text.split('/').any(|segment| matches!(segment, "." | "..")) || text.contains("//") {
        return Err(format!("the path `{text}` is not in its normal form: it has empty, `.` or `..` segments"));
    }
    // RFC 3986, section 3.3: pchar and `/`
    if let Some(bad) = text.chars().find(|c| !c.is_ascii_alphanumeric() && !"/-._~!$&'()*+,;=:@%".contains(*c)) {
        return Err(format!("the path `{text}` has {bad:?} in it, which no request's path has unless percent-encoded"));
    }
    Ok(text.to_string())
}

/// A host as requests can name it: a DNS name or an IP address, without a port.
pub fn http_host(text: &str) -> Result<String, String> {
    if text.starts_with('[') && text.trim_matches(['[', ']']).parse::<Ipv6Addr>().is_ok() {
        return Ok(text.to_ascii_lowercase());
    }
    host_name(text)
}

/// A host name (RFC 1123, section 2.1), in lower case.
fn host_name(text: &str) -> Result<String, String> {
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
    fn ports() {
        assert!(Ports::parse("8000-8010").unwrap().contains(8010));
        for bad in ["", "0", "65536", "-1", "9-8", "80,81", "http", "1-", "99999999999"] {
            assert!(Ports::parse(bad).is_err(), "{bad}");
        }
        let all = [Ports::parse("1-10").unwrap(), Ports::parse("11-20").unwrap()];
        assert!(Ports::parse("5-15").unwrap().within(&all) && !Ports::parse("5-21").unwrap().within(&all));
        assert!(Ports::all().within(&[Ports::all()]) && !Ports::all().within(&[]));
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
        for text in
            ["host:443", "*.a.org:1-2", "192.0.2.1:*", "10.0.0.0/8:80", "[2001:db8::/32]:443", "[::1]:1", "*:443", "*:*"]
        {
            assert_eq!(remote(text).to_string(), text);
        }
    }

    #[test]
    fn what_is_no_remote() {
        for bad in ["", "host", ":80", "host:", "host:0", "10.0.0.1/8:*", "10.0.0.0/33:*", "a/8:1", "::1:80", "a b:1", "*.:1"] {
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

    #[test]
    fn paths_and_hosts() {
        assert!(http_path("/echo/").is_ok() && http_path("/").is_ok());
        for bad in ["", "echo", "/a/../b", "/a//b", "/a?b", "/a#b", "/a b", "/é", "/a\n"] {
            assert!(http_path(bad).is_err(), "{bad:?}");
        }
        assert_eq!(http_host("Example.org").unwrap(), "example.org");
        assert!(http_host("[::1]").is_ok() && http_host("a:80").is_err() && http_host("").is_err());
        let grant = |host: &str, path: &str| HttpGrant { host: host.into(), path: path.into() };
        assert!(grant("", "/a").same_requests(&grant("", "/a/")) && grant("", "").same_requests(&grant("", "/")));
        assert!(!grant("x", "/a").same_requests(&grant("", "/a")));
    }
}
