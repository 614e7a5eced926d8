//! Rust for the kernel's and the boxes' targets.
//!
//! `rustup target add` is the ordinary way. Where rustup is not, or cannot reach its server, Debian has a compiler of
//! the version needed, and the library's sources to make the targets from.

mod debian;
mod environment;
mod rustup;
mod sysroot;
mod toolchain;

pub use toolchain::Toolchain;

use super::{Check, Group, State, programs};
use anyhow::Result;

/// What the kernel is built for.
pub const KERNEL: &str = "x86_64-unknown-none";

/// What boxes are built for.
pub const COMPONENT: &str = "wasm32-unknown-unknown";

const ALL: [&str; 2] = [KERNEL, COMPONENT];

pub struct Targets;

impl Check for Targets {
    fn name(&self) -> String {
        format!("Rust for {}", ALL.join(", "))
    }

    fn group(&self) -> Group {
        Group::Build
    }

    fn state(&self) -> State {
        match Toolchain::find() {
            Some(toolchain) => State::Ready(toolchain.describe()),
            None => State::Missing,
        }
    }

    fn remedy(&self) -> String {
        format!("rustup target add {}; on Debian `pearwood doctor --fix` can do without rustup", ALL.join(" "))
    }

    /// Where rustup is not, what is to be done without it is known at once.
    fn packages(&self) -> Vec<&'static str> {
        if programs::find("rustup").is_some() { Vec::new() } else { debian::missing() }
    }

    fn vet(&self) -> Result<()> {
        if self.packages().is_empty() { Ok(()) } else { debian::vet() }
    }

    fn fix(&self) -> Result<()> {
        let by_rustup = rustup::add_targets();
        if by_rustup.is_ok() && Toolchain::find().is_some() {
            return Ok(());
        }
        let by_debian = debian::prepare().and_then(|debian| sysroot::build(&debian));
        match (by_rustup, by_debian) {
            (_, Ok(())) => Ok(()),
            (Ok(()), Err(debian)) => Err(debian),
            (Err(rustup), Err(debian)) => Err(debian.context(format!("rustup could not add the targets: {rustup:#}"))),
        }
    }
}
