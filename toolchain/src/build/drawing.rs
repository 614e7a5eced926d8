//! Drawings of systems.

use wasm_host::system::{System, graph};

/// A system as SVG.
pub fn svg(system: &System) -> String {
    graph::svg(system, "")
}
