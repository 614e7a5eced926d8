//! The slots of one disk.

use super::table::{COPY, SlotName, State, Table, is_table};
use super::{BLOCK, CHUNK, COPIES, COUNT, Held, MIN_RESERVE, Record, SLOTS, SlotError, Sum};
use crate::{
    image::{Hasher, hash, head_stands},
    platform::Disk,
};
use alloc::{sync::Arc, vec::Vec};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use spin::Mutex;

/// The slots of a disk. It is not to be opened twice at a time.
pub struct Store {
    disk: Arc<dyn Disk>,
    hasher: Hasher,
    inner: Mutex<Inner>,
    /// by how much each slot is in use where it lies
    pins: Arc<[AtomicUsize; COUNT as usize]>,
}

/// A slot that nothing is written to.
pub(super) struct Pin(Arc<[AtomicUsize; COUNT as usize]>, SlotName);

impl Drop for Pin {
    fn drop(&mut self) {
        self.0[self.1 as usize].fetch_sub(1, Relaxed);
    }
}

pub(super) struct Inner {
    pub table: Table,
    /// the copy that is to be written first, since it is not as good as the other
    stale: usize,
    busy: bool,
    /// the slot whose system the node runs
    pub running: Option<SlotName>,
    /// the one whose system it was started with
    pub started: Option<SlotName>,
    /// whose images were found not to be what was written
    pub corrupt: [bool; COUNT as usize],
    /// whose systems are not to be started, though they are sound
    pub set_aside: [bool; COUNT as usize],
}

/// The right to change the table. There is one at a time.
pub(super) struct Turn<'a>(&'a Store);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.inner.lock().busy = false;
    }
}

impl Store {
    /// Opens the slots of a disk. None if it has none.
    pub async fn open(disk: Arc<dyn Disk>) -> Result<Option<Store>, SlotError> {
        let bytes = disk.geometry().bytes();
        if bytes < MIN_RESERVE {
            return Ok(None);
        }
        let mut found: [Result<Table, SlotError>; 2] = [Err(SlotError::NoTable), Err(SlotError::NoTable)];
        let mut any = false;
        for (copy, at) in found.iter_mut().zip(COPIES) {
            *copy = match read(&*disk, at, COPY as u64).await {
                Ok(read) => {
                    any |= is_table(&read);
                    Table::decode(&read, bytes)
                }
                Err(error) => Err(error),
            };
        }
        let sequence = |copy: &Result<Table, SlotError>| copy.as_ref().map_or(0, |table| table.sequence);
        let newest = usize::from(sequence(&found[1]) > sequence(&found[0]));
        let [first, second] = found;
        let (table, other) = if newest == 0 { (first, second) } else { (second, first) };
        match (table, other) {
            (Ok(table), _) => Ok(Some(Store::with(disk, table, 1 - newest))),
            (Err(SlotError::NoTable), Err(SlotError::NoTable)) if !any => Ok(None),
            // of two errors the one that says more
            (Err(SlotError::NoTable), Err(error)) => Err(error),
            (Err(error), _) => Err(error),
        }
    }

    /// Lays out slots on a disk, in its first `reserve` bytes. What else is there is not overwritten.
    pub async fn format(disk: Arc<dyn Disk>, reserve: u64) -> Result<Store, SlotError> {
        let most = disk.geometry().bytes();
        if reserve < MIN_RESERVE || reserve > most {
            return Err(SlotError::TooSmall { needs: reserve.max(MIN_RESERVE) });
        }
        let mut ours = false;
        for at in COPIES {
            let copy = read(&*disk, at, COPY as u64).await?;
            if let Err(error @ SlotError::Version(_)) = Table::decode(&copy, most) {
                return Err(error);
            }
            ours |= is_table(&copy);
        }
        let slot_bytes = (reserve - SLOTS) / COUNT / BLOCK * BLOCK;
        if !ours {
            // partition tables and the heads of file systems are here
            for at in (0..SLOTS).step_by(CHUNK).chain((0..COUNT).map(|slot| SLOTS + slot * slot_bytes)) {
                let length = if at < SLOTS { CHUNK as u64 } else { 64 << 10 };
                if read(&*disk, at, length).await?.iter().any(|byte| *byte != 0) {
                    return Err(SlotError::InUse);
                }
            }
        }
        let store = Store::with(disk, Table::new(slot_bytes), 0);
        store.update(&store.turn()?, |_| ()).await?;
        Ok(store)
    }

    fn with(disk: Arc<dyn Disk>, table: Table, stale: usize) -> Self {
        let inner = Inner {
            table,
            stale,
            busy: false,
            running: None,
            started: None,
            corrupt: Default::default(),
            set_aside: Default::default(),
        };
        Store { disk, hasher: hash, inner: Mutex::new(inner), pins: Arc::default() }
    }

    /// Nothing is written to the slot as long as this lives.
    pub(super) fn pin(&self, slot: SlotName) -> Pin {
        self.pins[slot as usize].fetch_add(1, Relaxed);
        Pin(self.pins.clone(), slot)
    }

    pub(super) fn pinned(&self) -> [bool; COUNT as usize] {
        core::array::from_fn(|slot| self.pins[slot].load(Relaxed) > 0)
    }

    /// Verifies images with this instead of the portable [`hash`].
    pub fn with_hasher(mut self, hasher: Hasher) -> Self {
        self.hasher = hasher;
        self
    }

    /// Bytes from the start of the disk on that are the slots'.
    pub fn reserve(&self) -> u64 {
        self.inner.lock().table.reserve()
    }

    /// The most bytes that an image can have.
    pub fn slot_bytes(&self) -> u64 {
        self.inner.lock().table.slot_bytes
    }

    /// The disk that the slots are on.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// The last deployments, oldest first.
    pub fn history(&self) -> Vec<Record> {
        self.inner.lock().table.history.clone()
    }

    /// The number of the last deployment; 0 if there was none.
    pub fn last_deploy(&self) -> u64 {
        self.inner.lock().table.deploys
    }

    /// The newest version of its system that was good here.
    pub fn newest(&self) -> u64 {
        self.inner.lock().table.newest
    }

    /// Whether somebody is changing what is in the slots, which nobody else can meanwhile.
    pub fn is_busy(&self) -> bool {
        self.inner.lock().busy
    }

    pub(super) fn hasher(&self) -> Hasher {
        self.hasher
    }

    /// What a slot holds.
    pub fn held(&self, slot: SlotName) -> Option<Held> {
        self.inner.lock().table.held(slot).cloned()
    }

    /// The slot whose system is started at the next boot, if it stands.
    pub fn current(&self) -> Option<SlotName> {
        self.inner.lock().table.current
    }

    /// Whether the system that runs is what is started at the next boot too: it is good, and current, or came from elsewhere
    /// and no slot takes its place.
    pub fn starts_what_runs(&self) -> bool {
        let inner = self.inner.lock();
        let Inner { table, running, .. } = &*inner;
        *running == table.current && running.is_none_or(|slot| table.is_good(slot))
    }

    /// The slot whose system is gone back to from the one that runs.
    pub fn previous(&self) -> Option<SlotName> {
        let inner = self.inner.lock();
        match inner.running {
            Some(running) => {
                [inner.table.previous, inner.table.current].into_iter().flatten().find(|slot| *slot != running)
            }
            None => inner.table.current,
        }
    }

    /// The slots that the disk has.
    pub fn names(&self) -> impl Iterator<Item = SlotName> + use<> {
        self.inner.lock().table.names()
    }

    /// The slot whose system the node runs. None: one from elsewhere.
    pub fn running(&self) -> Option<SlotName> {
        self.inner.lock().running
    }

    /// The node has gone over to the system in a slot while it ran.
    pub fn runs(&self, slot: SlotName) {
        self.inner.lock().running = Some(slot);
    }

    /// The node has gone over to a system of which it is not known that a slot starts it.
    pub fn runs_elsewhere(&self) {
        self.inner.lock().running = None;
    }

    /// Whether the system that runs has yet to be reported good.
    pub fn on_trial(&self) -> bool {
        let inner = self.inner.lock();
        let held = inner.running.and_then(|slot| inner.table.held(slot));
        held.is_some_and(|held| match held.state {
            State::Trial => true,
            State::Unbooted => inner.started == inner.running,
            State::Good | State::Failed => false,
        })
    }

    /// Whether the node was started with the system that runs, which had never been started before.
    pub fn awaits_boot(&self) -> bool {
        let inner = self.inner.lock();
        let held = inner.running.filter(|_| inner.started == inner.running).and_then(|slot| inner.table.held(slot));
        held.is_some_and(|held| held.state == State::Unbooted)
    }

    /// The system in a slot is not started any more by this boot: it could not be.
    pub fn set_aside(&self, slot: SlotName) {
        self.inner.lock().set_aside[slot as usize] = true;
    }

    /// Whether the image in a slot is the one that was written. It need not fit into memory for that.
    /// Of one that is used where it lies, that is asked of its head: its files are held against their hashes when they are read.
    pub async fn verify(&self, slot: SlotName) -> Result<(), SlotError> {
        let held = self.held(slot).ok_or(SlotError::Empty(slot))?;
        match self.head(slot, held.hash, held.length).await? {
            None => self.chunks(slot, |_| Ok(())).await,
            Some(head) => {
                let head = self.start(slot, head).await?;
                self.found(slot, head_stands(&head, self.hasher))
            }
        }
    }

    /// Notes whether the image in a slot is the one that was written.
    pub(super) fn found(&self, slot: SlotName, stands: bool) -> Result<(), SlotError> {
        self.inner.lock().corrupt[slot as usize] = !stands;
        if stands { Ok(()) } else { Err(SlotError::Corrupt(slot)) }
    }

    /// The image in a slot, held against its hash.
    pub async fn image(&self, slot: SlotName) -> Result<Vec<u8>, SlotError> {
        let held = self.held(slot).ok_or(SlotError::Empty(slot))?;
        let length = usize::try_from(held.length).map_err(|_| SlotError::NoMemory)?;
        let mut image = Vec::new();
        image.try_reserve_exact(length).map_err(|_| SlotError::NoMemory)?;
        self.chunks(slot, |chunk| {
            if chunk.len() > length - image.len() {
                return Err(SlotError::WrongLength);
            }
            image.extend_from_slice(chunk);
            Ok(())
        })
        .await?;
        Ok(image)
    }

    /// Reads what is in a slot, chunk by chunk, and holds it against its hash.
    async fn chunks(
        &self,
        slot: SlotName,
        mut take: impl FnMut(&[u8]) -> Result<(), SlotError>,
    ) -> Result<(), SlotError> {
        let (place, held) = {
            let inner = self.inner.lock();
            (inner.table.place(slot), inner.table.held(slot).cloned())
        };
        let held = held.ok_or(SlotError::Empty(slot))?;
        let mut sum = Sum::new(self.hasher);
        for at in (0..held.length).step_by(CHUNK) {
            let wanted = (held.length - at).min(CHUNK as u64);
            let read = read(&*self.disk, place + at, wanted.next_multiple_of(BLOCK)).await?;
            let chunk = &read[..wanted as usize];
            sum.chunk(chunk);
            take(chunk)?;
        }
        self.found(slot, sum.finish() == held.hash)
    }

    pub(super) fn turn(&self) -> Result<Turn<'_>, SlotError> {
        match core::mem::replace(&mut self.inner.lock().busy, true) {
            false => Ok(Turn(self)),
            true => Err(SlotError::Busy),
        }
    }

    pub(super) fn inner(&self) -> spin::MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// Changes the table, here and on the disk. After an error the change has not been made, or is not known to have.
    pub(super) async fn update(&self, _: &Turn<'_>, change: impl FnOnce(&mut Table)) -> Result<(), SlotError> {
        let (mut table, stale) = {
            let inner = self.inner.lock();
            (inner.table.clone(), inner.stale)
        };
        change(&mut table);
        table.sequence += 1;
        let bytes = table.encode()?;
        self.write_copy(stale, &bytes).await?;
        {
            let mut inner = self.inner.lock();
            (inner.table, inner.stale) = (table, 1 - stale);
        }
        // The change is made. Should its second copy fail, it is the one to be written first the next time.
        let _ = self.write_copy(1 - stale, &bytes).await;
        Ok(())
    }

    async fn write_copy(&self, copy: usize, bytes: &[u8]) -> Result<(), SlotError> {
        write(&*self.disk, COPIES[copy], bytes.to_vec()).await?;
        Ok(self.disk.flush().await?)
    }
}

/// Reads whole blocks, by bytes.
pub(super) async fn read(disk: &dyn Disk, at: u64, length: u64) -> Result<Vec<u8>, SlotError> {
    let sector = u64::from(disk.geometry().sector_size);
    let read = disk.read(at / sector, (length / sector) as u32).await?;
    // a disk that gives less is broken
    if read.len() as u64 == length { Ok(read) } else { Err(SlotError::Disk(crate::platform::DiskError::Io)) }
}

/// Writes whole blocks, by bytes.
pub(super) async fn write(disk: &dyn Disk, at: u64, bytes: Vec<u8>) -> Result<(), SlotError> {
    let sector = u64::from(disk.geometry().sector_size);
    Ok(disk.write(at / sector, bytes).await?)
}
