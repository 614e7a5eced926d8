//! The kernel heap: talc over a range of addresses that grows as frames are mapped behind it.
//!
//! It gives back what it grew by: when its last blocks are freed, so are the frames behind them, but for some that the next
//! allocation may want. Blocks at its end that live on keep the frames below them, too; freed memory there is the next
//! allocation's. Small blocks do not go back to talc at once.
//!
//! **When there is no memory.** The heap grows neither into frames that are promised to boxes nor beyond RAM. Who can go on
//! without asks with `try_reserve` and gets an error; wasmtime does so for most of what an instance takes. All other code
//! cannot go on: Rust's `handle_alloc_error` is a panic of the kernel ("memory allocation of N bytes failed"), which is
//! reported and resets the machine. So what boxes and clients make the node hold is to be charged or tried for.

use core::{
    alloc::{GlobalAlloc, Layout},
    ptr::NonNull,
};

use talc::{
    TalcLock,
    base::{Talc, binning::Binning},
    source::Source,
};

use super::{
    frames::{self, Owner},
    layout::{PAGE, page_up, pages},
    paging::{Access, Arena, Entry, invalidate},
    recycler::{Class, Recycler},
};
use crate::cpu::lock::{Lock, RawLock};

/// Grown by at least this much at a time.
const STEP: usize = 64 << 10;
/// It shrinks when more than this is free at its end, and then keeps a [`STEP`] of it.
const SPARE: usize = 256 << 10;

#[global_allocator]
static HEAP: Heap = Heap {
    talc: TalcLock::new(Growing { arena: None, mapped: 0, end: None, peak: 0 }),
    recycler: Lock::new(Recycler::new()),
};

struct Heap {
    talc: TalcLock<RawLock, Growing>,
    recycler: Lock<Recycler>,
}

// SAFETY: a block that has a class is of talc with the layout of the class, which is no smaller and no less aligned than
// what was asked for, and goes back with it; while the recycler has it, nobody else has. All others are talc's.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Heap {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(class) = Class::of(layout) else {
            // SAFETY: as the caller promises.
            return unsafe { self.talc.alloc(layout) };
        };
        let kept = self.recycler.lock().take(class);
        // SAFETY: the layout of a class is not empty.
        kept.unwrap_or_else(|| unsafe { self.talc.alloc(class.layout()) })
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(class) = Class::of(layout) else {
            // SAFETY: such a block is of talc, with this layout.
            return unsafe { self.talc.dealloc(block, layout) };
        };
        if !self.recycler.lock().put(class, block) {
            // SAFETY: a block of a class is of talc, with the layout of the class.
            unsafe { self.talc.dealloc(block, class.layout()) };
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller promises a size that does not overflow when it is rounded up to the alignment.
        let new = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        if let (None, None) = (Class::of(layout), Class::of(new)) {
            // SAFETY: such a block is of talc, with this layout.
            return unsafe { self.talc.realloc(block, layout, new_size) };
        }
        // SAFETY: as the caller promises; both blocks hold at least the smaller of the two sizes.
        unsafe {
            let moved = self.alloc(new);
            if !moved.is_null() {
                core::ptr::copy_nonoverlapping(block, moved, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}

/// Gives the heap its addresses.
pub fn init(arena: Arena) {
    let mut heap = HEAP.talc.lock();
    heap.source.mapped = arena.range().start;
    heap.source.arena = Some(arena);
}

/// Bytes of the heap.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    pub used: usize,
    /// The most that was in use when the heap had to grow, or now.
    pub peak: usize,
}

pub fn usage() -> Usage {
    let kept = HEAP.recycler.lock().bytes();
    let heap = HEAP.talc.lock();
    let used = heap.counters().allocated_bytes.saturating_sub(kept);
    Usage { used, peak: heap.source.peak.max(used) }
}

/// Where talc gets memory from: the frames, mapped at the end of what it has.
struct Growing {
    arena: Option<Arena>,
    /// where the next frame is mapped
    mapped: usize,
    /// talc's name for the end of the heap
    end: Option<NonNull<u8>>,
    peak: usize,
}

impl core::fmt::Debug for Growing {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "heap up to {:#x}", self.mapped)
    }
}

impl Growing {
    /// Maps frames for `bytes` more, and says where they end. What cannot be had at all is not even begun.
    fn grow(&mut self, bytes: usize) -> Option<usize> {
        let arena = self.arena.as_mut()?;
        let end = self.mapped.checked_add(bytes).filter(|&end| end <= arena.range().end)?;
        let frames = frames::usage();
        if frames.free - frames.promised < pages(bytes) {
            return None;
        }
        while self.mapped < end {
            let Some(frame) = frames::allocate(Owner::Heap) else { break };
            let flags = Access::ReadWrite.flags();
            // SAFETY: the frame was just allocated, and the place is new.
            #[allow(unsafe_code)]
            let mapped = unsafe { arena.map(self.mapped, frame.address()..frame.address() + PAGE, flags) };
            if mapped.is_err() {
                release(frame);
                break;
            }
            self.mapped += PAGE;
        }
        Some(self.mapped)
    }
}

impl Growing {
    /// Unmaps the pages from `end` on, which is page aligned, and frees their frames.
    fn shrink(&mut self, end: usize) {
        let Some(arena) = self.arena.as_mut() else { return };
        for page in (end..self.mapped).step_by(PAGE) {
            if let Some(entry) = arena.entry(page).filter(|entry| entry.is_present()) {
                let frame = core::mem::replace(entry, Entry::EMPTY).frame();
                invalidate(page);
                release(frame);
            }
        }
        self.mapped = end;
    }
}

#[allow(unsafe_code)]
fn release(frame: frames::Frame) {
    // SAFETY: it could not be mapped, or no longer is, so nobody can reach it.
    unsafe { frames::free(frame, Owner::Heap) };
}

// SAFETY: `end` is a name for a place in the heap, which belongs to no CPU.
#[allow(unsafe_code)]
unsafe impl Send for Growing {}

// SAFETY: `acquire` hands over pages that were just mapped for the heap alone, and allocates nothing from it. What `resize`
// takes back lies above the last chunk, at the end of the only heap, which `mapped` and `end` are kept in step with.
#[allow(unsafe_code)]
unsafe impl Source for Growing {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        let used = talc.counters().allocated_bytes;
        talc.source.peak = talc.source.peak.max(used);
        // talc's own needs: a few words per allocation, and its tables in the first claim
        let overhead = if talc.source.end.is_none() { PAGE } else { 128 };
        let needed = layout.size().checked_add(layout.align() + overhead).ok_or(())?;
        let start = talc.source.mapped;
        let end = talc.source.grow(page_up(needed).max(STEP)).ok_or(())?;
        if end == start {
            return Err(());
        }
        let pointer = core::ptr::with_exposed_provenance_mut::<u8>;
        talc.source.end = match talc.source.end {
            // SAFETY: the heap ends where these pages start (less what talc rounds off), and they are the heap's.
            Some(heap_end) => Some(unsafe { talc.extend(heap_end, pointer(end)) }),
            // SAFETY: as above.
            None => unsafe { talc.claim(pointer(start), end - start) },
        };
        // if it is still not enough, talc asks again, until nothing can be mapped
        Ok(())
    }

    const TRACK_HEAP_END: bool = true;

    #[inline]
    unsafe fn resize(&mut self, last: *mut u8, end: *mut u8, _is_empty: bool) -> *mut u8 {
        if end.addr() - last.addr() <= SPARE {
            return end;
        }
        let kept = page_up(last.addr() + STEP);
        self.shrink(kept);
        let end = end.with_addr(kept);
        self.end = NonNull::new(end);
        end
    }
}
