//! Targets by way of rustup.

use super::ALL;
use crate::progress;
use crate::setup::programs;
use anyhow::{Result, bail};
use std::process::Command;

/// Adds the targets to the toolchain in use.
pub fn add_targets() -> Result<()> {
    if programs::find("rustup").is_none() {
        bail!("rustup is not installed");
    }
    progress::run("Adding Rust targets", Command::new("rustup").args(["target", "add"]).args(ALL))?;
    Ok(())
}
