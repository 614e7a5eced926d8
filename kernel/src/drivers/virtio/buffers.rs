//! A virtqueue with the buffers that travel on it.
//!
//! Buffers are all of one size, two to a page; buffer `i` is what descriptor `i` points to, for good. A buffer is at
//! any time either free (the driver's) or with the device; the driver touches free ones only. The device is believed in
//! nothing but the contents of the buffers that it returns: what it says about them is checked.

#![allow(unsafe_code)]

use super::ring::{Access, Faulty, Ring};
use crate::drivers::machine::Dma;
use alloc::vec::Vec;
use core::ptr::NonNull;
use virtio_drivers::transport::Transport;
use virtio_drivers::{Error, PAGE_SIZE};

/// Bytes of a buffer.
pub const BUFFER: usize = 2048;
const PER_PAGE: usize = PAGE_SIZE / BUFFER;

/// Buffers on one queue, all for the device to read or all for it to write.
///
/// Invariant: a buffer is in `free` at most once, and then the device does not have it. Buffers live until the queue is
/// dropped, which its owner does before the device was started or after it was reset.
pub struct BufferQueue {
    ring: Ring,
    access: Access,
    /// bytes of each buffer that the device may write
    length: usize,
    /// bytes of each buffer that stay zero, before what is sent
    head: usize,
    pages: Vec<Dma>,
    free: Vec<u16>,
}

/// Why a frame was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendError {
    /// Every buffer is with the device, and there can be no more of them.
    Full,
    Faulty,
}

impl From<Faulty> for SendError {
    fn from(_: Faulty) -> Self {
        SendError::Faulty
    }
}

impl BufferQueue {
    /// A queue of at most `most` buffers to send, made as they are needed. What is sent has `head` zero bytes before it.
    pub fn to_send(transport: &mut impl Transport, index: u16, most: u16, head: usize) -> Result<Self, Error> {
        let ring = Ring::new(transport, index, most)?;
        let free = Vec::with_capacity(ring.size().into());
        Ok(BufferQueue { ring, access: Access::Read, length: 0, head, pages: Vec::new(), free })
    }

    /// A queue of at most `most` buffers to receive at most `length` bytes in, all of them offered to the device once
    /// [`BufferQueue::publish`] is called.
    pub fn to_receive(transport: &mut impl Transport, index: u16, most: u16, length: usize) -> Result<Self, Error> {
        let ring = Ring::new(transport, index, most)?;
        let free = Vec::with_capacity(ring.size().into());
        let length = length.min(BUFFER);
        let mut queue = BufferQueue { ring, access: Access::Write, length, head: 0, pages: Vec::new(), free };
        while queue.grow()? {}
        queue.offer_all();
        Ok(queue)
    }

    /// True if the device has returned a buffer.
    #[inline]
    pub fn ready(&self) -> bool {
        self.ring.ready()
    }

    pub fn set_interrupts(&mut self, on: bool) {
        self.ring.set_interrupts(on);
    }

    /// Shows `read` what the device wrote to the next buffer that it returned. False if there is none. If the device
    /// claims to have written more than it may, the bytes are empty.
    ///
    /// The buffer goes back to the device with the next [`BufferQueue::offer_all`].
    #[inline]
    pub fn receive(&mut self, read: impl FnOnce(&[u8])) -> Result<bool, Faulty> {
        let Some((buffer, written)) = self.ring.take()? else { return Ok(false) };
        let length = if written as usize <= self.length { written as usize } else { 0 };
        // SAFETY: the device has returned the buffer and gets it back later, so nothing else refers to it.
        read(unsafe { &self.place(buffer).as_ref()[..length] });
        self.free.push(buffer);
        Ok(true)
    }

    /// Offers every free buffer to the device.
    #[inline]
    pub fn offer_all(&mut self) {
        while let Some(buffer) = self.free.pop() {
            self.ring.offer(buffer);
        }
    }

    /// Offers a buffer to the device that holds the zero bytes and `body`.
    ///
    /// # Panics
    /// If they are longer than [`BUFFER`].
    #[inline]
    pub fn send(&mut self, body: &[u8]) -> Result<(), SendError> {
        if self.free.is_empty() {
            self.refill()?;
        }
        let buffer = self.free.pop().ok_or(SendError::Full)?;
        let mut place = self.place(buffer);
        let length = self.head + body.len();
        // SAFETY: the buffer was free, so nothing else refers to it.
        unsafe { place.as_mut()[self.head..length].copy_from_slice(body) };
        let address = place.addr().get() as u64;
        // SAFETY: memory is mapped where it is, so this is the buffer, which nothing touches until it is taken back.
        unsafe { self.ring.describe(buffer, address, length as u32, Access::Read, None) };
        self.ring.offer(buffer);
        Ok(())
    }

    /// Makes what was offered visible to the device, and notifies it if it wants to know.
    #[inline]
    pub fn publish(&mut self, transport: &mut impl Transport) {
        self.ring.publish(transport);
    }

    /// Takes back what was sent; makes new buffers if there is none.
    #[cold]
    fn refill(&mut self) -> Result<(), Faulty> {
        while let Some((buffer, _)) = self.ring.take()? {
            self.free.push(buffer);
        }
        if self.free.is_empty() {
            // No memory is as good as no room: both pass.
            let _ = self.grow();
        }
        Ok(())
    }

    /// Adds a page of free buffers. False if there is one for each descriptor.
    fn grow(&mut self) -> Result<bool, Error> {
        let first = self.pages.len() * PER_PAGE;
        let count = usize::from(self.ring.size()).saturating_sub(first).min(PER_PAGE);
        if count == 0 {
            return Ok(false);
        }
        let page = Dma::new(PAGE_SIZE).map_err(|_| Error::DmaError)?;
        for index in 0..count {
            let address = page.physical() + (index * BUFFER) as u64;
            let buffer = (first + index) as u16;
            // SAFETY: the page lives as long as the queue, and the driver touches the buffer only while it is free.
            unsafe { self.ring.describe(buffer, address, self.length as u32, self.access, None) };
            self.free.push(buffer);
        }
        self.pages.push(page);
        Ok(true)
    }

    #[inline]
    fn place(&self, buffer: u16) -> NonNull<[u8; BUFFER]> {
        let page = &self.pages[usize::from(buffer) / PER_PAGE];
        let offset = usize::from(buffer) % PER_PAGE * BUFFER;
        // SAFETY: the offset lies within the page.
        unsafe { page.pointer().byte_add(offset).cast() }
    }
}
