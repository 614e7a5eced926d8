//! One request and its response, seen from the side that the node holds for a box.

use super::{Fields, hub::Hub};
use crate::boxes::Charge;
use alloc::{string::String, sync::Arc, vec::Vec};
use core::{
    fmt,
    task::{Context, Waker},
};
use spin::Mutex;
use wit::{
    INITIAL_CREDIT,
    http::{Command, Event},
};

/// Credit is given back in steps of at least this many bytes.
const CREDIT_STEP: u32 = 16 << 10;

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
    /// The other side said what nobody may say.
    Protocol(&'static str),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Cancelled => f.write_str("cancelled"),
            Fault::Gone(why) => write!(f, "the other box is gone: {why}"),
            Fault::Failed(why) => write!(f, "failed: {why}"),
            Fault::Protocol(what) => write!(f, "the other box sent {what}"),
        }
    }
}

/// What reading yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    Some(Vec<u8>),
    /// Nothing yet.
    Wait,
    End,
    Failed(Fault),
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
    charge: Charge,
}

/// The body that comes.
#[derive(Debug)]
struct Inflow {
    held: Vec<u8>,
    /// how much of `held` has been read
    start: usize,
    /// bytes that the other side may still send
    allowance: u32,
    /// bytes read for which no credit has been given back
    uncredited: u32,
    end: Option<Result<(), Fault>>,
    /// Nobody will read it.
    unread: bool,
    waker: Option<Waker>,
}

/// The body that goes.
#[derive(Debug)]
struct Outflow {
    credit: u32,
    ended: bool,
    waker: Option<Waker>,
}

impl Exchange {
    /// `charge`: what pays for the bytes that it holds, and grows with them.
    pub fn new(side: Side, hub: &Arc<Hub>, peer: u32, id: u32, is_head: bool, charge: Charge) -> Arc<Self> {
        let inflow = Inflow {
            held: Vec::new(),
            start: 0,
            allowance: INITIAL_CREDIT,
            uncredited: 0,
            end: None,
            unread: false,
            waker: None,
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
            charge,
        };
        let exchange = Arc::new(Exchange { peer, id, side, is_head, hub: hub.clone(), state: Mutex::new(state) });
        hub.insert(&exchange);
        exchange
    }

    pub fn is_over(&self) -> bool {
        self.state.lock().over
    }

    // What the other side says.

    pub fn heard_body(&self, data: &[u8]) {
        let mut state = self.state.lock();
        let fault = match state.take_body(self.side, data) {
            Ok(()) => return wake(&mut state.inflow.waker),
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

    pub fn heard_end(&self) {
        let mut state = self.state.lock();
        if self.side == Side::Client && !state.responded {
            drop(state);
            return self.misheard("an end without a response");
        }
        state.inflow.end.get_or_insert(Ok(()));
        wake(&mut state.inflow.waker);
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

    /// The other side, or the way to it, is no more.
    pub fn broken(&self, fault: Fault) {
        let mut state = self.state.lock();
        if !matches!(state.inflow.end, Some(Ok(()))) {
            state.inflow.end = Some(Err(fault));
        }
        state.broken |= !state.over;
        self.end(&mut state);
    }

    pub fn is_broken(&self) -> bool {
        self.state.lock().broken
    }

    fn misheard(&self, what: &'static str) {
        self.stop(what);
        self.broken(Fault::Protocol(what));
    }

    /// Tells the other side that nothing more comes.
    fn stop(&self, why: &str) {
        let id = self.id;
        if !self.is_over() {
            self.hub.put(self.peer, |batch| match self.side {
                Side::Client => Command::Cancel { request: id }.encode(batch),
                Side::Service => Event::Failed { request: id, why: why.as_bytes() }.encode(batch),
            });
        }
    }

    fn end(&self, state: &mut State) {
        state.over = true;
        state.outflow.ended = true;
        state.inflow.end.get_or_insert(Err(Fault::Cancelled));
        wake(&mut state.inflow.waker);
        wake(&mut state.outflow.waker);
        wake(&mut state.head_waker);
        self.hub.remove(self.peer, self.id);
    }

    // Reading.

    /// At most `limit` bytes of the body.
    pub fn read(&self, limit: usize) -> Read {
        let mut state = self.state.lock();
        let over = state.over;
        let inflow = &mut state.inflow;
        let waiting = &inflow.held[inflow.start..];
        if waiting.is_empty() {
            return match &inflow.end {
                None => Read::Wait,
                Some(Ok(())) => Read::End,
                Some(Err(fault)) => Read::Failed(fault.clone()),
            };
        }
        let bytes = waiting[..waiting.len().min(limit)].to_vec();
        inflow.start += bytes.len();
        if inflow.start == inflow.held.len() {
            inflow.held.clear();
            inflow.start = 0;
        }
        inflow.uncredited += bytes.len() as u32;
        if inflow.uncredited >= CREDIT_STEP && inflow.end.is_none() && !over {
            let credit = core::mem::take(&mut inflow.uncredited);
            inflow.allowance = inflow.allowance.saturating_add(credit);
            // the same record in both directions
            self.hub.put(self.peer, |batch| Event::Credit { request: self.id, bytes: credit }.encode(batch));
        }
        Read::Some(bytes)
    }

    /// Whether reading would yield something. Wakes whoever asks when it does.
    pub fn readable(&self, cx: Option<&mut Context<'_>>) -> bool {
        let mut state = self.state.lock();
        let inflow = &mut state.inflow;
        let ready = inflow.start < inflow.held.len() || inflow.end.is_some();
        register(ready, &mut inflow.waker, cx)
    }

    /// Whether the whole body has come, or no more of it will: then how it ended.
    pub fn ended(&self) -> Option<Result<(), Fault>> {
        self.state.lock().inflow.end.clone()
    }

    /// At the client: whether [`Exchange::take_response`] would yield something.
    pub fn has_response(&self, cx: Option<&mut Context<'_>>) -> bool {
        let mut state = self.state.lock();
        let ready = state.response.is_some() || state.over;
        register(ready, &mut state.head_waker, cx)
    }

    /// The response's head, once. None: there is none yet.
    pub fn take_response(&self) -> Option<Result<(u16, Fields), Fault>> {
        let mut state = self.state.lock();
        match (state.response.take(), &state.inflow.end) {
            (Some(response), _) => Some(Ok(response)),
            (None, Some(Err(fault))) => Some(Err(fault.clone())),
            _ => None,
        }
    }

    /// Nobody reads any more.
    fn unread(&self) {
        let mut state = self.state.lock();
        state.inflow.unread = true;
        (state.inflow.held, state.inflow.start) = (Vec::new(), 0);
        if self.side == Side::Client && !state.over {
            drop(state);
            self.stop("");
            self.broken(Fault::Cancelled);
        }
    }

    // Writing.

    /// How much of the body should be written now. None: no more at all.
    pub fn permit(&self) -> Option<usize> {
        self.credit().map(|credit| credit.min(self.hub.room(self.peer)))
    }

    /// How much may: what was permitted once is taken, though others have filled the way since.
    pub fn credit(&self) -> Option<usize> {
        let state = self.state.lock();
        (!state.outflow.ended).then_some(state.outflow.credit as usize)
    }

    pub fn writable(&self, cx: Option<&mut Context<'_>>) -> bool {
        let ready = self.permit() != Some(0);
        register(ready, &mut self.state.lock().outflow.waker, cx)
    }

    pub fn wake_writer(&self) {
        wake(&mut self.state.lock().outflow.waker);
    }

    /// Sends a part of the body, which must be within the credit: what is more is not sent.
    pub fn write(&self, data: &[u8]) {
        let mut state = self.state.lock();
        let data = &data[..data.len().min(state.outflow.credit as usize)];
        if state.outflow.ended || data.is_empty() {
            return;
        }
        state.outflow.credit -= data.len() as u32;
        // the same record in both directions
        self.hub.put(self.peer, |batch| Event::Body { request: self.id, data }.encode(batch));
    }

    /// The body is complete. At a service, so is the exchange.
    pub fn finish(&self) {
        let mut state = self.state.lock();
        if core::mem::replace(&mut state.outflow.ended, true) {
            return;
        }
        // the same record in both directions
        self.hub.put(self.peer, |batch| Event::End { request: self.id }.encode(batch));
        if self.side == Side::Service {
            self.end(&mut state);
        }
    }

    /// Sends a response's head. False: there was one, or nobody waits for it.
    pub fn respond(&self, status: u16, headers: &[u8]) -> bool {
        let mut state = self.state.lock();
        if state.over || core::mem::replace(&mut state.responded, true) {
            return false;
        }
        self.hub.put(self.peer, |batch| Event::Response { request: self.id, status, headers }.encode(batch));
        true
    }

    /// A whole response.
    pub fn answer(&self, status: u16, headers: &str, text: &str) {
        let headers = alloc::format!("content-type: text/plain\r\ncontent-length: {}\r\n{headers}", text.len());
        if self.respond(status, headers.as_bytes()) {
            if !self.is_head {
                self.write(text.as_bytes());
            }
            self.finish();
        }
    }

    /// Whether the exchange was not over yet. It is now, and the other side is told why.
    pub fn fail(&self, why: &str) -> bool {
        if self.is_over() {
            return false;
        }
        self.stop(why);
        let why: Arc<str> = why.into();
        self.state.lock().failure = Some(why.clone());
        self.broken(Fault::Failed(why));
        true
    }

    /// Why this side failed it, if it did.
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

impl State {
    /// An error without words: there is no memory for it.
    fn take_body(&mut self, side: Side, data: &[u8]) -> Result<(), Option<&'static str>> {
        let inflow = &mut self.inflow;
        if inflow.end.is_some() {
            return Err(Some("a part of a body after its end"));
        }
        if side == Side::Client && !self.responded {
            return Err(Some("a body before the response"));
        }
        let allowance = inflow.allowance.checked_sub(u32::try_from(data.len()).unwrap_or(u32::MAX));
        inflow.allowance = allowance.ok_or(Some("more of a body than it had credit for"))?;
        if inflow.unread {
            return Ok(());
        }
        if !self.charge.cover(inflow.held.len() + data.len()) {
            return Err(None);
        }
        if inflow.start >= inflow.held.len() / 2 {
            inflow.held.drain(..inflow.start);
            inflow.start = 0;
        }
        inflow.held.extend_from_slice(data);
        Ok(())
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

/// What is read from. When the last of its copies is dropped, nobody reads any more.
#[derive(Debug)]
pub struct Reader(Arc<Exchange>);

impl Reader {
    pub fn new(exchange: &Arc<Exchange>) -> Arc<Self> {
        Arc::new(Reader(exchange.clone()))
    }
}

impl core::ops::Deref for Reader {
    type Target = Exchange;

    fn deref(&self) -> &Exchange {
        &self.0
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.unread();
    }
}

/// The head of a request.
#[derive(Debug, Clone)]
pub struct RequestHead {
    pub method: String,
    /// path and query
    pub target: String,
    pub authority: String,
    pub fields: Fields,
}
