//! The client's port of `pearwood:http/handler`, held for a box that imports WASI's client.

use super::{Exchange, Fault, Fields, Reader, Side, exchange::Held, hub::Hub};
use crate::{
    arrows::channel::{Port, Refused},
    boxes::{Budget, Charge},
};
use alloc::sync::Arc;
use core::{
    fmt,
    net::Ipv6Addr,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};
use message::{Routes, status::is_interim};
use spin::Mutex;
use wit::{
    INITIAL_CREDIT, Incoming,
    http::{Attach, Command, Event, Head, Scheme},
};

pub struct Client {
    hub: Arc<Hub>,
    budget: Arc<Budget>,
    /// Which box is for which requests. One that is gone keeps its place.
    routes: Mutex<Routes>,
    next: AtomicU32,
}

/// What a request's record takes beside its texts, at most.
const HEAD: usize = 64;

/// What a box asks for.
#[derive(Debug, Clone, Copy)]
pub struct Asks<'a> {
    pub method: &'a str,
    /// path and query
    pub target: &'a str,
    pub authority: &'a str,
    pub scheme: Scheme,
}

/// Why a request is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// No arrow is for such a request.
    NoArrow,
    /// The box that it is for does not run.
    Down,
    /// The box's memory limit leaves no room for the request, or for the response.
    NoMemory,
    TooLong,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Denied::NoArrow => "no arrow of the box is for this request",
            Denied::Down => "the box that it is for does not run",
            Denied::NoMemory => "the box's memory limit leaves no room for another request",
            Denied::TooLong => "its method, target or authority is too long",
        })
    }
}

impl Client {
    pub fn new(port: &Arc<Port>, budget: &Arc<Budget>) -> Arc<Self> {
        let (hub, budget) = (Hub::new(port, budget), budget.clone());
        Arc::new(Client { hub, budget, routes: Mutex::default(), next: AtomicU32::new(0) })
    }

    /// Takes in what services have said.
    pub fn receive(&self) {
        let mut received = self.hub.receive();
        for incoming in wit::incoming(received.buffer()).flatten() {
            match incoming {
                Incoming::Attach(peer, grant) => {
                    self.hub.attach(peer);
                    let route = Attach::decode(grant).unwrap_or(Attach { host: "", path: "" });
                    self.routes.lock().set(peer, route.host, route.path);
                }
                Incoming::Retire(peer) => {
                    self.routes.lock().remove(peer);
                    self.hub.retire(peer);
                }
                Incoming::Detach(peer, why) => self.hub.detach(peer, why),
                Incoming::Record(peer, record) => {
                    if let Ok(event) = Event::decode(&record) {
                        self.event(peer, event);
                    }
                }
            }
        }
    }

    fn event(&self, peer: u32, event: Event<'_>) {
        let (Event::Response { request: id, .. }
        | Event::Body { request: id, .. }
        | Event::End { request: id }
        | Event::Credit { request: id, .. }
        | Event::Trailers { request: id, .. }
        | Event::Failed { request: id, .. }
        | Event::Fault { request: id, .. }) = event
        else {
            return;
        };
        let Some(exchange) = self.hub.get(peer, id) else { return };
        match event {
            // another follows, and boxes have no word for this one
            Event::Response { status, .. } if is_interim(status) => {}
            Event::Response { status, headers, .. } => match Fields::from_lines(&self.budget, headers) {
                Ok(fields) => exchange.heard_response(status, fields),
                Err(_) => {
                    exchange.fail("the response's header is malformed or too large");
                }
            },
            Event::Body { data, .. } => exchange.heard_body(data),
            Event::End { .. } => exchange.heard_end(),
            Event::Credit { bytes, .. } => exchange.heard_credit(bytes),
            Event::Trailers { lines, .. } => exchange.heard_trailers(Fields::from_trailers(&self.budget, lines)),
            Event::Unknown { .. } => {}
            Event::Fault { cause, alert, .. } => exchange.heard_fault(cause, alert),
            Event::Failed { why, .. } => exchange.heard_failed(why),
        }
    }

    /// Sends a request's head to the box that it is for. What is read is the response.
    pub fn send(
        &self,
        Asks { method, target, authority, scheme }: Asks<'_>,
        fields: &Fields,
    ) -> Result<(Arc<Exchange>, Arc<Reader>), Denied> {
        let fits = u8::try_from(method.len()).is_ok() && [target, authority].iter().all(|s| s.len() <= 0xffff);
        if !fits {
            return Err(Denied::TooLong);
        }
        let peer = self.find(authority, target)?;
        let charge =
            Charge::new(&self.budget, Exchange::SIZE + Held::most(INITIAL_CREDIT as usize)).ok_or(Denied::NoMemory)?;
        let id = self.next.fetch_add(1, Relaxed);
        let paid = (Exchange::SIZE, charge);
        let exchange = Exchange::new(Side::Client, &self.hub, (peer, id), method == "HEAD", paid);
        let exchange = exchange.ok_or(Denied::NoMemory)?;
        let headers = fields.lines();
        let head = Head {
            method,
            target,
            authority: authority.as_bytes(),
            remote: Ipv6Addr::UNSPECIFIED,
            headers,
            scheme,
            upgrade: "",
        };
        let bytes = method.len() + target.len() + authority.len() + headers.len() + HEAD;
        if !self.hub.put(peer, bytes, |batch| Command::Request { request: id, head }.encode(batch)) {
            exchange.broken(Fault::Cancelled);
            return Err(Denied::NoMemory);
        }
        let reader = Reader::new(&exchange);
        Ok((exchange, reader))
    }

    fn find(&self, authority: &str, target: &str) -> Result<u32, Denied> {
        let routes = self.routes.lock();
        match routes.find(authority, target) {
            Some(peer) if self.hub.is_attached(peer) => Ok(peer),
            Some(_) => Err(Denied::Down),
            // those that have never been there are not known yet
            None if routes.is_empty() => Err(Denied::Down),
            None => Err(Denied::NoArrow),
        }
    }

    /// Sends what has been said to services.
    pub fn flush(&self) -> Result<(), Refused> {
        self.hub.flush()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.hub.close();
    }
}
