//! `client`, and `handler` as an import: requests that a box sends.

use super::{
    super::bindings::wasi::http::{client, handler},
    Body, ErrorCode, Request, Response,
    body::send,
    of_denied, of_fault,
};
use crate::{
    boxes::State,
    wasi::http::{Denied, OutBody, Reader, Side},
};
use alloc::sync::Arc;
use core::task::Poll;
use wasmtime::{
    Result,
    component::{Access, Accessor, HasSelf, Resource},
};

impl client::Host for State {}

impl client::HostWithStore<State> for HasSelf<State> {
    async fn send(accessor: &Accessor<State, Self>, request: Resource<Request>) -> Result<Answer> {
        ask(accessor, request).await
    }
}

impl handler::Host for State {}

/// A box in the middle asks the next one in the same way.
impl handler::HostWithStore<State> for HasSelf<State> {
    async fn handle(accessor: &Accessor<State, Self>, request: Resource<Request>) -> Result<Answer> {
        ask(accessor, request).await
    }
}

type Answer = core::result::Result<Resource<Response>, ErrorCode>;

async fn ask(accessor: &Accessor<State, HasSelf<State>>, request: Resource<Request>) -> Result<Answer> {
    let (reader, timeout) = match accessor.with(|access| begin(access, request))? {
        Ok(sent) => sent,
        Err(code) => return Ok(Err(code)),
    };
    let (timer, until, platform) = accessor.with(|mut access| {
        let state = access.get();
        let until = timeout.map_or(u64::MAX, |timeout| state.platform.now().saturating_add(timeout));
        (state.another_timer(), until, state.platform)
    });
    let (timer, _paid) = timer?;
    let answered = core::future::poll_fn(|cx| {
        if reader.has_response(Some(cx)) {
            return Poll::Ready(true);
        }
        if until <= platform.now() {
            return Poll::Ready(false);
        }
        if until != u64::MAX {
            timer.set(until, cx.waker());
        }
        Poll::Pending
    })
    .await;
    let response = if answered { reader.take_response() } else { None };
    match response {
        Some(Ok((status, fields))) => accessor.with(|mut access| {
            let response = Response { status, fields, body: Body::Host(reader) };
            access.get().wasi.push(response).map(Ok)
        }),
        Some(Err(fault)) => Ok(Err(of_fault(&fault))),
        None => Ok(Err(ErrorCode::ConnectionReadTimeout)),
    }
}

type Sent = (Arc<Reader>, Option<u64>);

/// Sends a request's head, and goes on sending its body.
fn begin(
    mut access: Access<'_, State, HasSelf<State>>,
    request: Resource<Request>,
) -> Result<core::result::Result<Sent, ErrorCode>> {
    let state = access.get();
    let Request { line, fields, options, body } = state.wasi.take(request)?;
    let sent = match (&state.wasi.client, fields.content_length(), line.asks()) {
        (_, Err(_), _) => Err(ErrorCode::HttpProtocolError),
        (_, _, None) => Err(ErrorCode::HttpRequestUriInvalid),
        (None, ..) => Err(of_denied(Denied::NoArrow)),
        (Some(client), Ok(length), Some(asks)) => match OutBody::new(&state.wasi.budget, Side::Client, length) {
            Some(out) => client
                .send(asks, &fields)
                .map(|(exchange, reader)| {
                    let between = options.as_ref().and_then(|options| options.between_bytes_timeout);
                    exchange.set_patience(between);
                    out.attach(&exchange, false);
                    (out, reader)
                })
                .map_err(of_denied),
            None => Err(of_denied(Denied::NoMemory)),
        },
    };
    match sent {
        Ok((out, reader)) => {
            send(access, body, out)?;
            Ok(Ok((reader, options.and_then(|options| options.first_byte_timeout))))
        }
        Err(code) => {
            body.drop(access, Err(code.clone()))?;
            Ok(Err(code))
        }
    }
}
