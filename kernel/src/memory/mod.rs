//! Memory: frames, page tables, and what is built from them.

pub mod devices;
mod direct;
pub mod dma;
pub mod frames;
pub mod heap;
pub mod image;
pub mod layout;
pub mod mappings;
pub mod paging;
mod recycler;
pub mod setup;
pub mod stacks;
#[allow(unsafe_code)]
mod wasm;

pub use setup::{free_boot_memory, init};

/// There is not enough memory for what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfMemory;

impl core::fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("out of memory")
    }
}

impl core::error::Error for OutOfMemory {}
