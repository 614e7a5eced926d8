//! Requests to the authority, one at a time: a client of `pearwood:http/handler`.

use crate::machine::split;
use crate::messages::{MOST, Method, Request, Response};
use message::Routes;
use message::fields::{push, value_of};
use std::net::Ipv6Addr;
use wit::http::{Attach, Command, Event, Head, Scheme};
use wit::{INITIAL_CREDIT, Incoming, Peers};

/// How long an answer may take, in nanoseconds. Whoever brings it gives up sooner, unless it hangs.
const TIME: u64 = 180_000_000_000;
/// The most bytes of a record of a body.
const PIECE: usize = 32 << 10;
const AGENT: &str = concat!("Pearwood/", env!("CARGO_PKG_VERSION"));

/// The boxes that bring requests to others, and the request that is under way.
#[derive(Debug, Default)]
pub struct Asking {
    peers: Peers,
    routes: Routes,
    number: u32,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Idle,
    Open(Open),
    Done(Result<Response, String>),
}

#[derive(Debug)]
struct Open {
    peer: u32,
    /// the request's body, as far as it was sent, and as far as it may be
    body: Vec<u8>,
    sent: usize,
    credit: usize,
    until: u64,
    answer: Option<Response>,
}

impl Asking {
    pub fn has_peers(&self) -> bool {
        self.peers.any_attached()
    }

    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Begins a request. What comes of it, [`take`](Self::take) tells.
    pub fn ask(&mut self, now: u64, request: &Request) {
        self.state = match self.begin(now, request) {
            Ok(open) => State::Open(open),
            Err(why) => State::Done(Err(why)),
        };
        self.go_on();
    }

    fn begin(&mut self, now: u64, request: &Request) -> Result<Open, String> {
        let (authority, target) = split(&request.url).ok_or("this is no URL")?;
        let peer = self.routes.find(authority, target).filter(|peer| !self.peers.is_retiring(*peer));
        let missing = || format!("no arrow `pearwood:http/handler` of this box leads to {authority}");
        let peer = peer.ok_or_else(missing)?;
        let out = self.peers.out(peer).ok_or_else(missing)?;
        let mut headers = Vec::new();
        // section 6.1
        push(&mut headers, "user-agent", AGENT.as_bytes());
        let method = match request.method {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => {
                push(&mut headers, "content-type", b"application/jose+json");
                push(&mut headers, "content-length", request.body.len().to_string().as_bytes());
                "POST"
            }
        };
        self.number = self.number.wrapping_add(1);
        let head = Head {
            method,
            target,
            authority: authority.as_bytes(),
            remote: Ipv6Addr::UNSPECIFIED,
            headers: &headers,
            scheme: Scheme::Https,
            upgrade: "",
        };
        Command::Request { request: self.number, head }.encode(out.batch());
        let (body, credit, until) =
            (request.body.clone().into_bytes(), INITIAL_CREDIT as usize, now.saturating_add(TIME));
        if body.is_empty() {
            Command::End { request: self.number }.encode(out.batch());
        }
        Ok(Open { peer, body, sent: 0, credit, until, answer: None })
    }

    /// Writes as much of the body as may be sent now.
    fn go_on(&mut self) {
        let State::Open(open) = &mut self.state else { return };
        while open.sent < open.body.len() {
            let length = PIECE.min(open.credit).min(open.body.len() - open.sent);
            let Some(out) = self.peers.room(open.peer).filter(|_| length > 0) else { return };
            Command::Body { request: self.number, data: &open.body[open.sent..open.sent + length] }.encode(out.batch());
            (open.sent, open.credit) = (open.sent + length, open.credit - length);
            if open.sent == open.body.len() {
                Command::End { request: self.number }.encode(out.batch());
            }
        }
    }

    /// When the request is given up.
    pub fn deadline(&self) -> u64 {
        if let State::Open(open) = &self.state { open.until } else { u64::MAX }
    }

    /// What came of the request, if that is known.
    pub fn take(&mut self, now: u64) -> Option<Result<Response, String>> {
        if self.deadline() <= now {
            self.cancel();
            self.state = State::Done(Err("there is no answer".into()));
        }
        match core::mem::take(&mut self.state) {
            State::Done(result) => Some(result),
            other => {
                self.state = other;
                None
            }
        }
    }

    /// The request is no longer wanted.
    fn cancel(&mut self) {
        if let State::Open(open) = &self.state
            && let Some(out) = self.peers.out(open.peer)
        {
            Command::Cancel { request: self.number }.encode(out.batch());
        }
    }

    /// Something has come.
    pub fn receive(&mut self, incoming: Incoming<'_>) {
        match incoming {
            Incoming::Attach(peer, grant) => {
                self.lost(peer, b"it began anew");
                if let Ok(Attach { host, path }) = Attach::decode(grant)
                    && self.peers.attach(peer, ())
                {
                    self.routes.set(peer, host, path);
                }
            }
            Incoming::Detach(peer, why) => {
                self.peers.detach(peer);
                self.routes.remove(peer);
                self.lost(peer, why);
            }
            Incoming::Retire(peer) => {
                self.peers.retire(peer);
                self.routes.remove(peer);
            }
            Incoming::Record(peer, record) => {
                let State::Open(open) = &mut self.state else { return };
                // what is said of another request is not heard
                if open.peer != peer || record.id != self.number {
                    return;
                }
                let done = match Event::decode(&record) {
                    Ok(event) => open.heard(event),
                    Err(_) => Some(Err("what came is no answer".into())),
                };
                if let (Ok(Event::Body { data, .. }), None, Some(out)) =
                    (Event::decode(&record), &done, self.peers.out(peer))
                {
                    Command::Credit { request: self.number, bytes: data.len() as u32 }.encode(out.batch());
                }
                if let Some(done) = done {
                    // those that end by themselves are over
                    if !matches!(Event::decode(&record), Ok(Event::End { .. } | Event::Failed { .. })) {
                        self.cancel();
                    }
                    self.state = State::Done(done);
                }
                self.go_on();
            }
        }
    }

    fn lost(&mut self, gone: u32, why: &[u8]) {
        if let State::Open(Open { peer, .. }) = &self.state
            && *peer == gone
        {
            let why = String::from_utf8_lossy(why);
            self.state = State::Done(Err(format!("the box that brings requests is gone: {why}")));
        }
    }

    /// Sends what may be sent now. `is_room`: a peer that had no room may have some again.
    pub fn flush(&mut self, is_room: bool, mut send: impl FnMut(u32, &[u8]) -> bool) {
        if is_room {
            self.peers.retry();
        }
        if self.peers.any_retiring() {
            let busy = if let State::Open(open) = &self.state { Some(open.peer) } else { None };
            self.peers.release(|peer| busy == Some(peer));
        }
        // what did not fit may once something was sent
        while self.peers.flush(&mut send) {
            self.go_on();
        }
    }
}

impl Open {
    /// What came of the request, if this ends it.
    fn heard(&mut self, event: Event<'_>) -> Option<Result<Response, String>> {
        match event {
            Event::Response { status, headers, .. } if status >= 200 => {
                if self.answer.is_some() {
                    return Some(Err("there are two answers".into()));
                }
                let text = |name| {
                    let value = value_of(headers, name)?;
                    str::from_utf8(value).ok().map(String::from)
                };
                let (nonce, location, retry_after) = (text("replay-nonce"), text("location"), text("retry-after"));
                self.answer = Some(Response { status, nonce, location, retry_after, body: Vec::new() });
                None
            }
            Event::Body { data, .. } => {
                let Some(answer) = &mut self.answer else { return Some(Err("what came is no answer".into())) };
                // one byte more tells that it is too long
                let room = (MOST + 1).saturating_sub(answer.body.len());
                answer.body.extend_from_slice(&data[..data.len().min(room)]);
                if answer.body.len() > MOST { self.answer.take().map(Ok) } else { None }
            }
            Event::End { .. } => Some(self.answer.take().ok_or_else(|| "what came is no answer".into())),
            Event::Failed { why, .. } => {
                let why = &why[..why.floor_char_boundary(300)];
                Some(Err(why.replace(char::is_control, " ")))
            }
            Event::Credit { bytes, .. } => {
                self.credit = self.credit.saturating_add(bytes as usize);
                None
            }
            Event::Response { .. } | Event::Trailers { .. } | Event::Fault { .. } | Event::Unknown { .. } => None,
        }
    }
}
