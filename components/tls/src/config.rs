//! The box's settings: its `config` table of system.toml. See [`SETTINGS`].

use crate::certificates::read_chain;
use crate::trust::roots;
use core::net::IpAddr;
use message::settings::{Network, boolean, duration, number};
use std::collections::BTreeMap;
use wit::setting::Fault;
use wit::setting::{Setting, Value};

const SECOND: u64 = 1_000_000_000;
/// The longest name (RFC 1035, section 2.3.4).
const MAX_NAME: usize = 253;
/// The most that one connection can agree on (RFC 7301, section 3.1).
const MAX_PROTOCOL: usize = 255;

/// The certificate of an authority, for the examples: `concat!` takes no constant.
macro_rules! authority {
    () => {
        "\
-----BEGIN CERTIFICATE-----
MIIBaDCCAQ6gAwIBAgIBATAKBggqhkjOPQQDAjASMRAwDgYDVQQDDAdleGFtcGxl
MCAXDTI2MTEzMDAyNTczOFoYDzIxMjYxMTA2MDI1NzM4WjASMRAwDgYDVQQDDAdl
eGFtcGxlMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEUhU7vgB6CjKCV9LQWo7l
AG/sJPykqpyQCJRISmFlufj/m3pzYm0m0KGjmuSoT5swGr95hzv2FCgiAAYa4h84
caNTMFEwHQYDVR0OBBYEFDPJU29Onxn4yxmoNFIeiTXf3c+2MB8GA1UdIwQYMBaA
FDPJU29Onxn4yxmoNFIeiTXf3c+2MA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0E
AwIDSAAwRQIhAJ9GOUn/eM7EHPf/wmEv6DL8u8yZpzN/SIRUo8ppJx/ZAiAxKo+f
VWdEbbSn0Q9e3BR9qJ9n5D3WzDFoKIq+knuZxw==
-----END CERTIFICATE-----
"
    };
}

/// What can be set.
pub const SETTINGS: &[Setting] = &[
    Setting::new(
        "certificates",
        Value::Tables,
        "The names that the box answers to, and who proves them. A client that asks for none of them gets the first; of several for one \
         name it gets the first whose key it knows to verify, so that there may be one of Ed25519 before one for browsers. Without it: \
         `localhost`, with the key `default`.",
    )
    .example(
        r#"[
    { names = ["example.org", "www.example.org"], key = "default" },
    { names = "*.example.net", key = "other", chain = """
-----BEGIN CERTIFICATE-----
MIIBgTCCASegAwIBAgIUcGVhcndvb2Qgc2F5cyBoZWxsbyEwCgYIKoZIzj0EAwIw
-----END CERTIFICATE-----
""" },
]"#,
    ),
    Setting::new(
        "certificates.names",
        Value::Some("host name"),
        "Whose it is. A `*` may be in place of the first label; an address can be reached, but no client asks for one.",
    )
    .required(),
    Setting::new("certificates.key", Value::Text("name of a key"), "The key of the box that has them.")
        .default("\"default\""),
    Setting::new(
        "certificates.chain",
        Value::Text("PEM"),
        "The certificate, and those that lead to one that clients know. Without it: what the box of the key has. That is one from a \
         certificate authority; else one of the node's own authority, if that may sign for all of the names; else one that the key has \
         signed for itself.",
    ),
    Setting::new(
        "protocols",
        Value::Some("protocol"),
        "What is offered to clients that ask for a protocol (ALPN), best first. Whoever listens has to speak it: the box `http` speaks \
         both.",
    )
        .default("[\"h2\", \"http/1.1\"]"),
    Setting::new("versions", Value::Some("1.2 or 1.3, as text"), "The versions of TLS.").default("[\"1.2\", \"1.3\"]"),
    Setting::new(
        "clients",
        Value::Table,
        "Asks clients for a certificate, under all names of the box. For names that only some clients may ask for, give them a box of \
         their own.",
    )
    .example(
        concat!("{ required = false, roots = \"\"\"\n", authority!(), "\"\"\" }"),
    ),
    Setting::new("clients.roots", Value::Text("PEM"), "Certificates that lead to a client's, and no others do.").required(),
    Setting::new(
        "clients.required",
        Value::Truth,
        "Whether clients without a certificate are refused. One that shows a wrong one always is.",
    )
        .default("true"),
    Setting::new(
        "trust",
        Value::Tables,
        "For hosts that boxes connect to by this one (`connect` of an arrow to it): whom to believe who they are. Others are held against \
         the roots that Mozilla believes.",
    )
    .example(
        concat!("[{ names = [\"api.internal\", \"*.example.net\"], roots = \"\"\"\n", authority!(), "\"\"\" }]"),
    ),
    Setting::new("trust.names", Value::Some("host name"), "Which hosts. A `*` may be in place of the first label.").required(),
    Setting::new(
        "trust.roots",
        Value::Text("PEM"),
        "Certificates that lead to a host's own, and no others do. One that is the host's own is believed for all these names, whatever \
         is in it.",
    )
    .required(),
    Setting::new(
        "connections",
        Value::Number(1, 16_384),
        "Connections at once, or fewer if the box's memory has no room for so many.",
    )
    .default("1024"),
    Setting::new(
        "client-connections",
        Value::Number(1, 16_384),
        "Connections of one client, which is an IPv4 address or a /64 of IPv6. Without it: half of all, but 32 at least.",
    )
    .example("100"),
    Setting::new(
        "proxy-protocol-from",
        Value::Some("IP address or network"),
        "Whose connections begin with a header of the PROXY protocol, version 1 or 2, that says where the client connects from. Others \
         have none.",
    )
    .example("[\"192.0.2.1\", \"10.0.0.0/8\"]"),
    Setting::new("handshake-timeout", Value::Time, "From the connection's start to the end of the handshake; for one to another host, to its start as well.")
        .default("\"10 s\""),
];

/// The settings as [`SETTINGS`] explains them. Times are in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// None: nobody can listen here.
    pub certificates: Vec<Certificate>,
    /// None: clients are not asked for a certificate.
    pub clients: Option<Clients>,
    pub trusted: Vec<Trusted>,
    pub protocols: Vec<String>,
    pub tls12: bool,
    pub tls13: bool,
    pub connections: usize,
    /// None: half of all, but 32 at least.
    pub client_connections: Option<usize>,
    /// Who begins its connections with a header of the PROXY protocol.
    pub proxy_protocol_from: Vec<Network>,
    pub handshake_timeout: u64,
}

/// Names, and what proves them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// in lower case
    pub names: Vec<String>,
    pub key: String,
    /// PEM
    pub chain: Option<String>,
}

/// Which certificates clients may show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clients {
    /// PEM
    pub roots: String,
    /// Those who show none are refused.
    pub required: bool,
}

/// Hosts, and who proves that they are it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trusted {
    /// in lower case
    pub names: Vec<String>,
    /// PEM
    pub roots: String,
}

impl Trusted {
    /// Whether it is for a host.
    pub fn covers(&self, name: &str) -> bool {
        let below = |known: &str| {
            let parent = known.strip_prefix("*.");
            parent.is_some_and(|parent| name.split_once('.').is_some_and(|(_, rest)| parent == rest))
        };
        self.names.iter().any(|known| known == name || below(known))
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            certificates: vec![Certificate { names: vec!["localhost".into()], key: "default".into(), chain: None }],
            clients: None,
            trusted: Vec::new(),
            protocols: vec!["h2".into(), "http/1.1".into()],
            tls12: true,
            tls13: true,
            connections: 1_024,
            client_connections: None,
            proxy_protocol_from: Vec::new(),
            handshake_timeout: 10 * SECOND,
        }
    }
}

/// The lists that a file has so far, which take the place of what is there without them.
#[derive(Default)]
struct Lists {
    certificates: BTreeMap<u32, Certificate>,
    trusted: BTreeMap<u32, Trusted>,
    protocols: Vec<String>,
    versions: Vec<bool>,
}

impl Config {
    /// Reads the settings as `pearwood:box/config` gives them. All that is wrong with them is reported at once.
    pub fn read<'a>(settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Config, Vec<Fault>> {
        let (mut config, mut lists, mut faults) = (Config::default(), Lists::default(), Vec::new());
        for (key, value) in settings {
            if let Err(why) = config.set(&mut lists, key, value.trim()) {
                faults.push(Fault::new(key, value, why));
            }
        }
        for (place, certificate) in &lists.certificates {
            if certificate.names.is_empty() && faults.is_empty() {
                let why = "it has no `names`";
                faults.push(Fault::at(&format!("certificates.{place}"), why));
            }
        }
        for (place, trusted) in &lists.trusted {
            for (is_missing, what) in [(trusted.names.is_empty(), "names"), (trusted.roots.is_empty(), "roots")] {
                if is_missing && faults.is_empty() {
                    faults.push(Fault::at(&format!("trust.{place}"), format!("it has no `{what}`")));
                }
            }
        }
        if let Some(Clients { roots, .. }) = &config.clients
            && roots.is_empty()
            && faults.is_empty()
        {
            faults.push(Fault::at("clients", "it has no `roots`"));
        }
        config.trusted = lists.trusted.into_values().collect();
        if !lists.certificates.is_empty() {
            config.certificates = lists.certificates.into_values().collect();
        }
        if !lists.protocols.is_empty() {
            config.protocols = lists.protocols;
        }
        if !lists.versions.is_empty() {
            (config.tls12, config.tls13) = (lists.versions.contains(&false), lists.versions.contains(&true));
        }
        if faults.is_empty() { Ok(config) } else { Err(faults) }
    }

    fn set(&mut self, lists: &mut Lists, key: &str, value: &str) -> Result<(), String> {
        let unknown = || Err("there is no such setting".into());
        match key.split_once('.').unwrap_or((key, "")) {
            ("certificates", key) => {
                let Some((place, key)) = key.split_once('.') else { return unknown() };
                let Ok(place) = place.parse() else { return unknown() };
                let none = || Certificate { names: Vec::new(), key: "default".into(), chain: None };
                let certificate = lists.certificates.entry(place).or_insert_with(none);
                match key.split_once('.').unwrap_or((key, "")) {
                    ("names", _) => certificate.names.push(name(value)?),
                    ("key", "") if value.is_empty() => return Err("the name of a key is meant".into()),
                    ("key", "") => certificate.key = value.into(),
                    ("chain", "") => {
                        read_chain(value)?;
                        certificate.chain = Some(value.into());
                    }
                    _ => return Err("a certificate has `names`, `key` and `chain`".into()),
                }
            }
            ("clients", key) => {
                let clients = self.clients.get_or_insert(Clients { roots: String::new(), required: true });
                match key {
                    "roots" => {
                        roots(&read_chain(value)?)?;
                        clients.roots = value.into();
                    }
                    "required" => clients.required = boolean(value)?,
                    _ => return Err("`clients` has `roots` and `required`".into()),
                }
            }
            ("trust", key) => {
                let Some((Ok(place), key)) = key.split_once('.').map(|(place, key)| (place.parse(), key)) else {
                    return unknown();
                };
                let trusted = lists.trusted.entry(place).or_default();
                match key.split_once('.').unwrap_or((key, "")) {
                    ("names", _) => trusted.names.push(name(value)?),
                    ("roots", "") => {
                        roots(&read_chain(value)?)?;
                        trusted.roots = value.into();
                    }
                    _ => return Err("whom to trust has `names` and `roots`".into()),
                }
            }
            ("protocols", _) if (1..=MAX_PROTOCOL).contains(&value.len()) => lists.protocols.push(value.into()),
            ("protocols", _) => return Err("a protocol has 1 to 255 bytes".into()),
            ("versions", _) => match value {
                "1.2" | "1.3" => lists.versions.push(value == "1.3"),
                _ => return Err("\"1.2\" or \"1.3\" is meant".into()),
            },
            ("connections", "") => self.connections = number(value, 1, 16_384)? as usize,
            ("client-connections", "") => self.client_connections = Some(number(value, 1, 16_384)? as usize),
            ("proxy-protocol-from", _) => self.proxy_protocol_from.push(Network::read(value)?),
            ("handshake-timeout", "") => self.handshake_timeout = duration(value)?,
            _ => return unknown(),
        }
        Ok(())
    }
}

/// A host's name, with a `*` for its first label at most, or an address.
fn name(text: &str) -> Result<String, String> {
    let labels = text.strip_prefix("*.").unwrap_or(text);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let is_name = text.len() <= MAX_NAME && labels.split('.').all(is_label);
    if is_name || text.parse::<IpAddr>().is_ok() {
        Ok(canonical(text))
    } else {
        Err("a host's name is meant, such as example.org or *.example.org".into())
    }
}

/// A host's name in lower case, or its address in the one way that stands for all in which it may be written.
pub fn canonical(host: &str) -> String {
    host.parse::<IpAddr>().map_or_else(|_| host.to_ascii_lowercase(), |address| address.to_canonical().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read() {
        let config = Config::read([
            ("certificates.0.names", "Example.org"),
            ("certificates.1.names.0", "*.example.net"),
            ("certificates.1.names.1", "192.0.2.1"),
            ("certificates.1.key", "other"),
            ("versions.0", "1.3"),
            ("proxy-protocol-from.0", "10.0.0.0/8"),
            ("handshake-timeout", "5 s"),
        ]);
        let config = config.unwrap();
        let expected = [(&["example.org"][..], "default"), (&["*.example.net", "192.0.2.1"], "other")];
        for (certificate, (names, key)) in config.certificates.iter().zip(expected) {
            assert_eq!((certificate.names.join(" "), certificate.key.as_str()), (names.join(" "), key));
        }
        assert_eq!(config.proxy_protocol_from.len(), 1);
        assert_eq!((config.tls12, config.tls13, config.handshake_timeout), (false, true, 5 * SECOND));
        assert_eq!(Config::read([]), Ok(Config::default()));
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (key, value, why) in [
            ("certificates.0.key", "a", "it has no `names`"),
            ("certificates.0.names", "a..b", "a host's name"),
            ("certificates.0.names", "a.*.b", "a host's name"),
            ("certificates.0.chain", "-----BEGIN", "no certificate in PEM"),
            ("certificates.0.file", "a", "a certificate has"),
            ("versions", "1.1", "\"1.2\" or \"1.3\""),
            ("protocols", "", "1 to 255 bytes"),
            ("proxy-protocol-from.0", "10.0.0.1/8", "an address or a network"),
            ("clients.required", "false", "it has no `roots`"),
            ("clients.roots", "a", "no certificate in PEM"),
            ("trust.0.names", "a", "it has no `roots`"),
            ("trust.0.names", "a b", "a host's name"),
            ("trust.0.roots", "-----BEGIN", "no certificate in PEM"),
            ("trust", "a", "no such setting"),
            ("connections", "0", "a number from 1"),
            ("port", "443", "no such setting"),
        ] {
            let faults = Config::read([(key, value)]).unwrap_err();
            assert_eq!(faults.len(), 1, "{key}");
            assert!(faults[0].to_string().contains(why), "{}", faults[0]);
        }
    }
}
