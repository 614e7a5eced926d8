//! Drawings of systems.

use anyhow::Result;
use wasm_host::system::{System, graph};

/// A system as SVG.
pub fn svg(system: &System) -> Result<String> {
    Ok(graph::svg(system))
}
