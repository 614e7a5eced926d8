//! `response`.

use super::{Outcome, Response, Trailers, body::written, types};
use crate::{boxes::State, wasi::http::Fields};
use message::status::is_final;
use wasmtime::{
    Result,
    component::{Access, FutureReader, HasSelf, Resource, StreamReader},
};

impl types::HostResponseWithStore<State> for HasSelf<State> {
    fn new(
        mut access: Access<'_, State, Self>,
        headers: Resource<Fields>,
        contents: Option<StreamReader<u8>>,
        trailers: FutureReader<Trailers>,
    ) -> Result<(Resource<Response>, FutureReader<Outcome>)> {
        let (body, outcome) = written(&mut access, contents, trailers)?;
        let wasi = &mut access.get().wasi;
        let fields = wasi.take(headers)?.frozen();
        let response = wasi.push(Response { status: 200, fields, body })?;
        Ok((response, outcome))
    }

    fn consume_body(
        mut access: Access<'_, State, Self>,
        response: Resource<Response>,
        processed: FutureReader<Outcome>,
    ) -> Result<(StreamReader<u8>, FutureReader<Trailers>)> {
        let response = access.get().wasi.take(response)?;
        response.body.read(&mut access, processed)
    }

    fn drop(mut access: Access<'_, State, Self>, response: Resource<Response>) -> Result<()> {
        let response = access.get().wasi.take(response)?;
        response.body.drop(access, Ok(()))
    }
}

impl types::HostResponse for State {
    fn get_status_code(&mut self, response: Resource<Response>) -> Result<u16> {
        Ok(self.wasi.get(&response)?.status)
    }

    fn set_status_code(&mut self, response: Resource<Response>, status: u16) -> Result<core::result::Result<(), ()>> {
        let response = self.wasi.get(&response)?;
        if !is_final(status) {
            return Ok(Err(()));
        }
        response.status = status;
        Ok(Ok(()))
    }

    fn get_headers(&mut self, response: Resource<Response>) -> Result<Resource<Fields>> {
        let fields = self.wasi.get(&response)?.fields.frozen();
        self.wasi.push(fields)
    }
}
