//! Bodies between boxes and channels.

use super::{
    super::streams::{FromBody, FromTrailers, PASSED, ToBody, ToTrailers},
    Body, ErrorCode, Outcome, Trailers,
};
use crate::{
    boxes::{Charge, State},
    wasi::{
        Promise, Promised,
        http::{OutBody, Reader, Unfinished},
    },
};
use alloc::{sync::Arc, vec::Vec};
use wasmtime::{
    AsContextMut, Error, Result,
    component::{Access, Accessor, AccessorTask, FutureReader, HasSelf, StreamReader},
};

/// A body that a box is to write, and what it will be told of it.
pub(super) fn written(
    access: &mut Access<'_, State, HasSelf<State>>,
    contents: Option<StreamReader<u8>>,
    trailers: FutureReader<Trailers>,
) -> Result<(Body, FutureReader<Outcome>)> {
    let (sent, outcome) = Promise::new();
    // who is not told how it went is told that it went well
    let outcome = FutureReader::new(access, async move { Ok::<_, Error>(outcome.await.unwrap_or(Ok(()))) })?;
    Ok((Body::Guest { contents, trailers, sent }, outcome))
}

impl Body {
    /// What a box reads. Its own verdict on the message, `processed`, is not waited for.
    pub(super) fn read(
        self,
        access: &mut Access<'_, State, HasSelf<State>>,
        mut processed: FutureReader<Outcome>,
    ) -> Result<(StreamReader<u8>, FutureReader<Trailers>)> {
        processed.close(&mut *access)?;
        match self {
            Body::Guest { contents, trailers, .. } => {
                let contents = match contents {
                    Some(contents) => contents,
                    None => StreamReader::new(access, Vec::new())?,
                };
                Ok((contents, trailers))
            }
            Body::Host(reader) => {
                let stream = StreamReader::new(&mut *access, FromBody(reader.clone()))?;
                let trailers = FutureReader::new(access, FromTrailers(reader))?;
                Ok((stream, trailers))
            }
        }
    }

    pub fn drop(self, mut store: impl AsContextMut) -> Result<()> {
        if let Body::Guest { contents, mut trailers, .. } = self {
            if let Some(mut contents) = contents {
                contents.close(&mut store)?;
            }
            trailers.close(store)?;
        }
        Ok(())
    }
}

/// Sends what a box writes, for as long as it writes.
pub fn send(mut access: Access<'_, State, HasSelf<State>>, body: Body, to: Arc<OutBody>) -> Result<()> {
    match body {
        Body::Guest { contents, trailers, sent } => {
            let (done, ended) = Promise::new();
            match contents {
                Some(contents) => contents.pipe(&mut access, ToBody { body: to.clone(), _done: done })?,
                None => drop(done),
            }
            let (promise, last) = Promise::new();
            trailers.pipe(&mut access, ToTrailers(promise))?;
            access.spawn(Sending { to, ended, last, sent })?;
        }
        Body::Host(reader) => {
            // what came over one channel goes on over another
            let Some(paid) = Charge::new(&access.get().wasi.budget, PASSED) else {
                to.give_up();
                return Ok(());
            };
            let (done, ended) = Promise::new();
            let contents = StreamReader::new(&mut access, FromBody(reader.clone()))?;
            contents.pipe(&mut access, ToBody { body: to.clone(), _done: done })?;
            access.spawn(Passing { reader, to, ended, _paid: paid })?;
        }
    }
    Ok(())
}

/// The end of a body that a box writes.
struct Sending {
    to: Arc<OutBody>,
    ended: Promised<()>,
    last: Promised<Trailers>,
    sent: Promise<Outcome>,
}

impl AccessorTask<State> for Sending {
    async fn run(self, accessor: &Accessor<State>) -> Result<()> {
        self.ended.await;
        let outcome = match self.last.await {
            Some(Ok(trailers)) => {
                let take = |trailers| accessor.with(|mut access| access.get().wasi.take(trailers));
                let finished = self.to.finish(trailers.map(take).transpose()?);
                finished.map_err(|Unfinished(written)| ErrorCode::HttpResponseBodySize(Some(written)))
            }
            Some(Err(code)) => {
                self.to.give_up();
                Err(code)
            }
            None => {
                self.to.give_up();
                Err(ErrorCode::HttpResponseIncomplete)
            }
        };
        self.sent.settle(Some(outcome));
        Ok(())
    }
}

/// The end of a body that is only passed on.
struct Passing {
    reader: Arc<Reader>,
    to: Arc<OutBody>,
    ended: Promised<()>,
    _paid: Charge,
}

impl AccessorTask<State> for Passing {
    async fn run(self, _: &Accessor<State>) -> Result<()> {
        self.ended.await;
        match self.reader.ended() {
            Some(Ok(())) => drop(self.to.finish(self.reader.take_trailers())),
            _ => self.to.give_up(),
        }
        Ok(())
    }
}
