//! A `Stack` and its client boxes, a wire, and the host at its other end, in a time of their own.
#![allow(dead_code)]

pub mod frames;
pub mod host;
pub mod mutate;
pub mod remote;
pub mod wire;

use host::Host;
use pearwood_net::{Card, Heritage, Settings, Stack};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use wire::{Quality, SECOND, Wire};
use wit::tcp::{Command, Endpoint, Event};
use wit::{Batch, Peer, Records};

thread_local! {
    pub static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// What `f` allocates is the stack's, which is told apart where that matters.
pub fn inside<T>(f: impl FnOnce() -> T) -> T {
    let before = INSIDE.replace(true);
    let result = f();
    INSIDE.set(before);
    result
}

pub fn outside<T>(f: impl FnOnce() -> T) -> T {
    let before = INSIDE.replace(false);
    let result = f();
    INSIDE.set(before);
    result
}

/// bytes of the largest batch that the node passes on
pub const LARGEST_BATCH: usize = 131_072;

pub const STACK_CARD: [u8; 6] = [2, 0, 0, 0, 0, 2];
pub const STACK4: &str = "10.0.0.2";
pub const STACK6: &str = "fd00::2";
pub const HOST4: &str = "10.0.0.1";
pub const HOST6: &str = "fd00::1";

/// An instance whose place `World::stack` has taken, and which goes on beside it.
pub struct Old {
    pub stack: Stack,
    pub tcp: BTreeMap<u32, Channel>,
    /// batches of `pearwood:net/udp`
    pub udp: Vec<Vec<u8>>,
    pub released: Vec<u32>,
}

pub struct World {
    pub now: u64,
    pub old: Option<Old>,
    pub stack: Stack,
    pub host: Host,
    pub to_stack: Wire,
    pub to_host: Wire,
    /// every frame that the stack sent
    pub sent: Vec<Vec<u8>>,
    pub host_sent: Vec<Vec<u8>>,
    /// what each peer has got of `pearwood:net/tcp`
    pub tcp: BTreeMap<u32, Channel>,
    pub udp: Vec<(u32, Vec<u8>)>,
    pub names: Vec<(u32, Vec<u8>)>,
    /// peers that were let go, on `tcp` and on `udp`
    pub released: [Vec<u32>; 2],
    /// peers whose queue is full
    pub full: BTreeSet<u32>,
    /// give back credit for all data at once
    pub credit: bool,
}

/// One peer's view of `pearwood:net/tcp`.
#[derive(Debug, Default)]
pub struct Channel {
    pub listening: Vec<u16>,
    pub refused: Vec<(u32, String)>,
    pub accepted: Vec<(u32, Endpoint, u16)>,
    pub connected: BTreeMap<u32, u32>,
    pub data: BTreeMap<u32, Vec<u8>>,
    pub sent: BTreeMap<u32, u32>,
    pub finished: BTreeSet<u32>,
    pub closed: BTreeMap<u32, String>,
}

pub fn settings(pairs: &[(&str, &str)]) -> Settings {
    let fixed = [("address", "10.0.0.2/24"), ("gateway", "10.0.0.1"), ("address6", "fd00::2/64")];
    Settings::read(fixed.iter().chain(pairs).copied()).unwrap()
}

impl World {
    pub fn new(quality: Quality, seed: u64) -> Self {
        Self::with(quality, seed, &settings(&[]))
    }

    pub fn with(quality: Quality, seed: u64, settings: &Settings) -> Self {
        let card = Card { address: STACK_CARD, mtu: 1500 };
        let mut world = World {
            now: SECOND,
            old: None,
            stack: inside(|| Stack::new(settings, card, [seed as u8; 32], SECOND)),
            host: Host::new(&["10.0.0.1/24", "fd00::1/64", "fe80::1/64"]),
            to_stack: Wire::new(quality, seed * 2),
            to_host: Wire::new(quality, seed * 2 + 1),
            sent: Vec::new(),
            host_sent: Vec::new(),
            tcp: BTreeMap::new(),
            udp: Vec::new(),
            names: Vec::new(),
            released: [Vec::new(), Vec::new()],
            full: BTreeSet::new(),
            credit: true,
        };
        world.attach(0);
        world
    }

    /// Another instance takes the place of this one, as the node has it: what has arrived is the old one's, what arrives
    /// from now on both get, and the clients are told.
    pub fn swap(&mut self, settings: &Settings) {
        self.turn();
        let state = self.stack.leave(self.now).write();
        let card = Card { address: STACK_CARD, mtu: 1500 };
        let mut new = Stack::new(settings, card, [77; 32], self.now);
        new.inherit(self.now, &Heritage::read(&state).unwrap());
        let stack = std::mem::replace(&mut self.stack, new);
        self.share(true);
        self.old = Some(Old { stack, tcp: std::mem::take(&mut self.tcp), udp: Vec::new(), released: Vec::new() });
        self.attach(0);
        let mut batch = Batch::new();
        Peer::Retire(0).encode(&mut batch);
        let now = self.now;
        self.old().stack.tcp_commands(batch.as_bytes());
        self.old().stack.udp_commands(now, batch.as_bytes());
    }

    /// What the node says of who has the card.
    pub fn share(&mut self, shared: bool) {
        let mut batch = Batch::new();
        batch.push(wit::nic::Event::SHARED, shared.into(), b"");
        self.stack.frames(self.now, batch.as_bytes());
    }

    pub fn old(&mut self) -> &mut Old {
        self.old.as_mut().expect("an old instance")
    }

    pub fn old_command(&mut self, peer: u32, command: Command<'_>) {
        let mut batch = Batch::new();
        Peer::Is(peer).encode(&mut batch);
        command.encode(&mut batch);
        self.old().stack.tcp_commands(batch.as_bytes());
    }

    /// The old instance has returned, and the new one is told that it is alone.
    pub fn end_old(&mut self) -> Old {
        self.share(false);
        self.old.take().expect("an old instance")
    }

    pub fn attach(&mut self, peer: u32) {
        let mut batch = Batch::new();
        Peer::Attach(peer, b"").encode(&mut batch);
        let World { stack, now, .. } = self;
        inside(|| {
            stack.tcp_commands(batch.as_bytes());
            stack.udp_commands(*now, batch.as_bytes());
            stack.names_commands(*now, batch.as_bytes());
        });
    }

    pub fn detach(&mut self, peer: u32) {
        let mut batch = Batch::new();
        Peer::Detach(peer, b"ended").encode(&mut batch);
        let World { stack, now, .. } = self;
        inside(|| {
            stack.tcp_commands(batch.as_bytes());
            stack.udp_commands(*now, batch.as_bytes());
            stack.names_commands(*now, batch.as_bytes());
        });
    }

    /// Another takes the place of a client.
    pub fn retire(&mut self, peer: u32) {
        let mut batch = Batch::new();
        Peer::Retire(peer).encode(&mut batch);
        self.stack.tcp_commands(batch.as_bytes());
        self.stack.udp_commands(self.now, batch.as_bytes());
    }

    pub fn command(&mut self, peer: u32, command: Command<'_>) {
        let mut batch = Batch::new();
        Peer::Is(peer).encode(&mut batch);
        command.encode(&mut batch);
        inside(|| self.stack.tcp_commands(batch.as_bytes()));
    }

    pub fn listen(&mut self, port: u16) {
        self.command(0, Command::Listen { port, backlog: 64 });
    }

    pub fn peer(&mut self, peer: u32) -> &mut Channel {
        self.tcp.entry(peer).or_default()
    }

    /// One turn of everybody at the present time.
    pub fn turn(&mut self) {
        let mut batch = Batch::new();
        for frame in self.to_stack.receive(self.now) {
            batch.push(wit::nic::Event::FRAME, 0, &frame);
        }
        let World { now, old, stack, to_host, sent, .. } = self;
        for stack in old.iter_mut().map(|old| &mut old.stack).chain([stack]) {
            inside(|| {
                stack.frames(*now, batch.as_bytes());
                stack.step(*now);
                stack.transmit(|packed| {
                    outside(|| {
                        assert!(packed.len() <= LARGEST_BATCH);
                        for frame in Records::new(packed) {
                            let frame = frame.unwrap().bytes;
                            to_host.send(*now, frame);
                            sent.push(frame.to_vec());
                        }
                    });
                });
            });
        }
        self.deliver();
        self.deliver_old();
        for frame in self.to_host.receive(self.now) {
            self.host.receive(frame);
        }
        for frame in self.host.poll(self.now) {
            self.to_stack.send(self.now, &frame);
            self.host_sent.push(frame);
        }
    }

    fn deliver_old(&mut self) {
        let Some(Old { stack, tcp, udp, released }) = &mut self.old else { return };
        let mut credit = Batch::new();
        stack.deliver_tcp(|peer, packed| {
            if packed == Peer::release(peer).as_bytes() {
                released.push(peer);
                return true;
            }
            Peer::Is(peer).encode(&mut credit);
            for record in Records::new(packed) {
                tcp.entry(peer).or_default().take(Event::decode(&record.unwrap()).unwrap(), &mut credit);
            }
            true
        });
        stack.deliver_udp(|_, packed| {
            udp.push(packed.to_vec());
            true
        });
        stack.deliver_names(|_, _| true);
        stack.tcp_commands(credit.as_bytes());
    }

    fn deliver(&mut self) {
        let mut credit = Batch::new();
        let World { stack, tcp, udp, names, released, full, .. } = self;
        let [released_tcp, released_udp] = released;
        inside(|| {
            stack.deliver_tcp(|peer, packed| {
                outside(|| {
                    assert!(packed.len() <= LARGEST_BATCH);
                    if packed == Peer::release(peer).as_bytes() {
                        released_tcp.push(peer);
                        return true;
                    }
                    if full.contains(&peer) {
                        return false;
                    }
                    Peer::Is(peer).encode(&mut credit);
                    let channel = tcp.entry(peer).or_default();
                    for record in Records::new(packed) {
                        channel.take(Event::decode(&record.unwrap()).unwrap(), &mut credit);
                    }
                    true
                })
            });
            stack.deliver_udp(|peer, packed| {
                outside(|| {
                    assert!(packed.len() <= LARGEST_BATCH);
                    if packed == Peer::release(peer).as_bytes() {
                        released_udp.push(peer);
                        return true;
                    }
                    let room = !full.contains(&peer);
                    if room {
                        udp.push((peer, packed.to_vec()));
                    }
                    room
                })
            });
            stack.deliver_names(|peer, packed| {
                outside(|| {
                    assert!(packed.len() <= LARGEST_BATCH);
                    names.push((peer, packed.to_vec()));
                    true
                })
            });
            if self.credit {
                stack.tcp_commands(credit.as_bytes());
            }
        });
    }

    /// Moves time to when somebody has something to do, but no further than `limit`.
    fn advance(&mut self, limit: u64) {
        let host = self.host.poll_at(self.now);
        let old = self.old.as_ref().map_or(u64::MAX, |old| old.stack.deadline());
        let next =
            [self.stack.deadline(), old, host, self.to_stack.next(), self.to_host.next()].into_iter().min().unwrap();
        self.now = next.clamp(self.now + 1000, limit.max(self.now + 1000));
    }

    /// Runs until `done`, for at most `seconds` of its time. True if it came to that.
    pub fn run(&mut self, seconds: u64, mut done: impl FnMut(&mut World) -> bool) -> bool {
        let limit = self.now + seconds * SECOND;
        loop {
            self.turn();
            if done(self) {
                return true;
            }
            if self.now >= limit {
                return false;
            }
            self.advance(limit);
        }
    }

    /// Runs for that long.
    pub fn pass(&mut self, seconds: u64) {
        self.run(seconds, |_| false);
    }

    /// A connection from the host to a port that is listened on: the host's socket and the channel's number.
    pub fn connection(&mut self, to: &str, port: u16) -> (smoltcp::iface::SocketHandle, u32) {
        let before = self.peer(0).accepted.len();
        let handle = self.host.connect(to, port);
        assert!(self.run(60, |w| w.peer(0).accepted.len() > before && w.host.tcp(handle).may_send()), "not accepted");
        (handle, self.peer(0).accepted[before].0)
    }
}

impl Channel {
    fn take(&mut self, event: Event<'_>, credit: &mut Batch) {
        match event {
            Event::Listening { port } => self.listening.push(port),
            Event::Refused { id, why } => self.refused.push((id, why.to_owned())),
            Event::Accepted { connection, remote, port, .. } => self.accepted.push((connection, remote, port)),
            Event::Connected { connection, ticket } => _ = self.connected.insert(ticket, connection),
            Event::Data { connection, data } => {
                assert!(!self.closed.contains_key(&connection), "data after closed");
                self.data.entry(connection).or_default().extend_from_slice(data);
                Command::Credit { connection, bytes: data.len() as u32 }.encode(credit);
            }
            Event::Sent { connection, bytes } => *self.sent.entry(connection).or_default() += bytes,
            Event::Finished { connection } => assert!(self.finished.insert(connection), "finished twice"),
            Event::Closed { connection, why } => {
                let why = why.to_owned();
                assert_eq!(self.closed.insert(connection, why), None, "closed twice");
            }
            Event::Secures | Event::Failed { .. } => panic!("nothing here is dialed"),
            Event::Unknown { kind } => panic!("kind {kind}"),
        }
    }
}

pub fn bytes(length: usize) -> Vec<u8> {
    let mut dice = wire::Dice::new(length as u64);
    (0..length).map(|_| dice.next() as u8).collect()
}
