//! `wasi:http` 0.2, over what all versions share.

mod fields;
mod incoming;
mod options;
mod outgoing;
mod response;

use super::bindings::wasi::http::types;
use crate::{
    boxes::{Charge, State},
    wasi::{
        http::{Denied, Exchange, Fault, Fields, OutBody, Reader, RequestHead},
        p2::streams::IoError,
    },
};
use alloc::{
    string::{String, ToString},
    sync::Arc,
};
use wasmtime::{Result, component::Resource};

pub struct IncomingRequest {
    pub head: RequestHead,
    /// until it is consumed
    pub body: Option<Arc<Reader>>,
}

pub struct ResponseOutparam(pub Arc<Exchange>);

pub struct OutgoingResponse {
    status: u16,
    fields: Fields,
    body: Option<Arc<OutBody>>,
}

pub struct OutgoingRequest {
    method: types::Method,
    target: Option<String>,
    scheme: Option<types::Scheme>,
    authority: Option<String>,
    fields: Fields,
    body: Option<Arc<OutBody>>,
    /// for the text
    charge: Charge,
}

/// Dropped before it is finished, it fails.
pub struct OutgoingBody {
    body: Arc<OutBody>,
    has_stream: bool,
}

impl Drop for OutgoingBody {
    fn drop(&mut self) {
        self.body.give_up();
    }
}

#[derive(Default)]
pub struct RequestOptions {
    connect_timeout: Option<u64>,
    first_byte_timeout: Option<u64>,
}

pub struct IncomingResponse {
    status: u16,
    fields: Fields,
    /// until it is consumed
    body: Option<Arc<Reader>>,
}

pub struct IncomingBody {
    reader: Arc<Reader>,
    has_stream: bool,
}

pub struct FutureIncomingResponse {
    /// until the response is taken
    reader: Option<Arc<Reader>>,
    /// monotonic time at which it is no longer waited for
    until: u64,
}

pub struct FutureTrailers {
    fault: Option<Fault>,
    taken: bool,
}

impl types::Host for State {
    fn http_error_code(&mut self, error: Resource<IoError>) -> Result<Option<types::ErrorCode>> {
        Ok(Some(match self.wasi.get(&error)? {
            IoError::Body(fault) => of_fault(fault),
            IoError::Length => types::ErrorCode::HttpRequestBodySize(None),
        }))
    }
}

/// What a fault is to the box that waits for a response, or reads a body.
fn of_fault(fault: &Fault) -> types::ErrorCode {
    match fault {
        Fault::Cancelled | Fault::Gone(_) => types::ErrorCode::ConnectionTerminated,
        Fault::Failed(why) => types::ErrorCode::InternalError(Some(why.to_string())),
        Fault::Protocol(_) => types::ErrorCode::HttpProtocolError,
    }
}

fn of_denied(denied: Denied) -> types::ErrorCode {
    match denied {
        Denied::NoArrow => types::ErrorCode::HttpRequestDenied,
        Denied::Down => types::ErrorCode::DestinationUnavailable,
        Denied::NoMemory => types::ErrorCode::InternalError(Some(denied.to_string())),
        Denied::TooLong => types::ErrorCode::HttpRequestUriTooLong,
    }
}

impl types::Method {
    fn of(name: &str) -> Self {
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
