//! The box's settings: its `config` table of system.toml. See [`SETTINGS`](crate::SETTINGS).

use crate::rules::Says;
use message::{
    Limits,
    forwarded::Field,
    rules::Rules,
    settings::{Network, duration, field_value, number, size},
};
use std::collections::HashSet;
use wit::setting::Fault;

const SECOND: u64 = 1_000_000_000;

/// The settings as [`SETTINGS`](crate::SETTINGS) explains them. Sizes are in bytes, times in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub ports: Vec<u16>,
    pub backlog: u16,
    /// With those that are only told to come back, and those that are not yet accepted, fewer than the net box has by
    /// default: so it is this box that makes room, which knows the idle and the slow ones.
    pub connections: usize,
    /// None: half of all, but 32 at least.
    pub client_connections: Option<usize>,
    pub pipeline: usize,
    /// requests at once of a connection of HTTP/2
    pub streams: usize,
    /// `header-bytes`, `headers` and `target-bytes`
    pub limits: Limits,
    pub body_bytes: u64,
    /// `usize::MAX`: as many as the box's memory has room for.
    pub held_bytes: usize,
    pub header_timeout: u64,
    /// A client that is slower falls behind, and one that is behind by this time is given up.
    pub body_timeout: u64,
    pub request_timeout: u64,
    pub idle_timeout: u64,
    pub write_timeout: u64,
    pub handler_timeout: u64,
    pub upgrade_timeout: u64,
    pub server: String,
    pub compress: Compress,
    /// Whose word is taken about where requests come from, in a field of their heads.
    pub trusted_proxies: Vec<Network>,
    pub proxy_header: Field,
    /// Who begins its connections with a header of the PROXY protocol.
    pub proxy_protocol_from: Vec<Network>,
    pub access_log: Option<AccessLog>,
    pub rules: Rules<Says>,
}

/// Which answers are compressed, if they are worth it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compress {
    None,
    /// Those to requests that do not say who the client is: of others, their length could tell a secret that is in them.
    #[default]
    Public,
    All,
}

impl Compress {
    pub fn read(value: &str) -> Result<Self, String> {
        match value {
            "none" => Ok(Compress::None),
            "public" => Ok(Compress::Public),
            "all" => Ok(Compress::All),
            _ => Err("none, public or all is meant".into()),
        }
    }
}

/// The form of a line of the access log. Each has what the one before it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AccessLog {
    /// `common`: the Common Log Format: client, user, time, request, status, bytes of the body
    Common,
    /// `combined`, or `true`: and the referrer and the agent at the end
    Combined,
    /// `vhost-combined`: and the host at the start
    VhostCombined,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            ports: vec![80],
            backlog: 128,
            connections: 800,
            client_connections: None,
            pipeline: 16,
            streams: 100,
            limits: Limits::default(),
            body_bytes: 64 << 20,
            held_bytes: usize::MAX,
            header_timeout: 10 * SECOND,
            body_timeout: 30 * SECOND,
            request_timeout: 3600 * SECOND,
            idle_timeout: 60 * SECOND,
            write_timeout: 30 * SECOND,
            handler_timeout: 30 * SECOND,
            upgrade_timeout: 600 * SECOND,
            server: "Pearwood".into(),
            compress: Compress::default(),
            trusted_proxies: Vec::new(),
            proxy_header: Field::default(),
            proxy_protocol_from: Vec::new(),
            access_log: None,
            rules: Rules::default(),
        }
    }
}

impl Config {
    /// Reads the settings as `pearwood:box/config` gives them. All that is wrong with them is reported at once.
    pub fn read<'a>(settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Config, Vec<Fault>> {
        let mut config = Config { ports: Vec::new(), ..Config::default() };
        let mut seen = HashSet::new();
        let mut wrong = Vec::new();
        let mut faults = Vec::new();
        for (key, value) in settings {
            let read = if seen.insert(key) { config.set(key, value.trim()) } else { Err("it is there twice".into()) };
            faults.extend(read.err().map(|why| Fault::new(key, value, why)));
        }
        // A rule of which a part could not be read is not to be judged.
        for (at, rule) in config.rules.iter().filter(|_| faults.is_empty()) {
            if let Err((name, why)) = rule.says.check(rule.host.as_ref(), rule.path.as_ref()) {
                wrong.push(Fault::at(&format!("rules.{at}{name}"), why));
            }
        }
        if faults.is_empty() && wrong.is_empty() {
            wrong = config.rules.hidden(Says::shared);
        }
        faults.append(&mut wrong);
        if config.ports.is_empty() {
            config.ports.push(80);
        }
        if faults.is_empty() { Ok(config) } else { Err(faults) }
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key.split_once('.').unwrap_or((key, "")) {
            ("ports", _) => {
                let port = number(value, 1, 65_535)? as u16;
                if !self.ports.contains(&port) {
                    self.ports.push(port);
                }
            }
            ("rules", key) => self.rules.set(key, value, Says::set)?,
            ("backlog", "") => self.backlog = number(value, 1, 65_535)? as u16,
            ("connections", "") => self.connections = number(value, 1, 2_048)? as usize,
            ("client-connections", "") => self.client_connections = Some(number(value, 1, 2_048)? as usize),
            ("pipeline", "") => self.pipeline = number(value, 1, 16)? as usize,
            ("streams", "") => self.streams = number(value, 1, 1_000)? as usize,
            ("headers", "") => self.limits.fields = number(value, 1, Limits::MOST_FIELDS as u64)? as usize,
            ("header-bytes", "") => self.limits.head_bytes = size(value, 256, 60 << 10)? as usize,
            ("target-bytes", "") => self.limits.target_bytes = size(value, 64, 60 << 10)? as usize,
            ("body-bytes", "") => self.body_bytes = size(value, 0, u64::MAX)?,
            ("held-bytes", "") => self.held_bytes = size(value, 1 << 20, 1 << 31)? as usize,
            ("header-timeout", "") => self.header_timeout = timeout(value)?,
            ("body-timeout", "") => self.body_timeout = timeout(value)?,
            ("request-timeout", "") => self.request_timeout = timeout(value)?,
            ("idle-timeout", "") => self.idle_timeout = timeout(value)?,
            ("write-timeout", "") => self.write_timeout = timeout(value)?,
            ("handler-timeout", "") => self.handler_timeout = timeout(value)?,
            ("upgrade-timeout", "") => self.upgrade_timeout = timeout(value)?,
            ("server", "") => self.server = if value.is_empty() { String::new() } else { field_value(value)? },
            ("compress", "") => self.compress = Compress::read(value)?,
            ("trusted-proxies", _) => self.trusted_proxies.push(Network::read(value)?),
            ("proxy-header", "") => {
                self.proxy_header = match value {
                    "x-forwarded-for" => Field::XForwardedFor,
                    "forwarded" => Field::Forwarded,
                    _ => return Err("x-forwarded-for or forwarded is meant".into()),
                }
            }
            ("proxy-protocol-from", _) => self.proxy_protocol_from.push(Network::read(value)?),
            ("access-log", "") => {
                self.access_log = match value {
                    "common" => Some(AccessLog::Common),
                    "combined" | "true" => Some(AccessLog::Combined),
                    "vhost-combined" => Some(AccessLog::VhostCombined),
                    "false" => None,
                    _ => return Err("common, combined, vhost-combined, true or false is meant".into()),
                }
            }
            _ => return Err("there is no such setting".into()),
        }
        Ok(())
    }
}

/// How long it may take until something has come from elsewhere.
fn timeout(value: &str) -> Result<u64, String> {
    let time = duration(value)?;
    let why = "100 ms at least are meant: on its way around the world a packet takes longer than this";
    if time >= SECOND / 10 { Ok(time) } else { Err(why.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Rate;

    const HASH: &str = "$2b$04$EGdrhbKUv8Oc9vGiXX0HQOxSg445d458Muh7DAHskb6QbtCvdxcie";

    #[test]
    fn nothing_said_is_the_default() {
        assert_eq!(Config::read([]), Ok(Config::default()));
    }

    #[test]
    fn settings_are_read() {
        let config = Config::read([
            ("ports.0", "8080"),
            ("streams", "7"),
            ("ports.1", "81"),
            ("body-bytes", "1 GiB"),
            ("header-timeout", "500 ms"),
            ("idle-timeout", "5"),
            ("server", ""),
            ("access-log", "common"),
            ("client-connections", "5"),
            ("request-timeout", "10 min"),
            ("compress", "all"),
            ("trusted-proxies.0", "10.0.0.0/8"),
            ("trusted-proxies.1", "2001:db8::1"),
            ("proxy-header", "forwarded"),
            ("proxy-protocol-from", "192.0.2.1"),
            ("rules.0.host", "www.example.org"),
            ("rules.0.redirect", "https://example.org/*"),
            ("rules.1.path", "/a/*"),
            ("rules.1.allow.0", "10.0.0.0/8"),
            ("rules.1.users.anna", HASH),
            ("rules.1.rate", "100/5 min"),
            ("rules.1.burst", "7"),
            ("rules.2.rate", "10/s"),
        ])
        .unwrap();
        assert_eq!(config.ports, [8080, 81]);
        assert_eq!(config.body_bytes, 1 << 30);
        assert_eq!(config.header_timeout, SECOND / 2);
        assert_eq!(config.idle_timeout, 5 * SECOND);
        assert_eq!((config.server.as_str(), config.streams), ("", 7));
        assert_eq!(config.access_log, Some(AccessLog::Common));
        assert_eq!((config.compress, config.proxy_header), (Compress::All, Field::Forwarded));
        assert_eq!((config.trusted_proxies.len(), config.proxy_protocol_from.len()), (2, 1));
        assert_eq!((config.client_connections, config.request_timeout), (Some(5), 600 * SECOND));
        let rates: Vec<_> = config.rules.iter().map(|(_, rule)| rule.says.rate()).collect();
        let [second, third] =
            [(3 * SECOND, 7), (SECOND / 10, 10)].map(|(interval, burst)| Some(Rate { interval, burst }));
        assert_eq!(rates, [None, second, third]);
    }

    #[test]
    fn errors_name_the_setting() {
        for (key, value) in [
            ("ports.0", "0"),
            ("ports", "http"),
            ("header-bytes", "1 TiB"),
            ("headers", "0"),
            ("headers", "1000"),
            ("idle-timeout", "soon"),
            ("handler-timeout", "0"),
            ("request-timeout", "1 ms"),
            ("header-timeout", "99 ms"),
            ("access-log", "yes"),
            ("server", "a\r\nb"),
            ("colour", "green"),
            ("headers.0", "5"),
            ("rules.0.path", "a"),
            ("rules.0.redirect", "//evil.example/"),
            ("rules.0.redirect", "https://example.org"),
            ("rules.0.redirect", "https://example.org*/"),
            ("rules.0.redirect", "/a b"),
            ("rules.0.redirect", "/a/*"),
            ("rules.0.status", "200"),
            ("rules.0.status", "302"),
            ("rules.0.allow.0", "10.0.0.0/33"),
            ("rules.0.users.anna", "secret"),
            ("rules.0.users.anna", "$2b$12$EGdrhbKUv8Oc9vGiXX0HQOxSg445d458Muh7DAHskb6QbtCvdxcie"),
            ("rules.0.users.a:b", HASH),
            ("rules.0.realm", "a\"b"),
            ("rules.0.realm", "a"),
            ("rules.0.rate", "10"),
            ("rules.0.rate", "0/s"),
            ("rules.0.rate", "10/day"),
            ("rules.0.burst", "5"),
            ("rules.0.colour", "green"),
            ("rules.0.headers.a b", "1"),
            ("rules.0.headers.content-length", "1"),
            ("rules.0.headers.Connection", "close"),
            ("rules.0.headers.x", "a\nb"),
            ("rules.0.scheme", "ftp"),
            ("rules.0.compress", "gzip"),
            ("compress", "true"),
            ("trusted-proxies.0", "10.0.0.1/8"),
            ("trusted-proxies", "all"),
            ("proxy-header", "x-real-ip"),
            ("proxy-protocol-from.0", "here"),
        ] {
            let faults = Config::read([(key, value)]).unwrap_err();
            assert!(faults.iter().all(|fault| fault.key == key), "{faults:?}");
        }
        let faults = |settings: &[(&'static str, &'static str)]| Config::read(settings.iter().copied()).unwrap_err();
        assert_eq!(faults(&[("rules.3.path", "/a")])[0].key, "rules.3");
        assert_eq!(faults(&[("rules.0.path", "/a"), ("rules.0.redirect", "/b/*")])[0].key, "rules.0.redirect");
        assert_eq!(faults(&[("a", ""), ("b", "")]).len(), 2);
        // what never counts names what counts instead
        let twice =
            [("rules.0.path", "/a/*"), ("rules.0.rate", "1/s"), ("rules.4.path", "/a/b"), ("rules.4.rate", "2/s")];
        let [Fault { key, beside: Some(beside), .. }] = &faults(&twice)[..] else { panic!("one fault") };
        assert_eq!((key.as_str(), beside.as_str()), ("rules.4.rate", "rules.0"));
        for (scheme, other, is_right) in
            [("http", "https", true), ("http", "http", false), ("http", "", true), ("", "http", false)]
        {
            let settings = [
                ("rules.0.scheme", scheme),
                ("rules.0.rate", "1/s"),
                ("rules.1.scheme", other),
                ("rules.1.rate", "2/s"),
            ];
            let read = Config::read(settings.into_iter().filter(|(_, value)| !value.is_empty()));
            assert_eq!(read.is_ok(), is_right, "{scheme} {other}: {read:?}");
        }
        // redirects for ever
        for (host, scheme, path, to, is_right) in [
            ("example.org", "", "", "https://Example.org/*", false),
            ("*.example.org", "", "", "https://www.example.org:8443/*", false),
            ("example.org", "", "/a/*", "/a/b/*", false),
            ("example.org", "https", "", "https://example.org/*", false),
            ("", "http", "/a", "/a?b", false),
            ("", "", "*.html", "/%61.html", false),
            ("example.org", "http", "", "https://example.org/*", true),
            ("example.org", "", "/a/*", "https://example.org/b/*", true),
            ("www.example.org", "", "", "https://example.org/*", true),
            ("", "http", "", "https://example.org/*", true),
            ("", "", "", "https://example.org/*", true),
        ] {
            let settings =
                [("rules.0.host", host), ("rules.0.scheme", scheme), ("rules.0.path", path), ("rules.0.redirect", to)];
            let read = Config::read(settings.into_iter().filter(|(_, value)| !value.is_empty()));
            assert_eq!(read.is_ok(), is_right, "{settings:?}: {read:?}");
        }
        assert!(Config::read([("headers", "5"), ("headers", "6")]).is_err());
    }
}
