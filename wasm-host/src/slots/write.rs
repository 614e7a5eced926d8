//! A new system on its way into a slot.

use super::store::{self, Store, Turn};
use super::table::{Held, SlotName, State, Table, What, who};
use super::{About, BLOCK, SlotError};
use crate::image::Hash;
use alloc::vec::Vec;

/// What is written at a time.
const CHUNK: usize = 256 << 10;

/// Takes an image piece by piece. Dropped before [`Writer::commit`], it leaves the slot empty.
pub struct Writer<'a> {
    store: &'a Store,
    turn: Turn<'a>,
    slot: SlotName,
    place: u64,
    length: u64,
    taken: u64,
    /// what has come since the last write, less than a chunk
    rest: Vec<u8>,
    hasher: blake3::Hasher,
}

impl Store {
    /// Writes a whole image as the current system, on trial.
    pub async fn write(&self, image: &[u8], about: &About) -> Result<SlotName, SlotError> {
        let mut writer = self.begin(image.len() as u64).await?;
        writer.append(image).await?;
        writer.commit(about).await
    }

    /// Begins to write an image of so many bytes.
    ///
    /// It takes the slot that is needed least: neither the one that runs nor the last good one, if that can be. From now
    /// on the slot is empty.
    pub async fn begin(&self, length: u64) -> Result<Writer<'_>, SlotError> {
        let most = self.slot_bytes();
        if length > most {
            return Err(SlotError::TooLarge { length, most });
        }
        let turn = self.turn()?;
        let (slot, place, used) = {
            let inner = self.inner();
            let slot = least_needed(&inner.table, inner.running, inner.corrupt);
            (slot, inner.table.place(slot), inner.table.held(slot).is_some())
        };
        if used {
            let empty = |table: &mut Table| {
                table.slots[slot as usize] = None;
                if table.current == Some(slot) {
                    table.current = Some(slot.other()).filter(|other| table.held(*other).is_some());
                }
            };
            self.update(&turn, empty).await?;
        }
        {
            let mut inner = self.inner();
            inner.corrupt[slot as usize] = false;
            inner.running = inner.running.filter(|running| *running != slot);
        }
        let (rest, hasher) = (Vec::new(), blake3::Hasher::new());
        Ok(Writer { store: self, turn, slot, place, length, taken: 0, rest, hasher })
    }
}

impl Writer<'_> {
    pub async fn append(&mut self, mut bytes: &[u8]) -> Result<(), SlotError> {
        if self.taken + bytes.len() as u64 > self.length {
            return Err(SlotError::WrongLength);
        }
        self.hasher.update(bytes);
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
        chunk.resize(chunk.len().next_multiple_of(BLOCK as usize), 0);
        store::write(&**self.store.disk(), at, chunk).await
    }

    /// The image is complete: once it is durable, it becomes the current system, on trial.
    pub async fn commit(mut self, about: &About) -> Result<SlotName, SlotError> {
        if self.taken != self.length {
            return Err(SlotError::WrongLength);
        }
        if !self.rest.is_empty() {
            self.write_rest().await?;
        }
        self.store.disk().flush().await?;
        let (slot, length, hash) = (self.slot, self.length, Hash(*self.hasher.finalize().as_bytes()));
        let enter = |table: &mut Table| {
            table.deploys += 1;
            let (time, who) = (about.time, who(&about.who));
            let held = Held { deploy: table.deploys, length, hash, state: State::Trial, attempts: 0, time, who };
            table.slots[slot as usize] = Some(held);
            table.current = Some(slot);
            table.note(slot, What::Written, about);
        };
        self.store.update(&self.turn, enter).await?;
        Ok(slot)
    }
}

fn least_needed(table: &Table, running: Option<SlotName>, corrupt: [bool; 2]) -> SlotName {
    let need = |slot: SlotName| {
        let state = match table.held(slot) {
            None => 0,
            Some(_) if corrupt[slot as usize] => 0,
            Some(held) if held.state == State::Failed => 1,
            // the last good one is worth more than one that has yet to prove itself, even if that is what runs
            Some(held) if held.state == State::Trial => 2,
            Some(_) => 3,
        };
        (state, running == Some(slot), table.current == Some(slot))
    };
    if need(SlotName::A) <= need(SlotName::B) { SlotName::A } else { SlotName::B }
}
