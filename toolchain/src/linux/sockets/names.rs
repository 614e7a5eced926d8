//! `pearwood:net/names-service` by Linux's resolver, which blocks and so has threads of its own.

use super::outbox::Outbox;
use std::{
    net::{IpAddr, Ipv6Addr, ToSocketAddrs},
    sync::{Arc, mpsc},
    task::Waker,
};
use wasm_host::arrows::channel::Port;
use wit::{
    Peer, Records,
    names::{Command, Event},
};

/// Lookups that go on at once.
const AT_ONCE: usize = 16;

pub struct Service {
    port: Arc<Port>,
    waker: Waker,
    outbox: Outbox,
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
    pub fn new(port: Arc<Port>, waker: Waker) -> Self {
        let (sender, answers) = mpsc::channel();
        Service { port, waker, outbox: Outbox::default(), under_way: 0, sender, answers }
    }

    pub fn turn(&mut self) {
        let mut received = self.port.receive();
        let mut peer = 0;
        for record in Records::new(received.buffer()).flatten() {
            match Peer::decode(&record) {
                Some(Peer::Is(number)) => peer = number,
                Some(Peer::Attach(gone, _) | Peer::Detach(gone, _)) => self.outbox.forget(gone),
                Some(Peer::Retire(_) | Peer::Release(_)) => {}
                None => {
                    if let Ok(Command::Lookup { ticket, name }) = Command::decode(&record) {
                        self.look_up(peer, ticket, name);
                    }
                }
            }
        }
        for Answer { peer, ticket, found } in self.answers.try_iter() {
            self.under_way -= 1;
            match found {
                Ok(found) => Event::Addresses { ticket, addresses: found[..].into() }.encode(self.outbox.to(peer)),
                Err(why) => Event::Failed { ticket, why: &why }.encode(self.outbox.to(peer)),
            }
        }
        self.outbox.flush(&self.port);
    }

    fn look_up(&mut self, peer: u32, ticket: u32, name: &str) {
        if self.under_way == AT_ONCE {
            let why = "too many lookups at once";
            return Event::Failed { ticket, why }.encode(self.outbox.to(peer));
        }
        self.under_way += 1;
        let (sender, waker, name) = (self.sender.clone(), self.waker.clone(), name.to_string());
        std::thread::spawn(move || {
            let found = (name.as_str(), 0).to_socket_addrs().map_err(|error| error.to_string());
            let found = found.map(|addresses| addresses.map(|address| to_ipv6(address.ip())).collect());
            // nobody waits when the node is ending
            let _ = sender.send(Answer { peer, ticket, found });
            waker.wake();
        });
    }
}

fn to_ipv6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}
