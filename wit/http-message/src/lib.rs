//! What an HTTP message is (RFC 9110, RFC 9112): request lines, targets, authorities, fields, the framing of bodies, trailers,
//! status codes, and which service a request is for. The http box, the node's WASI faces and the tools all use this. Beside it,
//! what the settings of the boxes that serve HTTP have in common: values, and rules by host and path.
//!
//! Reading a head allocates nothing, except for lines that have to be written anew.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod chunked;
pub mod coding;
pub mod fields;
pub mod forwarded;
mod grammar;
pub mod line;
mod method;
pub mod request;
pub mod response;
mod routes;
pub mod rules;
pub mod settings;
pub mod status;
pub mod target;
pub mod trailers;

pub use method::Method;
pub use request::{Framing, Head, Refusal, UPGRADE_BYTES};
pub use routes::Routes;
pub use target::Target;

/// The largest head that is read. All are set by whoever reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// bytes of a head, and of a trailer section
    pub head_bytes: usize,
    /// lines of either, at most [`Limits::MOST_FIELDS`]
    pub fields: usize,
    /// bytes of a request's target
    pub target_bytes: usize,
}

impl Limits {
    /// The most that `fields` can be.
    pub const MOST_FIELDS: usize = 256;
}

impl Default for Limits {
    fn default() -> Self {
        Limits { head_bytes: 16 << 10, fields: 100, target_bytes: 8 << 10 }
    }
}
