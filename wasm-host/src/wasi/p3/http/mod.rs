//! `wasi:http` 0.3, over what all versions share.

mod body;
mod client;
mod fields;
mod options;
mod request;
mod response;

pub use super::bindings::wasi::http::types;
use crate::{
    boxes::{Charge, State},
    wasi::{
        Promise,
        http::{Denied, Fault, Fields, Reader},
    },
};
use alloc::{
    string::{String, ToString},
    sync::Arc,
};
use wasmtime::component::{FutureReader, Resource, StreamReader};

pub use body::send;
pub use types::ErrorCode;

/// How a body ends.
pub type Trailers = core::result::Result<Option<Resource<Fields>>, ErrorCode>;

/// Whether a message was sent, or processed.
pub type Outcome = core::result::Result<(), ErrorCode>;

pub struct Request {
    pub method: types::Method,
    pub target: Option<String>,
    pub scheme: Option<types::Scheme>,
    pub authority: Option<String>,
    pub fields: Fields,
    pub options: Option<RequestOptions>,
    pub body: Body,
    /// for the text
    pub charge: Charge,
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
    immutable: bool,
}

impl types::Host for State {}

impl types::Method {
    pub fn of(name: &str) -> Self {
        match name {
            "GET" => types::Method::Get,
            "HEAD" => types::Method::Head,
            "POST" => types::Method::Post,
            "PUT" => types::Method::Put,
            "DELETE" => types::Method::Delete,
            "CONNECT" => types::Method::Connect,
            "OPTIONS" => types::Method::Options,
            "TRACE" => types::Method::Trace,
            "PATCH" => types::Method::Patch,
            other => types::Method::Other(other.into()),
        }
    }

    fn name(&self) -> &str {
        match self {
            types::Method::Get => "GET",
            types::Method::Head => "HEAD",
            types::Method::Post => "POST",
            types::Method::Put => "PUT",
            types::Method::Delete => "DELETE",
            types::Method::Connect => "CONNECT",
            types::Method::Options => "OPTIONS",
            types::Method::Trace => "TRACE",
            types::Method::Patch => "PATCH",
            types::Method::Other(other) => other,
        }
    }
}

/// What a fault is to the box that waits for a response, or reads a body.
fn of_fault(fault: &Fault) -> ErrorCode {
    match fault {
        Fault::Cancelled | Fault::Gone(_) => ErrorCode::ConnectionTerminated,
        Fault::Failed(why) => ErrorCode::InternalError(Some(why.to_string())),
        Fault::Protocol(_) => ErrorCode::HttpProtocolError,
    }
}

fn of_denied(denied: Denied) -> ErrorCode {
    match denied {
        Denied::NoArrow => ErrorCode::HttpRequestDenied,
        Denied::Down => ErrorCode::DestinationUnavailable,
        Denied::NoMemory => ErrorCode::InternalError(Some(denied.to_string())),
        Denied::TooLong => ErrorCode::HttpRequestUriTooLong,
    }
}
