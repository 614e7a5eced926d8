//! `request-options`: how long a response is waited for.

use super::{RequestOptions, types};
use crate::boxes::State;
use wasmtime::{Result, component::Resource};

impl types::HostRequestOptions for State {
    fn new(&mut self) -> Result<Resource<RequestOptions>> {
        self.wasi.push(RequestOptions::default())
    }

    /// There is nothing to connect to: boxes are joined before they run. So it is always met.
    fn get_connect_timeout(&mut self, options: Resource<RequestOptions>) -> Result<Option<u64>> {
        Ok(self.wasi.get(&options)?.connect_timeout)
    }

    fn set_connect_timeout(
        &mut self,
        options: Resource<RequestOptions>,
        timeout: Option<u64>,
    ) -> Result<core::result::Result<(), types::RequestOptionsError>> {
        let options = self.wasi.get(&options)?;
        if options.immutable {
            return Ok(Err(types::RequestOptionsError::Immutable));
        }
        options.connect_timeout = timeout;
        Ok(Ok(()))
    }

    fn get_first_byte_timeout(&mut self, options: Resource<RequestOptions>) -> Result<Option<u64>> {
        Ok(self.wasi.get(&options)?.first_byte_timeout)
    }

    fn set_first_byte_timeout(
        &mut self,
        options: Resource<RequestOptions>,
        timeout: Option<u64>,
    ) -> Result<core::result::Result<(), types::RequestOptionsError>> {
        let options = self.wasi.get(&options)?;
        if options.immutable {
            return Ok(Err(types::RequestOptionsError::Immutable));
        }
        options.first_byte_timeout = timeout;
        Ok(Ok(()))
    }

    fn get_between_bytes_timeout(&mut self, options: Resource<RequestOptions>) -> Result<Option<u64>> {
        self.wasi.get(&options)?;
        Ok(None)
    }

    /// Not supported, which the error says.
    fn set_between_bytes_timeout(
        &mut self,
        options: Resource<RequestOptions>,
        timeout: Option<u64>,
    ) -> Result<core::result::Result<(), types::RequestOptionsError>> {
        self.wasi.get(&options)?;
        Ok(if timeout.is_none() { Ok(()) } else { Err(types::RequestOptionsError::NotSupported) })
    }

    fn clone(&mut self, options: Resource<RequestOptions>) -> Result<Resource<RequestOptions>> {
        let copy = RequestOptions { immutable: false, ..self.wasi.get(&options)?.clone() };
        self.wasi.push(copy)
    }

    fn drop(&mut self, options: Resource<RequestOptions>) -> Result<()> {
        self.wasi.take(options).map(drop)
    }
}
