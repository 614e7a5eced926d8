//! Builds systems, makes images of them, and runs them on nodes. The `pearwood` command is a thin face of this.
#![deny(unsafe_code)]

extern crate alloc;

pub mod bench;
pub mod build;
pub mod console;
mod files;
pub mod keys;
pub mod launch;
pub mod linux;
pub mod node;
pub mod progress;
pub mod reference;
pub mod remote;
pub mod setup;
pub mod system;
pub mod workspace;

pub use launch::Launch;
