//! Images: everything that a node needs of a system, signed.

use super::{Compiler, Components, Target, assets};
use crate::system;
use crate::workspace::Workspace;
use anyhow::Result;
use std::time::SystemTime;
use wasm_host::engine::Kind;
use wasm_host::image::{Builder, SecretKey};

/// The same, of the version that the clock gives.
pub fn image(system: &Components, target: Target, key: &SecretKey) -> Result<Vec<u8>> {
    image_of(system, target, key, None)
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Compiles a system's components for a target and packs them with their assets.
///
/// A node takes no older version than what it has run. None: the seconds since 1970.
pub fn image_of(system: &Components, target: Target, key: &SecretKey, version: Option<u64>) -> Result<Vec<u8>> {
    let workspace = Workspace::find()?;
    let lean = Compiler::new(target, Kind::Lean)?;
    let concurrent = Compiler::new(target, Kind::Concurrent)?;
    let cache = workspace.target.join("aot");
    let source = &system.system.source;
    let mut builder = Builder::new(&source.file, &source.text);
    builder.plan(system.plan(version.unwrap_or_else(now)));
    for (name, component) in &system.components {
        let compiler = match system::engine_of(&component.description) {
            Kind::Lean => &lean,
            Kind::Concurrent => &concurrent,
        };
        builder.artifact(name, compiler.settings(), compiler.compile(name, &component.binary, &cache)?);
    }
    for spec in &system.system.boxes {
        for file in assets::gather(&system.system, spec, &system.base, &workspace)? {
            builder.asset(&spec.name, &file.path, file.content, file.modified);
        }
    }
    let trusted = system.system.trust.iter().flatten();
    for endorsement in trusted.filter_map(|trusted| trusted.endorsement) {
        builder.endorsement(endorsement);
    }
    Ok(builder.finish(key)?)
}
