//! `wasi:http` 0.2, over what all versions share.

mod fields;
mod incoming;
mod options;
mod outgoing;
mod response;

use super::bindings::wasi::http::types;
use crate::{
    boxes::State,
    wasi::{
        http::{Asking, Exchange, Fields, FieldsError, OutBody, Reader, RequestHead, words},
        p2::streams::IoError,
    },
};
use alloc::sync::Arc;
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
    /// what `content-length` says
    length: core::result::Result<Option<u64>, FieldsError>,
    body: Option<Arc<OutBody>>,
}

pub struct OutgoingRequest {
    line: Asking,
    fields: Fields,
    body: Option<Arc<OutBody>>,
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
    between_bytes_timeout: Option<u64>,
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
    /// until they are taken
    reader: Option<Arc<Reader>>,
}

impl types::Host for State {
    fn http_error_code(&mut self, error: Resource<IoError>) -> Result<Option<types::ErrorCode>> {
        Ok(Some(match self.wasi.get(&error)? {
            IoError::Body(fault) => of_fault(fault),
            IoError::Length(wrong) => of_length(*wrong),
        }))
    }
}

words!(types);
