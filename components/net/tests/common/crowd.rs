//! Many remote machines with one connection each, made by hand, and a box that answers each request with a large file.

use super::World;
use super::frames::{self, Seen, Tcp};
use super::{STACK_CARD, STACK4, wire::SECOND};
use smoltcp::wire::TcpControl;
use std::collections::{BTreeMap, VecDeque};
use wit::tcp::Command;

pub const REQUEST: &[u8] = b"GET /large HTTP/1.1\r\n\r\n";
pub const FILE: usize = 1 << 20;

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Takes what comes.
    #[default]
    Honest,
    /// Never reads.
    Stuck,
    /// Never says more than a SYN.
    Spoofed,
}

#[derive(Debug, Default, Clone)]
pub struct Client {
    pub address: String,
    pub manner: Manner,
    /// nanoseconds there and back
    pub trip: u64,
    pub sequence: u32,
    pub acknowledge: u32,
    pub established: bool,
    pub got: usize,
    pub reset: bool,
    /// when it last said something for the first time or again
    pub began: u64,
}

/// The clients, by their ports, which all differ.
#[derive(Default)]
pub struct Crowd {
    pub clients: BTreeMap<u16, Client>,
    /// when frames arrive
    wire: VecDeque<(u64, Vec<u8>)>,
    served: BTreeMap<u32, usize>,
    accepted: usize,
    port: u16,
}

impl Client {
    fn segment(&self, port: u16, control: TcpControl, payload: &[u8]) -> Vec<u8> {
        let acknowledge = (control != TcpControl::Syn).then_some(self.acknowledge);
        let window = if self.manner == Manner::Stuck { 0 } else { 64_000 };
        let (from, to, sequence) = ((self.address.as_str(), port), (STACK4, 80), self.sequence);
        frames::tcp_with(&Tcp { from, to, control, sequence, acknowledge, payload }, window)
    }

    /// What it says to a segment.
    fn hear(&mut self, port: u16, seen: &Seen) -> Vec<Vec<u8>> {
        match seen.control {
            _ if self.manner == Manner::Spoofed => vec![],
            TcpControl::Rst => {
                self.reset = true;
                vec![]
            }
            TcpControl::Syn if !self.established && seen.acknowledge == Some(self.sequence.wrapping_add(1)) => {
                self.established = true;
                self.sequence = self.sequence.wrapping_add(1);
                self.acknowledge = seen.sequence.wrapping_add(1);
                let mut said = vec![self.segment(port, TcpControl::None, b"")];
                said.push(self.segment(port, TcpControl::Psh, REQUEST));
                self.sequence = self.sequence.wrapping_add(REQUEST.len() as u32);
                said
            }
            _ if seen.payload == 0 || self.manner == Manner::Stuck => vec![],
            _ => {
                if seen.sequence == self.acknowledge {
                    self.acknowledge = self.acknowledge.wrapping_add(seen.payload as u32);
                    self.got += seen.payload;
                }
                vec![self.segment(port, TcpControl::None, b"")]
            }
        }
    }
}

impl Crowd {
    /// A client that begins now. Its port.
    pub fn add(&mut self, now: u64, client: Client) -> u16 {
        self.port = self.port.checked_add(1).filter(|port| *port > 1024).unwrap_or(1024);
        let sequence = u32::from(self.port).wrapping_mul(77_777);
        let client = Client { sequence, began: now, ..client };
        self.say(now + client.trip / 2, client.segment(self.port, TcpControl::Syn, b""));
        self.clients.insert(self.port, client);
        self.port
    }

    /// How they are: bytes that each got, and whether it was reset, or not even let in.
    pub fn tell(&self, ports: &[u16]) -> String {
        let clients = ports.iter().map(|port| &self.clients[port]);
        let words = clients.map(|c| {
            format!(
                "{}{}",
                c.got,
                if c.reset {
                    "r"
                } else if !c.established {
                    "-"
                } else {
                    ""
                }
            )
        });
        words.collect::<Vec<_>>().join(" ")
    }

    fn say(&mut self, at: u64, frame: Vec<u8>) {
        let place = self.wire.partition_point(|(other, _)| *other <= at);
        self.wire.insert(place, (at, frame));
    }

    /// One turn of everybody: clients, stack, and the box that serves.
    pub fn turn(&mut self, world: &mut World) {
        let now = world.now;
        while self.wire.front().is_some_and(|(at, _)| *at <= now) {
            let (_, frame) = self.wire.pop_front().unwrap();
            world.to_stack.send(now.saturating_sub(world.to_stack.quality.delay), &frame);
        }
        world.turn();
        for frame in std::mem::take(&mut world.sent) {
            if frame[12..14] == [8, 6] {
                // Somebody has every address.
                if frame[21] == 1 {
                    let octets: [u8; 4] = frame[38..42].try_into().unwrap();
                    let from = std::net::Ipv4Addr::from(octets).to_string();
                    // the router has no card, and the stack asks whether anybody has its own address
                    if octets[3] != 1 && from != STACK4 {
                        self.say(now, frames::arp(&from, [2, 0, 0, 0, 0, 66], STACK4));
                    }
                }
                continue;
            }
            let Some(seen) = frames::read_tcp(&frame) else { continue };
            assert_eq!(frame[6..12], STACK_CARD);
            let Some(client) = self.clients.get_mut(&seen.ports.1) else { continue };
            let (said, at) = (client.hear(seen.ports.1, &seen), now + client.trip.max(1));
            said.into_iter().for_each(|frame| self.say(at, frame));
        }
        // Clients that hear nothing say it again, as TCP does.
        let again = |c: &Client| c.got == 0 && !c.reset && c.manner == Manner::Honest && now >= c.began + SECOND;
        let late: Vec<u16> = self.clients.iter().filter(|(_, c)| again(c)).map(|(port, _)| *port).collect();
        for port in late {
            let client = self.clients.get_mut(&port).unwrap();
            client.began = now;
            let mut earlier = client.clone();
            let frame = if client.established {
                earlier.sequence = earlier.sequence.wrapping_sub(REQUEST.len() as u32);
                earlier.segment(port, TcpControl::Psh, REQUEST)
            } else {
                earlier.segment(port, TcpControl::Syn, b"")
            };
            let at = now + client.trip / 2;
            self.say(at, frame);
        }
        self.serve(world);
    }

    /// The box sends as much as it has credit for.
    fn serve(&mut self, world: &mut World) {
        let channel = world.peer(0);
        for (connection, ..) in &channel.accepted[self.accepted..] {
            self.served.insert(*connection, 0);
        }
        self.accepted = channel.accepted.len();
        let mut sends = Vec::new();
        for (&connection, served) in &mut self.served {
            if channel.closed.contains_key(&connection) || !channel.data.contains_key(&connection) {
                continue;
            }
            let credit = 65_536 + channel.sent.get(&connection).copied().unwrap_or(0) as usize;
            let length = (credit - *served).min(FILE - *served);
            if length > 0 {
                *served += length;
                sends.push((connection, length));
            }
        }
        for (connection, length) in sends {
            world.command(0, Command::Send { connection, data: &vec![7; length] });
        }
    }

    /// Runs until `done`, for at most that many seconds of its time.
    pub fn run(
        &mut self,
        world: &mut World,
        seconds: u64,
        mut done: impl FnMut(&mut Self, &mut World) -> bool,
    ) -> bool {
        let limit = world.now + seconds * SECOND;
        loop {
            self.turn(world);
            if done(self, world) {
                return true;
            }
            if world.now >= limit {
                return false;
            }
            let next = self.wire.front().map_or(u64::MAX, |(at, _)| *at);
            let next = next.min(world.stack.deadline()).min(world.to_stack.next()).min(world.now + SECOND / 10);
            world.now = next.clamp(world.now + 100_000, limit.max(world.now + 100_000));
        }
    }
}
