//! `pearwood:hardware/block`: the sectors of a disk that an arrow grants, as a service of the node. Requests are under way
//! at once; each has a ticket.

use crate::{
    arrows::channel::{Ready, Refused, Service, Signal},
    platform::{Disk as _, DiskError, Extent, Pending},
    volumes::Health,
};
use alloc::{string::String, sync::Arc, vec::Vec};
use core::task::{Context, Poll, Waker, ready};
use spin::Mutex;
use wit::{
    Batch, Records,
    block::{Attach, Command, Error, Event},
};

/// The most bytes that one request transfers.
pub const MAX_TRANSFER: usize = 64 << 10;

/// Requests that may be under way on one arrow.
const DEPTH: usize = 16;

/// The most bytes that a disk makes zeroes at once: what a box asks for is done in such parts, so that others have their turns.
const MAX_ZEROES: u64 = 64 << 20;

pub struct Blocks {
    extent: Extent,
    device: String,
    health: Option<Arc<Health>>,
    signal: Arc<Signal>,
    ready: Ready,
    under_way: Mutex<Vec<Request>>,
}

struct Request {
    ticket: u32,
    doing: Doing,
}

enum Doing {
    Read(Pending<Vec<u8>>, u64),
    /// a write or a flush
    Work(Pending<()>),
    Discard(Discard),
    /// with what was read
    Done(Result<Option<Vec<u8>>, DiskError>),
}

/// Sectors that are to be zeroes. One such request of an arrow is under way at a time.
struct Discard {
    first: u64,
    left: u64,
    now: Option<Pending<()>>,
}

impl Discard {
    fn poll(&mut self, cx: &mut Context<'_>, extent: &Extent) -> Poll<Result<(), DiskError>> {
        let part = self.left.min(MAX_ZEROES / u64::from(extent.geometry().sector_size));
        let now = self.now.get_or_insert_with(|| extent.zero(self.first, part));
        let done = ready!(now.as_mut().poll(cx));
        self.now = None;
        self.first += part;
        self.left -= part;
        if done.is_err() || self.left == 0 {
            return Poll::Ready(done);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Blocks {
    /// For the box with this signal, whose port has that flag.
    pub fn new(extent: Extent, device: &str, signal: &Arc<Signal>, ready: Ready) -> Self {
        let under_way = Mutex::default();
        Blocks { extent, device: device.into(), health: None, signal: signal.clone(), ready, under_way }
    }

    /// What the disk fails to do is counted there.
    pub fn with_health(self, health: Arc<Health>) -> Self {
        Blocks { health: Some(health), ..self }
    }

    pub fn is_read_only(&self) -> bool {
        self.extent.geometry().read_only
    }

    fn begin(&self, command: Command<'_>) -> Option<Request> {
        let geometry = self.extent.geometry();
        let failed = |error| Doing::Done(Err(error));
        let (ticket, doing) = match command {
            Command::Read { ticket, first, count } => {
                let bytes = u64::from(count) * u64::from(geometry.sector_size);
                let doing = match geometry.check(first, count.into()) {
                    Err(error) => failed(error),
                    Ok(()) if bytes > MAX_TRANSFER as u64 => failed(DiskError::TooLarge),
                    Ok(()) if count == 0 => Doing::Done(Ok(Some(Vec::new()))),
                    Ok(()) => Doing::Read(self.extent.read(first, count), bytes),
                };
                (ticket, doing)
            }
            Command::Write { ticket, first, data } => {
                let doing = match geometry.check_write(first, data.len()) {
                    Err(error) => failed(error),
                    Ok(()) if data.len() > MAX_TRANSFER => failed(DiskError::TooLarge),
                    Ok(()) if data.is_empty() => Doing::Done(Ok(None)),
                    Ok(()) => match copy(data) {
                        Ok(data) => Doing::Work(self.extent.write(first, data)),
                        Err(error) => failed(error),
                    },
                };
                (ticket, doing)
            }
            Command::Flush { ticket } => (ticket, Doing::Work(self.extent.flush())),
            Command::Discard { ticket, first, count } => {
                let doing = match geometry.check_zero(first, count) {
                    Err(error) => failed(error),
                    Ok(()) if count == 0 => Doing::Done(Ok(None)),
                    Ok(()) => Doing::Discard(Discard { first, left: count, now: None }),
                };
                (ticket, doing)
            }
            Command::Unknown { .. } => return None,
        };
        Some(Request { ticket, doing })
    }
}

fn copy(data: &[u8]) -> Result<Vec<u8>, DiskError> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(data.len()).map_err(|_| DiskError::NoMemory)?;
    copy.extend_from_slice(data);
    Ok(copy)
}

impl Request {
    /// Looks how far the disk is. True: it is done, and `doing` says how it went. `discards`: whether one before this is under way.
    fn poll(&mut self, cx: &mut Context<'_>, blocks: &Blocks, discards: &mut bool) -> bool {
        let is_read = matches!(self.doing, Doing::Read(..));
        let done = match &mut self.doing {
            Doing::Done(_) => return true,
            Doing::Read(pending, bytes) => pending.as_mut().poll(cx).map(|read| match read {
                // a platform that yields anything else is broken, and the box must not see what is not its
                Ok(read) if read.len() as u64 != *bytes => Err(DiskError::Io),
                read => read.map(Some),
            }),
            Doing::Work(pending) => pending.as_mut().poll(cx).map_ok(|()| None),
            Doing::Discard(_) if *discards => return false,
            Doing::Discard(discard) => {
                let done = discard.poll(cx, &blocks.extent);
                *discards = done.is_pending();
                done.map_ok(|()| None)
            }
        };
        let Poll::Ready(result) = done else { return false };
        if let (Err(error), Some(health)) = (&result, &blocks.health) {
            health.count(is_read, *error);
        }
        self.doing = Doing::Done(result);
        true
    }

    fn answer(&self, batch: &mut Batch) {
        let ticket = self.ticket;
        match &self.doing {
            Doing::Done(Ok(Some(data))) => Event::Data { ticket, data }.encode(batch),
            Doing::Done(Ok(None)) => Event::Done { ticket }.encode(batch),
            Doing::Done(Err(error)) => Event::Failed { ticket, error: error_of(*error) }.encode(batch),
            Doing::Read(..) | Doing::Work(_) | Doing::Discard(_) => {}
        }
    }

    fn length(&self) -> usize {
        let data = if let Doing::Done(Ok(Some(data))) = &self.doing { data.len() } else { 0 };
        data + 32
    }
}

/// What the box is told. That the node is short of memory is none of its errors: the disk has failed to do it.
fn error_of(error: DiskError) -> Error {
    match error {
        DiskError::OutOfRange => Error::OutOfRange,
        DiskError::Unaligned => Error::Unaligned,
        DiskError::TooLarge => Error::TooLarge,
        DiskError::ReadOnly => Error::ReadOnly,
        DiskError::Io | DiskError::NoMemory => Error::Io,
        DiskError::Unsupported => Error::Unsupported,
        DiskError::Gone => Error::Gone,
    }
}

impl Service for Blocks {
    fn attach(&self) -> Vec<u8> {
        let geometry = self.extent.geometry();
        Attach {
            sector_size: geometry.sector_size,
            sectors: geometry.sectors,
            read_only: geometry.read_only,
            depth: DEPTH as u32,
            name: &self.device,
        }
        .encode()
    }

    fn renew(&self) {
        self.under_way.lock().clear();
    }

    fn detach(&self) {
        self.renew();
    }

    fn send(&self, batch: &[u8]) -> Result<bool, Refused> {
        let records: usize = Records::new(batch).map(|record| record.map(|_| 1)).sum::<Result<_, _>>()?;
        if records > DEPTH {
            return Err(Refused::TooLong { bytes: batch.len() });
        }
        let mut under_way = self.under_way.lock();
        if under_way.len() + records > DEPTH {
            return Ok(false);
        }
        let mut done = false;
        let mut discards = under_way.iter().any(|request| matches!(request.doing, Doing::Discard(_)));
        let waker = self.signal.waker(self.ready);
        for record in Records::new(batch) {
            let record = record?;
            let Some(mut request) = self.begin(Command::decode(&record)?) else { continue };
            done |= request.poll(&mut Context::from_waker(&waker), self, &mut discards);
            under_way.push(request);
        }
        drop(under_way);
        if done {
            self.signal.raise(self.ready);
        }
        Ok(true)
    }

    fn receive(&self, batch: &mut Batch, limit: usize) {
        let waker: Waker = self.signal.waker(self.ready);
        let mut under_way = self.under_way.lock();
        let (before, mut left, mut discards) = (under_way.len(), false, false);
        under_way.retain_mut(|request| {
            if !request.poll(&mut Context::from_waker(&waker), self, &mut discards) {
                return true;
            }
            if batch.len() + request.length() > limit {
                left = true;
                return true;
            }
            request.answer(batch);
            false
        });
        let relieved = under_way.len() < before;
        drop(under_way);
        if left {
            self.signal.raise(self.ready);
        }
        if relieved {
            self.signal.raise(Ready::ROOM);
        }
    }

    fn holds(&self) -> u64 {
        (DEPTH * MAX_TRANSFER) as u64
    }
}

#[cfg(test)]
mod tests;
