//! What a box writes: responses, bodies, and where they go.

use super::{OutgoingBody, OutgoingResponse, ResponseOutparam, of_length, types};
use crate::{
    boxes::State,
    wasi::{
        http::{Fields, OutBody, Side, in_place},
        p2::streams::OutputStream,
    },
};
use alloc::sync::Arc;
use message::status::{has_body, is_final};
use wasmtime::{Result, component::Resource};

impl State {
    /// The body of a request (of a client) or of a response, of that length; None if there is no memory for it.
    pub(super) fn new_body(
        &mut self,
        side: Side,
        length: Option<u64>,
    ) -> Result<Option<(Arc<OutBody>, Resource<OutgoingBody>)>> {
        let Some(body) = OutBody::new(&self.wasi.budget, side, length) else { return Ok(None) };
        let own = self.wasi.push(OutgoingBody { body: body.clone(), has_stream: false })?;
        Ok(Some((body, own)))
    }
}

impl types::HostOutgoingResponse for State {
    fn new(&mut self, headers: Resource<Fields>) -> Result<Resource<OutgoingResponse>> {
        let fields = self.wasi.take(headers)?.frozen();
        let length = fields.content_length();
        self.wasi.push(OutgoingResponse { status: 200, fields, length, body: None })
    }

    fn status_code(&mut self, response: Resource<OutgoingResponse>) -> Result<u16> {
        Ok(self.wasi.get(&response)?.status)
    }

    fn set_status_code(
        &mut self,
        response: Resource<OutgoingResponse>,
        status: u16,
    ) -> Result<core::result::Result<(), ()>> {
        let response = self.wasi.get(&response)?;
        if !is_final(status) {
            return Ok(Err(()));
        }
        response.status = status;
        Ok(Ok(()))
    }

    fn headers(&mut self, response: Resource<OutgoingResponse>) -> Result<Resource<Fields>> {
        let fields = self.wasi.get(&response)?.fields.clone();
        self.wasi.push(fields)
    }

    fn body(
        &mut self,
        response: Resource<OutgoingResponse>,
    ) -> Result<core::result::Result<Resource<OutgoingBody>, ()>> {
        let known = self.wasi.get(&response)?;
        if known.body.is_some() {
            return Ok(Err(()));
        }
        // what is no length is found when the message is sent
        let length = known.length.unwrap_or_default();
        let Some((body, own)) = self.new_body(Side::Service, length)? else { return Ok(Err(())) };
        self.wasi.get(&response)?.body = Some(body);
        Ok(Ok(own))
    }

    fn drop(&mut self, response: Resource<OutgoingResponse>) -> Result<()> {
        self.wasi.take(response).map(drop)
    }
}

impl types::HostResponseOutparam for State {
    fn send_informational(
        &mut self,
        outparam: Resource<ResponseOutparam>,
        _status: u16,
        headers: Resource<Fields>,
    ) -> Result<core::result::Result<(), types::ErrorCode>> {
        self.wasi.get(&outparam)?;
        self.wasi.take(headers)?;
        Ok(Err(types::ErrorCode::HttpUpgradeFailed))
    }

    fn set(
        &mut self,
        outparam: Resource<ResponseOutparam>,
        response: core::result::Result<Resource<OutgoingResponse>, types::ErrorCode>,
    ) -> Result<()> {
        let ResponseOutparam(exchange) = &*self.wasi.get(&outparam)?;
        let exchange = exchange.clone();
        self.wasi.take(outparam)?;
        let response = match response {
            Ok(response) => self.wasi.take(response)?,
            Err(error) => {
                exchange.fail(&in_place(&error));
                return Ok(());
            }
        };
        let Ok(length) = response.length else {
            exchange.fail("the response's content-length is no number");
            return Ok(());
        };
        let exempt = !has_body(response.status, exchange.is_head);
        if !exchange.respond(response.status, response.fields.lines()) {
            response.body.iter().for_each(|body| body.give_up());
            return Ok(());
        }
        match &response.body {
            Some(body) => body.attach(&exchange, exempt),
            None if exempt || length.unwrap_or_default() == 0 => exchange.finish(None),
            None => {
                exchange.fail("the body is shorter than its content-length");
            }
        }
        Ok(())
    }

    fn drop(&mut self, outparam: Resource<ResponseOutparam>) -> Result<()> {
        self.wasi.take(outparam).map(drop)
    }
}

impl types::HostOutgoingBody for State {
    fn write(&mut self, body: Resource<OutgoingBody>) -> Result<core::result::Result<Resource<OutputStream>, ()>> {
        let body = self.wasi.get(&body)?;
        if core::mem::replace(&mut body.has_stream, true) {
            return Ok(Err(()));
        }
        let stream = OutputStream::Body(body.body.clone());
        Ok(Ok(self.wasi.push(stream)?))
    }

    fn finish(
        &mut self,
        body: Resource<OutgoingBody>,
        trailers: Option<Resource<Fields>>,
    ) -> Result<core::result::Result<(), types::ErrorCode>> {
        let trailers = trailers.map(|trailers| self.wasi.take(trailers)).transpose()?;
        let body = self.wasi.take(body)?;
        Ok(body.body.finish(trailers).map_err(of_length))
    }

    fn drop(&mut self, body: Resource<OutgoingBody>) -> Result<()> {
        self.wasi.take(body).map(drop)
    }
}
