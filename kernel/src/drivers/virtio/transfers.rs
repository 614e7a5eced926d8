//! Transfers from and to a block device, as futures over its queue of requests.
//!
//! A transfer is cut into requests, a few of them out at a time. Its future can be dropped while they are.

use super::requests::{Operation, Outcome, RequestQueue};
use super::ring::Faulty;
use super::turns::{Ticket, Turns, Wakers};
use crate::cpu::lock::Lock;
use alloc::{boxed::Box, string::String, sync::Arc, vec::Vec};
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use virtio_drivers::transport::Transport;
use wasm_host::platform::{Disk, DiskError, Geometry, Pending, refused};

/// Requests of one transfer that are out at a time.
const SHARE: usize = 4;

/// Sectors of the protocol, whatever the device's own are.
pub const SECTOR: u64 = 512;

/// A flag of a segment of zeroes.
const UNMAP: u32 = 1;

/// A block device that runs.
pub struct Transfers<T: Transport> {
    shared: Arc<Shared<T>>,
}

struct Shared<T: Transport> {
    name: String,
    geometry: Geometry,
    /// whether what was written is only durable after a flush
    flushes: bool,
    /// sectors of the protocol that one request can make zeroes; 0: it does not do that
    zeroes: u32,
    turns: Lock<Turns<T>>,
}

impl<T: Transport> Transfers<T> {
    pub fn new(
        name: String,
        transport: T,
        queue: RequestQueue,
        geometry: Geometry,
        flushes: bool,
        zeroes: u32,
    ) -> Self {
        Transfers {
            shared: Arc::new(Shared {
                name,
                geometry,
                flushes,
                zeroes,
                turns: Lock::new(Turns::new(transport, queue)),
            }),
        }
    }

    /// Takes back what the device has finished, and wakes who waits for it.
    pub fn reap(&self) {
        let mut wakers = Wakers::new();
        {
            let mut turns = self.shared.turns.lock();
            if turns.faulty || !turns.queue.ready() {
                return;
            }
            if turns.take_all(&mut wakers) == Err(Faulty) {
                log::error!("{}: the disk broke the rules of its queue and is not used any more", self.shared.name);
                turns.give_up(&mut wakers);
            }
            turns.wake_next(&mut wakers);
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Turns the interrupt for finished requests on, if there can be any. False if there are some already.
    pub fn arm(&self) -> bool {
        let mut turns = self.shared.turns.lock();
        if turns.faulty || !turns.queue.is_busy() {
            return true;
        }
        turns.queue.set_interrupts(true);
        !turns.queue.ready()
    }

    pub fn disarm(&self) {
        let mut turns = self.shared.turns.lock();
        if !turns.faulty {
            turns.queue.set_interrupts(false);
        }
    }

    /// Whether a flush is more than nothing.
    pub fn flushes(&self) -> bool {
        self.shared.flushes
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
    Flush,
    /// its data is the segment that says which
    Zero,
}

/// A transfer under way. Its output is the data of a read.
struct Transfer<T: Transport> {
    shared: Arc<Shared<T>>,
    id: u64,
    kind: Kind,
    /// in sectors of the protocol
    first: u64,
    data: Vec<u8>,
    /// bytes whose requests have been made, and for a flush whether that has
    begun: usize,
    flushed: bool,
    /// request, where its data are, how many
    out: Vec<(u16, usize, usize)>,
    error: Option<DiskError>,
}

impl<T: Transport> Transfer<T> {
    fn new(shared: &Arc<Shared<T>>, kind: Kind, first: u64, data: Vec<u8>) -> Self {
        let id = shared.turns.lock().number();
        let first = first * (u64::from(shared.geometry.sector_size) / SECTOR);
        let (begun, flushed, out) = (0, kind != Kind::Flush, Vec::new());
        Transfer { shared: shared.clone(), id, kind, first, data, begun, flushed, out, error: None }
    }

    /// Takes what is finished.
    fn collect(&mut self, turns: &mut Turns<T>, waker: &Waker, old: &mut Wakers) {
        let (data, error, kind) = (&mut self.data, &mut self.error, self.kind);
        self.out.retain(|(index, offset, length)| {
            let ticket = &mut turns.tickets[usize::from(*index)];
            let outcome = match ticket {
                Ticket::Done(outcome) => *outcome,
                Ticket::Waits(before) => {
                    if !before.will_wake(waker) {
                        old.push(core::mem::replace(before, waker.clone()));
                    }
                    return true;
                }
                Ticket::Nobody | Ticket::Abandoned => return true,
            };
            *ticket = Ticket::Nobody;
            match outcome {
                Outcome::Done if kind == Kind::Read => turns.queue.copy(*index, &mut data[*offset..*offset + *length]),
                Outcome::Done => {}
                Outcome::Failed => *error = error.or(Some(DiskError::Io)),
                Outcome::Unsupported => *error = error.or(Some(DiskError::Unsupported)),
            }
            turns.queue.release(*index);
            false
        });
    }

    /// Begins what there is room for.
    fn advance(&mut self, turns: &mut Turns<T>, waker: &Waker, old: &mut Wakers) {
        while self.error.is_none() && !self.all_begun() && self.out.len() < SHARE {
            let (offset, length) = (self.begun, (self.data.len() - self.begun).min(turns.queue.limit()));
            let sector = self.first + offset as u64 / SECTOR;
            let operation = match self.kind {
                Kind::Read => Operation::Read { sector, bytes: length },
                Kind::Write => Operation::Write { sector, data: &self.data[offset..offset + length] },
                Kind::Flush => Operation::Flush,
                Kind::Zero => Operation::Zero { data: &self.data[offset..offset + length] },
            };
            let Some(index) = turns.begin(self.id, operation, waker, old) else { break };
            self.out.push((index, offset, length));
            self.begun += length;
            self.flushed = true;
        }
        let Turns { queue, transport, .. } = turns;
        queue.publish(transport);
    }

    fn all_begun(&self) -> bool {
        self.begun == self.data.len() && self.flushed
    }
}

impl<T: Transport + Send + Sync> Future for Transfer<T> {
    type Output = Result<Vec<u8>, DiskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let shared = this.shared.clone();
        let (mut wakers, mut old) = (Wakers::new(), Wakers::new());
        let done = {
            let mut turns = shared.turns.lock();
            if turns.faulty {
                this.out.clear();
                this.error = Some(DiskError::Gone);
            } else {
                this.collect(&mut turns, cx.waker(), &mut old);
                this.advance(&mut turns, cx.waker(), &mut old);
                turns.wake_next(&mut wakers);
            }
            this.out.is_empty() && (this.error.is_some() || this.all_begun())
        };
        // that it waits for room itself is no reason to be woken
        wakers.into_iter().filter(|waker| !waker.will_wake(cx.waker())).for_each(Waker::wake);
        match (done, this.error) {
            (false, _) => Poll::Pending,
            (true, Some(error)) => Poll::Ready(Err(error)),
            (true, None) => Poll::Ready(Ok(core::mem::take(&mut this.data))),
        }
    }
}

impl<T: Transport> Drop for Transfer<T> {
    fn drop(&mut self) {
        let (mut wakers, mut old) = (Wakers::new(), Wakers::new());
        {
            let mut turns = self.shared.turns.lock();
            if turns.faulty {
                return;
            }
            turns.forget(self.id, self.out.drain(..).map(|(index, ..)| index), &mut old);
            turns.wake_next(&mut wakers);
        }
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl<T: Transport + Send + Sync + 'static> Disk for Transfers<T> {
    fn geometry(&self) -> Geometry {
        self.shared.geometry
    }

    fn read(&self, first: u64, sectors: u32) -> Pending<Vec<u8>> {
        let geometry = self.shared.geometry;
        if let Err(error) = geometry.check(first, sectors.into()) {
            return refused(error);
        }
        let bytes = sectors as usize * geometry.sector_size as usize;
        let mut data = Vec::new();
        if data.try_reserve_exact(bytes).is_err() {
            return refused(DiskError::NoMemory);
        }
        data.resize(bytes, 0);
        Box::pin(Transfer::new(&self.shared, Kind::Read, first, data))
    }

    fn write(&self, first: u64, data: Vec<u8>) -> Pending<()> {
        if let Err(error) = self.shared.geometry.check_write(first, data.len()) {
            return refused(error);
        }
        let transfer = Transfer::new(&self.shared, Kind::Write, first, data);
        Box::pin(async move { transfer.await.map(drop) })
    }

    /// One request after another: none of them moves data.
    fn zero(&self, first: u64, sectors: u64) -> Pending<()> {
        let Shared { geometry, zeroes: most, .. } = *self.shared;
        if let Err(error) = geometry.check_zero(first, sectors) {
            return refused(error);
        }
        let factor = u64::from(geometry.sector_size) / SECTOR;
        let most = u64::from(most) / factor * factor;
        if most == 0 {
            return refused(DiskError::Unsupported);
        }
        let shared = self.shared.clone();
        Box::pin(async move {
            let (mut at, end) = (first * factor, (first + sectors) * factor);
            while at < end {
                let count = (end - at).min(most);
                // which sectors, and that they need not have a place of their own (5.2.6)
                let segment = [&at.to_le_bytes()[..], &(count as u32).to_le_bytes(), &UNMAP.to_le_bytes()].concat();
                Transfer::new(&shared, Kind::Zero, 0, segment).await?;
                at += count;
            }
            Ok(())
        })
    }

    fn flush(&self) -> Pending<()> {
        if !self.shared.flushes {
            // what it has reported written is durable (5.2.6.2)
            return Box::pin(core::future::ready(Ok(())));
        }
        let transfer = Transfer::new(&self.shared, Kind::Flush, 0, Vec::new());
        Box::pin(async move { transfer.await.map(drop) })
    }
}
