//! `request-options`: how long a response is waited for.

use super::{RequestOptions, types};
use crate::boxes::State;
use wasmtime::{Result, component::Resource};

impl types::HostRequestOptions for State {
    fn new(&mut self) -> Result<Resource<RequestOptions>> {
        self.wasi.push(RequestOptions::default())
    }

    /// There is nothing to connect to: boxes are joined before they run. So it is always met.
    fn connect_timeout(&mut self, options: Resource<RequestOptions>) -> Result<Option<u64>> {
        Ok(self.wasi.get(&options)?.connect_timeout)
    }

    fn set_connect_timeout(
        &mut self,
        options: Resource<RequestOptions>,
        timeout: Option<u64>,
    ) -> Result<core::result::Result<(), ()>> {
        self.wasi.get(&options)?.connect_timeout = timeout;
        Ok(Ok(()))
    }

    fn first_byte_timeout(&mut self, options: Resource<RequestOptions>) -> Result<Option<u64>> {
        Ok(self.wasi.get(&options)?.first_byte_timeout)
    }

    fn set_first_byte_timeout(
        &mut self,
        options: Resource<RequestOptions>,
        timeout: Option<u64>,
    ) -> Result<core::result::Result<(), ()>> {
        self.wasi.get(&options)?.first_byte_timeout = timeout;
        Ok(Ok(()))
    }

    fn between_bytes_timeout(&mut self, options: Resource<RequestOptions>) -> Result<Option<u64>> {
        self.wasi.get(&options)?;
        Ok(None)
    }

    /// Not supported, which the error says.
    fn set_between_bytes_timeout(
        &mut self,
        options: Resource<RequestOptions>,
        timeout: Option<u64>,
    ) -> Result<core::result::Result<(), ()>> {
        self.wasi.get(&options)?;
        Ok(if timeout.is_none() { Ok(()) } else { Err(()) })
    }

    fn drop(&mut self, options: Resource<RequestOptions>) -> Result<()> {
        self.wasi.take(options).map(drop)
    }
}
