//! `request`: what is asked of a box, and what it asks.

use super::{Outcome, Request, RequestOptions, Trailers, body::written, types};
use crate::{
    boxes::{Charge, State},
    wasi::http::Fields,
};
use alloc::string::String;
use wasmtime::{
    Result,
    component::{Access, FutureReader, HasSelf, Resource, StreamReader},
};

impl types::HostRequestWithStore<State> for HasSelf<State> {
    fn new(
        mut access: Access<'_, State, Self>,
        headers: Resource<Fields>,
        contents: Option<StreamReader<u8>>,
        trailers: FutureReader<Trailers>,
        options: Option<Resource<RequestOptions>>,
    ) -> Result<(Resource<Request>, FutureReader<Outcome>)> {
        let (body, outcome) = written(&mut access, contents, trailers)?;
        let wasi = &mut access.get().wasi;
        let fields = wasi.take(headers)?.frozen();
        let options = options.map(|options| wasi.take(options)).transpose()?;
        let charge = Charge::none(&wasi.budget);
        let (method, target, scheme, authority) = (types::Method::Get, None, None, None);
        let request = wasi.push(Request { method, target, scheme, authority, fields, options, body, charge })?;
        Ok((request, outcome))
    }

    fn consume_body(
        mut access: Access<'_, State, Self>,
        request: Resource<Request>,
        processed: FutureReader<Outcome>,
    ) -> Result<(StreamReader<u8>, FutureReader<Trailers>)> {
        let request = access.get().wasi.take(request)?;
        request.body.read(&mut access, processed)
    }

    fn drop(mut access: Access<'_, State, Self>, request: Resource<Request>) -> Result<()> {
        let request = access.get().wasi.take(request)?;
        request.body.drop(access)
    }
}

impl types::HostRequest for State {
    fn get_method(&mut self, request: Resource<Request>) -> Result<types::Method> {
        Ok(self.wasi.get(&request)?.method.clone())
    }

    fn set_method(
        &mut self,
        request: Resource<Request>,
        method: types::Method,
    ) -> Result<core::result::Result<(), ()>> {
        Ok(self.wasi.get(&request)?.set_method(method))
    }

    fn get_path_with_query(&mut self, request: Resource<Request>) -> Result<Option<String>> {
        Ok(self.wasi.get(&request)?.target.clone())
    }

    fn set_path_with_query(
        &mut self,
        request: Resource<Request>,
        target: Option<String>,
    ) -> Result<core::result::Result<(), ()>> {
        Ok(self.wasi.get(&request)?.set_target(target))
    }

    fn get_scheme(&mut self, request: Resource<Request>) -> Result<Option<types::Scheme>> {
        Ok(self.wasi.get(&request)?.scheme.clone())
    }

    fn set_scheme(
        &mut self,
        request: Resource<Request>,
        scheme: Option<types::Scheme>,
    ) -> Result<core::result::Result<(), ()>> {
        Ok(self.wasi.get(&request)?.set_scheme(scheme))
    }

    fn get_authority(&mut self, request: Resource<Request>) -> Result<Option<String>> {
        Ok(self.wasi.get(&request)?.authority.clone())
    }

    fn set_authority(
        &mut self,
        request: Resource<Request>,
        authority: Option<String>,
    ) -> Result<core::result::Result<(), ()>> {
        Ok(self.wasi.get(&request)?.set_authority(authority))
    }

    fn get_options(&mut self, request: Resource<Request>) -> Result<Option<Resource<RequestOptions>>> {
        let options = self.wasi.get(&request)?.options.clone();
        options.map(|options| self.wasi.push(RequestOptions { immutable: true, ..options })).transpose()
    }

    fn get_headers(&mut self, request: Resource<Request>) -> Result<Resource<Fields>> {
        let fields = self.wasi.get(&request)?.fields.frozen();
        self.wasi.push(fields)
    }
}
