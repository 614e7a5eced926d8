//! How virtio-drivers gets memory that devices can reach.

#![allow(unsafe_code)]

use crate::drivers::machine::Dma;
use crate::memory::frames::{self, Frame, Owner};
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use virtio_drivers::{BufferDirection, Hal, PhysAddr};

/// The kernel's memory. Physical memory is mapped where it is, and nothing stands between it and devices.
#[derive(Debug)]
pub struct Memory;

// SAFETY: `dma_alloc` returns whole, zeroed pages that nothing else uses until `dma_dealloc`, and their address as
// devices see it; `share` returns that same address.
unsafe impl Hal for Memory {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        match Dma::new(pages * virtio_drivers::PAGE_SIZE) {
            Ok(run) => {
                let run = ManuallyDrop::new(run);
                (run.physical(), run.pointer())
            }
            // what virtio-drivers takes as "no memory"
            Err(_) => (0, NonNull::dangling()),
        }
    }

    unsafe fn dma_dealloc(physical: PhysAddr, _: NonNull<u8>, pages: usize) -> i32 {
        for page in 0..pages {
            let frame = Frame::containing(physical as usize + page * virtio_drivers::PAGE_SIZE);
            // SAFETY: the caller gives back what `dma_alloc` returned: a run of frames for devices that lost its owner.
            unsafe { frames::free(frame, Owner::Devices) };
        }
        0
    }

    unsafe fn mmio_phys_to_virt(_: PhysAddr, _: usize) -> NonNull<u8> {
        unreachable!("only virtio-drivers' own PCI transport maps registers, and it is not used")
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        crate::memory::dma::physical(buffer.cast())
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}
