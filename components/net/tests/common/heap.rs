//! The allocator that boxes have, on an arena that grows by pages like linear memory, for the stack alone. What is
//! refused there ends the test, as it would end the box. All tests of a file that has it run in [`limited`], or it has one.
#![allow(dead_code)]

use super::common::INSIDE;
use dlmalloc::Dlmalloc;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

pub const PAGE: usize = 64 << 10;
const ARENA: usize = 64 << 20;

/// Address space for the arena, and how much of it has been asked for.
struct Pages;
static START: AtomicUsize = AtomicUsize::new(0);
static GROWN: AtomicUsize = AtomicUsize::new(0);
static LIVE: AtomicUsize = AtomicUsize::new(0);
/// bytes that the arena may grow to
static LIMIT: AtomicUsize = AtomicUsize::new(ARENA);

// SAFETY: no part of the arena is given twice.
unsafe impl dlmalloc::Allocator for Pages {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        if START.load(Relaxed) == 0 {
            // SAFETY: the size is not zero.
            let start = unsafe { System.alloc_zeroed(Layout::from_size_align(ARENA, PAGE).unwrap()) };
            START.store(start as usize, Relaxed);
        }
        let size = size.next_multiple_of(PAGE);
        let at = GROWN.load(Relaxed);
        if at + size > LIMIT.load(Relaxed) {
            return (std::ptr::null_mut(), 0, 0);
        }
        GROWN.store(at + size, Relaxed);
        ((START.load(Relaxed) + at) as *mut u8, size, 0)
    }
    fn remap(&self, _: *mut u8, _: usize, _: usize, _: bool) -> *mut u8 {
        std::ptr::null_mut()
    }
    fn free_part(&self, _: *mut u8, _: usize, _: usize) -> bool {
        false
    }
    fn free(&self, _: *mut u8, _: usize) -> bool {
        false
    }
    fn can_release_part(&self, _: u32) -> bool {
        false
    }
    fn allocates_zeros(&self) -> bool {
        true
    }
    fn page_size(&self) -> usize {
        PAGE
    }
}

static DLMALLOC: Mutex<Dlmalloc<Pages>> = Mutex::new(Dlmalloc::new_with_allocator(Pages));

struct Boxes;

// SAFETY: memory goes back to where it came from, told by its address.
unsafe impl GlobalAlloc for Boxes {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if INSIDE.get() {
            // SAFETY: the caller's promises are passed on.
            let block = unsafe { DLMALLOC.lock().unwrap().malloc(layout.size(), layout.align()) };
            LIVE.fetch_add(if block.is_null() { 0 } else { layout.size() }, Relaxed);
            block
        } else {
            // SAFETY: as above.
            unsafe { System.alloc(layout) }
        }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if (pointer as usize).wrapping_sub(START.load(Relaxed)) < ARENA {
            LIVE.fetch_sub(layout.size(), Relaxed);
            // SAFETY: it is of the arena.
            unsafe { DLMALLOC.lock().unwrap().free(pointer, layout.size(), layout.align()) }
        } else {
            // SAFETY: it is not.
            unsafe { System.dealloc(pointer, layout) }
        }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if (pointer as usize).wrapping_sub(START.load(Relaxed)) < ARENA {
            // SAFETY: it is of the arena.
            let block = unsafe { DLMALLOC.lock().unwrap().realloc(pointer, layout.size(), layout.align(), size) };
            if !block.is_null() {
                LIVE.fetch_add(size, Relaxed);
                LIVE.fetch_sub(layout.size(), Relaxed);
            }
            block
        } else {
            // SAFETY: it is not.
            unsafe { System.realloc(pointer, layout, size) }
        }
    }
}

#[global_allocator]
static ALLOCATOR: Boxes = Boxes;

/// Bytes that the arena has grown to, and that are in use.
pub fn memory() -> (usize, usize) {
    (GROWN.load(Relaxed), LIVE.load(Relaxed))
}

/// Bytes of linear memory that are not the heap's: the stack of wasm, and static data.
const REST: usize = 3 << 19;

/// Runs `f`, which must leave nothing in the arena, as a box with that much memory. One at a time.
pub fn limited<T>(memory: usize, f: impl FnOnce() -> T) -> T {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    assert_eq!(LIVE.load(Relaxed), 0, "another test has left something");
    *DLMALLOC.lock().unwrap() = Dlmalloc::new_with_allocator(Pages);
    GROWN.store(0, Relaxed);
    LIMIT.store(memory - REST, Relaxed);
    let result = f();
    LIMIT.store(ARENA, Relaxed);
    result
}
