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

    fn scheme(&mut self, request: Resource<IncomingRequest>) -> Result<Option<types::Scheme>> {
        Ok(Some(types::Scheme::of(self.wasi.get(&request)?.head.scheme())))
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

    /// What has not been read is dropped as it comes: what follows it counts.
    fn finish(&mut self, body: Resource<IncomingBody>) -> Result<Resource<FutureTrailers>> {
        let body = self.wasi.take(body)?;
        body.reader.skip();
        self.wasi.push(FutureTrailers { reader: Some(body.reader) })
    }

    fn drop(&mut self, body: Resource<IncomingBody>) -> Result<()> {
        self.wasi.take(body).map(drop)
    }
}

impl types::HostFutureTrailers for State {
    fn subscribe(&mut self, trailers: Resource<FutureTrailers>) -> Result<Resource<Pollable>> {
        let pollable = match &self.wasi.get(&trailers)?.reader {
            Some(reader) => Pollable::Ended(reader.clone()),
            None => Pollable::Ready,
        };
        self.wasi.push(pollable)
    }

    fn get(
        &mut self,
        trailers: Resource<FutureTrailers>,
    ) -> Result<Option<core::result::Result<core::result::Result<Option<Resource<Fields>>, types::ErrorCode>, ()>>>
    {
        let future = self.wasi.get(&trailers)?;
        let Some(reader) = &future.reader else { return Ok(Some(Err(()))) };
        let Some(ended) = reader.ended() else { return Ok(None) };
        let trailers = reader.take_trailers();
        future.reader = None;
        Ok(Some(Ok(match ended {
            Ok(()) => Ok(trailers.map(|trailers| self.wasi.push(trailers)).transpose()?),
            Err(fault) => Err(of_fault(&fault)),
        })))
    }

    fn drop(&mut self, trailers: Resource<FutureTrailers>) -> Result<()> {
        self.wasi.take(trailers).map(drop)
    }
}
