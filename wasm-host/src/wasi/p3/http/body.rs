//! Bodies between boxes and channels.

use super::{
    super::streams::{FromBody, FromTrailers, PASSED, ToBody, ToTrailers},
    Body, ErrorCode, Outcome, Trailers, of_fault, of_length,
};
use crate::{
    boxes::{Charge, State},
    wasi::{
        Promise,
        http::{Fields, OutBody, Reader},
    },
};
use alloc::{sync::Arc, vec::Vec};
use spin::Mutex;
use wasmtime::{
    AsContextMut, Error, Result,
    component::{Access, FutureReader, HasSelf, StreamReader},
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
                let from = FromBody::new(access.get(), reader.clone())?;
                let stream = StreamReader::new(&mut *access, from)?;
                let trailers = FutureReader::new(access, FromTrailers(reader))?;
                Ok((stream, trailers))
            }
        }
    }

    /// It is not sent. `outcome`: what the box that wrote it is told.
    pub fn drop(self, mut store: impl AsContextMut, outcome: Outcome) -> Result<()> {
        if let Body::Guest { contents, mut trailers, sent } = self {
            sent.settle(Some(outcome));
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
            let end = Arc::new(Sending { to: to.clone(), last: Mutex::default(), sent });
            if let Some(contents) = contents {
                contents.pipe(&mut access, ToBody { body: to, _end: end.clone() })?;
            }
            trailers.pipe(&mut access, ToTrailers(end))?;
        }
        Body::Host(reader) => {
            // what came over one channel goes on over another
            let Some(paid) = Charge::new(&access.get().wasi.budget, PASSED) else {
                to.give_up();
                return Ok(());
            };
            let from = FromBody::new(access.get(), reader.clone())?;
            let contents = StreamReader::new(&mut access, from)?;
            let _end = Passing { reader, to: to.clone(), _paid: paid };
            contents.pipe(&mut access, ToBody { body: to, _end })?;
        }
    }
    Ok(())
}

/// What a box says after a body's contents: its trailers, or why it is not complete.
type Last = core::result::Result<Option<Fields>, ErrorCode>;

/// A body that a box writes. It ends when neither its contents nor what follows them are waited for any more.
pub struct Sending {
    to: Arc<OutBody>,
    /// what followed the contents
    last: Mutex<Option<Last>>,
    sent: Promise<Outcome>,
}

impl Sending {
    pub fn ends(&self, last: Last) {
        *self.last.lock() = Some(last);
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let last = self.last.get_mut().take().unwrap_or(Err(ErrorCode::HttpResponseIncomplete));
        let outcome = match last {
            Ok(trailers) => match (self.to.finish(trailers), self.to.fault()) {
                (Err(wrong), _) => Err(of_length(wrong)),
                (Ok(()), Some(fault)) => Err(of_fault(&fault)),
                (Ok(()), None) => Ok(()),
            },
            Err(code) => {
                self.to.give_up();
                Err(code)
            }
        };
        self.sent.settle(Some(outcome));
    }
}

/// A body that is only passed on.
struct Passing {
    reader: Arc<Reader>,
    to: Arc<OutBody>,
    _paid: Charge,
}

impl Drop for Passing {
    fn drop(&mut self) {
        match self.reader.ended() {
            Some(Ok(())) => drop(self.to.finish(self.reader.take_trailers())),
            _ => self.to.give_up(),
        }
    }
}
