//! The node without its hardware: boxes, arrows, grants, supervision.
#![no_std]
#![deny(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

/// The language of declarations is the toolchain's: tests write the systems that they run in it.
#[cfg(all(test, feature = "build"))]
extern crate self as wasm_host;
#[cfg(all(test, feature = "build"))]
#[path = "../../toolchain/src/system/mod.rs"]
#[allow(dead_code, unused_imports)]
mod system;

#[cfg(test)]
mod allocations;
pub mod arrows;
pub mod boxes;
mod budget;
pub mod deploy;
pub mod engine;
pub mod executor;
mod grants;
pub use grants::LENT;
pub mod image;
pub mod interface;
pub mod node;
pub mod plan;
pub mod platform;
pub mod slots;
pub mod stamp;
mod sync;
pub mod volumes;
#[cfg(feature = "wasi")]
mod wasi;
#[cfg(not(feature = "wasi"))]
#[path = "wasi/absent.rs"]
mod wasi;
