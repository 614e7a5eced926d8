//! Whose turn it is at a block device's queue, and who waits for which of its requests.
//!
//! Those that find no room queue up and are served in turn, one request each. Who waited for a request may be gone before
//! the device has given it back: nothing else is begun until it has, so that what the device was told before cannot
//! overtake what it is told after.

use super::requests::{Operation, Outcome, REQUESTS, RequestQueue};
use super::ring::Faulty;
use alloc::{collections::VecDeque, vec::Vec};
use core::task::Waker;
use virtio_drivers::transport::{DeviceStatus, Transport};

pub struct Turns<T: Transport> {
    // The first to be dropped: that resets the device, which then no longer uses the buffers.
    pub transport: T,
    pub queue: RequestQueue,
    pub tickets: [Ticket; REQUESTS as usize],
    /// transfers that wait for room, in their turn
    waiting: VecDeque<(u64, Waker)>,
    next_transfer: u64,
    /// requests that are out and whose transfers are gone
    abandoned: usize,
    /// the device has broken its rules and is not used any more
    pub faulty: bool,
}

/// Who waits for a request.
#[derive(Default)]
pub enum Ticket {
    #[default]
    Nobody,
    Waits(Waker),
    Done(Outcome),
    Abandoned,
}

/// Wakers to be woken once the lock is open: the end of one can be the end of a task, and that of a transfer.
pub type Wakers = Vec<Waker>;

impl<T: Transport> Turns<T> {
    pub fn new(transport: T, queue: RequestQueue) -> Self {
        let (tickets, waiting) = (Default::default(), VecDeque::new());
        Turns { transport, queue, tickets, waiting, next_transfer: 0, abandoned: 0, faulty: false }
    }

    /// A number for a transfer that has none yet.
    pub fn number(&mut self) -> u64 {
        self.next_transfer += 1;
        self.next_transfer
    }

    pub fn take_all(&mut self, wakers: &mut Wakers) -> Result<(), Faulty> {
        while let Some((index, outcome)) = self.queue.take()? {
            match core::mem::replace(&mut self.tickets[usize::from(index)], Ticket::Done(outcome)) {
                Ticket::Waits(waker) => wakers.push(waker),
                Ticket::Abandoned => {
                    self.tickets[usize::from(index)] = Ticket::Nobody;
                    self.queue.release(index);
                    self.abandoned -= 1;
                }
                Ticket::Nobody | Ticket::Done(_) => {}
            }
        }
        Ok(())
    }

    /// Gives the device up for good: its buffers are never used again.
    pub fn give_up(&mut self, wakers: &mut Wakers) {
        self.faulty = true;
        // a reset, so that it no longer writes to memory
        self.transport.set_status(DeviceStatus::empty());
        wakers.extend(self.waiting.drain(..).map(|(_, waker)| waker));
        for ticket in &mut self.tickets {
            if let Ticket::Waits(waker) = core::mem::take(ticket) {
                wakers.push(waker);
            }
        }
    }

    /// Wakes the transfer whose turn it is, if there is room for it.
    pub fn wake_next(&self, wakers: &mut Wakers) {
        if self.abandoned == 0
            && let Some((_, waker)) = self.waiting.front()
            && self.queue.has_room()
        {
            wakers.push(waker.clone());
        }
    }

    /// Begins a request if it is that transfer's turn; queues it up otherwise.
    pub fn begin(&mut self, transfer: u64, operation: Operation<'_>, waker: &Waker, old: &mut Wakers) -> Option<u16> {
        let position = self.waiting.iter().position(|(id, _)| *id == transfer);
        let its_turn = self.waiting.is_empty() || position == Some(0);
        if self.abandoned == 0
            && its_turn
            && let Some(index) = self.queue.submit(operation)
        {
            old.extend(self.waiting.pop_front().map(|(_, waker)| waker));
            self.tickets[usize::from(index)] = Ticket::Waits(waker.clone());
            return Some(index);
        }
        match position {
            Some(position) => old.push(core::mem::replace(&mut self.waiting[position].1, waker.clone())),
            None => self.waiting.push_back((transfer, waker.clone())),
        }
        None
    }

    /// A transfer is gone: it wants no turn any more, and nobody waits for its requests.
    pub fn forget(&mut self, transfer: u64, requests: impl Iterator<Item = u16>, old: &mut Wakers) {
        if let Some(position) = self.waiting.iter().position(|(id, _)| *id == transfer) {
            old.extend(self.waiting.remove(position).map(|(_, waker)| waker));
        }
        for index in requests {
            match core::mem::take(&mut self.tickets[usize::from(index)]) {
                Ticket::Done(_) => self.queue.release(index),
                Ticket::Waits(waker) => {
                    self.tickets[usize::from(index)] = Ticket::Abandoned;
                    self.abandoned += 1;
                    old.push(waker);
                }
                Ticket::Nobody | Ticket::Abandoned => {}
            }
        }
    }
}
