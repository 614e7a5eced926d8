//! The box's `config` of `system.toml`.

use crate::bindings::pearwood::box0_2_0::config;
use std::collections::BTreeMap;

pub use config::memory;

/// All of it, flattened: `config.dns = ["1.1.1.1"]` is `dns.0`.
pub fn all() -> BTreeMap<String, String> {
    config::get().into_iter().collect()
}

/// Bytes by which the box's memory may grow.
pub fn memory_left() -> usize {
    let memory = usize::try_from(config::memory()).unwrap_or(usize::MAX);
    memory.saturating_sub(core::arch::wasm32::memory_size(0) << 16)
}

/// One setting.
pub fn get(key: &str) -> Option<String> {
    config::get().into_iter().find(|(known, _)| known == key).map(|(_, value)| value)
}
