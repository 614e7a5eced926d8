//! What a component was compiled for.

use alloc::{format, string::String, vec::Vec};
use serde::{Deserialize, Serialize};

/// The settings of an engine that its code depends on. Code compiled with others does not run, or runs wrongly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineSettings {
    /// wasmtime's version
    pub wasmtime: String,
    /// The target triple.
    pub target: String,
    /// Everything else that must be the same: CPU features, how memory is laid out, how preemption works. Sorted.
    flags: Vec<String>,
}

impl EngineSettings {
    pub fn new(wasmtime: &str, target: &str, flags: impl IntoIterator<Item: Into<String>>) -> Self {
        let mut flags: Vec<String> = flags.into_iter().map(Into::into).collect();
        flags.sort_unstable();
        flags.dedup();
        EngineSettings { wasmtime: wasmtime.into(), target: target.into(), flags }
    }

    pub fn flags(&self) -> &[String] {
        &self.flags
    }

    /// How these, an artifact's, differ from the node's, in words.
    pub(super) fn differences(&self, node: &EngineSettings) -> String {
        let mut differences = Vec::new();
        if self.wasmtime != node.wasmtime {
            differences.push(format!("wasmtime {}, where the node has {}", self.wasmtime, node.wasmtime));
        }
        if self.target != node.target {
            differences.push(format!("target {}, where the node is {}", self.target, node.target));
        }
        let missing = |from: &[String], of: &[String]| {
            let missing: Vec<&str> = of.iter().filter(|flag| !from.contains(flag)).map(String::as_str).collect();
            missing.join(", ")
        };
        let (without, with) = (missing(&self.flags, &node.flags), missing(&node.flags, &self.flags));
        if !without.is_empty() {
            differences.push(format!("without {without}"));
        }
        if !with.is_empty() {
            differences.push(format!("with {with}, which the node does not have"));
        }
        differences.join("; ")
    }
}
