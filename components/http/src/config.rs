//! The box's settings: its `config` table of system.toml.
//!
//! ```toml
//! [box.http]
//! config.ports = [80, 8080]
//! config.body-bytes = "256 MiB"
//! config.handler-timeout = "60 s"
//! ```

use message::Limits;
use std::collections::HashSet;

const SECOND: u64 = 1_000_000_000;

/// Sizes are in bytes, times in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `ports`, 80 unless told: where to listen
    pub ports: Vec<u16>,
    /// `backlog`, 128: connections that may wait to be accepted, per port
    pub backlog: u16,
    /// `connections`, 800: connections served at once, or fewer if the box's memory has no room for so many. With those that are only told to come back, and those that are
    /// not yet accepted, fewer than the net box has by default: so it is this box that makes room, which knows the
    /// idle and the slow ones.
    pub connections: usize,
    /// `pipeline`, 16: requests of one connection that handlers have at once
    pub pipeline: usize,
    /// `header-bytes`, 16 KiB: size of a request's head, and of its trailers; `headers`, 100: number of lines of either;
    /// `target-bytes`, 8 KiB: length of a request's target
    pub limits: Limits,
    /// `body-bytes`, 64 MiB: size of a request's body
    pub body_bytes: u64,
    /// `held-bytes`, as many as the box's memory has room for: data of all connections that may wait for a slow client
    /// or handler
    pub held_bytes: usize,
    /// `header-timeout`, 10 s: from the first byte of a head to its end
    pub header_timeout: u64,
    /// `body-timeout`, 30 s: for each 16 KiB of a request's body. So it is the least rate too: a client that is slower
    /// falls behind, and one that is behind by this time is given up.
    pub body_timeout: u64,
    /// `idle-timeout`, 60 s: before the first request of a connection, and between two
    pub idle_timeout: u64,
    /// `write-timeout`, 30 s: in which the client takes 16 KiB of the response, as of `body-timeout`
    pub write_timeout: u64,
    /// `handler-timeout`, 30 s: during which the handler makes no progress
    pub handler_timeout: u64,
    /// `upgrade-timeout`, 10 min: during which neither side sends anything, after an answer 101
    pub upgrade_timeout: u64,
    /// `server`, `Pearwood`: the value of the `Server` header; empty for none
    pub server: String,
    /// `access-log`, false: a line in the log for each request
    pub access_log: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            ports: vec![80],
            backlog: 128,
            connections: 800,
            pipeline: 16,
            limits: Limits::default(),
            body_bytes: 64 << 20,
            held_bytes: usize::MAX,
            header_timeout: 10 * SECOND,
            body_timeout: 30 * SECOND,
            idle_timeout: 60 * SECOND,
            write_timeout: 30 * SECOND,
            handler_timeout: 30 * SECOND,
            upgrade_timeout: 600 * SECOND,
            server: "Pearwood".into(),
            access_log: false,
        }
    }
}

/// What can be set, for whoever has misspelt it.
pub const KEYS: &[&str] = &[
    "ports",
    "backlog",
    "connections",
    "pipeline",
    "headers",
    "header-bytes",
    "target-bytes",
    "body-bytes",
    "held-bytes",
    "header-timeout",
    "body-timeout",
    "idle-timeout",
    "write-timeout",
    "handler-timeout",
    "upgrade-timeout",
    "server",
    "access-log",
];

impl Config {
    /// Reads the settings as `pearwood:box/config` gives them. The error names the setting at fault.
    pub fn read<'a>(settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Config, String> {
        let mut config = Config { ports: Vec::new(), ..Config::default() };
        let mut seen = HashSet::new();
        for (key, value) in settings {
            if !seen.insert(key) {
                return Err(format!("config `{key}` is there twice"));
            }
            config.set(key, value.trim()).map_err(|expected| format!("config `{key}`: `{value}` is not {expected}"))?;
        }
        if config.ports.is_empty() {
            config.ports.push(80);
        }
        Ok(config)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), &'static str> {
        let name = key.split('.').next().unwrap_or(key);
        match name {
            "ports" => {
                let port = value.parse().ok().filter(|&port| port != 0).ok_or("a port, 1 to 65535")?;
                if !self.ports.contains(&port) {
                    self.ports.push(port);
                }
                return Ok(());
            }
            _ if name != key => return Err("a setting of the http box (this one is no list)"),
            _ => {}
        }
        match key {
            "backlog" => self.backlog = count(value, 1, 65_535)? as u16,
            "connections" => self.connections = count(value, 1, 2_048)? as usize,
            "pipeline" => self.pipeline = count(value, 1, 16)? as usize,
            "headers" => self.limits.fields = count(value, 1, Limits::MOST_FIELDS as u64)? as usize,
            "header-bytes" => self.limits.head_bytes = size(value, 256, 60 << 10)? as usize,
            "target-bytes" => self.limits.target_bytes = size(value, 64, 60 << 10)? as usize,
            "body-bytes" => self.body_bytes = size(value, 0, u64::MAX)?,
            "held-bytes" => self.held_bytes = size(value, 1 << 20, 1 << 31)? as usize,
            "header-timeout" => self.header_timeout = duration(value)?,
            "body-timeout" => self.body_timeout = duration(value)?,
            "idle-timeout" => self.idle_timeout = duration(value)?,
            "write-timeout" => self.write_timeout = duration(value)?,
            "handler-timeout" => self.handler_timeout = duration(value)?,
            "upgrade-timeout" => self.upgrade_timeout = duration(value)?,
            "server" if value.bytes().all(|byte| matches!(byte, b' '..=b'~')) => self.server = value.into(),
            "server" => return Err("a header's value"),
            "access-log" => self.access_log = value.parse().map_err(|_| "true or false")?,
            _ => return Err("a setting of the http box (there is none of this name)"),
        }
        Ok(())
    }
}

fn count(value: &str, least: u64, most: u64) -> Result<u64, &'static str> {
    value.parse().ok().filter(|count| (least..=most).contains(count)).ok_or("a number within its bounds")
}

/// `1024`, `16 KiB`, `64 MiB`
fn size(value: &str, least: u64, most: u64) -> Result<u64, &'static str> {
    const UNITS: [(&str, u32); 4] = [("", 0), ("KiB", 10), ("MiB", 20), ("GiB", 30)];
    quantity(value)
        .and_then(|(number, unit)| {
            let (_, shift) = UNITS.iter().find(|(name, _)| *name == unit)?;
            number.checked_mul(1 << shift)
        })
        .filter(|size| (least..=most).contains(size))
        .ok_or("a size within its bounds, in bytes or as `64 MiB`")
}

/// `30` (seconds), `30 s`, `500 ms`, `5 min`
fn duration(value: &str) -> Result<u64, &'static str> {
    const UNITS: [(&str, u64); 4] = [("", SECOND), ("s", SECOND), ("ms", 1_000_000), ("min", 60 * SECOND)];
    quantity(value)
        .and_then(|(number, unit)| {
            let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit)?;
            number.checked_mul(*scale)
        })
        .filter(|time| (1..=86_400 * SECOND).contains(time))
        .ok_or("a time up to a day, in seconds or as `500 ms`")
}

fn quantity(value: &str) -> Option<(u64, &str)> {
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = value.split_at(digits);
    Some((number.parse().ok()?, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ("access-log", "true"),
        ])
        .unwrap();
        assert_eq!(config.ports, [8080, 81]);
        assert_eq!(config.body_bytes, 1 << 30);
        assert_eq!(config.header_timeout, SECOND / 2);
        assert_eq!(config.idle_timeout, 5 * SECOND);
        assert_eq!(config.server, "");
        assert!(config.access_log);
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
        ] {
            let error = Config::read([(key, value)]).unwrap_err();
            assert!(error.contains(key), "{error}");
        }
        assert!(Config::read([("headers", "5"), ("headers", "6")]).is_err());
    }
}
