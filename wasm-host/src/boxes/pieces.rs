//! Pieces of a box's files that were read from the disk: those that were used last, as far as the box's memory limit has
//! room for them. What else needs that memory gets it.

use super::{Budget, Charge};
use crate::{
    budget::Spare,
    image::{Piece, PieceError},
    platform::Pending,
};
use alloc::{collections::BTreeMap, sync::Arc, vec::Vec};
use core::{
    fmt,
    task::{Context, Poll, Waker},
};
use spin::Mutex;

/// How many pieces are read at a time.
const DEPTH: usize = 16;

/// What one takes beside its bytes: its places in the two maps, and the blocks around it.
const ENTRY: usize = 256;

/// Why the bytes of a file cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Piece(PieceError),
    /// The box's memory limit leaves no room for the piece.
    NoRoom(usize),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Piece(error) => error.fmt(f),
            Fault::NoRoom(bytes) => {
                write!(f, "the box's `memory` leaves no room for {} KiB of it", bytes.div_ceil(1 << 10))
            }
        }
    }
}

/// The pieces of one life of a box.
pub struct Pieces {
    budget: Arc<Budget>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// by their numbers
    kept: BTreeMap<usize, Kept>,
    /// their numbers, by when they were used last
    by_use: BTreeMap<u64, usize>,
    uses: u64,
    reading: usize,
}

struct Kept {
    content: Content,
    used: u64,
    _charge: Charge,
}

enum Content {
    Reading(Piece, Pending<Vec<u8>>),
    /// It has been read, and whoever asked for it has not come back yet.
    Awaited(Result<Vec<u8>, PieceError>),
    Here(Vec<u8>),
}

impl fmt::Debug for Pieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} pieces of files", self.inner.lock().kept.len())
    }
}

impl Pieces {
    /// What they take is the budget's, which gets it back when it needs it.
    pub fn new(budget: &Arc<Budget>) -> Arc<Self> {
        let pieces = Arc::new(Pieces { budget: budget.clone(), inner: Mutex::default() });
        budget.lends_to(&pieces);
        pieces
    }

    /// Gives the bytes of a piece to `take`, if they are here; if not, they are read, and the waker is woken when it is worth
    /// asking again.
    pub fn get<R>(
        &self,
        piece: &Piece,
        waker: impl Fn() -> Waker,
        take: impl FnOnce(&[u8]) -> R,
    ) -> Poll<Result<R, Fault>> {
        let inner = &mut *self.inner.lock();
        let number = piece.number;
        if !inner.kept.contains_key(&number) {
            let waker = waker();
            let cx = &mut Context::from_waker(&waker);
            if inner.reading >= DEPTH {
                inner.poll(cx);
            }
            if inner.reading >= DEPTH {
                return Poll::Pending;
            }
            let bytes = piece.length + ENTRY;
            let charge = loop {
                if let Some(charge) = Charge::free(&self.budget, bytes) {
                    break charge;
                }
                if !inner.drop_oldest(false) && (inner.reading > 0 || !inner.drop_oldest(true)) {
                    // those that are being read make room when they have been used
                    inner.poll(cx);
                    return if inner.reading > 0 { Poll::Pending } else { Poll::Ready(Err(Fault::NoRoom(bytes))) };
                }
            };
            inner.reading += 1;
            let used = inner.next_use(number);
            let content = Content::Reading(piece.clone(), piece.read());
            inner.kept.insert(number, Kept { content, used, _charge: charge });
        }
        let waiting = inner.kept.get(&number).is_some_and(|kept| matches!(kept.content, Content::Reading(..)));
        if waiting && !inner.poll_one(number, &mut Context::from_waker(&waker())) {
            return Poll::Pending;
        }
        let used = inner.next_use(number);
        let Some(kept) = inner.kept.get_mut(&number) else { return Poll::Pending };
        inner.by_use.remove(&core::mem::replace(&mut kept.used, used));
        match core::mem::replace(&mut kept.content, Content::Here(Vec::new())) {
            Content::Awaited(Ok(bytes)) | Content::Here(bytes) => {
                let taken = take(&bytes);
                kept.content = Content::Here(bytes);
                Poll::Ready(Ok(taken))
            }
            Content::Awaited(Err(error)) => {
                inner.forget(number);
                Poll::Ready(Err(Fault::Piece(error)))
            }
            reading @ Content::Reading(..) => {
                kept.content = reading;
                Poll::Pending
            }
        }
    }
}

impl Inner {
    fn next_use(&mut self, number: usize) -> u64 {
        self.uses += 1;
        self.by_use.insert(self.uses, number);
        self.uses
    }

    /// Looks how far the disk is with all that are being read.
    fn poll(&mut self, cx: &mut Context<'_>) {
        let reading = |(number, kept): (&usize, &Kept)| matches!(kept.content, Content::Reading(..)).then_some(*number);
        let numbers: Vec<usize> = self.kept.iter().filter_map(reading).collect();
        for number in numbers {
            self.poll_one(number, cx);
        }
    }

    /// Whether a piece that was being read is no more.
    fn poll_one(&mut self, number: usize, cx: &mut Context<'_>) -> bool {
        let Some(Kept { content, .. }) = self.kept.get_mut(&number) else { return true };
        let Content::Reading(piece, pending) = content else { return true };
        let Poll::Ready(read) = pending.as_mut().poll(cx) else { return false };
        *content = Content::Awaited(piece.verified(read));
        self.reading -= 1;
        true
    }

    /// Lets go of what was not used for longest, or of what somebody still waits for. False: there is nothing.
    fn drop_oldest(&mut self, awaited: bool) -> bool {
        let fits = |number: &&usize| match self.kept.get(*number).map(|kept| &kept.content) {
            Some(Content::Here(_)) => true,
            Some(Content::Awaited(_)) => awaited,
            _ => false,
        };
        let oldest = self.by_use.values().find(fits).copied();
        oldest.map(|number| self.forget(number)).is_some()
    }

    fn forget(&mut self, number: usize) {
        if let Some(kept) = self.kept.remove(&number) {
            self.by_use.remove(&kept.used);
        }
    }
}

impl Spare for Pieces {
    fn give_back(&self, bytes: u64) {
        let inner = &mut *self.inner.lock();
        let wanted = self.budget.used().saturating_sub(bytes);
        while self.budget.used() > wanted && (inner.drop_oldest(false) || inner.drop_oldest(true)) {}
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        debug_assert_eq!(self.kept.len(), self.by_use.len());
    }
}

#[cfg(all(test, feature = "build"))]
mod tests;
