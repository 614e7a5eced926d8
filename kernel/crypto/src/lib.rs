//! The functions of [`crypto::Table`] by ring.
//!
//! ring cannot be compiled for the kernel's target, which has no vector registers. So `pearwood` builds this crate for Linux as a static
//! library that knows no Linux, and links it into the kernel (feature `kernel`); a node on Linux uses it as an ordinary crate. Pointers
//! and integers alone cross between the two, which both targets pass alike.
//!
//! # Vector registers in the kernel
//!
//! This code uses xmm and ymm registers, and the kernel saves none. That is sound, and nothing of it may change without this one:
//!
//! - It is called from host functions of wasm alone. wasm calls the host as any function (System V ABI), where all vector registers
//!   are the callee's to use, and keeps nothing in the upper halves.
//! - Whatever runs between is the kernel's own code, which touches none: it is compiled without them, and interrupt handlers with it.
//!   So an interrupt in the midst of a call finds and leaves them as they are, and no other task runs before the call is over.
//! - Interrupts and exceptions run on stacks of their own (`cpu/idt.rs`), so that the red zone below the stack pointer, which the prebuilt
//!   `core` uses, is not written to.
//! - `cpu/features.rs` switches on the state that ring finds by CPUID and XGETBV; MXCSR stays as it is.
#![cfg_attr(feature = "kernel", no_std)]

#[cfg(feature = "kernel")]
mod kernel;
mod ring_table;
pub mod vectors;

pub use crypto;
pub use ring_table::TABLE;

/// The cryptography of this process.
#[allow(unsafe_code)]
pub const fn here() -> crypto::Crypto {
    // SAFETY: the functions are those that the table describes.
    unsafe { crypto::Crypto::new(&TABLE) }
}
