//! Counts what the server allocates, in tests that install [`Counter`]; per thread, so per test.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static COUNTS: Cell<bool> = const { Cell::new(false) };
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// The most that was allocated at one time, and the batches of a turn while it lasts.
pub fn peak() -> usize {
    PEAK.get() as usize
}

/// Counts from nothing, for another server.
pub fn reset() {
    LIVE.set(0);
    PEAK.set(0);
}

pub fn live() -> usize {
    LIVE.get() as usize
}

pub fn add(bytes: isize) {
    LIVE.set(LIVE.get() + bytes);
    PEAK.set(PEAK.get().max(LIVE.get()));
}

fn with<T>(counts: bool, what: impl FnOnce() -> T) -> T {
    let before = COUNTS.replace(counts);
    let result = what();
    COUNTS.set(before);
    result
}

/// What the server does.
pub fn counted<T>(what: impl FnOnce() -> T) -> T {
    with(true, what)
}

/// What the bench does.
pub fn uncounted<T>(what: impl FnOnce() -> T) -> T {
    with(false, what)
}

/// A `realloc` counts as a new block beside the old one.
pub struct Counter;

// SAFETY: passes everything to the system's allocator.
unsafe impl GlobalAlloc for Counter {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if COUNTS.get() {
            add(layout.size() as isize);
        }
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if COUNTS.get() {
            add(-(layout.size() as isize));
        }
        // SAFETY: the block came from `alloc` with this layout.
        unsafe { System.dealloc(block, layout) }
    }
}
