//! Connections by the ten thousand, ended in every way: what the stack keeps has a bound, reached early.
//!
//! The allocator is the one that boxes have, on an arena that grows by pages like linear memory, for the stack alone.

mod common;
#[path = "common/heap.rs"]
mod heap;

use common::frames::{self, Tcp};
use common::wire::{Dice, MILLISECOND, SECOND};
use common::*;
use heap::{PAGE, memory};
use pearwood_net::{Card, Stack};
use smoltcp::wire::TcpControl;
use std::collections::BTreeMap;
use wit::tcp::{Command, Event};
use wit::{Batch, Peer, Records};

const REMOTE: &str = "10.0.0.66";

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// the remote side finishes first
    Remote,
    /// the box finishes first: TIME-WAIT
    Local,
    Reset,
    Abort,
    /// never more than a SYN
    HalfOpen,
    /// the remote side finishes and is not heard of again
    Silence,
}

const ENDS: [End; 6] = [End::Remote, End::Local, End::Reset, End::Abort, End::HalfOpen, End::Silence];

#[derive(Debug, Default)]
struct Remote {
    /// next to send, next expected
    sequence: u32,
    acknowledge: u32,
    number: Option<u32>,
}

struct Load {
    stack: Stack,
    now: u64,
    remotes: BTreeMap<u16, Remote>,
    commands: Batch,
    frames: Batch,
    port: u16,
    /// the box takes its events
    reads: bool,
}

impl Load {
    fn new() -> Self {
        let card = Card { address: STACK_CARD, mtu: 1500 };
        let settings = settings(&[]);
        let stack = inside(|| Stack::new(&settings, card, [1; 32], SECOND));
        let mut commands = Batch::new();
        Peer::Attach(0, b"").encode(&mut commands);
        Peer::Is(0).encode(&mut commands);
        Command::Listen { port: 80, backlog: 64 }.encode(&mut commands);
        let mut frames = Batch::new();
        frames.push(wit::nic::Event::FRAME, 0, &frames::arp(REMOTE, [2, 0, 0, 0, 0, 66], STACK4));
        let mut load = Load { stack, now: SECOND, remotes: BTreeMap::new(), commands, frames, port: 1024, reads: true };
        load.turn();
        load
    }

    fn segment(&mut self, port: u16, control: TcpControl, payload: &[u8]) {
        let remote = self.remotes.get_mut(&port).unwrap();
        let acknowledge = (control != TcpControl::Syn).then_some(remote.acknowledge);
        let (from, to, sequence) = ((REMOTE, port), (STACK4, 80), remote.sequence);
        let frame = frames::tcp(&Tcp { from, to, control, sequence, acknowledge, payload });
        let control = u32::from(matches!(control, TcpControl::Syn | TcpControl::Fin));
        remote.sequence = sequence.wrapping_add(payload.len() as u32 + control);
        self.frames.push(wit::nic::Event::FRAME, 0, &frame);
    }

    /// One turn; the remote sides acknowledge what comes in the next.
    fn turn(&mut self) {
        let Load { stack, now, remotes, commands, frames, reads, .. } = self;
        let mut acknowledge = Vec::new();
        inside(|| {
            stack.frames(*now, frames.as_bytes());
            stack.tcp_commands(commands.as_bytes());
            outside(|| (frames.clear(), commands.clear()));
            stack.step(*now);
            stack.transmit(|packed| {
                outside(|| {
                    for frame in Records::new(packed) {
                        let Some(seen) = frames::read_tcp(frame.unwrap().bytes) else { continue };
                        let Some(remote) = remotes.get_mut(&seen.ports.1) else { continue };
                        let control = u32::from(matches!(seen.control, TcpControl::Syn | TcpControl::Fin));
                        let length = seen.payload as u32 + control;
                        if length > 0 && (seen.sequence == remote.acknowledge || seen.control == TcpControl::Syn) {
                            remote.acknowledge = seen.sequence.wrapping_add(length);
                            acknowledge.push(seen.ports.1);
                        }
                    }
                });
            });
            stack.deliver_tcp(|_, packed| {
                if !*reads {
                    return false;
                }
                outside(|| {
                    Peer::Is(0).encode(commands);
                    for record in Records::new(packed) {
                        match Event::decode(&record.unwrap()).unwrap() {
                            Event::Accepted { connection, remote, .. } => {
                                if let Some(remote) = remotes.get_mut(&remote.port) {
                                    remote.number = Some(connection);
                                }
                            }
                            Event::Data { connection, data } => {
                                Command::Credit { connection, bytes: data.len() as u32 }.encode(commands);
                            }
                            Event::Finished { connection } => Command::Finish { connection }.encode(commands),
                            _ => {}
                        }
                    }
                });
                true
            });
        });
        self.now += MILLISECOND;
        for port in acknowledge {
            self.segment(port, TcpControl::None, b"");
        }
    }

    fn command(&mut self, command: Command<'_>) {
        if self.commands.is_empty() {
            Peer::Is(0).encode(&mut self.commands);
        }
        command.encode(&mut self.commands);
    }

    fn next_port(&mut self) -> u16 {
        self.port = if self.port == u16::MAX { 1024 } else { self.port + 1 };
        self.port
    }

    /// Some connections at once, each used and ended as `end` says of its index.
    fn connections(&mut self, count: usize, answer: usize, mut end: impl FnMut(usize) -> End) {
        self.frames.push(wit::nic::Event::FRAME, 0, &frames::arp(REMOTE, [2, 0, 0, 0, 0, 66], STACK4));
        let ends: Vec<(u16, End)> = (0..count).map(|at| (self.next_port(), end(at))).collect();
        for &(port, _) in &ends {
            self.remotes.insert(port, Remote { sequence: u32::from(port).wrapping_mul(99_999), ..Remote::default() });
            self.segment(port, TcpControl::Syn, b"");
        }
        self.turn();
        for &(port, end) in &ends {
            if end == End::HalfOpen {
                self.remotes.remove(&port);
            } else {
                self.segment(port, TcpControl::Psh, b"GET / HTTP/1.1\r\n\r\n");
            }
        }
        self.turn();
        let data = vec![0x55; answer];
        for &(port, _) in &ends {
            if let Some(connection) = self.remotes.get(&port).and_then(|remote| remote.number) {
                self.command(Command::Send { connection, data: &data });
            }
        }
        for _ in 0..60 {
            self.turn();
        }
        for &(port, end) in &ends {
            let number = self.remotes.get(&port).and_then(|remote| remote.number);
            assert_eq!(
                number.is_some(),
                end != End::HalfOpen,
                "{port} {end:?} {:?} {} {:?}",
                ends,
                self.now,
                self.stack.counters()
            );
            let Some(connection) = number else { continue };
            match end {
                End::Remote => self.segment(port, TcpControl::Fin, b""),
                End::Local => self.command(Command::Finish { connection }),
                End::Reset => self.segment(port, TcpControl::Rst, b""),
                End::Abort => self.command(Command::Abort { connection }),
                End::Silence => {
                    self.segment(port, TcpControl::Fin, b"");
                    self.remotes.remove(&port);
                }
                End::HalfOpen => {}
            }
        }
        self.turn();
        self.turn();
        for &(port, end) in &ends {
            if end == End::Local {
                self.segment(port, TcpControl::Fin, b"");
            }
        }
        (0..3).for_each(|_| self.turn());
        for &(port, _) in &ends {
            self.remotes.remove(&port);
        }
    }

    fn pass(&mut self, seconds: u64) {
        let end = self.now + seconds * SECOND;
        while self.now < end {
            self.turn();
            self.now = self.now.max(self.stack.deadline()).min(end);
        }
    }
}

#[test]
fn memory_has_a_bound_that_is_reached_early() {
    let mut load = Load::new();
    let mut dice = Dice::new(1);
    let mut round = |load: &mut Load| {
        for _ in 0..150 {
            let (count, answer) = (1 + dice.below(12), [0, 1100, 60_000][dice.below(3)]);
            load.connections(count, answer, |_| ENDS[dice.below(ENDS.len())]);
        }
        load.pass(600);
        assert_eq!((load.stack.connections(), load.stack.memory()), (0, 0));
    };
    // Nearly as many connections as there may be, for silent ones stay for a while; and all in TIME-WAIT that may.
    for (times, end) in [(16, End::Silence), (70, End::Local)] {
        (0..times).for_each(|_| load.connections(60, 1100, |_| end));
        load.pass(400);
    }
    load.pass(600);
    round(&mut load);
    let before = memory();
    (0..8).for_each(|_| round(&mut load));
    let after = memory();
    assert!(load.stack.counters().tcp.opened > 10_000);
    assert!(after.0 <= before.0 + PAGE && after.1 <= before.1 + PAGE, "{before:?}, then {after:?}");

    // A box that does not read what it is told of its commands.
    let nonsense = |load: &mut Load| (0..40_000).for_each(|_| load.command(Command::Listen { port: 0, backlog: 1 }));
    nonsense(&mut load);
    load.reads = false;
    load.turn();
    assert!(memory().1 > after.1 + (64 << 10));
    load.reads = true;
    inside(|| load.stack.room());
    load.turn();
    load.turn();
    let at_rest = memory();
    assert!(at_rest.1 <= after.1 + PAGE, "{after:?}, then {at_rest:?}");
}
