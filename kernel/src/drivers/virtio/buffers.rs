//! A virtqueue with the buffers that travel on it.
//!
//! Buffers are all of one size, two to a page, and a request is one buffer. A buffer is at any time either free (the
//! driver's) or posted (the device's); the driver touches free ones only. The device is believed in nothing but the
//! contents of the buffers that it returns: what it says about them is checked.

#![allow(unsafe_code)]

use super::hal::Memory;
use crate::drivers::machine::Dma;
use alloc::vec::Vec;
use core::ptr::NonNull;
use core::sync::atomic::{Ordering, fence};
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::Transport;
use virtio_drivers::{Error, PAGE_SIZE};

/// Bytes of a buffer.
pub const BUFFER: usize = 2048;
const PER_PAGE: usize = PAGE_SIZE / BUFFER;

/// The device returned what it was never given, or broke the queue in another way. It is not to be used any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Faulty;

/// Invariant: `posted[token]` is the buffer that the queue's descriptor `token` points to, if the device has it; that
/// buffer is not in `free`, and no buffer is in either twice. Buffers live until the queue is dropped, which its owner
/// does after the transport has reset the device.
pub struct BufferQueue<const SIZE: usize> {
    queue: VirtQueue<Memory, SIZE>,
    index: u16,
    /// bytes of each buffer that the device may write
    writable: usize,
    pages: Vec<Dma>,
    free: Vec<u16>,
    posted: [Option<u16>; SIZE],
    /// posted since the device was last notified
    unannounced: bool,
}

impl<const SIZE: usize> BufferQueue<SIZE> {
    /// Sets up queue `index` without any buffers, silent: no interrupts until [`BufferQueue::set_interrupts`].
    /// `writable` is how many bytes of a buffer the device may fill when it receives.
    pub fn new(transport: &mut impl Transport, index: u16, writable: usize) -> Result<Self, Error> {
        assert!(writable <= BUFFER);
        let mut queue = VirtQueue::new(transport, index, false, false)?;
        queue.set_dev_notify(false);
        let free = Vec::with_capacity(SIZE);
        Ok(BufferQueue { queue, index, writable, pages: Vec::new(), free, posted: [None; SIZE], unannounced: false })
    }

    /// Adds a page of free buffers, unless there are as many buffers as the queue has places.
    pub fn grow(&mut self) -> Result<(), Error> {
        let first = self.pages.len() * PER_PAGE;
        if first + PER_PAGE > SIZE {
            return Err(Error::QueueFull);
        }
        self.pages.push(Dma::new(PAGE_SIZE).map_err(|_| Error::DmaError)?);
        self.free.extend(first as u16..(first + PER_PAGE) as u16);
        Ok(())
    }

    /// True if the device has returned a buffer.
    #[inline]
    pub fn ready(&self) -> bool {
        self.queue.can_pop()
    }

    /// Asks the device for an interrupt when it returns a buffer, or for none. It may send one all the same.
    pub fn set_interrupts(&mut self, on: bool) {
        self.queue.set_dev_notify(on);
        // What the device returns after this is seen with the flag; what it returned before is seen by `ready`.
        fence(Ordering::SeqCst);
    }

    /// Gives every free buffer to the device to be filled.
    pub fn post_all(&mut self) -> Result<(), Faulty> {
        while let Some(buffer) = self.free.pop() {
            self.post_to_receive(buffer)?;
        }
        Ok(())
    }

    /// Takes the next filled buffer, shows what the device wrote to it, and gives it back to the device. False if there
    /// is none. What the device claims beyond what it may write is not shown: then the bytes are empty.
    #[inline]
    pub fn receive(&mut self, read: impl FnOnce(&[u8])) -> Result<bool, Faulty> {
        let Some((buffer, written)) = self.take(Direction::Receive)? else { return Ok(false) };
        let length = if written as usize <= self.writable { written as usize } else { 0 };
        // SAFETY: the device has returned the buffer, and `self` is held until it is posted again.
        read(unsafe { &self.place(buffer).as_ref()[..length] });
        self.post_to_receive(buffer)?;
        Ok(true)
    }

    /// Gives a buffer to the device to be sent: `head` zero bytes, then `body`.
    ///
    /// # Panics
    /// If they are longer than [`BUFFER`].
    #[inline]
    pub fn send(&mut self, head: usize, body: &[u8]) -> Result<(), SendError> {
        let buffer = self.take_free()?;
        let length = head + body.len();
        // SAFETY: the buffer was free, so nothing else refers to it.
        let bytes = unsafe { &mut self.place(buffer).as_mut()[..length] };
        bytes[..head].fill(0);
        bytes[head..].copy_from_slice(body);
        // SAFETY: the buffer is noted as posted next, so nothing touches it until the device returns it.
        let added = unsafe { self.queue.add(&[bytes], &mut []) };
        Ok(self.note_posted(added, buffer)?)
    }

    /// Tells the device of what was posted since the last time, if it wants to know.
    #[inline]
    pub fn announce(&mut self, transport: &mut impl Transport) {
        if !core::mem::take(&mut self.unannounced) {
            return;
        }
        // The device must see the buffers before its wish is read, or both sides may think that the other acts.
        fence(Ordering::SeqCst);
        if self.queue.should_notify() {
            transport.notify(self.index);
        }
    }

    fn take_free(&mut self) -> Result<u16, SendError> {
        if self.free.is_empty() {
            self.reclaim()?;
        }
        if self.free.is_empty() {
            // No memory is as good as no room: both pass.
            self.grow().map_err(|_| SendError::Full)?;
        }
        self.free.pop().ok_or(SendError::Full)
    }

    /// Takes back all buffers that were sent.
    fn reclaim(&mut self) -> Result<(), Faulty> {
        while let Some((buffer, _)) = self.take(Direction::Send)? {
            self.free.push(buffer);
        }
        Ok(())
    }

    fn post_to_receive(&mut self, buffer: u16) -> Result<(), Faulty> {
        // SAFETY: the buffer was free, so nothing else refers to it.
        let bytes = unsafe { &mut self.place(buffer).as_mut()[..self.writable] };
        // SAFETY: the buffer is noted as posted next, so nothing touches it until the device returns it.
        let added = unsafe { self.queue.add(&[], &mut [bytes]) };
        self.note_posted(added, buffer)
    }

    fn note_posted(&mut self, added: Result<u16, Error>, buffer: u16) -> Result<(), Faulty> {
        // There are never more buffers than descriptors, so this fails only if the queue is broken.
        let token = added.map_err(|_| Faulty)?;
        *self.posted.get_mut(usize::from(token)).ok_or(Faulty)? = Some(buffer);
        self.unannounced = true;
        Ok(())
    }

    /// The next buffer that the device has returned, and how many bytes it says it wrote.
    #[inline]
    fn take(&mut self, direction: Direction) -> Result<Option<(u16, u32)>, Faulty> {
        let Some(token) = self.queue.peek_used() else { return Ok(None) };
        let buffer = self.posted.get_mut(usize::from(token)).and_then(Option::take).ok_or(Faulty)?;
        // SAFETY: the buffer has just left the device's hands, so nothing else refers to it.
        let bytes = unsafe { self.place(buffer).as_mut() };
        // SAFETY: this is the buffer that the token was given out for, and it was posted until now.
        let written = unsafe {
            match direction {
                Direction::Receive => self.queue.pop_used(token, &[], &mut [&mut bytes[..self.writable]]),
                Direction::Send => self.queue.pop_used(token, &[bytes], &mut []),
            }
        };
        Ok(Some((buffer, written.map_err(|_| Faulty)?)))
    }

    fn place(&self, buffer: u16) -> NonNull<[u8; BUFFER]> {
        let page = &self.pages[usize::from(buffer) / PER_PAGE];
        let offset = usize::from(buffer) % PER_PAGE * BUFFER;
        // SAFETY: the offset lies within the page.
        unsafe { page.pointer().byte_add(offset).cast() }
    }
}

#[derive(Debug, Clone, Copy)]
enum Direction {
    Receive,
    Send,
}

/// Why a frame was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendError {
    Full,
    Faulty,
}

impl From<Faulty> for SendError {
    fn from(_: Faulty) -> Self {
        SendError::Faulty
    }
}
