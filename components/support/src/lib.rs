//! What boxes at the ends of channel arrows share.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod buffer;
mod compare;
mod outgoing;

pub use buffer::Buffer;
pub use compare::same;
pub use outgoing::Outgoing;
