//! What the system's boxes share.
#![no_std]
#![deny(unsafe_code)]

extern crate alloc;

#[cfg(any(target_family = "wasm", test))]
mod allocator;
mod buffer;
#[cfg(feature = "certificate")]
pub mod certificate;
mod compare;
pub mod dial;
pub mod proxy;

pub use buffer::Buffer;
pub use compare::same;

#[cfg(target_family = "wasm")]
extern crate std;

#[cfg(target_family = "wasm")]
#[global_allocator]
static ALLOCATOR: allocator::Recycler<std::alloc::System> = allocator::Recycler::new(std::alloc::System);
