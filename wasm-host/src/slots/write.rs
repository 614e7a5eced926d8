//! A new system on its way into a slot.

use super::store::{self, Store, Turn};
use super::table::{Held, SlotName, State, Table, What};
use super::{About, BLOCK, CHUNK, SlotError, Sum};
use crate::image::Hash;
use alloc::vec::Vec;

/// What a system is to be once it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rank {
    /// On trial at the next boot.
    Next,
    /// On trial while the node runs: what was started until now is started until this is [promoted](Store::promote).
    Beside,
    /// It is what the node runs, and was started with; it is kept to be gone back to.
    Running,
}

/// Takes an image piece by piece, and holds no more of it than a chunk. Dropped before [`Writer::commit`], it leaves the slot empty.
pub struct Writer<'a> {
    store: &'a Store,
    turn: Turn<'a>,
    slot: SlotName,
    place: u64,
    length: u64,
    taken: u64,
    /// what has come since the last write, less than a chunk
    rest: Vec<u8>,
    sum: Sum,
}

impl Store {
    /// Writes a whole image as the current system, on trial.
    pub async fn write(&self, image: &[u8], about: &About) -> Result<SlotName, SlotError> {
        let mut writer = self.begin(image.len() as u64).await?;
        writer.append(image).await?;
        writer.commit(Rank::Next, about).await
    }

    /// Begins to write an image of so many bytes.
    ///
    /// It takes the slot that is needed least: neither the one that runs nor the one that is gone back to, if that can be. From now
    /// on the slot is empty.
    pub async fn begin(&self, length: u64) -> Result<Writer<'_>, SlotError> {
        let turn = self.turn()?;
        let (slot, place) = self.vacate(&turn, length).await?;
        let (rest, sum) = (Vec::new(), Sum::new(self.hasher()));
        Ok(Writer { store: self, turn, slot, place, length, taken: 0, rest, sum })
    }

    /// Empties the slot that is needed least, and says where it is.
    pub(super) async fn vacate(&self, turn: &Turn<'_>, length: u64) -> Result<(SlotName, u64), SlotError> {
        let most = self.slot_bytes();
        if length > most {
            return Err(SlotError::TooLarge { length, most });
        }
        let (slot, place, used) = {
            let inner = self.inner();
            let pinned = self.pinned();
            let slot = least_needed(&inner.table, inner.running, &inner.corrupt, &pinned).ok_or(SlotError::AllUsed)?;
            (slot, inner.table.place(slot), inner.table.held(slot).is_some())
        };
        if used {
            self.update(turn, |table| table.empty(slot)).await?;
        }
        let mut inner = self.inner();
        inner.corrupt[slot as usize] = false;
        inner.running = inner.running.filter(|running| *running != slot);
        inner.started = inner.started.filter(|started| *started != slot);
        Ok((slot, place))
    }
}

impl Writer<'_> {
    pub async fn append(&mut self, mut bytes: &[u8]) -> Result<(), SlotError> {
        if self.taken + bytes.len() as u64 > self.length {
            return Err(SlotError::WrongLength);
        }
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK - self.rest.len()));
            self.rest.extend_from_slice(now);
            self.taken += now.len() as u64;
            bytes = later;
            if self.rest.len() == CHUNK {
                self.write_rest().await?;
            }
        }
        Ok(())
    }

    async fn write_rest(&mut self) -> Result<(), SlotError> {
        let at = self.place + (self.taken - self.rest.len() as u64);
        let mut chunk = core::mem::take(&mut self.rest);
        self.sum.chunk(&chunk);
        chunk.resize(chunk.len().next_multiple_of(BLOCK as usize), 0);
        store::write(&**self.store.disk(), at, chunk).await
    }

    /// The image is complete: it is entered into the table once it is durable.
    pub async fn commit(mut self, rank: Rank, about: &About) -> Result<SlotName, SlotError> {
        if self.taken != self.length {
            return Err(SlotError::WrongLength);
        }
        if !self.rest.is_empty() {
            self.write_rest().await?;
        }
        self.store.disk().flush().await?;
        let (slot, length, hash) = (self.slot, self.length, self.sum.finish());
        self.store.update(&self.turn, |table| enter(table, slot, length, hash, rank, about)).await?;
        if rank == Rank::Running {
            self.store.runs(slot);
        }
        Ok(slot)
    }
}

/// What is in a slot is a system from now on.
pub(super) fn enter(table: &mut Table, slot: SlotName, length: u64, hash: Hash, rank: Rank, about: &About) {
    let version = about.version;
    let (deploy, state) = match rank {
        Rank::Running => (about.deploy, State::Good),
        Rank::Next | Rank::Beside => (table.note(Some(hash), What::Trial, "", about), State::Trial),
    };
    table.slots[slot as usize] = Some(Held { deploy, length, hash, state, attempts: 0, version });
    if rank == Rank::Running {
        // it is gone back to once another is current
        table.previous = Some(slot);
    }
    if state == State::Good {
        table.newest = table.newest.max(version);
    }
    if rank == Rank::Next {
        table.make_current(slot);
    }
}

/// None: the node uses what is in all of them.
fn least_needed(table: &Table, running: Option<SlotName>, corrupt: &[bool], pinned: &[bool]) -> Option<SlotName> {
    // The last system that was started from the disk and was good: of all that came since, none may start. Two slots have
    // no room for it beside what runs.
    let is_booted =
        |slot: &SlotName| table.held(*slot).is_some_and(|held| held.state == State::Good) && !corrupt[*slot as usize];
    let booted = table.names().filter(is_booted).max_by_key(|slot| table.held(*slot).map(|held| held.deploy));
    let booted = booted.filter(|_| table.names().count() > 2);
    let need = |slot: &SlotName| {
        let is = |other: Option<SlotName>| other == Some(*slot);
        let (running, current, previous) = (is(running), is(table.current), is(table.previous));
        let held = table.held(*slot);
        let value = match held.map(|held| held.state) {
            Some(_) if corrupt[*slot as usize] => 0,
            Some(_) if is(booted) => 7,
            Some(State::Failed) => 1,
            None => 2,
            Some(State::Trial) if !running && !current => 3,
            Some(State::Good | State::Unbooted) if !running && !current && !previous => 4,
            // a good one is worth more than one that has yet to prove itself, even if that is what runs
            Some(State::Trial) => 5,
            Some(State::Good | State::Unbooted) => 6,
        };
        // of those that are needed as much, the oldest
        (value, running, current, previous, held.map_or(0, |held| held.deploy))
    };
    // what runs and would run again is never given up, even where all else is in use
    let stays = |slot: SlotName| {
        let starts = Some(slot) == running && Some(slot) == table.current && table.is_good(slot);
        pinned[slot as usize] || (starts && !corrupt[slot as usize])
    };
    table.names().filter(|slot| !stays(*slot)).min_by_key(need)
}
