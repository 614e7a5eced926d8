//! The box's settings: its `config` table of system.toml. See [`SETTINGS`].

use base64::Engine;
use message::{
    Limits,
    rules::{Pattern, Rules, canonical},
    settings::{Fault, Network, duration, field_value, number, size},
    target::host_of,
};
use std::collections::{BTreeMap, HashSet};
use wit::{
    http::Scheme,
    setting::{Setting, Value},
};

const SECOND: u64 = 1_000_000_000;

/// The settings as [`SETTINGS`] explains them. Sizes are in bytes, times in nanoseconds.
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
    pub access_log: Option<AccessLog>,
    pub rules: Rules<Says>,
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

/// What a rule says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Says {
    /// which requests the rule is for
    pub scheme: Option<Scheme>,
    pub redirect: Option<Pattern>,
    pub status: Option<u16>,
    pub allow: Vec<Network>,
    pub users: BTreeMap<String, PasswordHash>,
    pub realm: Option<String>,
    pub rate: Option<Rate>,
    pub burst: Option<u32>,
}

/// A request each so many nanoseconds, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub interval: u64,
    pub burst: u32,
}

impl Rate {
    /// What may be taken beyond now, in nanoseconds, before a request is one too many.
    pub fn at_once(self) -> u64 {
        self.interval.saturating_mul(u64::from(self.burst.saturating_sub(1)))
    }
}

/// A password hashed with bcrypt, as `htpasswd -B` writes it: `$2y$05$`, 22 digits of salt, 31 of the hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordHash {
    pub cost: u32,
    salt: [u8; 16],
    hash: [u8; 23],
}

impl PasswordHash {
    /// Of 2^10 rounds. To compare a password takes some 0.1 s then, in which the box does nothing else.
    const MOST: u32 = 10;

    fn read(text: &str) -> Result<Self, String> {
        let read = || {
            let rest = ["$2y$", "$2b$", "$2a$"].iter().find_map(|version| text.strip_prefix(version))?;
            let (cost, digits) = rest.split_once('$')?;
            let (salt, hash) = digits.split_at_checked(22)?;
            let mut read = PasswordHash { cost: cost.parse().ok()?, salt: [0; 16], hash: [0; 23] };
            let whole = bcrypt::BASE_64.decode_slice(salt, &mut read.salt).ok()? == 16
                && bcrypt::BASE_64.decode_slice(hash, &mut read.hash).ok()? == 23;
            whole.then_some(read)
        };
        let read = read().ok_or("no password hashed with bcrypt: `htpasswd -nB NAME` makes one")?;
        if (4..=Self::MOST).contains(&read.cost) {
            Ok(read)
        } else {
            Err("a cost of 4 to 10 is meant: a password of higher cost would hold up other requests".into())
        }
    }

    /// Takes as long as a password of a cost.
    pub fn spend(&self, cost: u32) {
        core::hint::black_box(bcrypt::bcrypt(cost, self.salt, b"\0"));
    }

    /// Whether it is that of a password. As everywhere, bcrypt looks at no more than 72 bytes.
    pub fn is_of(&self, password: &[u8]) -> bool {
        let mut bytes = [password, b"\0"].concat();
        bytes.truncate(72);
        same_secret(&bcrypt::bcrypt(self.cost, self.salt, &bytes)[..23], &self.hash)
    }
}

/// Whether two secrets of the same length are equal, in a time that does not tell where they differ.
pub fn same_secret(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && core::hint::black_box(a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b))) == 0
}

impl Default for Config {
    fn default() -> Self {
        Config {
            ports: vec![80],
            backlog: 128,
            connections: 800,
            client_connections: None,
            pipeline: 16,
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
            access_log: None,
            rules: Rules::default(),
        }
    }
}

/// What can be set.
pub const SETTINGS: &[Setting] = &[
    Setting::new("ports", Value::Some("port"), "Where to listen. An arrow to `net` has to grant each of them.")
        .default("[80]"),
    Setting::new("backlog", Value::Number(1, 65_535), "Connections that may wait to be accepted, per port.").default("128"),
    Setting::new(
        "connections",
        Value::Number(1, 2048),
        "Connections served at once, or fewer if the box's memory has no room for so many.",
    )
    .default("800"),
    Setting::new(
        "client-connections",
        Value::Number(1, 2048),
        "Connections of one client, which is an IPv4 address or a /64 of IPv6. Without it: half of all, but 32 at least.",
    )
    .example("100"),
    Setting::new("pipeline", Value::Number(1, 16), "Requests of one connection that handlers have at once.").default("16"),
    Setting::new(
        "headers",
        Value::Number(1, Limits::MOST_FIELDS as u64),
        "Lines of a request's head, and of its trailers.",
    )
    .default("100"),
    Setting::new("header-bytes", Value::Size(256, 60 << 10), "Size of a request's head, and of its trailers.")
        .default("\"16 KiB\""),
    Setting::new("target-bytes", Value::Size(64, 60 << 10), "Length of a request's target.").default("\"8 KiB\""),
    Setting::new("body-bytes", Value::Size(0, u64::MAX), "Size of a request's body.").default("\"64 MiB\""),
    Setting::new(
        "held-bytes",
        Value::Size(1 << 20, 1 << 31),
        "Data of all connections that may wait for a slow client or handler. Without it: what the box's memory has room for.",
    )
    .example("\"8 MiB\""),
    Setting::new("header-timeout", Value::Time, "From the first byte of a head to its end.").default("\"10 s\""),
    Setting::new("body-timeout", Value::Time, "For each 16 KiB of a request's body. So it is the least rate too.")
        .default("\"30 s\""),
    Setting::new(
        "request-timeout",
        Value::Time,
        "From the end of a head to the end of the body, however fast it comes.",
    )
    .default("\"1 h\""),
    Setting::new("idle-timeout", Value::Time, "Before the first request of a connection, and between two.")
        .default("\"60 s\""),
    Setting::new("write-timeout", Value::Time, "In which the client takes 16 KiB of the response.").default("\"30 s\""),
    Setting::new("handler-timeout", Value::Time, "During which the handler makes no progress.").default("\"30 s\""),
    Setting::new("upgrade-timeout", Value::Time, "During which neither side sends anything, after an answer 101.")
        .default("\"10 min\""),
    Setting::new("server", Value::Text("header value"), "The value of the header `Server`; empty for none.")
        .default("\"Pearwood\""),
    Setting::new(
        "access-log",
        Value::OneOf(&["false", "true", "common", "combined", "vhost-combined"]),
        "A line in the log for each request: `common` is the Common Log Format; `combined`, or `true`, has the referrer and \
         the agent at the end as well; `vhost-combined` also the host at the start.",
    )
    .default("false"),
    Setting::new(
        "rules",
        Value::Tables,
        "What is answered in place of handlers. Rules are tried in the order of the file, and of each property the first \
         rule counts that fits and has it.",
    )
    .example(
        r#"[
    { host = "www.example.org", redirect = "https://example.org/*" },
    { host = "old.example.org", scheme = "http", redirect = "https://example.org/*" },
    { path = "/old/*", redirect = "/new/*", status = 308 },
    { path = "/admin/*", allow = ["192.0.2.0/24", "2001:db8::/32"] },
    { path = "/private/*", users.anna = "$2b$04$EGdrhbKUv8Oc9vGiXX0HQOxSg445d458Muh7DAHskb6QbtCvdxcie", realm = "The family" },
    { path = "/search", rate = "10/s", burst = 50 },
]"#,
    ),
    Setting::new("rules.host", Value::Text("pattern"), "Which hosts the rule is for, with one `*` at most. Without it: all."),
    Setting::new(
        "rules.path",
        Value::Text("pattern"),
        "Which paths the rule is for, with one `*` at most. It begins with `/` or `*`. Without it: all.",
    ),
    Setting::new(
        "rules.scheme",
        Value::OneOf(&["http", "https"]),
        "Which requests the rule is for: those that came without TLS, or with it. Without it: all.",
    ),
    Setting::new(
        "rules.redirect",
        Value::Text("path or URL"),
        "Where to, with what the `*` of the rule's path stands for in place of a `*`.",
    ),
    Setting::new(
        "rules.status",
        Value::OneOf(&["301", "302", "303", "307", "308"]),
        "The status of the redirect. Without it: 301.",
    ),
    Setting::new("rules.allow", Value::Some("IP address or network"), "Clients that may; all others may not."),
    Setting::new(
        "rules.users",
        Value::Names("password hashed with bcrypt"),
        "Who may with their password. `htpasswd -nB NAME` hashes one; its cost is 10 at most.",
    ),
    Setting::new("rules.realm", Value::Text("header value"), "What users are asked for. Without it: `Restricted`."),
    Setting::new("rules.rate", Value::Text("number/time"), "Requests of one client in some time: `10/s`, `100/5 min`."),
    Setting::new(
        "rules.burst",
        Value::Number(1, 1 << 20),
        "Requests of one client that may come at once. Without it: as many as the rate.",
    ),
];

impl Config {
    /// Reads the settings as `pearwood:box/config` gives them. All that is wrong with them is reported at once.
    pub fn read<'a>(settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Config, Vec<Fault>> {
        let mut config = Config { ports: Vec::new(), ..Config::default() };
        let mut seen = HashSet::new();
        let mut wrong = Vec::new();
        let mut faults = Vec::new();
        for (key, value) in settings {
            let read = if seen.insert(key) { config.set(key, value.trim()) } else { Err("it is there twice".into()) };
            if let Err(why) = read {
                faults.push(Fault { key: key.into(), value: Some(value.into()), why });
            }
        }
        // A rule of which a part could not be read is not to be judged.
        for (at, rule) in config.rules.iter().filter(|_| faults.is_empty()) {
            if let Err((name, why)) = rule.says.check(rule.host.as_ref(), rule.path.as_ref()) {
                wrong.push(Fault { key: format!("rules.{at}{name}"), value: None, why: why.into() });
            }
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
            ("headers", "") => self.limits.fields = number(value, 1, Limits::MOST_FIELDS as u64)? as usize,
            ("header-bytes", "") => self.limits.head_bytes = size(value, 256, 60 << 10)? as usize,
            ("target-bytes", "") => self.limits.target_bytes = size(value, 64, 60 << 10)? as usize,
            ("body-bytes", "") => self.body_bytes = size(value, 0, u64::MAX)?,
            ("held-bytes", "") => self.held_bytes = size(value, 1 << 20, 1 << 31)? as usize,
            ("header-timeout", "") => self.header_timeout = duration(value)?,
            ("body-timeout", "") => self.body_timeout = duration(value)?,
            ("request-timeout", "") => self.request_timeout = duration(value)?,
            ("idle-timeout", "") => self.idle_timeout = duration(value)?,
            ("write-timeout", "") => self.write_timeout = duration(value)?,
            ("handler-timeout", "") => self.handler_timeout = duration(value)?,
            ("upgrade-timeout", "") => self.upgrade_timeout = duration(value)?,
            ("server", "") => self.server = if value.is_empty() { String::new() } else { field_value(value)? },
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

impl Says {
    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name.split_once('.').unwrap_or((name, "")) {
            ("scheme", "") => {
                self.scheme = match value {
                    "http" => Some(Scheme::Http),
                    "https" => Some(Scheme::Https),
                    _ => return Err("http or https is meant".into()),
                }
            }
            ("redirect", "") => self.redirect = Some(redirect(value)?),
            ("status", "") => {
                let status = value.parse().ok().filter(|status| matches!(status, 301..=303 | 307 | 308));
                self.status = Some(status.ok_or("301, 302, 303, 307 or 308 is meant")?);
            }
            ("allow", _) => self.allow.push(Network::read(value)?),
            ("users", name)
                if name.is_empty() || name.contains([':', '"', '\\']) || name.contains(char::is_control) =>
            {
                return Err("users are names with hashed passwords, and a name has no colon".into());
            }
            ("users", name) => drop(self.users.insert(name.into(), PasswordHash::read(value)?)),
            ("realm", "") if value.contains(['"', '\\']) => return Err("a realm has no quotes".into()),
            ("realm", "") => self.realm = Some(field_value(value)?),
            ("rate", "") => self.rate = Some(rate(value)?),
            ("burst", "") => self.burst = Some(number(value, 1, 1 << 20)? as u32),
            _ => {
                return Err(
                    "a rule has of `path`, `host` and `scheme` some, and of redirect, status, allow, users, realm, rate and \
                     burst some"
                        .into(),
                );
            }
        }
        Ok(())
    }

    /// What is wrong with a rule as a whole: of which setting, and why.
    fn check(&self, host: Option<&Pattern>, path: Option<&Pattern>) -> Result<(), (&'static str, &'static str)> {
        if let Some(to) = &self.redirect {
            if to.has_star() && path.is_some_and(|path| !path.has_star()) {
                return Err((".redirect", "it has a *, and the path has none"));
            }
            if self.leads_to_itself(&to.filled("x"), host, path) {
                return Err((".redirect", "it leads to itself: what it leads to fits this rule too"));
            }
        }
        match self {
            Says { redirect: None, status: Some(_), .. } => Err((".status", "there is no redirect")),
            Says { rate: None, burst: Some(_), .. } => Err((".burst", "there is no rate")),
            Says { realm: Some(_), users, .. } if users.is_empty() => Err((".realm", "there are no users")),
            Says { redirect: None, rate: None, users, allow, .. } if users.is_empty() && allow.is_empty() => {
                Err(("", "the rule says nothing"))
            }
            _ => Ok(()),
        }
    }

    /// Whether what the rule redirects to, a path or a URL, fits the rule. A host that is not the rule's for sure is another
    /// server's.
    fn leads_to_itself(&self, url: &str, host: Option<&Pattern>, path: Option<&Pattern>) -> bool {
        let url = &url[..url.find(['?', '#']).unwrap_or(url.len())];
        let (of_url, to) = match url.split_once("://") {
            None => (None, url),
            Some((scheme, rest)) => {
                let (authority, _) = rest.split_once('/').unwrap_or((rest, ""));
                let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
                let name = host_of(authority).trim_end_matches('.').to_ascii_lowercase();
                (Some((scheme, name)), &rest[authority.len()..])
            }
        };
        let fits_origin = of_url.is_none_or(|(scheme, name)| {
            self.scheme.is_none_or(|own| own == scheme) && host.is_some_and(|host| host.fits(&name).is_some())
        });
        fits_origin && path.is_none_or(|path| path.fits(&canonical(to)).is_some())
    }

    pub fn rate(&self) -> Option<Rate> {
        self.rate.map(|rate| Rate { burst: self.burst.unwrap_or(rate.burst), ..rate })
    }
}

/// `/path`, or `https://host/path`, with at most one `*`, which is in the path.
fn redirect(value: &str) -> Result<Pattern, String> {
    let why = "a path such as /new/*, or a URL with a path such as https://example.org/* is meant";
    let rest = ["https://", "http://"].iter().find_map(|scheme| value.strip_prefix(scheme));
    let host = rest.map_or(Some(""), |rest| rest.split_once('/').map(|(host, _)| host).filter(|host| !host.is_empty()));
    let is_path = rest.is_some() || (value.starts_with('/') && !value.starts_with("//"));
    let is_valid = value.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte));
    if !is_path || !is_valid || host.is_none_or(|host| host.contains('*')) {
        return Err(why.into());
    }
    Pattern::read(value)
}

fn rate(value: &str) -> Result<Rate, String> {
    let why = "a number in a time is meant, such as 10/s or 100/5 min";
    let (count, time) = value.split_once('/').ok_or(why)?;
    let burst = number(count.trim(), 1, 1 << 20)? as u32;
    let time = time.trim();
    let is_one = !time.starts_with(|first: char| first.is_ascii_digit());
    let time = duration(&if is_one { format!("1 {time}") } else { time.into() }).map_err(|_| why)?;
    Ok(Rate { interval: (time / u64::from(burst)).max(1), burst })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$2b$04$EGdrhbKUv8Oc9vGiXX0HQOxSg445d458Muh7DAHskb6QbtCvdxcie";

    #[test]
    fn nothing_said_is_the_default() {
        assert_eq!(Config::read([]), Ok(Config::default()));
    }

    #[test]
    fn settings_are_read() {
        let config = Config::read([
            ("ports.0", "8080"),
            ("ports.1", "81"),
            ("body-bytes", "1 GiB"),
            ("header-timeout", "500 ms"),
            ("idle-timeout", "5"),
            ("server", ""),
            ("access-log", "common"),
            ("client-connections", "5"),
            ("request-timeout", "10 min"),
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
        assert_eq!(config.server, "");
        assert_eq!(config.access_log, Some(AccessLog::Common));
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
            ("rules.0.scheme", "ftp"),
        ] {
            let faults = Config::read([(key, value)]).unwrap_err();
            assert!(faults.iter().all(|fault| fault.key == key), "{faults:?}");
        }
        let faults = |settings: &[(&'static str, &'static str)]| Config::read(settings.iter().copied()).unwrap_err();
        assert_eq!(faults(&[("rules.3.path", "/a")])[0].key, "rules.3");
        assert_eq!(faults(&[("rules.0.path", "/a"), ("rules.0.redirect", "/b/*")])[0].key, "rules.0.redirect");
        assert_eq!(faults(&[("a", ""), ("b", "")]).len(), 2);
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

    /// Made by Python's and node's.
    #[test]
    fn passwords() {
        for hash in [
            "$2a$04$n4Uy0eSnMfvnESYL.bLwuuj0U/ETSsoTpRT9GVk5bektyVVa5xnIi",
            "$2b$04$EGdrhbKUv8Oc9vGiXX0HQOxSg445d458Muh7DAHskb6QbtCvdxcie",
        ] {
            let hash = PasswordHash::read(hash).unwrap();
            assert!(hash.is_of(b"correctbatteryhorsestapler"));
            assert!(!hash.is_of(b"correctbatteryhorsestaple") && !hash.is_of(b""));
        }
        for bad in ["", "$2y$05$", "$2y$05$short", "$1$05$abcdefghijklmnopqrstuuRKl3ZfzJ8hL3p8pqRFSOlSdrOrmZjHy"] {
            assert!(PasswordHash::read(bad).is_err(), "{bad}");
        }
    }
}
