//! The box's `config` of `system.toml`.

use crate::bindings::pearwood::box0_2_0::config;
use std::collections::BTreeMap;

pub use config::memory;

/// All of it, flattened: `config.dns = ["1.1.1.1"]` is `dns.0`.
pub fn all() -> BTreeMap<String, String> {
    config::get().into_iter().collect()
}

/// One setting.
pub fn get(key: &str) -> Option<String> {
    config::get().into_iter().find(|(known, _)| known == key).map(|(_, value)| value)
}
