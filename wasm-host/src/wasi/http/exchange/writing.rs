//! What is written to an exchange: the body that goes, a response's head, and its end.

use super::{
    super::hub::{WINDOW, cut, whole},
    Exchange, Fault, Fields, Side, register, wake,
};
use alloc::sync::Arc;
use core::task::Context;
use wit::http::Event;

impl Exchange {
    /// How much of the body should be written now. None: no more at all.
    pub fn permit(&self) -> Option<usize> {
        self.credit().map(|credit| credit.min(self.hub.room(self.peer)))
    }

    /// How much may: what was permitted once is taken, though others have filled the way since. Never more than a window,
    /// however much credit the other side gives.
    pub fn credit(&self) -> Option<usize> {
        let state = self.state.lock();
        (!state.outflow.ended).then_some((state.outflow.credit as usize).min(WINDOW))
    }

    pub fn writable(&self, cx: Option<&mut Context<'_>>) -> bool {
        let ready = self.permit() != Some(0);
        register(ready, &mut self.state.lock().outflow.waker, cx)
    }

    /// There is room again for what is said to the peer.
    pub fn has_room(&self) {
        let mut state = self.state.lock();
        wake(&mut state.outflow.waker);
        if !state.over {
            self.give_credit(&mut state.inflow);
        }
    }

    /// Sends a part of the body, which must be within [`Exchange::credit`]: what is more is not sent. It fails if the box
    /// has no memory for what waits.
    pub fn write(&self, data: &[u8]) {
        let mut state = self.state.lock();
        let data = &data[..data.len().min(state.outflow.credit as usize).min(WINDOW)];
        if state.outflow.ended || data.is_empty() {
            return;
        }
        state.outflow.credit -= data.len() as u32;
        // the same record in both directions
        let put = self.hub.put(self.peer, data.len(), |batch| Event::Body { request: self.id, data }.encode(batch));
        drop(state);
        if !put {
            self.fail("there is no memory for what waits of its body");
        }
    }

    /// The body is complete, with these trailers. At a service, so is the exchange. It fails if the box has no memory for
    /// the trailers.
    pub fn finish(&self, trailers: Option<&Fields>) {
        let mut state = self.state.lock();
        if core::mem::replace(&mut state.outflow.ended, true) {
            return;
        }
        if let Some(lines) = trailers.map(Fields::lines).filter(|lines| !lines.is_empty()) {
            let trailers = Event::Trailers { request: self.id, lines };
            if !self.hub.put(self.peer, lines.len(), |batch| trailers.encode(batch)) {
                drop(state);
                self.fail("there is no memory for its trailers");
                return;
            }
        }
        // the same record in both directions
        self.hub.put_last(self.peer, |batch| Event::End { request: self.id }.encode(batch));
        if self.side == Side::Service {
            self.end(&mut state);
        }
    }

    /// Sends a response's head. False: there was one, or nobody waits for it, or it has failed as the box has no memory
    /// for it.
    pub fn respond(&self, status: u16, headers: &[u8]) -> bool {
        let mut state = self.state.lock();
        if state.over || core::mem::replace(&mut state.responded, true) {
            return false;
        }
        let response = Event::Response { request: self.id, status, headers };
        let put = self.hub.put(self.peer, size_of::<u16>() + headers.len(), |batch| response.encode(batch));
        drop(state);
        if !put {
            self.fail("there is no memory for the response's header");
        }
        put
    }

    /// A whole response.
    pub fn answer(&self, status: u16, headers: &str, text: &str) {
        if self.respond(status, whole(headers, text).as_bytes()) {
            if !self.is_head {
                self.write(text.as_bytes());
            }
            self.finish(None);
        }
    }

    /// Whether the exchange was not over yet. It is now, and the other side is told why.
    pub fn fail(&self, why: &str) -> bool {
        if self.is_over() {
            return false;
        }
        self.stop(why);
        let why: Arc<str> = cut(why).into();
        self.state.lock().failure = Some(why.clone());
        self.broken(Fault::Failed(why));
        true
    }

    /// The message is complete, and yet something was wrong with it.
    pub fn blame(&self, what: &str) {
        self.state.lock().failure.get_or_insert_with(|| what.into());
    }

    /// Why this side failed it, if it did, or what was wrong with it.
    pub fn failure(&self) -> Option<Arc<str>> {
        self.state.lock().failure.clone()
    }

    pub fn has_responded(&self) -> bool {
        self.state.lock().responded
    }

    /// At a service: done when the client wants nothing more.
    pub fn over(&self, cx: &mut Context<'_>) -> bool {
        let mut state = self.state.lock();
        let over = state.over;
        register(over, &mut state.head_waker, Some(cx))
    }
}
