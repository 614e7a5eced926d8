//! `request`: what is asked of a box, and what it asks.

use super::{Outcome, Request, RequestOptions, Trailers, body::written, types};
use crate::{
    boxes::State,
    wasi::http::{Asking, Fields},
};
use alloc::string::String;
use wasmtime::{
    Result,
    component::{Access, FutureReader, HasSelf, Resource, StreamReader},
};

type Set = core::result::Result<(), ()>;

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
        let line = Asking::new(&wasi.budget);
        let request = wasi.push(Request { line, fields, options, body })?;
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
        request.body.drop(access, Ok(()))
    }
}

impl types::HostRequest for State {
    fn get_method(&mut self, request: Resource<Request>) -> Result<types::Method> {
        Ok(types::Method::of(&self.wasi.get(&request)?.line.method))
    }

    fn set_method(&mut self, request: Resource<Request>, method: types::Method) -> Result<Set> {
        Ok(self.wasi.get(&request)?.line.set_method(method.name()))
    }

    fn get_path_with_query(&mut self, request: Resource<Request>) -> Result<Option<String>> {
        Ok(self.wasi.get(&request)?.line.target.clone())
    }

    fn set_path_with_query(&mut self, request: Resource<Request>, target: Option<String>) -> Result<Set> {
        Ok(self.wasi.get(&request)?.line.set_target(target))
    }

    fn get_scheme(&mut self, request: Resource<Request>) -> Result<Option<types::Scheme>> {
        Ok(self.wasi.get(&request)?.line.scheme.as_deref().map(types::Scheme::of))
    }

    fn set_scheme(&mut self, request: Resource<Request>, scheme: Option<types::Scheme>) -> Result<Set> {
        Ok(self.wasi.get(&request)?.line.set_scheme(scheme.as_ref().map(types::Scheme::name)))
    }

    fn get_authority(&mut self, request: Resource<Request>) -> Result<Option<String>> {
        Ok(self.wasi.get(&request)?.line.authority.clone())
    }

    fn set_authority(&mut self, request: Resource<Request>, authority: Option<String>) -> Result<Set> {
        Ok(self.wasi.get(&request)?.line.set_authority(authority))
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
