//! What the HTTP faces of all versions share: fields, bodies within credit, and both sides of `pearwood:http/handler`.
//!
//! The channel carries no trailers, so those that a box sends are discarded, as RFC 9110, section 6.5.1, permits, and
//! none ever come.

mod asking;
mod client;
mod exchange;
mod faces;
mod fields;
mod hub;
mod outgoing;
mod server;
mod target;
#[cfg(test)]
mod tests;
mod words;

pub use asking::Asking;
pub use client::{Client, Denied};
pub use exchange::{Exchange, Fault, Read, Reader, RequestHead, Side};
pub(in crate::wasi) use faces::{fields, options, words};
pub use fields::{Fields, FieldsError, MAX_FIELDS, is_name};
pub use outgoing::{HELD, OutBody, Unfinished};
pub use server::{Asked, Server, busy};
pub use target::{is_authority, is_final, is_target};
pub use words::in_place;
