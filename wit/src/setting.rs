//! What can be set, as tables: documentation, spelling help, and schemas for editors all come from them. And what is wrong
//! with what was set.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

/// One key of a table of `system.toml`.
///
/// Made as `Setting::new("backlog", Value::Number(1, 65_535), "Connections that may wait.").default("128")`. Defaults and
/// examples are TOML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Of a table in a table, or in an array of tables, `rules.path`.
    pub key: &'static str,
    pub value: Value,
    /// What it means, in whole sentences.
    pub says: &'static str,
    /// What it is unless told. None: nothing, or what `says` says.
    pub default: Option<&'static str>,
    /// A value. Where others are below the key, it has all of them.
    pub example: Option<&'static str>,
    /// Another key, without which this one is refused.
    pub needs: Option<&'static str>,
    pub is_required: bool,
}

/// What the value of a setting is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// Text, and what is meant by it.
    Text(&'static str),
    /// One of these words or numbers.
    OneOf(&'static [&'static str]),
    /// A whole number: the least and the most.
    Number(u64, u64),
    /// A number of bytes, or text with the unit KiB, MiB or GiB: the least and the most. `u64::MAX`: no bound.
    Size(u64, u64),
    /// A number of seconds, or text with the unit ms, s, min or h.
    Time,
    Truth,
    /// What is meant, or an array of that.
    Some(&'static str),
    /// An array of what is meant.
    Array(&'static str),
    /// A table, with the keys below this one.
    Table,
    /// An array of tables, with the keys below this one.
    Tables,
    /// A table of names that are anybody's choice, and what each of them has.
    Names(&'static str),
}

impl Setting {
    pub const fn new(key: &'static str, value: Value, says: &'static str) -> Self {
        Setting { key, value, says, default: None, example: None, needs: None, is_required: false }
    }

    pub const fn default(self, default: &'static str) -> Self {
        Setting { default: Some(default), ..self }
    }

    pub const fn example(self, example: &'static str) -> Self {
        Setting { example: Some(example), ..self }
    }

    pub const fn needs(self, key: &'static str) -> Self {
        Setting { needs: Some(key), ..self }
    }

    pub const fn required(self) -> Self {
        Setting { is_required: true, ..self }
    }

    /// Whether it is the setting of a key of the flattened table, such as `rules.0.path`, `dns.1` or `types.gmi`.
    pub fn is_of(&self, key: &str) -> bool {
        let mut parts = key.split('.').filter(|part| part.parse::<u32>().is_err());
        self.key.split('.').all(|part| parts.next() == Some(part))
            && (parts.next().is_none() || matches!(self.value, Value::Names(_)))
    }
}

/// A setting that is wrong, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// As it is in the flattened table, `rules.0.path`, or what its keys begin with, `rules.0`.
    pub key: String,
    /// None: it is a table, or a secret.
    pub value: Option<String>,
    pub why: String,
    /// Another key that the reason speaks of, as `key` is.
    pub beside: Option<String>,
}

impl Fault {
    pub fn new(key: &str, value: &str, why: impl Into<String>) -> Self {
        // a key in PEM that is in the wrong place is not to be in logs as well
        let value = (!value.contains("PRIVATE KEY")).then(|| value.into());
        Fault { value, ..Self::at(key, why) }
    }

    /// One of a table, or of a value that is not repeated.
    pub fn at(key: &str, why: impl Into<String>) -> Self {
        Fault { key: key.into(), value: None, why: why.into(), beside: None }
    }
}

/// All faults in one line.
pub fn in_words(faults: &[Fault]) -> String {
    let words: Vec<String> = faults.iter().map(ToString::to_string).collect();
    words.join("; ")
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "config.{}", self.key)?;
        if let Some(value) = &self.value {
            write!(f, " = {value:?}")?;
        }
        write!(f, ": {}", self.why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flattened_keys() {
        let is_of = |key, value, flat| Setting::new(key, value, "").is_of(flat);
        assert!(is_of("dns", Value::Some("address"), "dns") && is_of("dns", Value::Some("address"), "dns.1"));
        assert!(is_of("rules.path", Value::Text("pattern"), "rules.0.path"));
        assert!(is_of("rules.users", Value::Names("hash"), "rules.12.users.anna"));
        assert!(is_of("types", Value::Names("media type"), "types.tar.gz"));
        assert!(!is_of("rules.path", Value::Text("pattern"), "rules.0"));
        assert!(!is_of("cache.file", Value::Size(0, 1), "cache"));
        assert!(!is_of("index", Value::Text("file"), "index.html"));
    }
}
