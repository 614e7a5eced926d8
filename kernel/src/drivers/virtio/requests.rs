//! A virtqueue of requests to a block device (Virtual I/O Device specification 1.2, 5.2.6), several at a time.
//!
//! Request `i` is the chain of descriptors `3 i` (its header), `3 i + 1` (its data, if it has any) and `3 i + 2` (its
//! status), and has a buffer of its own for its data. It is at any time either free, with the device, or done; the driver
//! touches its buffer only while the device does not have it. The device is believed in nothing but the data of a read
//! that it says has succeeded: and of those, in no more than it says it wrote.

#![allow(unsafe_code)]

use super::ring::{Access, Faulty, Ring};
use crate::drivers::machine::Dma;
use alloc::vec::Vec;
use virtio_drivers::transport::Transport;
use virtio_drivers::{Error, PAGE_SIZE};

/// So many requests can be out at a time.
pub const REQUESTS: u16 = 8;
/// The most bytes that one request transfers.
pub const DATA: usize = 64 << 10;

/// Descriptors of a request.
const CHAIN: u16 = 3;

/// Types of request (5.2.6).
const IN: u32 = 0;
const OUT: u32 = 1;
const FLUSH: u32 = 4;
const WRITE_ZEROES: u32 = 13;

/// A request's header (type, reserved, sector) and, behind it, its status.
const HEADER: usize = 16;
const STATUS: usize = HEADER;
/// What is set aside for both.
const HEAD: usize = 32;

/// Statuses; any other is as good as an error (1).
const OK: u8 = 0;
const UNSUPP: u8 = 2;
/// What no device writes as a status.
const NONE: u8 = 0xff;

/// What is asked of the device. Sectors are of 512 bytes here, whatever the device's own are.
#[derive(Debug, Clone, Copy)]
pub enum Operation<'a> {
    /// so many bytes
    Read {
        sector: u64,
        bytes: usize,
    },
    Write {
        sector: u64,
        data: &'a [u8],
    },
    Flush,
    /// the segment that says which
    Zero {
        data: &'a [u8],
    },
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// The device reports an error, or what makes no sense.
    Failed,
    Unsupported,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    /// with the device, which is to write so many bytes of data
    Out {
        reads: usize,
    },
    /// it has been read so many bytes
    Done {
        reads: usize,
    },
}

struct Request {
    data: Dma,
    state: State,
}

/// Invariant: a request is `Out` exactly while the device may have it, and buffers live until the queue is dropped,
/// which its owner does before the device was started or after it was reset.
pub struct RequestQueue {
    ring: Ring,
    /// headers and statuses
    heads: Dma,
    requests: Vec<Request>,
    most: usize,
    /// bytes that one request can transfer
    limit: usize,
}

impl RequestQueue {
    /// A queue of requests of at most `limit` bytes each.
    pub fn new(transport: &mut impl Transport, index: u16, limit: usize) -> Result<Self, Error> {
        let wanted = (REQUESTS * CHAIN).next_power_of_two();
        let ring = Ring::new(transport, index, wanted)?;
        let most = usize::from((ring.size() / CHAIN).min(REQUESTS));
        if most == 0 {
            return Err(Error::Unsupported);
        }
        let heads = Dma::new(PAGE_SIZE).map_err(|_| Error::DmaError)?;
        let mut queue = RequestQueue { ring, heads, requests: Vec::with_capacity(most), most, limit: limit.min(DATA) };
        // the others are made when they are needed
        queue.grow()?;
        Ok(queue)
    }

    /// The most bytes that one request transfers.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Begins a request. None if there can be no more of them now. The device sees it after the next
    /// [`RequestQueue::publish`].
    ///
    /// # Panics
    /// If it transfers more than the limit.
    pub fn submit(&mut self, operation: Operation<'_>) -> Option<u16> {
        let index = self.free()?;
        let (kind, sector, bytes, reads) = match operation {
            Operation::Read { sector, bytes } => (IN, sector, bytes, bytes),
            Operation::Write { sector, data } => (OUT, sector, data.len(), 0),
            Operation::Flush => (FLUSH, 0, 0, 0),
            Operation::Zero { data } => (WRITE_ZEROES, 0, data.len(), 0),
        };
        assert!(bytes <= self.limit, "a request of {bytes} bytes");
        let request = &mut self.requests[usize::from(index)];
        request.state = State::Out { reads };
        let data = request.data.physical();
        if let Operation::Write { data, .. } | Operation::Zero { data } = operation {
            // SAFETY: the request was free, so nothing else refers to its buffer, which is at least `limit` bytes long.
            unsafe { request.data.pointer().as_ptr().copy_from_nonoverlapping(data.as_ptr(), data.len()) };
        }
        let head = usize::from(index) * HEAD;
        // SAFETY: the page of heads has room for one of each request, 16-byte aligned, and nothing refers to this one.
        unsafe {
            let place = self.heads.pointer().byte_add(head);
            place.cast::<u32>().write_volatile(kind);
            place.byte_add(4).cast::<u32>().write_volatile(0);
            place.byte_add(8).cast::<u64>().write_volatile(sector);
            place.byte_add(STATUS).write_volatile(NONE);
        }
        let (first, heads) = (index * CHAIN, self.heads.physical() + head as u64);
        let after_header = if bytes == 0 { first + 2 } else { first + 1 };
        let access = if reads > 0 { Access::Write } else { Access::Read };
        // SAFETY: header, data and status are this request's, which has just become the device's.
        unsafe {
            self.ring.describe(first, heads, HEADER as u32, Access::Read, Some(after_header));
            self.ring.describe(first + 1, data, bytes as u32, access, Some(first + 2));
            self.ring.describe(first + 2, heads + STATUS as u64, 1, Access::Write, None);
        }
        self.ring.offer(first);
        Some(index)
    }

    /// Makes what was begun visible to the device.
    pub fn publish(&mut self, transport: &mut impl Transport) {
        self.ring.publish(transport);
    }

    /// True if the device has finished a request.
    pub fn ready(&self) -> bool {
        self.ring.ready()
    }

    /// Whether the device has any request.
    pub fn is_busy(&self) -> bool {
        self.requests.iter().any(|request| matches!(request.state, State::Out { .. }))
    }

    /// Whether a request could be begun.
    pub fn has_room(&self) -> bool {
        self.requests.len() < self.most || self.requests.iter().any(|request| request.state == State::Free)
    }

    pub fn set_interrupts(&mut self, on: bool) {
        self.ring.set_interrupts(on);
    }

    /// The next request that the device has finished, and how.
    pub fn take(&mut self) -> Result<Option<(u16, Outcome)>, Faulty> {
        let Some((descriptor, written)) = self.ring.take()? else { return Ok(None) };
        // the ring has offered nothing but first descriptors
        let index = descriptor / CHAIN;
        let request = self.requests.get_mut(usize::from(index)).ok_or(Faulty)?;
        let State::Out { reads } = request.state else { return Err(Faulty) };
        request.state = State::Done { reads };
        // SAFETY: the page of heads has room for one of each request; volatile since the device wrote it.
        let status =
            unsafe { self.heads.pointer().byte_add(usize::from(index) * HEAD + STATUS).cast::<u8>().read_volatile() };
        let outcome = match status {
            // what the buffer holds from before is nobody's to see
            OK if (written as usize) < reads + 1 && reads > 0 => Outcome::Failed,
            OK => Outcome::Done,
            UNSUPP => Outcome::Unsupported,
            _ => Outcome::Failed,
        };
        Ok(Some((index, outcome)))
    }

    /// Copies what a finished request has read. `into` may be shorter.
    ///
    /// # Panics
    /// If the request is not done, or has not read as much.
    pub fn copy(&self, index: u16, into: &mut [u8]) {
        let request = &self.requests[usize::from(index)];
        let State::Done { reads } = request.state else { panic!("request {index} is not done") };
        assert!(into.len() <= reads, "request {index} has read {reads} bytes");
        // SAFETY: the device has returned the buffer, which holds at least as many bytes.
        unsafe { into.as_mut_ptr().copy_from_nonoverlapping(request.data.pointer().as_ptr(), into.len()) };
    }

    /// A finished request is not needed any more.
    ///
    /// # Panics
    /// If it is not done.
    pub fn release(&mut self, index: u16) {
        let request = &mut self.requests[usize::from(index)];
        assert!(matches!(request.state, State::Done { .. }), "request {index} is not done");
        request.state = State::Free;
    }

    fn free(&mut self) -> Option<u16> {
        let free = self.requests.iter().position(|request| request.state == State::Free);
        match free {
            Some(index) => Some(index as u16),
            // No memory is as good as no room: both pass.
            None if self.requests.len() < self.most => self.grow().ok(),
            None => None,
        }
    }

    fn grow(&mut self) -> Result<u16, Error> {
        let data = Dma::new(self.limit).map_err(|_| Error::DmaError)?;
        self.requests.push(Request { data, state: State::Free });
        Ok(self.requests.len() as u16 - 1)
    }
}
