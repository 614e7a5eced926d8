//! Stacks with an unmapped page below each, so that an overflow is a page fault and not somebody's data.
//!
//! Their memory is mapped when they are made: a stack that were committed lazily could fault while the kernel holds
//! the lock that the fault needs. Stacks of boxes that ended are kept for the next ones, up to [`KEPT`].

use alloc::vec::Vec;
use core::ops::Range;

use super::{
    OutOfMemory,
    frames::{self, Owner},
    layout::{PAGE, page_up},
    paging::{Access, Arena, Entry, invalidate, next_table},
};
use crate::cpu::lock::Lock;

/// How many unused stacks stay mapped.
const KEPT: usize = 2;

static STACKS: Lock<Option<Stacks>> = Lock::new(None);

/// A mapped stack. Dropping it gives it back.
#[derive(Debug)]
pub struct Stack {
    /// without the guard page below it
    range: Range<usize>,
}

struct Stacks {
    arena: Arena,
    /// addresses from here on were never used
    next: usize,
    /// mapped and unused
    kept: Vec<Range<usize>>,
    /// not mapped, for a stack of that size
    unmapped: Vec<Range<usize>>,
}

pub fn init(arena: Arena) {
    let next = arena.range().start;
    *STACKS.lock() = Some(Stacks { arena, next, kept: Vec::new(), unmapped: Vec::new() });
}

impl Stack {
    /// A stack of `size` bytes, rounded up to pages. Its contents are what its last user left, unless `zeroed`.
    pub fn new(size: usize, zeroed: bool) -> Result<Stack, OutOfMemory> {
        let size = page_up(size.max(1));
        let range = STACKS.lock().as_mut().expect("the memory is initialised").take(size)?;
        if zeroed {
            clear(&range);
        }
        Ok(Stack { range })
    }

    /// One past its highest byte; page aligned.
    pub fn top(&self) -> usize {
        self.range.end
    }

    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// The unmapped page below.
    pub fn guard(&self) -> Range<usize> {
        self.range.start - PAGE..self.range.start
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        STACKS.lock().as_mut().expect("the memory is initialised").give(self.range.clone());
    }
}

/// True if `address` is in a guard page or in a stack that does not exist: an access there is a stack overflow.
pub fn is_guard(address: usize) -> bool {
    super::layout::STACKS.contains(&address)
}

impl Stacks {
    fn take(&mut self, size: usize) -> Result<Range<usize>, OutOfMemory> {
        let of_size = |list: &Vec<Range<usize>>| list.iter().rposition(|range| range.len() == size);
        if let Some(index) = of_size(&self.kept) {
            return Ok(self.kept.swap_remove(index));
        }
        let range = match of_size(&self.unmapped) {
            Some(index) => self.unmapped.swap_remove(index),
            None => {
                let start = self.next + PAGE;
                if start + size > self.arena.range().end {
                    return Err(OutOfMemory);
                }
                self.next = start + size;
                start..start + size
            }
        };
        if let Err(error) = self.map(&range) {
            self.unmap(&range);
            self.unmapped.push(range);
            return Err(error);
        }
        Ok(range)
    }

    fn give(&mut self, range: Range<usize>) {
        if self.kept.len() < KEPT {
            self.kept.push(range);
        } else {
            self.unmap(&range);
            self.unmapped.push(range);
        }
    }

    fn map(&mut self, range: &Range<usize>) -> Result<(), OutOfMemory> {
        for page in range.clone().step_by(PAGE) {
            let frame = frames::allocate(Owner::Stacks).ok_or(OutOfMemory)?;
            let physical = frame.address()..frame.address() + PAGE;
            // SAFETY: the frame was just allocated, and nothing is mapped at that place.
            #[allow(unsafe_code)]
            let mapped = unsafe { self.arena.map(page, physical, Access::ReadWrite.flags()) };
            if mapped.is_err() {
                release(frame);
                return Err(OutOfMemory);
            }
        }
        Ok(())
    }

    fn unmap(&mut self, range: &Range<usize>) {
        let mut address = range.start;
        while address < range.end {
            for (entry, page) in
                self.arena.entries(address..range.end).into_iter().flatten().zip((address..).step_by(PAGE))
            {
                if entry.is_present() {
                    let frame = core::mem::replace(entry, Entry::EMPTY).frame();
                    invalidate(page);
                    release(frame);
                }
            }
            address = next_table(address);
        }
    }
}

#[allow(unsafe_code)]
fn release(frame: frames::Frame) {
    // SAFETY: its mapping, the only way to it, was never made or has just been removed.
    unsafe { frames::free(frame, Owner::Stacks) };
}

#[allow(unsafe_code)]
fn clear(range: &Range<usize>) {
    // SAFETY: the range was just taken: mapped, and nobody's yet.
    unsafe { core::ptr::with_exposed_provenance_mut::<u8>(range.start).write_bytes(0, range.len()) };
}
