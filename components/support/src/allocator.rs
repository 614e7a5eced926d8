//! An allocator for boxes, which allocate one list of bytes at each turn and free it at the end of it.
//!
//! The standard library's takes some 500 instructions for that. In front of it, freed blocks of middling sizes are kept
//! by size, for the next who wants one.
#![allow(unsafe_code)]

use core::{
    alloc::{GlobalAlloc, Layout},
    cell::Cell,
    ptr,
};

/// Sizes are rounded up to powers of two from 2⁶ to 2¹³ bytes.
const SMALLEST: u32 = 6;
const CLASSES: usize = 8;
/// Blocks of a size that are kept at most.
const KEPT: u32 = 4;
/// What the inner allocator aligns everything to.
const ALIGNMENT: usize = 8;

/// Keeps freed blocks of `A`. For a single thread only: WebAssembly without threads.
pub struct Recycler<A> {
    inner: A,
    kept: [Cell<List>; CLASSES],
}

/// Freed blocks, each of which starts with the address of the next.
#[derive(Clone, Copy)]
struct List {
    first: *mut u8,
    length: u32,
}

// SAFETY: a component instance has one thread.
#[cfg(all(target_family = "wasm", not(target_feature = "atomics")))]
unsafe impl<A: Sync> Sync for Recycler<A> {}

impl<A> Recycler<A> {
    pub const fn new(inner: A) -> Self {
        Recycler { inner, kept: [const { Cell::new(List { first: ptr::null_mut(), length: 0 }) }; CLASSES] }
    }

    /// The class of a layout, if blocks for it are kept.
    #[inline]
    fn class(layout: Layout) -> Option<usize> {
        let class = (usize::BITS - (layout.size().wrapping_sub(1) >> SMALLEST).leading_zeros()) as usize;
        (class < CLASSES && layout.size() > 0 && layout.align() <= ALIGNMENT).then_some(class)
    }

    #[inline]
    fn whole(class: usize) -> Layout {
        // SAFETY: a small power of two, and the alignment is one.
        unsafe { Layout::from_size_align_unchecked(1 << (SMALLEST as usize + class), ALIGNMENT) }
    }
}

// SAFETY: a block that is handed out comes from the inner allocator with a layout that depends on the class of the
// layout asked for only, and is at least as large and as aligned; it goes back with the same. While a block is in a
// list nobody else has it, and it is large enough for an address.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Recycler<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(class) = Self::class(layout) else {
            // SAFETY: as the caller promises.
            return unsafe { self.inner.alloc(layout) };
        };
        let List { first, length } = self.kept[class].get();
        if first.is_null() {
            // SAFETY: the layout is not empty.
            return unsafe { self.inner.alloc(Self::whole(class)) };
        }
        // SAFETY: a kept block starts with the address of the next.
        let next = unsafe { first.cast::<*mut u8>().read() };
        self.kept[class].set(List { first: next, length: length - 1 });
        first
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(class) = Self::class(layout) else {
            // SAFETY: such a block is from the inner allocator, with this layout.
            return unsafe { self.inner.dealloc(block, layout) };
        };
        let List { first, length } = self.kept[class].get();
        if length == KEPT {
            // SAFETY: a block of this class is from the inner allocator with the layout of the class.
            return unsafe { self.inner.dealloc(block, Self::whole(class)) };
        }
        // SAFETY: the block is free now, aligned, and large enough.
        unsafe { block.cast::<*mut u8>().write(first) };
        self.kept[class].set(List { first: block, length: length + 1 });
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller promises a size that does not overflow when it is rounded up to the alignment.
        let new = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        match (Self::class(layout), Self::class(new)) {
            // SAFETY: such a block is from the inner allocator, with this layout.
            (None, None) => unsafe { self.inner.realloc(block, layout, new_size) },
            (Some(old), Some(new)) if old == new => block,
            _ => {
                // SAFETY: as the caller promises; both blocks hold at least the smaller of the two sizes.
                unsafe {
                    let moved = self.alloc(new);
                    if !moved.is_null() {
                        ptr::copy_nonoverlapping(block, moved, layout.size().min(new_size));
                        self.dealloc(block, layout);
                    }
                    moved
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{alloc::alloc, vec::Vec};
    use core::cell::RefCell;

    /// Counts what is out, and checks that it comes back with the layout that it went out with.
    #[derive(Default)]
    struct Checked(RefCell<Vec<(*mut u8, Layout)>>);

    // SAFETY: passes everything to the global allocator.
    unsafe impl GlobalAlloc for Checked {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            assert_ne!(layout.size(), 0);
            // SAFETY: not empty, as was asserted.
            let block = unsafe { alloc(layout) };
            self.0.borrow_mut().push((block, layout));
            block
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            let place = self.0.borrow().iter().position(|&known| known == (block, layout));
            self.0.borrow_mut().remove(place.expect("a block that is out, with its layout"));
            // SAFETY: it came from `alloc` with this layout.
            unsafe { alloc::alloc::dealloc(block, layout) };
        }
    }

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[test]
    fn a_freed_block_is_used_again() {
        let recycler = Recycler::new(Checked::default());
        // SAFETY: each block is freed once, with its layout.
        unsafe {
            let first = recycler.alloc(layout(100, 1));
            recycler.dealloc(first, layout(100, 1));
            assert_eq!(recycler.alloc(layout(128, 8)), first);
            let other = recycler.alloc(layout(65, 4));
            assert_ne!(other, first);
            recycler.dealloc(other, layout(65, 4));
            recycler.dealloc(first, layout(128, 8));
        }
        assert_eq!(recycler.inner.0.borrow().len(), 2);
    }

    #[test]
    fn few_are_kept_and_all_come_back_as_they_went() {
        let recycler = Recycler::new(Checked::default());
        let mut out: Vec<(*mut u8, Layout, u8)> = Vec::new();
        let mut seed = 1u32;
        for round in 0..20_000u32 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let size = 1 + (((seed >> 8) as usize % 20_000) >> (seed >> 28));
            let align = 1 << (seed % 6);
            let pick = (seed >> 12) as usize;
            // SAFETY: blocks are freed and grown with their layouts, and written within them.
            unsafe {
                match seed >> 30 {
                    0 | 1 if out.len() < 200 => {
                        let block = recycler.alloc(layout(size, align));
                        assert!(block.addr().is_multiple_of(align));
                        block.write_bytes(round as u8, size);
                        out.push((block, layout(size, align), round as u8));
                    }
                    2 if !out.is_empty() => {
                        let place = pick % out.len();
                        let (block, old, mark) = out[place];
                        let grown = recycler.realloc(block, old, size);
                        let kept = core::slice::from_raw_parts(grown, size.min(old.size()));
                        assert!(kept.iter().all(|&byte| byte == mark));
                        grown.write_bytes(mark, size);
                        out[place] = (grown, layout(size, old.align()), mark);
                    }
                    _ if !out.is_empty() => {
                        let (block, old, mark) = out.swap_remove(pick % out.len());
                        assert!(core::slice::from_raw_parts(block, old.size()).iter().all(|&byte| byte == mark));
                        recycler.dealloc(block, old);
                    }
                    _ => {}
                }
            }
        }
        for (block, old, _) in out {
            // SAFETY: as above.
            unsafe { recycler.dealloc(block, old) };
        }
        assert!(recycler.inner.0.borrow().len() <= CLASSES * KEPT as usize);
    }
}
