//! Freed blocks of the heap, kept for the next who wants one of their size.
//!
//! Each call from wasm that may wait is a future in a block of its own, which lives no longer than the call. To find a
//! place for it, and to give it back, costs talc some 180 instructions; a block that is kept costs fewer. An instance that
//! is made for one request has some dozens of blocks of a few sizes, all at once.

use core::{alloc::Layout, ptr::null_mut};

/// Sizes are rounded up to multiples of this, which is also what a block is aligned to at most.
const STEP: usize = 32;
/// Blocks up to 1 KiB are kept.
const CLASSES: usize = 32;
/// The most blocks of one size up to 256 bytes,
const KEPT: usize = 24;
/// and of a larger one.
const KEPT_LARGE: usize = 4;

const fn kept(class: usize) -> usize {
    if class < CLASSES / 4 { KEPT } else { KEPT_LARGE }
}

pub struct Recycler {
    kept: [[*mut u8; KEPT]; CLASSES],
    count: [u8; CLASSES],
}

// SAFETY: whoever has the recycler has the blocks in it, and nobody else has.
#[allow(unsafe_code)]
unsafe impl Send for Recycler {}

/// A size that blocks are kept of.
#[derive(Clone, Copy)]
pub struct Class(usize);

impl Class {
    #[inline]
    pub fn of(layout: Layout) -> Option<Class> {
        let class = layout.size().wrapping_sub(1) / STEP;
        (class < CLASSES && layout.align() <= STEP).then_some(Class(class))
    }

    /// The layout of its blocks.
    #[inline]
    pub fn layout(self) -> Layout {
        const LAYOUTS: [Layout; CLASSES] = {
            let mut layouts = [Layout::new::<()>(); CLASSES];
            let mut class = 0;
            while class < CLASSES {
                layouts[class] = match Layout::from_size_align((class + 1) * STEP, STEP) {
                    Ok(layout) => layout,
                    Err(_) => panic!("a small size"),
                };
                class += 1;
            }
            layouts
        };
        LAYOUTS[self.0]
    }
}

impl Recycler {
    pub const fn new() -> Self {
        Recycler { kept: [[null_mut(); KEPT]; CLASSES], count: [0; CLASSES] }
    }

    /// A block of that size that was put here.
    #[inline]
    pub fn take(&mut self, Class(class): Class) -> Option<*mut u8> {
        let count = self.count[class].checked_sub(1)?;
        self.count[class] = count;
        self.kept[class].get(usize::from(count)).copied()
    }

    /// False: there are enough of that size.
    #[inline]
    pub fn put(&mut self, Class(class): Class, block: *mut u8) -> bool {
        let count = &mut self.count[class];
        if usize::from(*count) >= kept(class) {
            return false;
        }
        self.kept[class][usize::from(*count)] = block;
        *count += 1;
        true
    }

    /// Bytes of the blocks that are kept.
    pub fn bytes(&self) -> usize {
        self.count.iter().enumerate().map(|(class, count)| usize::from(*count) * (class + 1) * STEP).sum()
    }
}
