//! The client's port of `pearwood:http/handler`, held for a box that imports WASI's client.

use super::{
    Exchange, Fault, Fields, Reader, Side,
    hub::{Hub, cut},
};
use crate::{
    arrows::channel::{Port, Refused},
    boxes::{Budget, Charge},
};
use alloc::{string::String, sync::Arc, vec::Vec};
use core::{
    fmt,
    net::Ipv6Addr,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};
use spin::Mutex;
use wit::{
    INITIAL_CREDIT, Incoming,
    http::{Attach, Command, Event, Head, Scheme},
};

pub struct Client {
    hub: Arc<Hub>,
    budget: Arc<Budget>,
    routes: Mutex<Routes>,
    next: AtomicU32,
}

/// What a request's record takes beside its texts, at most.
const HEAD: usize = 64;

/// Which box is for which requests. One that is gone keeps its place.
#[derive(Debug, Default)]
struct Routes(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    host: String,
    path: String,
    peer: u32,
    is_there: bool,
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
                    self.routes.lock().attach(peer, Attach::decode(grant).unwrap_or(Attach { host: "", path: "" }));
                }
                Incoming::Retire(peer) => {
                    self.routes.lock().remove(peer);
                    self.hub.retire(peer);
                }
                Incoming::Detach(peer, why) => {
                    self.routes.lock().detach(peer);
                    self.hub.detach(peer, why);
                }
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
        | Event::Failed { request: id, .. }) = event
        else {
            return;
        };
        let Some(exchange) = self.hub.get(peer, id) else { return };
        match event {
            Event::Response { status, headers, .. } => match Fields::from_lines(&self.budget, headers) {
                Ok(fields) => exchange.heard_response(status, fields),
                Err(_) => {
                    exchange.fail("the response's header is malformed or too large");
                }
            },
            Event::Body { data, .. } => exchange.heard_body(data),
            Event::End { .. } => exchange.heard_end(),
            Event::Credit { bytes, .. } => exchange.heard_credit(bytes),
            Event::Trailers { .. } | Event::Unknown { .. } => {}
            Event::Failed { why, .. } => exchange.broken(Fault::Failed(cut(why).into())),
        }
    }

    /// Sends a request's head to the box that it is for. What is read is the response.
    pub fn send(
        &self,
        method: &str,
        target: &str,
        authority: &str,
        fields: &Fields,
    ) -> Result<(Arc<Exchange>, Arc<Reader>), Denied> {
        let fits = u8::try_from(method.len()).is_ok() && [target, authority].iter().all(|s| s.len() <= 0xffff);
        if !fits {
            return Err(Denied::TooLong);
        }
        let peer = self.routes.lock().find(authority, target)?;
        let charge = Charge::new(&self.budget, Exchange::SIZE + INITIAL_CREDIT as usize).ok_or(Denied::NoMemory)?;
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
            scheme: Scheme::Http,
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

impl Routes {
    fn attach(&mut self, peer: u32, route: Attach<'_>) {
        self.0.retain(|entry| entry.peer != peer);
        let (host, path) = (route.host.to_ascii_lowercase(), route.path.trim_end_matches('/').into());
        self.0.push(Entry { host, path, peer, is_there: true });
        // As the http box orders them: those for a host first, then the longest path.
        self.0.sort_by_key(|entry| (entry.host.is_empty(), core::cmp::Reverse(entry.path.len()), entry.peer));
    }

    /// It is for no request any more.
    fn remove(&mut self, peer: u32) {
        self.0.retain(|entry| entry.peer != peer);
    }

    fn detach(&mut self, peer: u32) {
        self.0.iter_mut().filter(|entry| entry.peer == peer).for_each(|entry| entry.is_there = false);
    }

    fn find(&self, authority: &str, target: &str) -> Result<u32, Denied> {
        let host = host_of(authority);
        let fits = |entry: &&Entry| {
            (entry.host.is_empty() || host.eq_ignore_ascii_case(&entry.host)) && within(target, &entry.path)
        };
        match self.0.iter().find(fits) {
            Some(entry) if entry.is_there => Ok(entry.peer),
            Some(_) => Err(Denied::Down),
            // those that have never been there are not known yet
            None if self.0.is_empty() => Err(Denied::Down),
            None => Err(Denied::NoArrow),
        }
    }
}

/// An authority without its port.
fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// Whether a target's path starts with the whole segments of `prefix`.
fn within(target: &str, prefix: &str) -> bool {
    let after = target.strip_prefix(prefix);
    prefix.is_empty() || after.is_some_and(|rest| matches!(rest.as_bytes().first(), None | Some(b'/' | b'?')))
}
