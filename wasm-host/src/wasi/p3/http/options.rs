//! `request-options`.

use super::{RequestOptions, types};
use crate::{boxes::State, wasi::http};
use types::RequestOptionsError as Error;
use wasmtime::{Result, component::Resource};

impl RequestOptions {
    fn changeable(&mut self) -> core::result::Result<&mut Self, Error> {
        if self.immutable { Err(Error::Immutable) } else { Ok(self) }
    }
}

http::options!(Error, get_connect_timeout, get_first_byte_timeout, get_between_bytes_timeout, {
    fn clone(&mut self, options: Resource<RequestOptions>) -> Result<Resource<RequestOptions>> {
        let copy = RequestOptions { immutable: false, ..self.wasi.get(&options)?.clone() };
        self.wasi.push(copy)
    }
});
