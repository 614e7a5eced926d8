//! How something gets from one box to another: one folder per kind of arrow.

mod bytes;
pub mod call;
pub mod channel;
pub mod measure;
mod protocol;

pub use bytes::{Bounded, Bytes, Cut};
pub use protocol::{CONTROL, Declared, HANDLER, KEYVALUE, Kinds, NAMES, Protocol, TCP, UDP};
