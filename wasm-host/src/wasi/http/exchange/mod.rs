//! One request and its response, seen from the side that the node holds for a box.

mod held;
mod reading;
mod writing;

pub use held::Held;
pub use reading::{Read, Reader};

use super::{
    Fields, FieldsError,
    hub::{Hub, REASON, cut},
};
use crate::{boxes::Charge, platform::Nanos};
use alloc::{string::String, sync::Arc};
use core::{
    fmt,
    task::{Context, Waker},
};
use spin::Mutex;
use wit::{
    INITIAL_CREDIT,
    http::{Command, Event, Scheme},
    tcp::Cause,
};

/// Credit is given back in steps of at least this many bytes.
const CREDIT_STEP: u32 = 16 << 10;

/// What stays free of a box's memory limit when more of a body is held than usual: the limit divided by this.
const SPARE: u64 = 4;

/// Which side of the exchange is this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// It asks, and reads a response.
    Client,
    /// It is asked, and reads a request.
    Service,
}

/// Why an exchange ended before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The client no longer wants the response, or the box dropped what it would have read it from.
    Cancelled,
    /// The other box is gone.
    Gone(Arc<str>),
    /// The service failed, and says why.
    Failed(Arc<str>),
    /// ... on the way to another host; with the number of an alert of TLS, if it was one.
    Way(Cause, u8, Arc<str>),
    /// The other side said what nobody may say.
    Protocol(&'static str),
    /// Nothing more of the body came for as long as the box would wait.
    Late,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Cancelled => f.write_str("cancelled"),
            Fault::Gone(why) => write!(f, "the other box is gone: {why}"),
            Fault::Failed(why) | Fault::Way(.., why) => write!(f, "failed: {why}"),
            Fault::Protocol(what) => write!(f, "the other box sent {what}"),
            Fault::Late => f.write_str("nothing more of it came in time"),
        }
    }
}

#[derive(Debug)]
pub struct Exchange {
    pub peer: u32,
    pub id: u32,
    pub side: Side,
    /// To a request of method HEAD no body is sent (RFC 9110, section 9.3.2).
    pub is_head: bool,
    hub: Arc<Hub>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    inflow: Inflow,
    outflow: Outflow,
    /// at the client: the response's head, until it is taken
    response: Option<(u16, Fields)>,
    /// woken for the response's head, and at a service when the exchange is over
    head_waker: Option<Waker>,
    responded: bool,
    /// Nothing more is sent or heard.
    over: bool,
    /// The other side broke it off, or is no more.
    broken: bool,
    /// why this side failed it
    failure: Option<Arc<str>>,
    /// what the service is about to fail for
    cause: Option<(Cause, u8)>,
    /// what it holds beside the body that comes
    base: usize,
    charge: Charge,
}

/// The body that comes.
#[derive(Debug)]
struct Inflow {
    held: Held,
    /// bytes that may be held, and be under way
    window: usize,
    /// bytes that the other side may still send
    allowance: u32,
    /// how long a reader waits for more
    patience: Option<Nanos>,
    /// since when one waits
    waits_since: Option<Nanos>,
    end: Option<Result<(), Fault>>,
    /// Something of it has been read.
    is_read: bool,
    /// Nobody will read it.
    unread: bool,
    /// What comes of it is dropped, and credit given for it: only its end matters.
    skipped: bool,
    trailers: Option<Fields>,
    waker: Option<Waker>,
    /// woken only when it ends
    end_waker: Option<Waker>,
}

/// The body that goes.
#[derive(Debug)]
struct Outflow {
    credit: u32,
    ended: bool,
    waker: Option<Waker>,
}

impl Exchange {
    /// What one holds of the node's memory, in bytes, with its place among others and its reasons.
    pub const SIZE: usize = 1_024 + 2 * REASON;

    /// `charge`: what pays for it, of which `base` is for all but the body that comes. None: the box has no memory for
    /// how it ends.
    pub fn new(
        side: Side,
        hub: &Arc<Hub>,
        (peer, id): (u32, u32),
        is_head: bool,
        (base, charge): (usize, Charge),
    ) -> Option<Arc<Self>> {
        let inflow = Inflow {
            held: Held::default(),
            window: INITIAL_CREDIT as usize,
            allowance: INITIAL_CREDIT,
            patience: None,
            waits_since: None,
            end: None,
            is_read: false,
            unread: false,
            skipped: false,
            trailers: None,
            waker: None,
            end_waker: None,
        };
        let outflow = Outflow { credit: INITIAL_CREDIT, ended: false, waker: None };
        let state = State {
            inflow,
            outflow,
            response: None,
            head_waker: None,
            responded: false,
            broken: false,
            over: false,
            failure: None,
            cause: None,
            base,
            charge,
        };
        let exchange = Arc::new(Exchange { peer, id, side, is_head, hub: hub.clone(), state: Mutex::new(state) });
        hub.insert(&exchange).then_some(exchange)
    }

    pub fn is_over(&self) -> bool {
        self.state.lock().over
    }

    pub fn heard_body(&self, data: &[u8]) {
        let mut state = self.state.lock();
        let fault = match state.take_body(self.side, data) {
            Ok(()) => {
                if state.inflow.skipped || (self.side == Side::Client && state.widen()) {
                    self.give_credit(&mut state.inflow);
                }
                if state.is_clogged(self.side) {
                    wake(&mut state.outflow.waker);
                }
                return wake(&mut state.inflow.waker);
            }
            Err(fault) => fault,
        };
        drop(state);
        match fault {
            Some(what) => self.misheard(what),
            None => {
                self.fail("there is no memory for its body");
            }
        }
    }

    pub fn heard_trailers(&self, trailers: Result<Fields, FieldsError>) {
        let mut state = self.state.lock();
        let is_early = self.side == Side::Client && !state.responded;
        match trailers {
            Ok(trailers) if !is_early && state.inflow.end.is_none() && state.inflow.trailers.is_none() => {
                state.inflow.trailers = Some(trailers);
            }
            Ok(_) => {
                drop(state);
                self.misheard("trailers where there can be none");
            }
            Err(_) => {
                drop(state);
                self.fail("its trailers are malformed or too large");
            }
        }
    }

    pub fn heard_end(&self) {
        let mut state = self.state.lock();
        if self.side == Side::Client && !state.responded {
            drop(state);
            return self.misheard("an end without a response");
        }
        state.inflow.end.get_or_insert(Ok(()));
        wake(&mut state.inflow.waker);
        wake(&mut state.inflow.end_waker);
        if self.side == Side::Client {
            // what is left of the request's body is not sent
            self.end(&mut state);
        }
    }

    pub fn heard_credit(&self, bytes: u32) {
        let mut state = self.state.lock();
        state.outflow.credit = state.outflow.credit.saturating_add(bytes);
        wake(&mut state.outflow.waker);
    }

    pub fn heard_response(&self, status: u16, fields: Fields) {
        let mut state = self.state.lock();
        if state.responded {
            drop(state);
            return self.misheard("a second response");
        }
        state.responded = true;
        state.response = Some((status, fields));
        wake(&mut state.head_waker);
    }

    /// Says of a failure that comes next what has failed.
    pub fn heard_fault(&self, cause: Cause, alert: u8) {
        self.state.lock().cause = Some((cause, alert));
    }

    /// The service has failed, and says why.
    pub fn heard_failed(&self, why: &str) {
        let why = cut(why).into();
        let cause = self.state.lock().cause;
        self.broken(match cause {
            Some((cause, alert)) => Fault::Way(cause, alert, why),
            None => Fault::Failed(why),
        });
    }

    /// The other side, or the way to it, is no more.
    pub fn broken(&self, fault: Fault) {
        let mut state = self.state.lock();
        if !matches!(state.inflow.end, Some(Ok(()))) {
            state.inflow.end = Some(Err(fault));
        }
        state.broken |= !state.over;
        self.end(&mut state);
    }

    /// At the client: bytes of the response that are held, if the box has to read of them before it can write more.
    pub fn clogged(&self) -> Option<usize> {
        let state = self.state.lock();
        (state.is_clogged(self.side) && state.outflow.credit == 0).then(|| state.inflow.held.len())
    }

    pub fn is_broken(&self) -> bool {
        self.state.lock().broken
    }

    /// Why it ended before its end, if it did.
    pub fn fault(&self) -> Option<Fault> {
        let state = self.state.lock();
        state.broken.then(|| match &state.inflow.end {
            Some(Err(fault)) => fault.clone(),
            _ => Fault::Cancelled,
        })
    }

    fn misheard(&self, what: &'static str) {
        self.stop(what);
        self.broken(Fault::Protocol(what));
    }

    /// Tells the other side that nothing more comes.
    fn stop(&self, why: &str) {
        let id = self.id;
        if !self.is_over() {
            self.hub.put_last(self.peer, |batch| match self.side {
                Side::Client => Command::Cancel { request: id }.encode(batch),
                Side::Service => Event::Failed { request: id, why: cut(why) }.encode(batch),
            });
        }
    }

    fn end(&self, state: &mut State) {
        state.over = true;
        state.outflow.ended = true;
        state.inflow.end.get_or_insert(Err(Fault::Cancelled));
        wake(&mut state.inflow.waker);
        wake(&mut state.inflow.end_waker);
        wake(&mut state.outflow.waker);
        wake(&mut state.head_waker);
        self.hub.remove(self.peer, self.id);
    }
}

/// A scheme's name, as URIs have it.
pub const fn scheme(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    }
}

/// The head of a request.
#[derive(Debug, Clone)]
pub struct RequestHead {
    pub method: String,
    /// path and query
    pub target: String,
    pub authority: String,
    pub scheme: Scheme,
    pub fields: Fields,
}

impl RequestHead {
    /// The scheme's name, as URIs have it.
    pub const fn scheme(&self) -> &'static str {
        scheme(self.scheme)
    }

    /// The request as lines of a log name it.
    pub fn in_words(&self) -> String {
        let method = &self.method[..self.method.floor_char_boundary(32)];
        [method, " ", cut(&self.target)].concat()
    }
}

impl State {
    /// An error without words: there is no memory for it.
    fn take_body(&mut self, side: Side, data: &[u8]) -> Result<(), Option<&'static str>> {
        let inflow = &mut self.inflow;
        if inflow.end.is_some() {
            return Err(Some("a part of a body after its end"));
        }
        if inflow.trailers.is_some() {
            return Err(Some("a part of a body after its trailers"));
        }
        if side == Side::Client && !self.responded {
            return Err(Some("a body before the response"));
        }
        let allowance = inflow.allowance.checked_sub(u32::try_from(data.len()).unwrap_or(u32::MAX));
        inflow.allowance = allowance.ok_or(Some("more of a body than it had credit for"))?;
        inflow.waits_since = None;
        if inflow.unread || inflow.skipped {
            return Ok(());
        }
        if !self.charge.cover(self.base + inflow.held.with(data.len())) {
            return Err(None);
        }
        inflow.held.push(data).ok_or(None)
    }

    /// At the client: lets more of the response's body come than is usually held, while the request's is written and
    /// nothing of the response's read. Many a box writes all of the one before it reads the other, and the service, which
    /// may answer as it reads, would wait for it for ever. What is held is charged, and a part of the memory limit stays
    /// free for everything else.
    fn widen(&mut self) -> bool {
        let Inflow { held, window, allowance, is_read, unread, .. } = &mut self.inflow;
        if self.outflow.ended || *is_read || *unread || *allowance > INITIAL_CREDIT / 2 {
            return false;
        }
        let wider = held.len() + *allowance as usize + INITIAL_CREDIT as usize;
        let spare = self.charge.budget().limit() / SPARE;
        let widened = wider > *window && self.charge.cover_leaving(self.base + Held::most(wider), spare);
        if widened {
            *window = wider;
        }
        widened
    }

    /// Nothing goes on until the box reads of the response, of which no more can be held.
    fn is_clogged(&self, side: Side) -> bool {
        let Inflow { allowance, is_read, unread, .. } = &self.inflow;
        side == Side::Client && !self.outflow.ended && !is_read && !unread && *allowance < CREDIT_STEP
    }

    /// What was held beyond the usual is read: memory is given back.
    fn narrow(&mut self) {
        let Inflow { held, window, allowance, .. } = &mut self.inflow;
        let usual = INITIAL_CREDIT as usize;
        if *window > usual {
            *window = usual.max(held.len() + *allowance as usize);
            self.charge.resize(self.base + Held::most(*window));
        }
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

/// Registers who is to be woken if it is not ready.
fn register(ready: bool, slot: &mut Option<Waker>, cx: Option<&mut Context<'_>>) -> bool {
    if let (false, Some(cx)) = (ready, cx)
        && !slot.as_ref().is_some_and(|old| old.will_wake(cx.waker()))
    {
        *slot = Some(cx.waker().clone());
    }
    ready
}
