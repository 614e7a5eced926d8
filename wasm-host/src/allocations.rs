//! What tests allocate.

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

/// From here on the most is looked for that this thread has allocated at a time.
pub fn begin_peak() -> isize {
    PEAK.set(HELD.get());
    HELD.get()
}

/// How much more that was than what there was before.
pub fn peak(before: isize) -> usize {
    usize::try_from(PEAK.get() - before).unwrap_or_default()
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

/// What this thread has allocated and not freed.
#[cfg(feature = "build")]
pub fn held() -> isize {
    HELD.get()
}
