//! UDP for the clients of `pearwood:net/udp`.

use crate::datagrams::{Datagrams, Size};
use crate::fragments::Datagram;
use crate::link::{Link, to_mapped};
use crate::memory;
use crate::paths::Paths;
use crate::random::Random;
use crate::senders::Unsent;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::udp::Socket;
use smoltcp::wire::IpEndpoint;
use std::collections::BTreeMap;
use wit::tcp::Endpoint;
use wit::udp::{Command, Event};
use wit::{Peer, Peers, Records};

/// Ports that may be bound at a time, by all boxes together.
const LIMIT: usize = 64;
const SIZE: Size = Size { datagrams: 32, bytes: 32 << 10 };

/// The peer of ports that no box has asked for yet.
const NOBODY: u32 = u32::MAX;

const SECOND: u64 = 1_000_000_000;
/// How long a port waits for the box that had bound it before, with what arrives meanwhile.
const PROMISED: u64 = 5 * SECOND;

/// What datagrams are sent with.
pub struct Sending<'a> {
    pub datagrams: &'a mut Datagrams,
    pub link: &'a mut Link,
    pub random: &'a mut Random,
    pub paths: &'a Paths,
}

struct Binding {
    peer: u32,
    handle: SocketHandle,
}

#[derive(Default)]
pub struct Udp {
    pub peers: Peers,
    bindings: BTreeMap<u16, Binding>,
    /// until when ports wait for the boxes that had bound them before
    promised_until: Option<u64>,
    /// Another instance has the ports.
    left: bool,
    pub counters: Counters,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// datagrams of clients that were not sent: no room, no route, too large
    pub dropped: u64,
    /// commands that made no sense, or whose answers their box does not read
    pub malformed: u64,
}

impl Udp {
    pub fn commands(&mut self, now: u64, packed: &[u8], sending: &mut Sending<'_>) {
        let mut from = None;
        for record in Records::new(packed) {
            let Ok(record) = record else {
                self.counters.malformed += 1;
                return;
            };
            if let Some(peer) = Peer::decode(&record) {
                from = self.peer(peer, sending.datagrams);
                continue;
            }
            match (from, Command::decode(&record)) {
                (Some(peer), Ok(command)) => self.command(now, peer, command, sending),
                _ => self.counters.malformed += 1,
            }
        }
    }

    fn peer(&mut self, peer: Peer<'_>, datagrams: &mut Datagrams) -> Option<u32> {
        match peer {
            Peer::Is(peer) => self.peers.is_attached(peer).then_some(peer),
            Peer::Attach(peer, _) => {
                self.forget(peer, datagrams);
                self.peers.attach(peer, ());
                None
            }
            Peer::Detach(peer, _) => {
                self.forget(peer, datagrams);
                self.peers.detach(peer);
                None
            }
            Peer::Retire(peer) => {
                self.peers.retire(peer);
                None
            }
            Peer::Release(_) => None,
        }
    }

    fn forget(&mut self, peer: u32, datagrams: &mut Datagrams) {
        self.bindings.retain(|_, binding| {
            let keep = binding.peer != peer;
            if !keep {
                datagrams.unbind(binding.handle);
            }
            keep
        });
    }

    fn command(&mut self, now: u64, peer: u32, command: Command<'_>, sending: &mut Sending<'_>) {
        let Sending { datagrams, link, random, paths } = sending;
        match command {
            Command::Bind { .. } if self.peers.is_deaf(peer) => self.counters.malformed += 1,
            Command::Bind { port } => {
                let answer = match self.bind(peer, port, datagrams) {
                    Ok(()) => Event::Bound { port },
                    Err(why) => Event::Refused { port, why },
                };
                if let Some(out) = self.peers.answer(peer) {
                    answer.encode(out.batch());
                }
            }
            Command::Unbind { port } => {
                if self.bindings.get(&port).is_some_and(|binding| binding.peer == peer)
                    && let Some(binding) = self.bindings.remove(&port)
                {
                    datagrams.unbind(binding.handle);
                }
            }
            Command::Datagram { port, to, data } => {
                if self.bindings.get(&port).is_none_or(|binding| binding.peer != peer) {
                    self.counters.malformed += 1;
                    return;
                }
                let path = paths.get(now, &to.address);
                let datagram = Datagram { ports: (port, to.port), to: to.address, data, path };
                let sent = match link.has_room() {
                    true => datagrams.senders.send(now, &datagram, link, random),
                    false => Err(Unsent::NoRoom),
                };
                self.counters.dropped += u64::from(sent.is_err());
                // The box can do something about it, and would wait in vain for an answer.
                if let Err(Unsent::TooLarge(largest)) = sent
                    && let Some(out) = self.peers.answer(peer)
                {
                    let why = format!("a datagram of {} bytes is not sent: the largest has {largest}", data.len());
                    Event::Refused { port, why: &why }.encode(out.batch());
                }
            }
            // Of a later version of the protocol.
            Command::Unknown { .. } => {}
        }
    }

    fn bind(&mut self, peer: u32, port: u16, datagrams: &mut Datagrams) -> Result<(), &'static str> {
        if let Some(binding) = self.bindings.get_mut(&port) {
            if binding.peer != peer && binding.peer != NOBODY && !self.peers.is_retiring(binding.peer) {
                return Err("another box has bound this port");
            }
            binding.peer = peer;
            return Ok(());
        }
        if self.left {
            return Err("another instance has the ports");
        }
        if !self.peers.may_have(peer, LIMIT, self.bindings.values().map(|binding| binding.peer)) {
            return Err("too many ports are bound");
        }
        if !memory::there_is(SIZE.bytes) {
            return Err("out of buffer memory");
        }
        let handle = datagrams.bind(port, SIZE).ok_or("the port is not available")?;
        self.bindings.insert(port, Binding { peer, handle });
        Ok(())
    }

    /// Passes received datagrams on, as far as peers have room. The others wait in their sockets, which drop what comes
    /// when they are full.
    pub fn report(&mut self, datagrams: &mut Datagrams) {
        for (&port, binding) in &self.bindings {
            while let Some(out) = self.peers.room(binding.peer) {
                let socket: &mut Socket = datagrams.sockets.get_mut(binding.handle);
                let Ok((data, metadata)) = socket.recv() else { break };
                let IpEndpoint { addr, port: remote } = metadata.endpoint;
                let from = Endpoint { address: to_mapped(addr), port: remote };
                Event::Datagram { port, from, data }.encode(out.batch());
            }
        }
        let Udp { peers, bindings, left, .. } = self;
        peers.release(|peer| {
            let holds = |binding: &Binding| !*left || datagrams.sockets.get::<Socket>(binding.handle).can_recv();
            bindings.values().any(|binding| binding.peer == peer && holds(binding))
        });
    }

    /// Leaves the ports to another instance. What has arrived is passed on, and answers to it are sent.
    pub fn leave(&mut self, datagrams: &mut Datagrams) -> Vec<u16> {
        self.left = true;
        self.promised_until = None;
        let ports: Vec<u16> = self.bindings.keys().copied().collect();
        ports.iter().for_each(|port| datagrams.close(*port));
        ports
    }

    pub fn inherit(&mut self, now: u64, ports: &[u16], datagrams: &mut Datagrams) {
        self.promised_until = Some(now.saturating_add(PROMISED));
        for port in ports.iter().take(LIMIT) {
            if let Some(handle) = datagrams.bind(*port, SIZE) {
                self.bindings.insert(*port, Binding { peer: NOBODY, handle });
            }
        }
    }

    pub fn promised_until(&self) -> u64 {
        self.promised_until.unwrap_or(u64::MAX)
    }

    /// Gives up ports that nobody has asked for again.
    pub fn keep_promises(&mut self, now: u64, datagrams: &mut Datagrams) {
        if now >= self.promised_until() {
            self.promised_until = None;
            self.forget(NOBODY, datagrams);
        }
    }
}
