//! `request-options`.

use super::{RequestOptions, types};
use crate::{boxes::State, wasi::http};
use wasmtime::{Result, component::Resource};

impl RequestOptions {
    fn changeable(&mut self) -> core::result::Result<&mut Self, ()> {
        Ok(self)
    }
}

http::options!((), connect_timeout, first_byte_timeout, between_bytes_timeout, {});
