//! The box's settings: its `config` table of system.toml. See [`SETTINGS`].

use message::settings::{duration, number};
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
    Setting::new("connect-timeout", Value::Time, "For a host's name, the connection, and TLS.").default("\"30 s\""),
    Setting::new(
        "answer-timeout",
        Value::Time,
        "How long nothing of a request or its answer may come or go, and how long the answer's head may take.",
    )
    .default("\"60 s\""),
    Setting::new("keep", Value::Time, "How long a connection is kept for another request to the same host.")
        .default("\"20 s\""),
];

/// The settings as [`SETTINGS`] explains them. Times are in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub requests: usize,
    pub connect_timeout: u64,
    pub answer_timeout: u64,
    pub keep: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config { requests: 256, connect_timeout: 30 * SECOND, answer_timeout: 60 * SECOND, keep: 20 * SECOND }
    }
}

impl Config {
    /// Reads the settings as `pearwood:box/config` gives them. All that is wrong with them is reported at once.
    pub fn read<'a>(settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Config, Vec<Fault>> {
        let (mut config, mut faults) = (Config::default(), Vec::new());
        for (key, value) in settings {
            if let Err(why) = config.set(key, value.trim()) {
                faults.push(Fault::new(key, value, why));
            }
        }
        if faults.is_empty() { Ok(config) } else { Err(faults) }
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "requests" => self.requests = number(value, 1, 4_096)? as usize,
            "connect-timeout" => self.connect_timeout = duration(value)?,
            "answer-timeout" => self.answer_timeout = duration(value)?,
            "keep" => self.keep = duration(value)?,
            _ => return Err("there is no such setting".into()),
        }
        Ok(())
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
}
