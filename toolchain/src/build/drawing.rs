//! Drawings of systems.

use crate::system::{
    System,
    graph::{self, Ground},
};

/// A system as SVG.
pub fn svg(system: &System, ground: Ground<'_>) -> String {
    graph::svg(system, ground)
}
