//! A body that a box writes, before and after it is known where it goes.

use super::{Exchange, Fault, Fields, Side};
use crate::boxes::{Budget, Charge};
use alloc::{format, string::String, sync::Arc, vec::Vec};
use core::task::{Context, Waker};
use spin::Mutex;

/// Bytes that are kept of a body that goes nowhere yet.
pub const HELD: usize = 16 << 10;

#[derive(Debug)]
pub struct OutBody(Mutex<State>);

#[derive(Debug)]
struct State {
    side: Side,
    to: To,
    /// what `content-length` says
    length: Option<u64>,
    written: u64,
    phase: Phase,
    trailers: Option<Fields>,
    /// Somebody was told why it is stuck.
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
    /// Written to beyond its length: what is beyond is not sent.
    Cut,
    /// Dropped.
    Failed,
}

/// The body of a request (of a client) or of a response is not as long as its `content-length` says: this long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrongLength {
    pub side: Side,
    pub written: u64,
}

/// What is said of a body that is [`Phase::Cut`].
pub const TOO_LONG: &str = "the body is longer than its content-length: what is beyond was not sent";

impl OutBody {
    /// `side`: who writes it. None: there is no memory for it.
    pub fn new(budget: &Arc<Budget>, side: Side, length: Option<u64>) -> Option<Arc<Self>> {
        let to = To::Nowhere { held: Vec::new(), waker: None, _charge: Charge::new(budget, HELD)? };
        Some(Arc::new(OutBody(Mutex::new(State {
            side,
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
            Phase::Cut => state.cut(exchange),
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

    /// Why nothing more of it can be written before the box does something else, in words for its log: once.
    pub fn stuck(&self) -> Option<String> {
        let mut state = self.0.lock();
        let why = match &state.to {
            _ if state.told || state.phase != Phase::Open => None,
            To::Nowhere { held, .. } => (held.len() == HELD).then(|| {
                format!(
                    "writes more than {HELD} bytes of a body before its head is sent, and so waits: \
                     `response-outparam.set`, or `outgoing-handler.handle`, comes first"
                )
            }),
            To::Exchange(exchange) => exchange.clogged().map(|held| {
                format!(
                    "writes the body of a request and reads nothing of the answer, of which {held} bytes are there and no \
                     more fit into its memory limit: read the answer as it comes, or give the box more memory"
                )
            }),
        };
        state.told |= why.is_some();
        why
    }

    /// Writes what is within [`OutBody::most`]. What is beyond its `content-length` is not sent: the message is complete
    /// without it, and the box is told.
    pub fn write(&self, data: &[u8]) -> Result<(), WrongLength> {
        let mut state = self.0.lock();
        let left = state.length.map_or(u64::MAX, |length| length.saturating_sub(state.written));
        let sent = &data[..data.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
        state.written = state.written.saturating_add(data.len() as u64);
        match &mut state.to {
            To::Exchange(exchange) => exchange.write(sent),
            To::Nowhere { held, .. } => {
                let room = HELD - held.len();
                // what is lacking here is found when its end comes
                if held.try_reserve_exact(room).is_ok() {
                    held.extend_from_slice(&sent[..sent.len().min(room)]);
                }
            }
        }
        if sent.len() == data.len() {
            return Ok(());
        }
        state.phase = Phase::Cut;
        if let To::Exchange(exchange) = &state.to {
            state.cut(exchange);
        }
        Err(state.wrong_length())
    }

    /// Why what it was sent with ended before its end, if it did.
    pub fn fault(&self) -> Option<Fault> {
        match &self.0.lock().to {
            To::Exchange(exchange) => exchange.fault(),
            To::Nowhere { .. } => None,
        }
    }

    /// No more of it comes but trailers.
    pub fn finish(&self, trailers: Option<Fields>) -> Result<(), WrongLength> {
        let mut state = self.0.lock();
        if state.phase != Phase::Open {
            return if state.phase == Phase::Finished { Ok(()) } else { Err(state.wrong_length()) };
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
    fn end(&self, exchange: &Exchange) -> Result<(), WrongLength> {
        if self.length.is_some_and(|length| length != self.written) {
            return Err(self.wrong_length());
        }
        exchange.finish(self.trailers.as_ref());
        Ok(())
    }

    /// All that its `content-length` says is written, and more was to be.
    fn cut(&self, exchange: &Exchange) {
        exchange.finish(None);
        exchange.blame(TOO_LONG);
    }

    fn wrong_length(&self) -> WrongLength {
        WrongLength { side: self.side, written: self.written }
    }
}
