//! The test as a client of handlers: it sends requests to whoever has attached last, and keeps account.

use crate::{
    arrows::HANDLER,
    arrows::channel::{End, Port},
    boxes::BoxHandle,
};
use alloc::{collections::BTreeMap, string::String, sync::Arc, vec::Vec};
use core::net::Ipv6Addr;
use wit::{
    Batch, Peer, Records,
    http::{Command, Event, Head, Scheme},
};

pub struct Client {
    port: Arc<Port>,
    /// those that take new requests, the latest last
    peers: Vec<u32>,
    retiring: Vec<u32>,
    /// by request: its peer
    open: BTreeMap<u32, u32>,
    next: u32,
    /// what was answered: status and body
    pub answers: Vec<(u16, Vec<u8>)>,
    /// requests that had no answer, and why
    pub failures: Vec<String>,
    pub obeys_retire: bool,
}

impl Client {
    pub fn of(handle: &BoxHandle) -> Self {
        let port = handle.port(HANDLER, End::Client).unwrap().clone();
        port.attach();
        Client {
            port,
            peers: Vec::new(),
            retiring: Vec::new(),
            open: BTreeMap::new(),
            next: 0,
            answers: Vec::new(),
            failures: Vec::new(),
            obeys_retire: true,
        }
    }

    pub fn open(&self) -> usize {
        self.open.len()
    }

    pub fn has_peer(&self) -> bool {
        !self.peers.is_empty()
    }

    pub fn has_retiring(&self) -> bool {
        !self.retiring.is_empty()
    }

    /// Begins a request, which is answered when it has ended.
    pub fn begin(&mut self) -> u32 {
        let request = self.next;
        self.next += 1;
        let Some(&peer) = self.peers.last() else {
            self.failures.push("no handler".into());
            return request;
        };
        let head = Head {
            method: "GET",
            target: "/",
            authority: b"h",
            remote: Ipv6Addr::LOCALHOST,
            headers: b"",
            scheme: Scheme::Http,
            upgrade: "",
        };
        self.open.insert(request, peer);
        self.command(peer, Command::Request { request, head });
        request
    }

    pub fn end(&mut self, request: u32) {
        if let Some(&peer) = self.open.get(&request) {
            self.command(peer, Command::End { request });
        }
    }

    fn command(&self, peer: u32, command: Command<'_>) {
        let mut batch = Batch::new();
        command.encode(&mut batch);
        assert!(self.port.send(peer, batch.as_bytes()).unwrap(), "tests do not fill queues");
    }

    /// Takes what has come, and lets go of whom it can.
    pub fn turn(&mut self) {
        let mut received = self.port.receive();
        let mut from = 0;
        for record in Records::new(received.buffer()).map(Result::unwrap) {
            match Peer::decode(&record) {
                Some(Peer::Is(peer)) => from = peer,
                Some(Peer::Attach(peer, _)) => {
                    assert!(!self.peers.contains(&peer), "attached twice");
                    self.peers.push(peer);
                }
                Some(Peer::Detach(peer, why)) => {
                    let why = String::from_utf8_lossy(why).into_owned();
                    self.peers.retain(|known| *known != peer);
                    self.retiring.retain(|known| *known != peer);
                    let failures = &mut self.failures;
                    self.open.retain(|_, of| {
                        if *of == peer {
                            failures.push(why.clone());
                        }
                        *of != peer
                    });
                }
                Some(Peer::Retire(peer)) if self.obeys_retire => {
                    self.peers.retain(|known| *known != peer);
                    self.retiring.push(peer);
                }
                Some(_) => {}
                None => self.event(from, Event::decode(&record).unwrap()),
            }
        }
        for peer in core::mem::take(&mut self.retiring) {
            if self.open.values().any(|of| *of == peer) {
                self.retiring.push(peer);
            } else {
                assert!(self.port.send(peer, Peer::release(peer).as_bytes()).unwrap());
            }
        }
    }

    fn event(&mut self, from: u32, event: Event<'_>) {
        match event {
            Event::Response { request, status, .. } => {
                assert_eq!(self.open.get(&request), Some(&from), "answered by whom it was sent to");
                self.answers.push((status, Vec::new()));
            }
            Event::Body { data, .. } => self.answers.last_mut().unwrap().1.extend_from_slice(data),
            Event::End { request } => {
                self.open.remove(&request);
            }
            Event::Failed { request, why } => {
                self.failures.push(why.into());
                self.open.remove(&request);
            }
            _ => {}
        }
    }
}
