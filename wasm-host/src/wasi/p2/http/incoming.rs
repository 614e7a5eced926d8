//! What a box reads: requests, their bodies, and those of responses.

use super::{FutureTrailers, IncomingBody, IncomingRequest, of_fault, types};
use crate::{
    boxes::State,
    wasi::{
        http::Fields,
        p2::{poll::Pollable, streams::InputStream},
    },
};
use alloc::string::String;
use wasmtime::{Result, component::Resource};

impl types::HostIncomingRequest for State {
    fn method(&mut self, request: Resource<IncomingRequest>) -> Result<types::Method> {
        Ok(types::Method::of(&self.wasi.get(&request)?.head.method))
    }

    fn path_with_query(&mut self, request: Resource<IncomingRequest>) -> Result<Option<String>> {
        Ok(Some(self.wasi.get(&request)?.head.target.clone()))
    }

    /// The http boxes speak without TLS.
    fn scheme(&mut self, request: Resource<IncomingRequest>) -> Result<Option<types::Scheme>> {
        self.wasi.get(&request)?;
        Ok(Some(types::Scheme::Http))
    }

    fn authority(&mut self, request: Resource<IncomingRequest>) -> Result<Option<String>> {
        let authority = &self.wasi.get(&request)?.head.authority;
        Ok((!authority.is_empty()).then(|| authority.clone()))
    }

    fn headers(&mut self, request: Resource<IncomingRequest>) -> Result<Resource<Fields>> {
        let fields = self.wasi.get(&request)?.head.fields.clone();
        self.wasi.push(fields)
    }

    fn consume(
        &mut self,
        request: Resource<IncomingRequest>,
    ) -> Result<core::result::Result<Resource<IncomingBody>, ()>> {
        match self.wasi.get(&request)?.body.take() {
            Some(reader) => Ok(Ok(self.wasi.push(IncomingBody { reader, has_stream: false })?)),
            None => Ok(Err(())),
        }
    }

    fn drop(&mut self, request: Resource<IncomingRequest>) -> Result<()> {
        self.wasi.take(request).map(drop)
    }
}

impl types::HostIncomingBody for State {
    fn stream(&mut self, body: Resource<IncomingBody>) -> Result<core::result::Result<Resource<InputStream>, ()>> {
        let body = self.wasi.get(&body)?;
        if core::mem::replace(&mut body.has_stream, true) {
            return Ok(Err(()));
        }
        let stream = InputStream::Body(body.reader.clone());
        Ok(Ok(self.wasi.push(stream)?))
    }

    /// What has not been read is not waited for: there are no trailers behind it.
    fn finish(&mut self, body: Resource<IncomingBody>) -> Result<Resource<FutureTrailers>> {
        let body = self.wasi.take(body)?;
        let fault = body.reader.ended().and_then(|end| end.err());
        self.wasi.push(FutureTrailers { fault, taken: false })
    }

    fn drop(&mut self, body: Resource<IncomingBody>) -> Result<()> {
        self.wasi.take(body).map(drop)
    }
}

impl types::HostFutureTrailers for State {
    fn subscribe(&mut self, trailers: Resource<FutureTrailers>) -> Result<Resource<Pollable>> {
        self.wasi.get(&trailers)?;
        self.wasi.push(Pollable::Ready)
    }

    fn get(
        &mut self,
        trailers: Resource<FutureTrailers>,
    ) -> Result<Option<core::result::Result<core::result::Result<Option<Resource<Fields>>, types::ErrorCode>, ()>>>
    {
        let trailers = self.wasi.get(&trailers)?;
        if core::mem::replace(&mut trailers.taken, true) {
            return Ok(Some(Err(())));
        }
        Ok(Some(Ok(match &trailers.fault {
            Some(fault) => Err(of_fault(fault)),
            None => Ok(None),
        })))
    }

    fn drop(&mut self, trailers: Resource<FutureTrailers>) -> Result<()> {
        self.wasi.take(trailers).map(drop)
    }
}
