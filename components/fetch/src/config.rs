//! The box's settings: its `config` table of system.toml. See [`SETTINGS`].

use crate::request::Origin;
use crate::upstreams;
use message::settings::{duration, number};
use message::target::{host_of, is_authority, is_path};
use wit::setting::{Fault, Setting, Value};

const SECOND: u64 = 1_000_000_000;

/// What can be set.
pub const SETTINGS: &[Setting] = &[
    Setting::new(
        "requests",
        Value::Number(1, 4_096),
        "Requests at once, or fewer if the box's memory has no room for so many.",
    )
    .default("256"),
    Setting::new(
        "connect-timeout",
        Value::Time,
        "For a host's name, the connection, and TLS: \"30 s\" unless told, and \"5 s\" of each of several `upstreams`.",
    )
    .example("\"10 s\""),
    Setting::new(
        "answer-timeout",
        Value::Time,
        "How long nothing of a request or its answer may come or go, and how long the answer's head may take.",
    )
    .default("\"60 s\""),
    Setting::new(
        "body-timeout",
        Value::Time,
        "For each 16 KiB of a body that has a length, and of any that a host does not take: the least rate, either way.",
    )
    .default("\"60 s\""),
    Setting::new(
        "upgrade-timeout",
        Value::Time,
        "How long nothing may come or go once both sides have changed to another protocol, such as that of WebSockets.",
    )
    .default("\"10 min\""),
    Setting::new(
        "keep",
        Value::Time,
        "How long a connection is kept for another request to the same host; for less if the host says so (`Keep-Alive`).",
    )
    .default("\"20 s\""),
    Setting::new(
        "upstreams",
        Value::Some("a server as http://HOST:PORT or https://HOST:PORT"),
        "All requests go to these servers, whatever host they ask for; each to the one of them that has the fewest.",
    )
    .example("[\"https://192.0.2.5:8443\", \"http://192.0.2.6:8080\"]"),
    Setting::new(
        "host",
        Value::OneOf(&["keep", "upstream"]),
        "What `Host` says to an upstream: what the client has asked for, or the upstream's own name.",
    )
    .default("\"keep\"")
    .needs("upstreams"),
    Setting::new(
        "retries",
        Value::Number(0, 100),
        "Of a hundred requests, so many may be tried at another upstream, if the first broke off before its answer began.",
    )
    .default("20")
    .needs("upstreams"),
    Setting::new(
        "health.path",
        Value::Text("path"),
        "What each upstream is asked for now and then: one that does not answer with a status from 200 to 399, twice in a row, \
         gets no requests until it does.",
    )
    .example("\"/health\"")
    .needs("upstreams"),
    Setting::new(
        "health.host",
        Value::Text("host"),
        "What `Host` says when an upstream is asked for that, whatever `host` is: the upstream's own name unless told.",
    )
    .example("\"shop.example\"")
    .needs("health.path"),
    Setting::new("health.interval", Value::Time, "How often.").default("\"10 s\"").needs("health.path"),
];

/// The settings as [`SETTINGS`] explains them. Times are in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub requests: usize,
    /// None: as long as is usual.
    pub connect_timeout: Option<u64>,
    pub answer_timeout: u64,
    pub body_timeout: u64,
    pub upgrade_timeout: u64,
    pub keep: u64,
    /// Empty: each request says itself where it goes.
    pub upstreams: Vec<Origin>,
    pub keeps_host: bool,
    pub retries: u64,
    pub health_path: Option<String>,
    /// None: the upstream's own.
    pub health_host: Option<String>,
    pub health_interval: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            requests: 256,
            connect_timeout: None,
            answer_timeout: 60 * SECOND,
            body_timeout: 60 * SECOND,
            upgrade_timeout: 600 * SECOND,
            keep: 20 * SECOND,
            upstreams: Vec::new(),
            keeps_host: true,
            retries: 20,
            health_path: None,
            health_host: None,
            health_interval: 10 * SECOND,
        }
    }
}

impl Config {
    /// Reads the settings as `pearwood:box/config` gives them. All that is wrong with them is reported at once.
    pub fn read<'a>(settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Config, Vec<Fault>> {
        let (mut config, mut faults, mut keys) = (Config::default(), Vec::new(), Vec::new());
        for (key, value) in settings {
            keys.push(key);
            if let Err(why) = config.set(key, value.trim()) {
                faults.push(Fault::new(key, value, why));
            }
        }
        let has = |wanted: &Setting| keys.iter().any(|key| wanted.is_of(key));
        for setting in SETTINGS.iter().filter(|setting| has(setting)) {
            let lacked =
                setting.needs.filter(|needed| !SETTINGS.iter().any(|other| other.key == *needed && has(other)));
            if let Some(lacked) = lacked {
                faults.push(Fault::at(setting.key, format!("it means nothing without {lacked}")));
            }
        }
        if faults.is_empty() { Ok(config) } else { Err(faults) }
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "requests" => self.requests = number(value, 1, 4_096)? as usize,
            "connect-timeout" => self.connect_timeout = Some(duration(value)?),
            "answer-timeout" => self.answer_timeout = duration(value)?,
            "body-timeout" => self.body_timeout = duration(value)?,
            "upgrade-timeout" => self.upgrade_timeout = duration(value)?,
            "keep" => self.keep = duration(value)?,
            "host" => {
                self.keeps_host = match value {
                    "keep" => true,
                    "upstream" => false,
                    _ => return Err("keep or upstream is meant".into()),
                }
            }
            "retries" => self.retries = number(value, 0, 100)?,
            "health.path" if is_path(value) => self.health_path = Some(value.into()),
            "health.path" => return Err("a path is meant, such as /health".into()),
            "health.host" if is_authority(value.as_bytes()) && !host_of(value).is_empty() => {
                self.health_host = Some(value.into());
            }
            "health.host" => return Err("a host is meant, such as shop.example or shop.example:8443".into()),
            "health.interval" => {
                self.health_interval = duration(value)?;
                if self.health_interval < SECOND / 10 {
                    return Err("100 ms at least are meant".into());
                }
            }
            _ if key == "upstreams" || key.starts_with("upstreams.") => {
                let origin = Origin::read(value)?;
                if self.upstreams.contains(&origin) {
                    return Err("it is there twice".into());
                }
                if self.upstreams.len() == upstreams::MOST {
                    return Err(format!("no more than {} are meant", upstreams::MOST));
                }
                self.upstreams.push(origin);
            }
            _ => return Err("there is no such setting".into()),
        }
        Ok(())
    }

    /// How long a host's name, the connection and TLS may take. Where there are others to go to, not as long as whoever asks waits.
    pub fn connect_timeout(&self) -> u64 {
        let usual = if self.upstreams.len() > 1 { 5 } else { 30 };
        self.connect_timeout.unwrap_or(usual * SECOND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read() {
        let config = Config::read([("requests", "9"), ("answer-timeout", "1 min")]).unwrap();
        assert_eq!((config.requests, config.answer_timeout), (9, 60 * SECOND));
        assert_eq!(Config::read([]), Ok(Config::default()));
        for (key, value) in [("requests", "0"), ("keep", "soon"), ("hosts", "a")] {
            assert_eq!(Config::read([(key, value)]).unwrap_err().len(), 1, "{key}");
        }
    }

    #[test]
    fn upstreams_are_read() {
        let config = Config::read([
            ("upstreams.0", "https://shop.example:8443"),
            ("upstreams.1", "http://192.0.2.6"),
            ("host", "upstream"),
            ("retries", "0"),
            ("health.path", "/health?x"),
            ("health.host", "shop.example:1"),
            ("health.interval", "3 s"),
        ])
        .unwrap();
        assert_eq!(
            config.upstreams.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["https://shop.example:8443", "http://192.0.2.6:80"]
        );
        assert_eq!(config.health_host.as_deref(), Some("shop.example:1"));
        assert_eq!((config.keeps_host, config.retries, config.health_interval), (false, 0, 3 * SECOND));
        assert_eq!((config.connect_timeout(), Config::default().connect_timeout()), (5 * SECOND, 30 * SECOND));
        for (key, value) in [
            ("upstreams", "shop.example"),
            ("upstreams", "https://shop.example/app"),
            ("upstreams", "http://192.0.2.6:80"),
            ("host", "both"),
            ("retries", "101"),
            ("health.path", "health"),
            ("health.host", "a/b"),
            ("health.host", ":80"),
            ("health.host", "a\r\nb: c"),
            ("health.interval", "1 ms"),
            ("health", "/"),
        ] {
            let faults =
                Config::read([("upstreams.0", "http://192.0.2.6"), ("health.path", "/"), (key, value)]).unwrap_err();
            assert_eq!((faults.len(), faults[0].key.as_str()), (1, key), "{faults:?}");
        }
        for (key, value) in [("host", "keep"), ("retries", "1"), ("health.path", "/")] {
            assert_eq!(Config::read([(key, value)]).unwrap_err().len(), 1, "{key}");
        }
        for (key, value) in [("health.interval", "3 s"), ("health.host", "a")] {
            let faults = Config::read([("upstreams", "http://192.0.2.6"), (key, value)]).unwrap_err();
            assert_eq!(faults, [Fault::at(key, "it means nothing without health.path")]);
        }
    }
}
