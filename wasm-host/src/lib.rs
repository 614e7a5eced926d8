//! The node without its hardware: boxes, arrows, grants, supervision.
#![no_std]
#![deny(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

#[cfg(test)]
mod allocations;
pub mod arrows;
pub mod boxes;
mod budget;
pub mod deploy;
pub mod engine;
pub mod executor;
mod grants;
pub mod image;
pub mod node;
pub mod platform;
pub mod slots;
pub mod system;
#[cfg(feature = "wasi")]
mod wasi;
#[cfg(not(feature = "wasi"))]
#[path = "wasi/absent.rs"]
mod wasi;
