//! Memory that devices read and write: consecutive frames, whose physical address is their pointer.

use core::ptr::NonNull;

use super::{
    OutOfMemory,
    frames::{self, Frame, Owner},
    layout::{PAGE, pages},
};

/// Zeroed, page aligned, physically consecutive memory. Dropping it gives it back: first make the device let go of it.
#[derive(Debug)]
pub struct Dma {
    start: Frame,
    pages: usize,
}

impl Dma {
    /// At least `bytes` bytes, at most 4 MiB.
    #[allow(unsafe_code)]
    pub fn new(bytes: usize) -> Result<Dma, OutOfMemory> {
        let pages = pages(bytes).max(1);
        let start = frames::allocate_run(pages, Owner::Devices).ok_or(OutOfMemory)?;
        for page in 0..pages {
            // SAFETY: these frames were just allocated.
            unsafe { frames::zero(Frame::containing(start.address() + page * PAGE)) };
        }
        Ok(Dma { start, pages })
    }

    /// What the device is told.
    pub fn physical(&self) -> u64 {
        self.start.address() as u64
    }

    pub fn pointer(&self) -> NonNull<u8> {
        NonNull::new(self.start.pointer()).expect("frame 0 is never given out")
    }
}

impl Drop for Dma {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        for page in 0..self.pages {
            // SAFETY: this owns the frames, and the driver has made the device stop using them.
            unsafe { frames::free(Frame::containing(self.start.address() + page * PAGE), Owner::Devices) };
        }
    }
}
