//! `pearwood:net/names-service` by Linux's resolver, which blocks and so has threads of its own.

use super::{Linux, clients, flush};
use std::{
    net::{IpAddr, Ipv6Addr, ToSocketAddrs},
    sync::{Arc, mpsc},
    task::Waker,
};
use wasm_host::arrows::channel::Port;
use wit::{
    Incoming, Peers,
    names::{Command, Event},
};

/// Lookups that go on at once.
const AT_ONCE: usize = 16;

pub struct Service {
    port: Arc<Port>,
    linux: &'static Linux,
    clients: Peers,
    under_way: usize,
    sender: mpsc::Sender<Answer>,
    answers: mpsc::Receiver<Answer>,
}

struct Answer {
    peer: u32,
    ticket: u32,
    found: Result<Vec<Ipv6Addr>, String>,
}

impl Service {
    pub fn new(port: Arc<Port>, linux: &'static Linux) -> Self {
        let (sender, answers) = mpsc::channel();
        Service { port, linux, clients: clients(), under_way: 0, sender, answers }
    }

    /// `waker` is woken when an answer has come.
    pub fn turn(&mut self, waker: &Waker) {
        let mut received = self.port.receive();
        for incoming in wit::incoming(received.buffer()).flatten() {
            match incoming {
                Incoming::Attach(peer, _) => drop(self.clients.attach(peer, ())),
                Incoming::Detach(peer, _) => drop(self.clients.detach(peer)),
                Incoming::Retire(_) => {}
                Incoming::Record(peer, record) => {
                    if let Ok(Command::Lookup { ticket, name }) = Command::decode(&record) {
                        self.look_up(peer, ticket, name, waker.clone());
                    }
                }
            }
        }
        while let Ok(Answer { peer, ticket, found }) = self.answers.try_recv() {
            self.under_way -= 1;
            match found {
                Ok(found) => self.answer(peer, Event::Addresses { ticket, addresses: found[..].into() }),
                Err(why) => self.answer(peer, Event::Failed { ticket, why: &why }),
            }
        }
        flush(&mut self.clients, &self.port);
    }

    fn answer(&mut self, peer: u32, event: Event<'_>) {
        if let Some(out) = self.clients.answer(peer) {
            event.encode(out.batch());
        }
    }

    fn look_up(&mut self, peer: u32, ticket: u32, name: &str, waker: Waker) {
        if self.clients.is_deaf(peer) {
            return;
        }
        if self.under_way == AT_ONCE {
            return self.answer(peer, Event::Failed { ticket, why: "too many lookups at once" });
        }
        self.under_way += 1;
        let (sender, linux, name) = (self.sender.clone(), self.linux, name.to_string());
        std::thread::spawn(move || {
            let found = (name.as_str(), 0).to_socket_addrs().map_err(|error| error.to_string());
            let found = found.map(|addresses| addresses.map(|address| to_ipv6(address.ip())).collect());
            // nobody waits when the node is ending
            let _ = sender.send(Answer { peer, ticket, found });
            waker.wake();
            linux.notify();
        });
    }
}

fn to_ipv6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}
