//! After any number of swaps the node holds what it held before.

use super::{
    SITE, World,
    guests::{HANDLER, Handler},
    options,
};
use crate::{
    boxes::BoxHandle,
    deploy::{Options, Outcome},
};
use alloc::{sync::Weak, vec::Vec};
use core::cell::Cell;
use std::alloc::{GlobalAlloc, Layout, System};

/// Counts what each thread has allocated and not freed.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

std::thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// What something does, and the most bytes that this thread holds meanwhile, beyond those of before.
pub fn peak<T>(act: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    PEAK.set(before);
    let done = act();
    (done, (PEAK.get() - before) as usize)
}

fn count(bytes: isize) {
    // a thread that ends counts no more
    let _ = HELD.try_with(|held| {
        held.set(held.get() + bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(held.get())));
    });
}

#[allow(unsafe_code)]
// SAFETY: all is the system's allocator's doing; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's duty is the same
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's duty is the same
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: the caller's duty is the same
        unsafe { System.realloc(place, layout, size) }
    }
}

/// Two versions in turns, with traffic.
fn swap(world: &mut World, round: u8) {
    let site = Handler { version: b'a' + round % 2, ..HANDLER }.component();
    let deployment = world.deploy_with(SITE, &[("site", site)], Options { trial: 0, ..options() });
    let request = world.client.begin();
    world.client.end(request);
    assert_eq!(world.over(&deployment), Outcome::Done);
    world.until(|world| world.client.open() == 0);
    world.client.answers.clear();
    world.running.platform.forget_console();
    assert!(world.client.failures.is_empty());
}

#[test]
fn fifty_swaps_leave_nothing_behind() {
    let mut world = World::new(SITE, &[("site", HANDLER.component())]);
    // the history has as many entries as it ever has, and all that is kept has grown
    (0..40).for_each(|round| swap(&mut world, round));
    let before = HELD.get();
    let mut old: Vec<Weak<BoxHandle>> = Vec::new();
    for round in 0..50 {
        old.push(alloc::sync::Arc::downgrade(&world.running.node.find("site").unwrap()));
        swap(&mut world, round);
    }
    let there = old.iter().filter(|handle| handle.strong_count() > 0).count();
    drop(old);
    let grown = HELD.get() - before;
    assert_eq!(there, 0, "boxes that are still held");
    // one image is some 100 KiB here
    assert!(grown < 4 << 10, "{grown} bytes more");
}
