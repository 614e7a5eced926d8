//! A body that a box writes, before and after it is known where it goes.

use super::{Exchange, Fields};
use crate::boxes::{Budget, Charge};
use alloc::{sync::Arc, vec::Vec};
use core::task::{Context, Waker};
use spin::Mutex;

/// Bytes that are kept of a body that goes nowhere yet.
pub const HELD: usize = 16 << 10;

#[derive(Debug)]
pub struct OutBody(Mutex<State>);

#[derive(Debug)]
struct State {
    to: To,
    /// what `content-length` says
    length: Option<u64>,
    written: u64,
    phase: Phase,
    trailers: Option<Fields>,
    /// Somebody was told that it waits for its head.
    told: bool,
}

#[derive(Debug)]
enum To {
    Nowhere { held: Vec<u8>, waker: Option<Waker>, _charge: Charge },
    Exchange(Arc<Exchange>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    Finished,
    /// Dropped, or written to beyond its length.
    Failed,
}

/// The body is not as long as its `content-length` says: this long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unfinished(pub u64);

impl OutBody {
    /// None: there is no memory for it.
    pub fn new(budget: &Arc<Budget>, length: Option<u64>) -> Option<Arc<Self>> {
        let to = To::Nowhere { held: Vec::new(), waker: None, _charge: Charge::new(budget, HELD)? };
        Some(Arc::new(OutBody(Mutex::new(State {
            to,
            length,
            written: 0,
            phase: Phase::Open,
            trailers: None,
            told: false,
        }))))
    }

    /// It goes there. What was written so far is sent. `exempt`: it is a response that has no body, whatever its
    /// `content-length` says.
    pub fn attach(&self, exchange: &Arc<Exchange>, exempt: bool) {
        let mut state = self.0.lock();
        let before = core::mem::replace(&mut state.to, To::Exchange(exchange.clone()));
        if let To::Nowhere { held, waker, .. } = before {
            exchange.write(&held);
            waker.into_iter().for_each(Waker::wake);
        }
        if exempt {
            state.length = None;
        }
        match state.phase {
            Phase::Open => {}
            Phase::Finished => {
                if state.end(exchange).is_err() {
                    exchange.fail("the body is shorter than its content-length");
                }
            }
            Phase::Failed => {
                exchange.fail("the body was given up before it was complete");
            }
        }
    }

    /// How much should be written now. None: nothing more at all.
    pub fn permit(&self) -> Option<usize> {
        self.room(Exchange::permit)
    }

    /// How much may, as it may have been permitted before.
    pub fn most(&self) -> Option<usize> {
        self.room(Exchange::credit)
    }

    fn room(&self, beyond: fn(&Exchange) -> Option<usize>) -> Option<usize> {
        let state = self.0.lock();
        match (&state.phase, &state.to) {
            (Phase::Open, To::Nowhere { held, .. }) => Some(HELD - held.len()),
            (Phase::Open, To::Exchange(exchange)) => beyond(exchange),
            _ => None,
        }
    }

    /// Whether there is a permit, or never will be.
    pub fn writable(&self, cx: Option<&mut Context<'_>>) -> bool {
        let mut state = self.0.lock();
        if state.phase != Phase::Open {
            return true;
        }
        match &mut state.to {
            To::Exchange(exchange) => exchange.writable(cx),
            To::Nowhere { held, waker, .. } => {
                let ready = held.len() < HELD;
                if let (false, Some(cx)) = (ready, cx) {
                    *waker = Some(cx.waker().clone());
                }
                ready
            }
        }
    }

    /// Whether it waits until its head is sent, and nobody was told so yet.
    pub fn is_stuck(&self) -> bool {
        let mut state = self.0.lock();
        let full = matches!(&state.to, To::Nowhere { held, .. } if held.len() == HELD);
        full && state.phase == Phase::Open && !core::mem::replace(&mut state.told, true)
    }

    /// Writes what is within [`OutBody::most`]. False: the body would be longer than its `content-length`, and has failed.
    pub fn write(&self, data: &[u8]) -> bool {
        let mut state = self.0.lock();
        let written = state.written.saturating_add(data.len() as u64);
        if state.length.is_some_and(|length| written > length) {
            state.phase = Phase::Failed;
            if let To::Exchange(exchange) = &state.to {
                exchange.fail("the body is longer than its content-length");
            }
            return false;
        }
        state.written = written;
        match &mut state.to {
            To::Exchange(exchange) => exchange.write(data),
            To::Nowhere { held, .. } => {
                let room = HELD - held.len();
                // what is lacking here is found when its end comes
                if held.try_reserve_exact(room).is_ok() {
                    held.extend_from_slice(&data[..data.len().min(room)]);
                }
            }
        }
        true
    }

    /// No more of it comes but trailers.
    pub fn finish(&self, trailers: Option<Fields>) -> Result<(), Unfinished> {
        let mut state = self.0.lock();
        if state.phase != Phase::Open {
            return if state.phase == Phase::Finished { Ok(()) } else { Err(Unfinished(state.written)) };
        }
        state.phase = Phase::Finished;
        state.trailers = trailers;
        let To::Exchange(exchange) = &state.to else { return Ok(()) };
        let exchange = exchange.clone();
        state.end(&exchange).inspect_err(|_| {
            exchange.fail("the body is shorter than its content-length");
        })
    }

    /// It is given up, unless it is finished.
    pub fn give_up(&self) {
        let mut state = self.0.lock();
        if state.phase == Phase::Open {
            state.phase = Phase::Failed;
            if let To::Exchange(exchange) = &state.to {
                exchange.fail("the body was given up before it was complete");
            }
        }
    }
}

impl State {
    fn end(&self, exchange: &Exchange) -> Result<(), Unfinished> {
        if self.length.is_some_and(|length| length != self.written) {
            return Err(Unfinished(self.written));
        }
        exchange.finish(self.trailers.as_ref());
        Ok(())
    }
}
