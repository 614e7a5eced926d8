//! Page frames: who has how many, and which are free.
//!
//! A buddy allocator over all RAM (Knuth, TAOCP volume 1, 2.5): free blocks of 2^order frames hang on a list per order,
//! linked through the blocks themselves; one byte per frame says whether a free block starts there and how large it is.
//! Single frames, which is what is nearly always asked for, are kept on a short stack in front of it, so that freeing a
//! box and starting the next does not merge and split blocks for nothing.
//!
//! **Promises.** Wasm memory is committed at its first touch, in a page fault, where a lack of memory could no longer
//! be reported to whoever asked. So a page is promised when it becomes accessible (`memory.grow` fails if it cannot be)
//! and the fault takes what was promised: `free >= promised`, always. There is no overcommit and no box is killed for
//! another's growth.
//!
//! RAM that was never used is not even looked at: it becomes blocks 4 MiB at a time, when those before it are used up. A
//! virtual machine's host need not provide what its guest has not touched.
//!
//! Invariant: a frame is in exactly one of: a fresh range, a free list (inside a block), the stack, or the hands of
//! whoever got it.

use core::ops::Range;

use super::layout::{PAGE, pages};
use crate::cpu::lock::Lock;

/// A page frame, by its physical address, which is also a pointer to it. It is a name and not the frame: whoever follows
/// the pointer answers for owning the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame(usize);

impl Frame {
    pub fn address(self) -> usize {
        self.0
    }

    /// The frame at that address, page aligned.
    pub fn containing(address: usize) -> Frame {
        Frame(address & !(PAGE - 1))
    }

    pub fn pointer(self) -> *mut u8 {
        core::ptr::with_exposed_provenance_mut(self.0)
    }
}

/// What frames are used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// memories of boxes, and the images they start from
    Boxes,
    /// compiled code that was copied out of the image
    Code,
    Stacks,
    Tables,
    Heap,
    /// buffers that devices read and write
    Devices,
}

const OWNERS: usize = 6;
/// Blocks of up to 4 MiB.
const ORDERS: usize = 11;
const CACHED: usize = 64;
/// Ranges of RAM; what does not fit becomes blocks at once.
const FRESH: usize = 16;
/// Frames that promises leave alone, for the heap and page tables of what is running: 1/64 of RAM, but at least this.
const LEAST_MARGIN: usize = 32;

static FRAMES: Lock<Frames> = Lock::new(Frames {
    blocks: &mut [],
    lists: [0; ORDERS],
    cache: [0; CACHED],
    cached: 0,
    fresh: [const { 0..0 }; FRESH],
    usage: Usage { total: 0, free: 0, promised: 0, by_owner: [0; OWNERS] },
});

/// Pages of memory, by use.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// all that the allocator was ever given
    pub total: usize,
    pub free: usize,
    /// accessible to boxes but not committed yet
    pub promised: usize,
    by_owner: [usize; OWNERS],
}

impl Usage {
    pub fn of(&self, owner: Owner) -> usize {
        self.by_owner[owner as usize]
    }
}

pub fn usage() -> Usage {
    FRAMES.lock().usage
}

/// The same, unless the allocator is in use: for reports of failures, which may be its own.
pub fn try_usage() -> Option<Usage> {
    FRAMES.try_lock().map(|frames| frames.usage)
}

/// A frame with arbitrary contents.
pub fn allocate(owner: Owner) -> Option<Frame> {
    let mut frames = FRAMES.lock();
    if frames.usage.free <= frames.usage.promised {
        return None;
    }
    frames.take_one(owner)
}

pub fn allocate_zeroed(owner: Owner) -> Option<Frame> {
    let frame = allocate(owner)?;
    // SAFETY: it was just allocated.
    #[allow(unsafe_code)]
    unsafe {
        zero(frame);
    }
    Some(frame)
}

/// Consecutive frames, aligned to the next power of two of their number. At most 4 MiB.
pub fn allocate_run(count: usize, owner: Owner) -> Option<Frame> {
    let mut frames = FRAMES.lock();
    if frames.usage.free < frames.usage.promised + count {
        return None;
    }
    frames.take_run(count, owner)
}

/// Gives a frame back.
///
/// # Safety
/// It came from this allocator for that owner and nobody can reach it any more.
#[allow(unsafe_code)]
pub unsafe fn free(frame: Frame, owner: Owner) {
    FRAMES.lock().give_one(frame, owner);
}

/// Promises that the next `count` [`allocate_promised`] will succeed. False if there is not enough memory.
pub fn promise(count: usize) -> bool {
    let mut frames = FRAMES.lock();
    let margin = (frames.usage.total / 64).max(LEAST_MARGIN);
    let enough = frames.usage.free >= frames.usage.promised + count + margin;
    if enough {
        frames.usage.promised += count;
    }
    enough
}

/// Takes back promises that were not used.
pub fn withdraw(count: usize) {
    FRAMES.lock().usage.promised -= count;
}

/// Promises as many frames as have just been freed, each of which had been promised before it was allocated.
pub fn promise_again(count: usize) {
    FRAMES.lock().usage.promised += count;
}

/// A frame that was promised, with arbitrary contents.
pub fn allocate_promised(owner: Owner) -> Frame {
    let mut frames = FRAMES.lock();
    frames.usage.promised -= 1;
    frames.take_one(owner).expect("a promised page frame is there")
}

/// Fills a frame with zeroes.
///
/// # Safety
/// The frame came from the allocator, was not given back, and nobody else uses it.
#[allow(unsafe_code)]
pub unsafe fn zero(frame: Frame) {
    // SAFETY: the allocator's frames are RAM that is mapped; for the rest the caller answers.
    unsafe { frame.pointer().write_bytes(0, PAGE) };
}

/// Makes the allocator cover RAM up to `limit`, with its table in `table`.
///
/// # Safety
/// Called once. `table` is RAM that is mapped and used by nothing else, one byte per frame below `limit`.
#[allow(unsafe_code)]
pub unsafe fn init(table: &'static mut [u8]) {
    table.fill(0);
    let mut frames = FRAMES.lock();
    frames.blocks = table;
}

/// Adds RAM to what can be allocated.
///
/// # Safety
/// It is RAM below the limit given to [`init`], mapped, used by nothing, and was not added before.
#[allow(unsafe_code)]
pub unsafe fn add(start: usize, end: usize) {
    let mut frames = FRAMES.lock();
    let range = pages(start)..end / PAGE;
    frames.usage.total += range.len();
    frames.usage.free += range.len();
    match frames.fresh.iter_mut().find(|fresh| fresh.start >= fresh.end) {
        Some(empty) => *empty = range,
        None => frames.divide(range),
    }
}

struct Frames {
    /// one per frame: 0, or `FREE | order` where a free block starts
    blocks: &'static mut [u8],
    /// the first free block of each order, by frame number; 0 is none, since frame 0 is never given out
    lists: [usize; ORDERS],
    cache: [usize; CACHED],
    cached: usize,
    /// frames that never were in a block, by number
    fresh: [Range<usize>; FRESH],
    usage: Usage,
}

const FREE: u8 = 0x80;

/// The links of a free block, in its first bytes.
struct Links {
    next: usize,
    previous: usize,
}

impl Frames {
    fn take_one(&mut self, owner: Owner) -> Option<Frame> {
        if self.cached == 0 {
            return self.take_run(1, owner);
        }
        self.cached -= 1;
        self.account(1, owner);
        Some(Frame(self.cache[self.cached] * PAGE))
    }

    fn give_one(&mut self, frame: Frame, owner: Owner) {
        if self.cached == CACHED {
            // the older half goes back; the newer half is still in the CPU's caches
            for cached in 0..CACHED / 2 {
                self.merge(self.cache[cached]);
            }
            self.cache.copy_within(CACHED / 2.., 0);
            self.cached = CACHED / 2;
        }
        self.cache[self.cached] = frame.0 / PAGE;
        self.cached += 1;
        self.usage.free += 1;
        self.usage.by_owner[owner as usize] -= 1;
    }

    fn take_run(&mut self, count: usize, owner: Owner) -> Option<Frame> {
        let wanted = count.next_power_of_two().trailing_zeros() as usize;
        let index = loop {
            if let Some(index) = self.split(wanted) {
                break index;
            }
            if !self.open() {
                self.flush();
                break self.split(wanted)?;
            }
        };
        // what was rounded up goes back at once
        for spare in index + count..index + (1 << wanted) {
            self.merge(spare);
        }
        self.account(count, owner);
        Some(Frame(index * PAGE))
    }

    /// Makes blocks of the next 4 MiB of fresh RAM. False if there is none.
    fn open(&mut self) -> bool {
        let Some(fresh) = self.fresh.iter_mut().find(|fresh| fresh.start < fresh.end) else { return false };
        let end = (fresh.start + 1).next_multiple_of(1 << (ORDERS - 1)).min(fresh.end);
        let range = fresh.start..end;
        fresh.start = end;
        self.divide(range);
        true
    }

    /// Makes free blocks of frames, as large as alignment permits.
    fn divide(&mut self, range: Range<usize>) {
        let mut index = range.start;
        while index < range.end {
            let mut order = ORDERS - 1;
            while index & ((1 << order) - 1) != 0 || index + (1 << order) > range.end {
                order -= 1;
            }
            self.insert(index, order);
            index += 1 << order;
        }
    }

    fn account(&mut self, count: usize, owner: Owner) {
        self.usage.free -= count;
        self.usage.by_owner[owner as usize] += count;
    }

    /// Takes a block of that order, splitting a larger one if need be.
    fn split(&mut self, wanted: usize) -> Option<usize> {
        let mut order = (wanted..ORDERS).find(|&order| self.lists[order] != 0)?;
        let index = self.lists[order];
        self.remove(index, order);
        while order > wanted {
            order -= 1;
            self.insert(index + (1 << order), order);
        }
        Some(index)
    }

    /// Frees one frame into the lists, joining it with its free buddies.
    fn merge(&mut self, mut index: usize) {
        let mut order = 0;
        while order < ORDERS - 1 {
            let buddy = index ^ (1 << order);
            if self.blocks.get(buddy) != Some(&(FREE | order as u8)) {
                break;
            }
            self.remove(buddy, order);
            index &= !(1 << order);
            order += 1;
        }
        self.insert(index, order);
    }

    fn flush(&mut self) {
        for cached in 0..core::mem::take(&mut self.cached) {
            self.merge(self.cache[cached]);
        }
    }

    fn insert(&mut self, index: usize, order: usize) {
        let next = core::mem::replace(&mut self.lists[order], index);
        *self.links(index) = Links { next, previous: 0 };
        if next != 0 {
            self.links(next).previous = index;
        }
        self.blocks[index] = FREE | order as u8;
    }

    fn remove(&mut self, index: usize, order: usize) {
        let Links { next, previous } = *self.links(index);
        match previous {
            0 => self.lists[order] = next,
            _ => self.links(previous).next = next,
        }
        if next != 0 {
            self.links(next).previous = previous;
        }
        self.blocks[index] = 0;
    }

    #[allow(unsafe_code)]
    fn links(&mut self, index: usize) -> &mut Links {
        // SAFETY: called for the first frames of free blocks only: mapped RAM that nobody else uses.
        unsafe { &mut *Frame(index * PAGE).pointer().cast::<Links>() }
    }
}
