//! A remote machine's end of a connection, whose every segment is made by hand.

use super::World;
use super::frames::{self, Seen, Tcp, read_tcp};
use super::host::CARD;
use super::{STACK_CARD, STACK4, STACK6};
use smoltcp::wire::{Ipv6Address, TcpControl};

pub struct Remote {
    pub address: &'static str,
    /// the stack's
    pub to: &'static str,
    pub port: u16,
    /// its next sequence number
    pub sequence: u32,
    /// the stack's next sequence number
    pub next: u32,
}

/// What an address on the wire says so that the stack knows its card.
pub fn introduce(world: &mut World, address: &str) {
    if address.contains(':') {
        let target = STACK6.parse::<Ipv6Address>().unwrap().octets();
        let solicit = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &target, &[1, 1], &CARD].concat();
        give(world, &frames::icmp6(address, "ff02::1:ff00:2", &solicit));
    } else {
        give(world, &frames::arp(address, CARD, STACK4));
    }
}

/// A frame arrives, and everybody has done what there is to do for it.
pub fn give(world: &mut World, frame: &[u8]) {
    world.to_stack.send(world.now, frame);
    world.run(1, |world| world.to_stack.next() == u64::MAX && world.to_host.next() == u64::MAX);
}

impl Remote {
    pub const FIRST: u32 = 1001;

    pub fn new(address: &'static str, port: u16) -> Self {
        let to = if address.contains(':') { STACK6 } else { STACK4 };
        Remote { address, to, port, sequence: Self::FIRST - 1, next: 0 }
    }

    /// An open connection to port 80, and the channel's number of it.
    pub fn open(world: &mut World, address: &'static str, port: u16) -> (Self, u32) {
        introduce(world, address);
        let mut remote = Self::new(address, port);
        remote.synchronize(world);
        remote.say(world, TcpControl::None, 0, Some(0), b"");
        let connection = world.peer(0).accepted.last().expect("a connection").0;
        world.sent.clear();
        (remote, connection)
    }

    /// Sends a SYN, and notes what the stack answers.
    pub fn synchronize(&mut self, world: &mut World) {
        world.sent.clear();
        self.say(world, TcpControl::Syn, 0, None, b"");
        self.sequence = self.sequence.wrapping_add(1);
        let answer = self.heard(world).pop().expect("an answer");
        assert_eq!((answer.control, answer.acknowledge), (TcpControl::Syn, Some(self.sequence)));
        self.next = answer.sequence.wrapping_add(1);
    }

    /// A segment so many bytes beyond the next of each side.
    pub fn segment(&self, control: TcpControl, ahead: i32, acknowledge: Option<i32>, payload: &[u8]) -> Vec<u8> {
        frames::tcp(&Tcp {
            from: (self.address, self.port),
            to: (self.to, 80),
            control,
            sequence: self.sequence.wrapping_add_signed(ahead),
            acknowledge: acknowledge.map(|ahead| self.next.wrapping_add_signed(ahead)),
            payload,
        })
    }

    pub fn say(&self, world: &mut World, control: TcpControl, ahead: i32, acknowledge: Option<i32>, payload: &[u8]) {
        give(world, &self.segment(control, ahead, acknowledge, payload));
    }

    /// What the stack has sent to it.
    pub fn heard(&self, world: &World) -> Vec<Seen> {
        let segments = world.sent.iter().filter_map(|frame| read_tcp(frame));
        segments.filter(|seen| seen.ports.1 == self.port).collect()
    }

    /// The frames that it was sent, as they were.
    pub fn frames(&self, world: &World) -> Vec<Vec<u8>> {
        let to_it = |frame: &&Vec<u8>| {
            frame[6..12] == STACK_CARD && read_tcp(frame).is_some_and(|seen| seen.ports.1 == self.port)
        };
        world.sent.iter().filter(to_it).cloned().collect()
    }
}
