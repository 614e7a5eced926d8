//! What the HTTP faces of all versions share: fields, bodies within credit, trailers, and both sides of
//! `pearwood:http/handler`.

mod client;
mod exchange;
mod face;
mod fields;
mod hub;
mod outgoing;
mod server;
#[cfg(test)]
mod tests;
mod words;

pub use client::{Asks, Client, Denied};
pub use exchange::{Exchange, Fault, Read, Reader, RequestHead, Side};
pub(super) use face::face;
pub use fields::{Fields, FieldsError, MAX_FIELDS};
pub use outgoing::{HELD, OutBody, Unfinished};
pub use server::{Asked, Server, busy};
pub use words::in_place;
