//! A split virtqueue (Virtual I/O Device specification 1.2, 2.7).
//!
//! In place of virtio-drivers' queue, which makes buffers available one by one and describes each of them anew: here
//! descriptors stay as they are from one use to the next, and a batch becomes available at once. Without
//! `VIRTIO_F_EVENT_IDX` and `VIRTIO_F_INDIRECT_DESC`.

#![allow(unsafe_code)]

use crate::drivers::machine::Dma;
use alloc::{boxed::Box, vec};
use core::slice;
use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering, fence};
use virtio_drivers::transport::Transport;
use virtio_drivers::{Error, PAGE_SIZE};

/// The device returned what it was never given. It is not to be used any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Faulty;

/// What the device may do with a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
}

/// Descriptors, the ring of those that are available to the device, and the ring of those that it has used.
///
/// Invariant: the three lie in `memory`, which lives as long as the ring. The device may read and write it at any time,
/// so it is accessed by atomic operations only, and nothing read from it is believed: an index that the device returns
/// counts if `offered` says that it has it.
pub struct Ring {
    queue: u16,
    /// a power of two
    size: u16,
    memory: Dma,
    used_offset: usize,
    offered: Box<[bool]>,
    /// indices of the rings, which run freely and wrap
    next_available: u16,
    published: u16,
    next_used: u16,
}

/// A descriptor's flags (2.7.5): another one follows, and the device writes the buffer.
const NEXT: u64 = 1 << 32;
const WRITE: u64 = 2 << 32;

/// Words of the available ring (2.7.6).
const FLAGS: usize = 0;
const INDEX: usize = 1;
const ENTRIES: usize = 2;
/// Its flag: the driver wants no interrupts.
const NO_INTERRUPT: u16 = 1;

/// Bit of the used ring's first word (2.7.8): the device wants no notifications. The index is the upper half.
const NO_NOTIFY: u32 = 1;

impl Ring {
    /// Sets up a queue of at most `wanted` descriptors, without interrupts.
    pub fn new(transport: &mut impl Transport, queue: u16, wanted: u16) -> Result<Self, Error> {
        if transport.queue_used(queue) {
            return Err(Error::AlreadyUsed);
        }
        let most = transport.max_queue_size(queue).min(wanted.into()) as u16;
        let size = most.checked_ilog2().map(|log| 1 << log).ok_or(Error::Unsupported)?;
        let count = usize::from(size);
        // As the legacy interface has it (2.7.2), which the modern one allows: the used ring is on a page of its own.
        let available_offset = 16 * count;
        let used_offset = (available_offset + 2 * (ENTRIES + count + 1)).next_multiple_of(PAGE_SIZE);
        let memory = Dma::new(used_offset + 4 * (2 + 2 * count)).map_err(|_| Error::DmaError)?;
        let start = memory.physical();
        let (available, used) = (start + available_offset as u64, start + used_offset as u64);
        let offered = vec![false; count].into_boxed_slice();
        let ring = Ring { queue, size, memory, used_offset, offered, next_available: 0, published: 0, next_used: 0 };
        ring.available()[FLAGS].store(NO_INTERRUPT, Ordering::Relaxed);
        transport.queue_set(queue, size.into(), start, available, used);
        Ok(ring)
    }

    /// How many descriptors there are.
    pub fn size(&self) -> u16 {
        self.size
    }

    /// Says what a descriptor points to, and which one follows it. The device must not have it.
    ///
    /// # Safety
    /// The memory is the device's to access whenever the descriptor has been offered and not been taken back.
    pub unsafe fn describe(&mut self, descriptor: u16, address: u64, length: u32, access: Access, next: Option<u16>) {
        let write = if access == Access::Write { WRITE } else { 0 };
        let next = next.map_or(0, |next| NEXT | u64::from(next) << 48);
        let descriptors = self.descriptors();
        descriptors[usize::from(descriptor) * 2].store(address, Ordering::Relaxed);
        descriptors[usize::from(descriptor) * 2 + 1].store(u64::from(length) | write | next, Ordering::Relaxed);
    }

    /// Puts a descriptor, the first of its chain, on the available ring. The device sees it after the next [`Ring::publish`].
    #[inline]
    pub fn offer(&mut self, descriptor: u16) {
        let slot = usize::from(self.next_available & (self.size - 1));
        self.available()[ENTRIES + slot].store(descriptor, Ordering::Relaxed);
        self.offered[usize::from(descriptor)] = true;
        self.next_available = self.next_available.wrapping_add(1);
    }

    /// Makes what was offered visible to the device, and notifies it if it wants to know.
    #[inline]
    pub fn publish(&mut self, transport: &mut impl Transport) {
        if self.published == self.next_available {
            return;
        }
        self.published = self.next_available;
        self.available()[INDEX].store(self.published, Ordering::Release);
        // The device must see the index before its wish is read, or each side may think that the other acts.
        fence(Ordering::SeqCst);
        if self.used()[0].load(Ordering::Relaxed) & NO_NOTIFY == 0 {
            transport.notify(self.queue);
        }
    }

    /// True if the device has returned a descriptor.
    #[inline]
    pub fn ready(&self) -> bool {
        (self.used()[0].load(Ordering::Acquire) >> 16) as u16 != self.next_used
    }

    /// The next descriptor that the device has returned, and how many bytes it says it wrote.
    #[inline]
    pub fn take(&mut self) -> Result<Option<(u16, u32)>, Faulty> {
        if !self.ready() {
            return Ok(None);
        }
        let slot = 1 + 2 * usize::from(self.next_used & (self.size - 1));
        let used = self.used();
        let (descriptor, written) = (used[slot].load(Ordering::Relaxed), used[slot + 1].load(Ordering::Relaxed));
        let offered = self.offered.get_mut(descriptor as usize).ok_or(Faulty)?;
        if !core::mem::take(offered) {
            return Err(Faulty);
        }
        self.next_used = self.next_used.wrapping_add(1);
        Ok(Some((descriptor as u16, written)))
    }

    /// Asks the device for an interrupt when it returns a descriptor, or for none. It may send one all the same.
    pub fn set_interrupts(&mut self, on: bool) {
        self.available()[FLAGS].store(if on { 0 } else { NO_INTERRUPT }, Ordering::Relaxed);
        // What the device returns from now on, it returns with the flag seen; what it returned before, `ready` sees.
        fence(Ordering::SeqCst);
    }

    fn descriptors(&self) -> &[AtomicU64] {
        let start = self.memory.pointer().cast();
        // SAFETY: `memory` starts with `size` descriptors of two such words; see the invariant.
        unsafe { slice::from_raw_parts(start.as_ptr(), 2 * usize::from(self.size)) }
    }

    fn available(&self) -> &[AtomicU16] {
        let count = usize::from(self.size);
        // SAFETY: the available ring follows the descriptors in `memory`: flags, index, entries, and one word that goes
        // unused; see the invariant.
        unsafe {
            let start = self.memory.pointer().byte_add(16 * count).cast();
            slice::from_raw_parts(start.as_ptr(), ENTRIES + count + 1)
        }
    }

    /// Flags and index, then a descriptor and a length for each entry.
    fn used(&self) -> &[AtomicU32] {
        // SAFETY: the used ring is at `used_offset` in `memory`, which has room for it; see the invariant.
        unsafe {
            let start = self.memory.pointer().byte_add(self.used_offset).cast();
            slice::from_raw_parts(start.as_ptr(), 1 + 2 * usize::from(self.size))
        }
    }
}
