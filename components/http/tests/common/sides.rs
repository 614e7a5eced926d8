//! The other ends of the server's arrows, which check what it sends.

use super::memory;
use pearwood_http::{Level, Outside, To};
use std::collections::{BTreeMap, BTreeSet};
use wit::http::Command as ToHandler;
use wit::tcp::Command as ToTcp;
use wit::{INITIAL_CREDIT, Records, figures::Figure};

/// A request as a handler sees it, and what came for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    pub id: u32,
    pub peer: u32,
    pub method: String,
    pub target: String,
    pub authority: String,
    pub headers: String,
    pub body: Vec<u8>,
    pub ended: bool,
    pub trailers: String,
    pub upgrade: String,
    /// where it comes from
    pub remote: String,
    pub is_https: bool,
    pub cancelled: bool,
    /// bytes of the request's body that the server may still send
    pub credit: u32,
    /// bytes of the response's body that the handler may still send
    pub response_credit: u32,
    /// It has been answered with 101, so more comes after its end, and then another end.
    pub is_stream: bool,
    pub finished: bool,
    /// The handler has ended or failed it.
    pub over: bool,
}

#[derive(Debug, Clone, Default)]
pub struct Client {
    pub received: Vec<u8>,
    pub finished: bool,
    pub aborted: bool,
    pub closed: bool,
    /// bytes that the server may still send
    pub credit: u32,
    /// bytes that the client may still send
    pub send_credit: u32,
    pub has_finished: bool,
}

impl Client {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.received).into_owned()
    }
}

/// What the server has sent, checked as it comes.
#[derive(Default)]
pub struct Sides {
    pub clients: BTreeMap<u32, Client>,
    pub requests: BTreeMap<u32, Request>,
    /// ids in the order of their requests
    pub order: Vec<u32>,
    pub listening: Vec<u16>,
    pub log: Vec<(Level, String)>,
    pub tcp_full: bool,
    pub handler_full: bool,
    pub wall_clock: Option<u64>,
    /// what came with the last batch of a turn
    pub rests_until: Option<u64>,
    /// Ends of requests that a hostile handler sent before there were such requests.
    pub guessed: BTreeSet<(u32, u32)>,
    pub sent: Vec<(u32, u32)>,
    /// peers that were let go
    pub released: Vec<To>,
    pub closed: Vec<u32>,
    /// the figures, as often as they were reported
    pub reported: Vec<Vec<Figure>>,
}

impl Outside for Sides {
    fn send(&mut self, to: To, batch: &[u8]) -> bool {
        memory::uncounted(|| {
            let (To::Tcp(peer) | To::Handler(peer)) = to;
            if batch == wit::Peer::release(peer).as_bytes() {
                self.released.push(to);
                return true;
            }
            match to {
                To::Tcp(peer) => self.tcp(peer, batch),
                To::Handler(peer) => self.handler(peer, batch),
            }
        })
    }

    fn send_last(&mut self, to: To, batch: &[u8], deadline: u64) -> bool {
        self.rests_until = Some(deadline);
        self.send(to, batch)
    }

    fn wall_clock(&mut self) -> Option<u64> {
        self.wall_clock
    }

    fn log(&mut self, level: Level, line: &str) {
        memory::uncounted(|| self.log.push((level, line.into())));
    }

    fn report(&mut self, figures: Vec<Figure>) {
        self.reported.push(figures);
    }
}

impl Sides {
    fn tcp(&mut self, peer: u32, batch: &[u8]) -> bool {
        if self.tcp_full {
            return false;
        }
        for record in Records::new(batch) {
            let command = ToTcp::decode(&record.unwrap()).unwrap();
            let listens = matches!(command, ToTcp::Listen { .. });
            assert!(peer == 0 || listens, "connections come from peer 0");
            match command {
                ToTcp::Listen { port, .. } => self.listening.push(port),
                ToTcp::Send { connection, data } => {
                    assert!(!data.is_empty(), "an empty send");
                    let Some(client) = self.clients.get_mut(&connection) else { continue };
                    assert!(!client.finished && !client.aborted, "data after the end");
                    client.credit = client.credit.checked_sub(data.len() as u32).expect("data beyond the credit");
                    client.received.extend_from_slice(data);
                    self.sent.push((connection, data.len() as u32));
                }
                ToTcp::Credit { connection, bytes } => {
                    let Some(client) = self.clients.get_mut(&connection) else { continue };
                    client.send_credit += bytes;
                    assert!(client.send_credit <= INITIAL_CREDIT, "credit for more than was sent");
                }
                ToTcp::Finish { connection } => {
                    let Some(client) = self.clients.get_mut(&connection) else { continue };
                    assert!(!client.finished, "finished twice");
                    client.finished = true;
                    if client.has_finished {
                        client.closed = true;
                        self.closed.push(connection);
                    }
                }
                ToTcp::Abort { connection } => {
                    let Some(client) = self.clients.get_mut(&connection) else { continue };
                    if !client.closed {
                        client.aborted = true;
                        client.closed = true;
                        self.closed.push(connection);
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        true
    }

    fn handler(&mut self, peer: u32, batch: &[u8]) -> bool {
        if self.handler_full {
            return false;
        }
        for record in Records::new(batch) {
            match ToHandler::decode(&record.unwrap()).unwrap() {
                ToHandler::Request { request, head } => {
                    let known = self.requests.get(&request);
                    assert!(known.is_none_or(|r| r.over || r.cancelled), "an id in use");
                    let new = Request {
                        id: request,
                        peer,
                        method: head.method.into(),
                        target: head.target.into(),
                        authority: String::from_utf8_lossy(head.authority).into(),
                        headers: String::from_utf8_lossy(head.headers).into_owned(),
                        upgrade: head.upgrade.into(),
                        remote: head.remote.to_canonical().to_string(),
                        is_https: head.scheme == wit::http::Scheme::Https,
                        credit: INITIAL_CREDIT,
                        response_credit: INITIAL_CREDIT,
                        ..Request::default()
                    };
                    self.requests.insert(request, new);
                    self.order.push(request);
                }
                ToHandler::Body { request, data } => {
                    let r = self.requests.get_mut(&request).expect("a body for no request");
                    assert!((!r.ended || r.is_stream) && !r.cancelled && r.peer == peer);
                    r.credit = r.credit.checked_sub(data.len() as u32).expect("a body beyond the credit");
                    r.body.extend_from_slice(data);
                }
                ToHandler::End { request } => {
                    let r = self.requests.get_mut(&request).expect("an end of no request");
                    assert!((!r.ended || r.is_stream) && !r.cancelled && r.peer == peer);
                    r.finished = r.ended;
                    r.ended = true;
                }
                ToHandler::Trailers { request, lines } => {
                    let r = self.requests.get_mut(&request).expect("trailers of no request");
                    assert!(!r.ended && !r.cancelled && r.peer == peer && r.trailers.is_empty());
                    r.trailers = String::from_utf8_lossy(lines).into_owned();
                }
                ToHandler::Credit { request, bytes } => {
                    let r = self.requests.get_mut(&request).expect("credit for no request");
                    assert!(!r.cancelled && r.peer == peer);
                    r.response_credit += bytes;
                    assert!(r.response_credit <= INITIAL_CREDIT, "credit for more than was sent");
                }
                ToHandler::Cancel { request } => {
                    let r = self.requests.get_mut(&request).expect("a cancel of no request");
                    assert!(!r.cancelled && r.peer == peer);
                    r.cancelled = true;
                }
                other => panic!("{other:?}"),
            }
        }
        true
    }
}
