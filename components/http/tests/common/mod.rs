//! A bench around the server: clients on one side, handlers on the other, time in between.
#![allow(dead_code)] // each test file uses a part

pub mod memory;
pub mod random;
pub mod responses;
mod sides;
pub mod two;

pub use sides::{Client, Request, Sides};

use pearwood_http::{Config, Http, Wake};
use std::net::Ipv6Addr;
use wit::http::{Attach, Event as FromHandler};
use wit::tcp::{Endpoint, Event as FromTcp, Secured};
use wit::{Batch, INITIAL_CREDIT, List, Peer};

pub const fn handler(peer: u32) -> pearwood_http::To {
    pearwood_http::To::Handler(peer)
}

pub const SECOND: u64 = 1_000_000_000;

/// What a box with 16 MiB can allocate, less what is there at its start.
pub const MEMORY: usize = 14 << 20;

pub struct Bench {
    pub http: Http,
    pub now: u64,
    pub outside: Sides,
    tcp: Batch,
    handler: Batch,
    next_connection: u32,
    /// give credit for what clients receive at once
    pub clients_read: bool,
    pub room: bool,
    /// where the next client connects from
    pub address: Ipv6Addr,
    /// whether it does so with TLS
    pub is_secured: bool,
    /// and the protocol that is agreed on then
    pub protocol: &'static str,
    /// The names of the certificate then. The client asks for `h`.
    pub covers: Option<&'static [&'static str]>,
}

impl Bench {
    /// With one handler for all, and no `Server` and `Date`, which most tests do not want to see.
    pub fn new() -> Self {
        Self::with(&[])
    }

    pub fn with(settings: &[(&str, &str)]) -> Self {
        let mut bench = Self::without_handler(settings);
        bench.attach_handler(0, "", "");
        bench
    }

    pub fn without_handler(settings: &[(&str, &str)]) -> Self {
        Self::within(MEMORY, settings)
    }

    /// Without a handler, and with so many bytes to allocate.
    pub fn within(memory: usize, settings: &[(&str, &str)]) -> Self {
        let quiet = ("server", "");
        let settings = settings.iter().copied().chain((!settings.iter().any(|s| s.0 == "server")).then_some(quiet));
        let mut bench = Bench {
            http: memory::counted(|| Http::new(Config::read(settings).unwrap(), memory).unwrap()),
            now: SECOND,
            outside: Sides::default(),
            tcp: Batch::new(),
            handler: Batch::new(),
            next_connection: 1,
            clients_read: true,
            room: false,
            address: Ipv6Addr::LOCALHOST,
            is_secured: false,
            protocol: "",
            covers: None,
        };
        Peer::Attach(0, b"").encode(&mut bench.tcp);
        bench.turn();
        bench
    }

    /// Lets the server take what has been prepared, and then what follows from that.
    pub fn turn(&mut self) {
        loop {
            let (tcp, handler) = (std::mem::take(&mut self.tcp), std::mem::take(&mut self.handler));
            let wake = Wake {
                now: self.now,
                tcp: tcp.as_bytes(),
                handler: handler.as_bytes(),
                room: std::mem::take(&mut self.room),
            };
            memory::add((tcp.len() + handler.len()) as isize);
            memory::counted(|| self.http.turn(wake, &mut self.outside));
            memory::add(-((tcp.len() + handler.len()) as isize));
            if let Some(deadline) = self.outside.rests_until.take() {
                assert_eq!(deadline, self.http.deadline(), "it slept with the last batch, but has more to do");
            }
            for (connection, bytes) in std::mem::take(&mut self.outside.sent) {
                if self.clients_read {
                    self.read(connection, bytes);
                }
            }
            for connection in std::mem::take(&mut self.outside.closed) {
                self.tcp_event(FromTcp::Closed { connection, why: "" });
            }
            if self.tcp.is_empty() {
                break;
            }
        }
    }

    pub fn wait(&mut self, time: u64) {
        self.now += time;
        self.turn();
    }

    // --- the client's side

    pub fn tcp_event(&mut self, event: FromTcp<'_>) {
        if self.tcp.is_empty() {
            Peer::Is(0).encode(&mut self.tcp);
        }
        event.encode(&mut self.tcp);
    }

    pub fn tcp_peer(&mut self, record: Peer<'_>) {
        record.encode(&mut self.tcp);
    }

    pub fn connect(&mut self) -> u32 {
        let connection = self.next_connection;
        self.next_connection += 1;
        self.accept(connection);
        self.turn();
        connection
    }

    pub fn accept(&mut self, connection: u32) {
        let client = Client { credit: INITIAL_CREDIT, send_credit: INITIAL_CREDIT, ..Client::default() };
        self.outside.clients.insert(connection, client);
        let remote = Endpoint { address: self.address, port: 50_000 };
        let secured = self.is_secured.then_some(Secured {
            name: "h",
            protocol: self.protocol,
            client: b"",
            covers: self.covers.map(List::from),
        });
        self.tcp_event(FromTcp::Accepted { connection, remote, port: 80, secured });
    }

    /// Prepares data; the client must have credit for it.
    pub fn data(&mut self, connection: u32, data: &[u8]) {
        let client = self.outside.clients.get_mut(&connection).unwrap();
        client.send_credit = client.send_credit.checked_sub(data.len() as u32).expect("the client has no credit");
        if !client.closed {
            self.tcp_event(FromTcp::Data { connection, data });
        }
    }

    pub fn send(&mut self, connection: u32, data: impl AsRef<[u8]>) {
        self.data(connection, data.as_ref());
        self.turn();
    }

    /// Gives credit for what the client has taken.
    pub fn read(&mut self, connection: u32, bytes: u32) {
        let client = self.outside.clients.get_mut(&connection).unwrap();
        client.credit += bytes;
        if !client.closed {
            self.tcp_event(FromTcp::Sent { connection, bytes });
        }
    }

    pub fn finish(&mut self, connection: u32) {
        let client = self.outside.clients.get_mut(&connection).unwrap();
        client.has_finished = true;
        if client.closed {
            return;
        }
        self.tcp_event(FromTcp::Finished { connection });
        if self.outside.clients[&connection].finished {
            self.outside.clients.get_mut(&connection).unwrap().closed = true;
            self.tcp_event(FromTcp::Closed { connection, why: "" });
        }
        self.turn();
    }

    pub fn client(&self, connection: u32) -> &Client {
        &self.outside.clients[&connection]
    }

    /// What a client has received, which is forgotten.
    pub fn take(&mut self, connection: u32) -> String {
        let received = std::mem::take(&mut self.outside.clients.get_mut(&connection).unwrap().received);
        String::from_utf8(received).unwrap()
    }

    // --- the handler's side

    pub fn attach_handler(&mut self, peer: u32, host: &str, path: &str) {
        Peer::Attach(peer, &Attach { host, path }.encode()).encode(&mut self.handler);
        self.turn();
    }

    pub fn handler_peer(&mut self, record: Peer<'_>) {
        record.encode(&mut self.handler);
    }

    pub fn detach_handler(&mut self, peer: u32) {
        Peer::Detach(peer, b"trapped: unreachable").encode(&mut self.handler);
        for request in self.outside.requests.values_mut().filter(|request| request.peer == peer) {
            request.over = true;
        }
        self.turn();
    }

    pub fn handler_record(&mut self, peer: u32, kind: u8, id: u32, bytes: &[u8]) {
        if let Some(r) = self.outside.requests.get_mut(&id).filter(|r| r.peer == peer) {
            match FromHandler::decode(&wit::Record { kind, id, bytes }) {
                Ok(FromHandler::Body { data, .. }) => {
                    r.response_credit = r.response_credit.saturating_sub(data.len() as u32);
                }
                Ok(FromHandler::End { .. } | FromHandler::Failed { .. }) => r.over = true,
                Ok(FromHandler::Credit { bytes, .. }) => r.credit = r.credit.saturating_add(bytes),
                _ => {}
            }
        }
        if matches!(kind, 3 | 5) {
            self.outside.guessed.insert((peer, id));
        }
        Peer::Is(peer).encode(&mut self.handler);
        self.handler.push(kind, id, bytes);
    }

    /// Prepares an event of the handler that has the request.
    pub fn event(&mut self, event: FromHandler<'_>) {
        let (FromHandler::Response { request, .. }
        | FromHandler::Body { request, .. }
        | FromHandler::End { request }
        | FromHandler::Credit { request, .. }
        | FromHandler::Failed { request, .. }
        | FromHandler::Trailers { request, .. }) = event
        else {
            panic!("{event:?}")
        };
        let r = self.outside.requests.get_mut(&request).unwrap();
        match event {
            FromHandler::End { .. } | FromHandler::Failed { .. } => r.over = true,
            FromHandler::Credit { bytes, .. } => r.credit += bytes,
            FromHandler::Body { data, .. } => r.response_credit = r.response_credit.saturating_sub(data.len() as u32),
            FromHandler::Response { status: 101, .. } => r.is_stream = true,
            FromHandler::Response { .. }
            | FromHandler::Trailers { .. }
            | FromHandler::Fault { .. }
            | FromHandler::Unknown { .. } => {}
        }
        Peer::Is(r.peer).encode(&mut self.handler);
        event.encode(&mut self.handler);
    }

    pub fn respond(&mut self, request: u32, status: u16, headers: &str, body: &str) {
        self.event(FromHandler::Response { request, status, headers: headers.as_bytes() });
        if !body.is_empty() {
            self.event(FromHandler::Body { request, data: body.as_bytes() });
        }
        self.event(FromHandler::End { request });
        self.turn();
    }

    /// A response with `content-length`.
    pub fn respond_text(&mut self, request: u32, body: &str) {
        self.respond(request, 200, &format!("content-length: {}\r\n", body.len()), body);
    }

    /// The requests in order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.outside.order.iter().map(|id| self.outside.requests[id].clone()).collect()
    }

    /// The latest request.
    pub fn last(&self) -> Request {
        self.outside.requests[self.outside.order.last().expect("no request came")].clone()
    }

    pub fn request(&self, id: u32) -> &Request {
        &self.outside.requests[&id]
    }

    pub fn logged(&self, text: &str) -> bool {
        self.outside.log.iter().any(|(_, line)| line.contains(text))
    }
}
