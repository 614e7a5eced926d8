//! The host's ends of the component model's streams and futures.

use super::http::{Sending, Trailers, of_fault};
use crate::{
    boxes::{Charge, State, log::Level},
    executor::Timer,
    wasi::{
        Promise,
        context::Text,
        http::{OutBody, Read, Reader, TOO_LONG},
    },
};
use alloc::{sync::Arc, vec::Vec};
use core::{
    pin::Pin,
    task::{Context, Poll},
};
use wasmtime::{
    AsContextMut, Result, StoreContextMut,
    component::{
        Destination, FutureConsumer, FutureProducer, Source, StreamConsumer, StreamProducer, StreamResult, VecBuffer,
    },
};

/// Bytes that are moved at once.
const MOST: usize = 64 << 10;

/// Bytes that are moved at once from one channel to another: they wait at the node meanwhile.
pub const PASSED: usize = 16 << 10;

/// Bytes of text that are taken at once.
const TEXT: usize = 4 << 10;

/// A body that comes, for a box to read.
pub struct FromBody {
    reader: Arc<Reader>,
    /// rings when more is no longer waited for, of a body of which that is limited
    timer: Option<(Arc<Timer>, Charge)>,
}

impl FromBody {
    pub fn new(state: &State, reader: Arc<Reader>) -> Result<Self> {
        let timer = reader.has_patience().then(|| state.another_timer()).transpose()?;
        Ok(FromBody { reader, timer })
    }
}

impl StreamProducer<State> for FromBody {
    type Item = u8;
    type Buffer = VecBuffer<u8>;

    fn poll_produce<'a>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, State>,
        mut destination: Destination<'a, u8, VecBuffer<u8>>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        let reader = &self.reader;
        let due = self.timer.as_ref().and_then(|_| reader.due(store.data().platform.now()));
        // a box that reads nothing asks whether there is something
        let room = match destination.remaining(&mut store) {
            Some(0) if reader.readable(Some(cx)) => return Poll::Ready(Ok(StreamResult::Completed)),
            Some(0) if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
            Some(0) => return Poll::Pending,
            room => room.unwrap_or(PASSED),
        };
        match reader.read(room.min(MOST)) {
            Read::Some(bytes) => {
                destination.set_buffer(bytes.into());
                Poll::Ready(Ok(StreamResult::Completed))
            }
            Read::End | Read::Failed(_) => Poll::Ready(Ok(StreamResult::Dropped)),
            Read::Wait if finish => Poll::Ready(Ok(StreamResult::Cancelled)),
            Read::Wait => {
                reader.readable(Some(cx));
                if let (Some((timer, _)), Some(due)) = (&self.timer, due) {
                    timer.set(due, cx.waker());
                }
                Poll::Pending
            }
        }
    }
}

/// How a body that comes ends, for a box to read.
pub struct FromTrailers(pub Arc<Reader>);

impl FutureProducer<State> for FromTrailers {
    type Item = Trailers;

    fn poll_produce(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'_, State>,
        finish: bool,
    ) -> Poll<Result<Option<Trailers>>> {
        self.0.has_ended(Some(cx));
        match self.0.ended() {
            Some(Ok(())) => {
                let trailers = self.0.take_trailers();
                let trailers = trailers.map(|trailers| store.data_mut().wasi.push(trailers)).transpose();
                Poll::Ready(trailers.map(|trailers| Some(Ok(trailers))))
            }
            Some(Err(fault)) => Poll::Ready(Ok(Some(Err(of_fault(&fault))))),
            None if finish => Poll::Ready(Ok(None)),
            None => Poll::Pending,
        }
    }
}

/// A body that a box writes. When the stream ends, this is dropped.
pub struct ToBody<E> {
    pub body: Arc<OutBody>,
    pub _end: E,
}

impl<E: Send + Unpin + 'static> StreamConsumer<State> for ToBody<E> {
    type Item = u8;

    fn poll_consume(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'_, State>,
        source: Source<'_, u8>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        let mut source = source.as_direct(store.as_context_mut());
        match self.body.permit() {
            None => Poll::Ready(Ok(StreamResult::Dropped)),
            Some(0) if finish => Poll::Ready(Ok(StreamResult::Cancelled)),
            Some(0) => {
                self.body.writable(Some(cx));
                if let Some(line) = self.body.stuck() {
                    store.data().handle.write(Level::Error, &line);
                }
                Poll::Pending
            }
            Some(permit) => {
                let bytes = source.remaining();
                let length = bytes.len().min(permit);
                if self.body.write(&bytes[..length]).is_err() {
                    store.data().handle.write(Level::Error, TOO_LONG);
                    return Poll::Ready(Ok(StreamResult::Dropped));
                }
                source.mark_read(length);
                Poll::Ready(Ok(StreamResult::Completed))
            }
        }
    }
}

/// What a box prints.
pub struct ToLog {
    pub to: Text,
    /// settled by being dropped
    pub _done: Promise<()>,
}

impl StreamConsumer<State> for ToLog {
    type Item = u8;

    fn poll_consume(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut store: StoreContextMut<'_, State>,
        mut source: Source<'_, u8>,
        _: bool,
    ) -> Poll<Result<StreamResult>> {
        let mut text = Vec::with_capacity(TEXT);
        source.read(&mut store, &mut text)?;
        let state = store.data_mut();
        let handle = state.handle.clone();
        state.wasi.text(&handle, self.to, &text);
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

/// How a body ends, as a box says it.
pub struct ToTrailers(pub Arc<Sending>);

impl FutureConsumer<State> for ToTrailers {
    type Item = Trailers;

    fn poll_consume(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut store: StoreContextMut<'_, State>,
        mut source: Source<'_, Trailers>,
        _: bool,
    ) -> Poll<Result<()>> {
        let mut trailers = None;
        source.read(&mut store, &mut trailers)?;
        match trailers {
            Some(Ok(trailers)) => {
                let take = |trailers| store.data_mut().wasi.take(trailers);
                self.0.ends(Ok(trailers.map(take).transpose()?));
            }
            Some(Err(code)) => self.0.ends(Err(code)),
            None => {}
        }
        Poll::Ready(Ok(()))
    }
}
