//! What a connection takes of the box's memory, which limits are derived from. This file has one test, since it counts what is allocated.

mod common;

use common::{Client, World, client_config};
use pearwood_tls::CONNECTION;
use rustls::version::{TLS12, TLS13};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use wit::tcp::Event;

struct Counting;

thread_local! {
    static ALLOCATED: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    let _ = ALLOCATED.try_with(|allocated| allocated.set(allocated.get() + bytes));
}

// SAFETY: all is passed on to the system's allocator, as it came.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are those that are asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_connection_takes_no_more_than_its_place() {
    const COUNT: usize = 100;
    for version in [&TLS13, &TLS12] {
        let mut world = World::new(&[]);
        let config = client_config(&world, &["localhost"], &[version]);
        Client::new(&mut world, 1_000, &config, "localhost").go(&mut world);
        // in the middle of the handshake
        let mut hellos = Vec::with_capacity(COUNT);
        for number in 0..COUNT as u32 {
            let mut client = Client::new(&mut world, number, &config, "localhost");
            let mut hello = Vec::new();
            client.tls.write_tls(&mut hello).unwrap();
            hellos.push((client, hello));
        }
        let before = ALLOCATED.get();
        for (number, (_, hello)) in (0..).zip(&hellos) {
            world.net_says(&Event::Data { connection: number, data: hello });
            world.turn();
        }
        // what the test has got of it is not the box's
        let seen: usize = world.sides.told.values().map(|told| told.data.capacity() + 100).sum();
        let each = (ALLOCATED.get() - before - seen as isize) / COUNT as isize;
        eprintln!("{version:?}: {each} bytes in the middle of a handshake");
        assert!((1..CONNECTION as isize).contains(&each), "{each}");
        // and after it
        drop(hellos);
        let mut open = Vec::with_capacity(COUNT);
        let before = ALLOCATED.get();
        for number in 2_000..2_000 + COUNT as u32 {
            let mut client = Client::new(&mut world, number, &config, "localhost");
            client.go(&mut world);
            world.sides.told.remove(&number);
            open.push(number);
        }
        let each = (ALLOCATED.get() - before) / COUNT as isize;
        eprintln!("{version:?}: {each} bytes after it");
        assert!((1..CONNECTION as isize).contains(&each), "{each}");
    }
}
