//! `wasi:http` 0.3, over what all versions share.

mod body;
mod client;
mod fields;
mod options;
mod request;
mod response;

pub use super::bindings::wasi::http::types;
use crate::{
    boxes::State,
    wasi::{
        Promise,
        http::{Asking, Fields, Reader, words},
    },
};
use alloc::sync::Arc;
use wasmtime::component::{FutureReader, Resource, StreamReader};

pub use body::{Sending, send};
pub use types::ErrorCode;

/// How a body ends.
pub type Trailers = core::result::Result<Option<Resource<Fields>>, ErrorCode>;

/// Whether a message was sent, or processed.
pub type Outcome = core::result::Result<(), ErrorCode>;

pub struct Request {
    pub line: Asking,
    pub fields: Fields,
    pub options: Option<RequestOptions>,
    pub body: Body,
}

pub struct Response {
    pub status: u16,
    pub fields: Fields,
    pub body: Body,
}

pub enum Body {
    /// A box writes it.
    Guest {
        contents: Option<StreamReader<u8>>,
        trailers: FutureReader<Trailers>,
        /// tells the box how it went
        sent: Promise<Outcome>,
    },
    /// It comes over a channel.
    Host(Arc<Reader>),
}

#[derive(Debug, Clone, Default)]
pub struct RequestOptions {
    connect_timeout: Option<u64>,
    first_byte_timeout: Option<u64>,
    between_bytes_timeout: Option<u64>,
    immutable: bool,
}

impl types::Host for State {}

words!(types);
