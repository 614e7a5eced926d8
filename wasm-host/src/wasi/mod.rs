//! WASI: the faces that people's services see, built on what the node has.
//!
//! `http` is what the versions share; `p2` and `p3` are the faces themselves. A box that exports a handler is served by
//! `pool`. What a box makes at the node is counted and charged against its memory limit.

mod context;
mod denied;
mod exit;
pub mod http;
mod instance;
mod link;
mod p2;
mod pool;

pub use context::Context;
pub use exit::Exit;
pub use link::link;
pub use pool::serve;
