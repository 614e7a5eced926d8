//! The client: requests that a box sends, and what becomes of them.

use super::{
    super::bindings::wasi::http::outgoing_handler, FutureIncomingResponse, IncomingBody, IncomingResponse,
    OutgoingBody, OutgoingRequest, RequestOptions, of_denied, of_fault, types,
};
use crate::{
    boxes::State,
    wasi::{
        http::{Asking, Denied, Fields, Side},
        p2::poll::Pollable,
    },
};
use alloc::string::String;
use wasmtime::{Result, component::Resource};

type Answer<T> = core::result::Result<T, types::ErrorCode>;
type Set = core::result::Result<(), ()>;

impl outgoing_handler::Host for State {
    fn handle(
        &mut self,
        request: Resource<OutgoingRequest>,
        options: Option<Resource<RequestOptions>>,
    ) -> Result<Answer<Resource<FutureIncomingResponse>>> {
        let request = self.wasi.take(request)?;
        let options = options.map(|options| self.wasi.take(options)).transpose()?.unwrap_or_default();
        if request.body.is_none() && request.fields.content_length().is_ok_and(|length| length.unwrap_or(0) > 0) {
            return Ok(Err(types::ErrorCode::HttpRequestBodySize(Some(0))));
        }
        if request.fields.content_length().is_err() {
            return Ok(Err(types::ErrorCode::HttpProtocolError));
        }
        let Some(asks) = request.line.asks() else { return Ok(Err(types::ErrorCode::HttpRequestUriInvalid)) };
        let sent = match &self.wasi.client {
            Some(client) => client.send(asks, &request.fields),
            None => Err(Denied::NoArrow),
        };
        let (exchange, reader) = match sent {
            Ok(sent) => sent,
            Err(denied) => return Ok(Err(of_denied(denied))),
        };
        exchange.set_patience(options.between_bytes_timeout);
        match &request.body {
            Some(body) => body.attach(&exchange, false),
            None => exchange.finish(None),
        }
        let until = options.first_byte_timeout.map_or(u64::MAX, |time| self.platform.now().saturating_add(time));
        Ok(Ok(self.wasi.push(FutureIncomingResponse { reader: Some(reader), until })?))
    }
}

impl types::HostOutgoingRequest for State {
    fn new(&mut self, headers: Resource<Fields>) -> Result<Resource<OutgoingRequest>> {
        let fields = self.wasi.take(headers)?.frozen();
        let line = Asking::new(&self.wasi.budget);
        self.wasi.push(OutgoingRequest { line, fields, body: None })
    }

    fn body(&mut self, request: Resource<OutgoingRequest>) -> Result<core::result::Result<Resource<OutgoingBody>, ()>> {
        let known = self.wasi.get(&request)?;
        if known.body.is_some() {
            return Ok(Err(()));
        }
        // what is no length is found when the message is sent
        let length = known.fields.content_length().unwrap_or_default();
        let Some((body, own)) = self.new_body(Side::Client, length)? else { return Ok(Err(())) };
        self.wasi.get(&request)?.body = Some(body);
        Ok(Ok(own))
    }

    fn method(&mut self, request: Resource<OutgoingRequest>) -> Result<types::Method> {
        Ok(types::Method::of(&self.wasi.get(&request)?.line.method))
    }

    fn set_method(&mut self, request: Resource<OutgoingRequest>, method: types::Method) -> Result<Set> {
        Ok(self.wasi.get(&request)?.line.set_method(method.name()))
    }

    fn path_with_query(&mut self, request: Resource<OutgoingRequest>) -> Result<Option<String>> {
        Ok(self.wasi.get(&request)?.line.target.clone())
    }

    fn set_path_with_query(&mut self, request: Resource<OutgoingRequest>, target: Option<String>) -> Result<Set> {
        Ok(self.wasi.get(&request)?.line.set_target(target))
    }

    fn scheme(&mut self, request: Resource<OutgoingRequest>) -> Result<Option<types::Scheme>> {
        Ok(self.wasi.get(&request)?.line.scheme.as_deref().map(types::Scheme::of))
    }

    fn set_scheme(&mut self, request: Resource<OutgoingRequest>, scheme: Option<types::Scheme>) -> Result<Set> {
        Ok(self.wasi.get(&request)?.line.set_scheme(scheme.as_ref().map(types::Scheme::name)))
    }

    fn authority(&mut self, request: Resource<OutgoingRequest>) -> Result<Option<String>> {
        Ok(self.wasi.get(&request)?.line.authority.clone())
    }

    fn set_authority(&mut self, request: Resource<OutgoingRequest>, authority: Option<String>) -> Result<Set> {
        Ok(self.wasi.get(&request)?.line.set_authority(authority))
    }

    fn headers(&mut self, request: Resource<OutgoingRequest>) -> Result<Resource<Fields>> {
        let fields = self.wasi.get(&request)?.fields.clone();
        self.wasi.push(fields)
    }

    fn drop(&mut self, request: Resource<OutgoingRequest>) -> Result<()> {
        self.wasi.take(request).map(drop)
    }
}

impl types::HostFutureIncomingResponse for State {
    fn subscribe(&mut self, future: Resource<FutureIncomingResponse>) -> Result<Resource<Pollable>> {
        let future = self.wasi.get(&future)?;
        let pollable = match &future.reader {
            Some(reader) => Pollable::Response(reader.clone(), future.until),
            None => Pollable::Ready,
        };
        self.wasi.push(pollable)
    }

    fn get(
        &mut self,
        future: Resource<FutureIncomingResponse>,
    ) -> Result<Option<core::result::Result<Answer<Resource<IncomingResponse>>, ()>>> {
        let now = self.platform.now();
        let future = self.wasi.get(&future)?;
        let Some(reader) = &future.reader else { return Ok(Some(Err(()))) };
        let answer = match reader.take_response() {
            Some(Ok((status, fields))) => Ok((status, fields, reader.clone())),
            Some(Err(fault)) => Err(of_fault(&fault)),
            None if now >= future.until => Err(types::ErrorCode::ConnectionReadTimeout),
            None => return Ok(None),
        };
        future.reader = None;
        Ok(Some(Ok(match answer {
            Ok((status, fields, reader)) => {
                Ok(self.wasi.push(IncomingResponse { status, fields, body: Some(reader) })?)
            }
            Err(code) => Err(code),
        })))
    }

    fn drop(&mut self, future: Resource<FutureIncomingResponse>) -> Result<()> {
        self.wasi.take(future).map(drop)
    }
}

impl types::HostIncomingResponse for State {
    fn status(&mut self, response: Resource<IncomingResponse>) -> Result<u16> {
        Ok(self.wasi.get(&response)?.status)
    }

    fn headers(&mut self, response: Resource<IncomingResponse>) -> Result<Resource<Fields>> {
        let fields = self.wasi.get(&response)?.fields.clone();
        self.wasi.push(fields)
    }

    fn consume(
        &mut self,
        response: Resource<IncomingResponse>,
    ) -> Result<core::result::Result<Resource<IncomingBody>, ()>> {
        match self.wasi.get(&response)?.body.take() {
            Some(reader) => Ok(Ok(self.wasi.push(IncomingBody { reader, has_stream: false })?)),
            None => Ok(Err(())),
        }
    }

    fn drop(&mut self, response: Resource<IncomingResponse>) -> Result<()> {
        self.wasi.take(response).map(drop)
    }
}
