//! HTTP requests one by one, for a box that is a service of `pearwood:http/handler`: each comes whole, with its body, and gets
//! one answer.
//!
//! What streams, or answers before a request's body has come, uses the records of [`wit::http`] at the port itself, or is a
//! WASI component.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
};
use wit::{
    INITIAL_CREDIT, Incoming, Peers,
    http::{Command, Event, Head, Scheme},
};

/// The most bytes of a request's body, unless the box says another number.
pub const BODY: usize = 1 << 20;

/// The most bytes of a record of a body.
const PIECE: usize = 32 << 10;

/// A request that is to be answered.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a request that gets no answer is given up by the client only after a time"]
pub struct Request {
    id: Id,
    pub method: String,
    /// path and query, as the client sent them
    pub target: String,
    /// host and port, as the client has it
    pub authority: String,
    /// the client's address
    pub remote: IpAddr,
    pub is_https: bool,
    /// lines `name: value\r\n`
    headers: Vec<u8>,
    pub body: Vec<u8>,
}

/// The peer, and its number for the request.
type Id = (u32, u32);

impl Request {
    fn new(id: Id, head: &Head<'_>) -> Self {
        Request {
            id,
            method: head.method.into(),
            target: head.target.into(),
            authority: String::from_utf8_lossy(head.authority).into_owned(),
            remote: head.remote.to_canonical(),
            is_https: head.scheme == Scheme::Https,
            headers: head.headers.to_vec(),
            body: Vec::new(),
        }
    }

    /// Bytes that are kept of it.
    fn size(&self) -> usize {
        size_of::<Self>()
            + self.method.len()
            + self.target.len()
            + self.authority.len()
            + self.headers.len()
            + self.body.len()
    }

    /// The target without its query, as the client sent it: not decoded.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// What follows the `?`, not decoded.
    pub fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    /// The first field of that name. None: there is none, or it is not UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = message::fields::valid(&self.headers).flatten();
        let (_, value) = lines.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()
    }
}

/// What a request is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    status: u16,
    headers: Vec<u8>,
    body: Vec<u8>,
}

impl Response {
    /// # Panics
    /// If `status` is none that an answer ends with: from 200 to 599.
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        assert!((200..=599).contains(&status), "{status} is no status of an answer");
        Response { status, headers: Vec::new(), body: body.into() }.with("content-type", content_type)
    }

    /// 200, in plain text.
    pub fn text(text: impl Into<String>) -> Self {
        Response::status(200, text)
    }

    /// Plain text.
    pub fn status(status: u16, text: impl Into<String>) -> Self {
        Response::new(status, "text/plain; charset=utf-8", text.into())
    }

    /// Another field. Characters that no value may have become spaces (RFC 9110, section 5.5).
    ///
    /// # Panics
    /// If `name` is no field name, or that of a field which is not the service's to set: those of the connection, `host` and
    /// `content-length`.
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        use message::fields;
        let settable =
            fields::is_token(name) && fields::is_settable(name) && !name.eq_ignore_ascii_case("content-length");
        assert!(settable, "`{name}` is no field that a service sets");
        let value: String = value.chars().map(|c| if c.is_ascii_control() && c != '\t' { ' ' } else { c }).collect();
        fields::push(&mut self.headers, name, value.as_bytes());
        self
    }
}

/// Where the requests of a service are: they come in parts, and so go the answers. Feed it with what has come, take the
/// requests that are whole, answer them, and have it write what may be sent now.
#[derive(Debug)]
pub struct Exchanges {
    open: BTreeMap<Id, Phase>,
    /// Those that have become whole, in their order. Some may be taken or gone.
    ready: VecDeque<Id>,
    /// bytes of requests and answers that are kept
    held: usize,
    longest: usize,
    most: usize,
}

#[derive(Debug)]
enum Phase {
    /// Nobody has taken it.
    Coming {
        request: Box<Request>,
        is_whole: bool,
    },
    Taken {
        is_head: bool,
    },
    Going {
        body: Vec<u8>,
        sent: usize,
        credit: usize,
    },
}

impl Exchanges {
    /// `longest`: the most bytes of a request's body; a longer one is answered with 413. `most`: the most bytes of
    /// requests and answers that are kept at a time; beyond, requests are answered with 503.
    pub fn new(longest: usize, most: usize) -> Self {
        Exchanges { open: BTreeMap::new(), ready: VecDeque::new(), held: 0, longest, most }
    }

    /// Something has come.
    pub fn receive(&mut self, peers: &mut Peers, incoming: Incoming<'_>) {
        let (peer, record) = match incoming {
            Incoming::Record(peer, record) => (peer, record),
            Incoming::Detach(peer, _) => {
                let gone: Vec<Id> = self.open.range((peer, 0)..=(peer, u32::MAX)).map(|(id, _)| *id).collect();
                return gone.into_iter().for_each(|id| self.forget(id));
            }
            Incoming::Attach(..) | Incoming::Retire(_) => return,
        };
        let Ok(command) = Command::decode(&record) else { return };
        match command {
            // One that does not take its answers is not listened to.
            Command::Request { .. } if peers.is_deaf(peer) => {}
            Command::Request { request, head } => {
                let id = (peer, request);
                // A number that is in use is the client's mistake.
                if self.open.contains_key(&id) {
                    return;
                }
                let request = Box::new(Request::new(id, &head));
                self.held += request.size();
                self.open.insert(id, Phase::Coming { request, is_whole: false });
                if self.held > self.most {
                    self.refuse(peers, id, 503);
                }
            }
            Command::Body { request, data } => self.body(peers, (peer, request), data),
            Command::End { request } => {
                if let Some(Phase::Coming { is_whole: is_whole @ false, .. }) = self.open.get_mut(&(peer, request)) {
                    *is_whole = true;
                    self.ready.push_back((peer, request));
                }
            }
            Command::Credit { request, bytes } => {
                if let Some(Phase::Going { credit, .. }) = self.open.get_mut(&(peer, request)) {
                    *credit = credit.saturating_add(bytes as usize);
                }
            }
            Command::Cancel { request } => self.forget((peer, request)),
            Command::Trailers { .. } | Command::Unknown { .. } => {}
        }
    }

    fn body(&mut self, peers: &mut Peers, id: Id, data: &[u8]) {
        let Some(Phase::Coming { request, is_whole: false }) = self.open.get_mut(&id) else { return };
        let length = request.body.len() + data.len();
        if length > self.longest {
            return self.refuse(peers, id, 413);
        }
        if self.held + data.len() > self.most {
            return self.refuse(peers, id, 503);
        }
        request.body.extend_from_slice(data);
        self.held += data.len();
        if let Some(out) = peers.out(id.0) {
            Event::Credit { request: id.1, bytes: data.len() as u32 }.encode(out.batch());
        }
    }

    /// Without a body, so that nothing is kept.
    fn refuse(&mut self, peers: &mut Peers, id: Id, status: u16) {
        let _ = self.taken(id);
        self.respond(peers, id, Response::status(status, ""));
    }

    /// Takes a request that is whole.
    pub fn take(&mut self) -> Option<Request> {
        while let Some(id) = self.ready.pop_front() {
            if let Some(Phase::Coming { is_whole: true, .. }) = self.open.get(&id) {
                return self.taken(id);
            }
        }
        None
    }

    fn taken(&mut self, id: Id) -> Option<Request> {
        let Some(Phase::Coming { request, .. }) = self.open.remove(&id) else { return None };
        self.held -= request.size();
        self.open.insert(id, Phase::Taken { is_head: request.method == "HEAD" });
        Some(*request)
    }

    /// Answers a request that was taken. The client may have given it up.
    pub fn answer(&mut self, peers: &mut Peers, request: Request, response: Response) {
        self.respond(peers, request.id, response);
    }

    fn respond(&mut self, peers: &mut Peers, id: Id, response: Response) {
        let Some(Phase::Taken { is_head }) = self.open.get(&id) else { return };
        let Response { status, mut headers, body } = response;
        let has_none = matches!(status, 204 | 304);
        // RFC 9110, section 8.6: an answer to HEAD has the length that the body would have
        let is_empty = *is_head || has_none;
        if !has_none {
            message::fields::push(&mut headers, "content-length", body.len().to_string().as_bytes());
        }
        let Some(out) = peers.out(id.0) else { return self.forget(id) };
        Event::Response { request: id.1, status, headers: &headers }.encode(out.batch());
        let body = if is_empty { Vec::new() } else { body };
        self.held += body.len();
        self.open.insert(id, Phase::Going { body, sent: 0, credit: INITIAL_CREDIT as usize });
        self.go_on(peers, id);
    }

    /// Writes as much of an answer as may be sent now.
    fn go_on(&mut self, peers: &mut Peers, id: Id) {
        let Some(Phase::Going { body, sent, credit }) = self.open.get_mut(&id) else { return };
        while *sent < body.len() {
            let length = PIECE.min(*credit).min(body.len() - *sent);
            let Some(out) = peers.room(id.0).filter(|_| length > 0) else { return };
            Event::Body { request: id.1, data: &body[*sent..*sent + length] }.encode(out.batch());
            (*sent, *credit) = (*sent + length, *credit - length);
        }
        if let Some(out) = peers.out(id.0) {
            Event::End { request: id.1 }.encode(out.batch());
        }
        self.forget(id);
    }

    /// Writes what may be sent now: before each flush of the peers.
    pub fn write(&mut self, peers: &mut Peers) {
        let going = self.open.iter().filter(|(_, phase)| matches!(phase, Phase::Going { .. }));
        for id in going.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.go_on(peers, id);
        }
        if peers.any_retiring() {
            peers.release(|peer| self.open.range((peer, 0)..=(peer, u32::MAX)).next().is_some());
        }
    }

    fn forget(&mut self, id: Id) {
        self.held -= match self.open.remove(&id) {
            Some(Phase::Coming { request, .. }) => request.size(),
            Some(Phase::Going { body, .. }) => body.len(),
            Some(Phase::Taken { .. }) | None => 0,
        };
    }
}

#[cfg(target_family = "wasm")]
pub use server::{Server, serve};

#[cfg(target_family = "wasm")]
mod server {
    use super::{BODY, Exchanges, Request, Response};
    use crate::{bindings::pearwood::http::handler, config, ports};
    use wit::{Incoming, Peers};

    /// A service of `pearwood:http/handler`, turn by turn.
    #[derive(Debug)]
    pub struct Server {
        port: u32,
        /// the boxes that have an arrow to this one
        peers: Peers,
        exchanges: Exchanges,
    }

    impl Default for Server {
        /// Bodies of requests have at most [`BODY`] bytes, and all that are kept take a quarter of the box's memory.
        fn default() -> Self {
            Server::new(BODY)
        }
    }

    impl Server {
        /// Bodies of requests have at most so many bytes.
        pub fn new(longest: usize) -> Self {
            let most = usize::try_from(config::memory()).unwrap_or(usize::MAX) / 4;
            let (port, exchanges) = (handler::service(&[]), Exchanges::new(longest, most));
            Server { port, peers: Peers::default(), exchanges }
        }

        /// Sends what was answered, and sleeps until there are requests: all that have come. None: another instance has
        /// taken this one's place, and all is answered; `run` returns.
        pub fn turn(&mut self) -> Option<Vec<Request>> {
            loop {
                let (_, requests) = self.turn_until(u64::MAX)?;
                if !requests.is_empty() {
                    return Some(requests);
                }
            }
        }

        /// The same, but it sleeps until the deadline at most, in monotonic nanoseconds: the time, and the requests, of which there may be
        /// none.
        pub fn turn_until(&mut self, deadline: u64) -> Option<(u64, Vec<Request>)> {
            let Server { port, peers, exchanges } = self;
            // what did not fit may once something was sent
            while {
                exchanges.write(peers);
                peers.flush(|peer, batch| ports::send(*port, peer, batch))
            } {}
            if ports::retiring() && !peers.any_attached() {
                return None;
            }
            let now = ports::wait(deadline).now;
            peers.retry();
            for incoming in wit::incoming(&ports::receive(*port)).flatten() {
                match incoming {
                    Incoming::Attach(peer, _) => drop(peers.attach(peer, ())),
                    Incoming::Detach(peer, _) => drop(peers.detach(peer)),
                    Incoming::Retire(peer) => peers.retire(peer),
                    Incoming::Record(..) => {}
                }
                exchanges.receive(peers, incoming);
            }
            Some((now, std::iter::from_fn(|| exchanges.take()).collect()))
        }

        pub fn answer(&mut self, request: Request, response: Response) {
            self.exchanges.answer(&mut self.peers, request, response);
        }
    }

    /// Answers all requests, one after the other, until another instance takes this one's place.
    pub fn serve(mut answer: impl FnMut(&Request) -> Response) {
        let mut server = Server::default();
        while let Some(requests) = server.turn() {
            for request in requests {
                let response = answer(&request);
                server.answer(request, response);
            }
        }
    }
}

#[cfg(test)]
mod tests;
