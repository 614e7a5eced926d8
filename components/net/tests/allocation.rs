//! Requests and answers on an open connection allocate nothing.

mod common;

use common::frames::{self, Tcp};
use common::wire::Quality;
use common::*;
use smoltcp::wire::TcpControl;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use wit::tcp::Command;
use wit::{Batch, Peer};

struct Counting;

thread_local! {
    /// allocations of this thread
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const REMOTE: (&str, u16) = ("10.0.0.66", 5000);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\n\r\n";

#[test]
fn the_steady_state_allocates_nothing() {
    let mut world = World::new(Quality::CLEAN, 1);
    world.listen(80);
    let from = |control, sequence, acknowledge, payload| {
        let frame = frames::tcp(&Tcp { from: REMOTE, to: (STACK4, 80), control, sequence, acknowledge, payload });
        let mut batch = Batch::new();
        batch.push(wit::nic::Event::FRAME, 0, &frame);
        batch
    };
    let mut arp = Batch::new();
    arp.push(wit::nic::Event::FRAME, 0, &frames::arp(REMOTE.0, [2, 0, 0, 0, 0, 66], STACK4));
    world.stack.frames(world.now, arp.as_bytes());
    world.turn();
    world.stack.frames(world.now, from(TcpControl::Syn, 0, None, b"").as_bytes());
    world.turn();
    let first = frames::read_tcp(world.sent.last().unwrap()).unwrap().sequence.wrapping_add(1);
    world.stack.frames(world.now, from(TcpControl::None, 1, Some(first), b"").as_bytes());
    world.turn();
    let connection = world.peer(0).accepted[0].0;
    let answer = bytes(1100);
    let mut counted = 0;
    for round in 0..2000 {
        let sequence = 1 + round * REQUEST.len() as u32;
        let acknowledge = first.wrapping_add(round * answer.len() as u32);
        let request = from(TcpControl::Psh, sequence, Some(acknowledge), REQUEST);
        let mut commands = Batch::new();
        Peer::Is(0).encode(&mut commands);
        Command::Credit { connection, bytes: REQUEST.len() as u32 }.encode(&mut commands);
        Command::Send { connection, data: &answer }.encode(&mut commands);
        let before = COUNT.get();
        let (mut data, mut sent) = (0, 0);
        world.stack.frames(world.now, request.as_bytes());
        world.stack.step(world.now);
        world.stack.deliver_tcp(|_, packed| {
            data += packed.len();
            true
        });
        world.stack.tcp_commands(commands.as_bytes());
        world.stack.step(world.now);
        world.stack.transmit(|packed| sent += packed.len());
        // The first rounds find the sizes of the batches.
        if round >= 100 {
            counted += COUNT.get() - before;
        }
        assert!(data > REQUEST.len() && sent > answer.len(), "round {round}");
        world.now += 100_000;
    }
    assert_eq!(counted, 0);
}
