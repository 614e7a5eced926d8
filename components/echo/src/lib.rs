//! The echo box answers with what it was sent. It is an example of a box that serves [`pearwood:http/handler`], and
//! what tests use to see requests as handlers do, and to have a handler that goes wrong.
//!
//! What it does is named by the end of the path, so that it can be joined under any prefix:
//!
//! ```text
//! /headers          the request's head, as text
//! /status/NNN       a response of that status
//! /bytes?n=N        N bytes
//! /slow?ms=N        an answer after N milliseconds
//! /trap             runs into `unreachable`
//! /loop             computes for ever
//! /eat              allocates until there is no more
//! /garbage          answers with records that mean nothing
//! /garbage?batch    sends bytes that are no batch
//! anything else     the request's body, as it comes
//! ```
//!
//! [`Echo`] does no I/O: it is fed batches and the time, and leaves batches. `shim` joins it to the box's arrows.
#![cfg_attr(not(target_arch = "wasm32"), forbid(unsafe_code))]

mod answer;
mod asked;
mod echo;
#[cfg(target_arch = "wasm32")]
mod shim;

pub use asked::Misdeed;
pub use echo::{Echo, Outside, Wake};
