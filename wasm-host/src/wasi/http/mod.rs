//! What the HTTP faces of all versions share: fields, bodies within credit, trailers, and both sides of
//! `pearwood:http/handler`.

mod asking;
mod client;
mod exchange;
mod faces;
mod fields;
mod hub;
mod outgoing;
mod server;
#[cfg(test)]
mod tests;
mod words;

pub use asking::Asking;
pub use client::{Asks, Client, Denied};
pub use exchange::{Exchange, Fault, Read, Reader, RequestHead, Side};
pub(in crate::wasi) use faces::{fields, options, words};
pub use fields::{Fields, FieldsError, MAX_FIELDS};
pub use outgoing::{OutBody, TOO_LONG, WrongLength};
pub use server::{Asked, Server, busy};
pub use words::in_place;
