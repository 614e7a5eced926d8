//! A slot that an image is written into in any order, to be used where it lies.

use super::store::{self, Store};
use super::table::SlotName;
use super::write::{Rank, enter};
use super::{About, BLOCK, SlotError};
use crate::{
    image::{Hash, Source},
    platform::Disk,
};
use alloc::{sync::Arc, vec::Vec};

/// A slot that is nobody else's as long as this lives. It counts as empty.
pub struct Space {
    disk: Arc<dyn Disk>,
    source: Arc<Source>,
    slot: SlotName,
    place: u64,
    length: u64,
}

impl Store {
    /// Empties the slot that is needed least, for an image of so many bytes.
    pub async fn space(&self, length: u64) -> Result<Space, SlotError> {
        let turn = self.turn()?;
        let (slot, place) = self.vacate(&turn, length).await?;
        Ok(Space { disk: self.disk().clone(), source: self.source(slot)?, slot, place, length })
    }

    /// The image is complete: it is entered into the table once it is durable. `manifest`: the hash of its manifest.
    pub async fn enter(&self, space: &Space, manifest: Hash, rank: Rank, about: &About) -> Result<SlotName, SlotError> {
        self.disk().flush().await?;
        let turn = self.turn()?;
        self.update(&turn, |table| enter(table, space.slot, space.length, manifest, rank, about)).await?;
        Ok(space.slot)
    }
}

impl Space {
    /// What is written is read by this.
    pub fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// Writes bytes of the image. What else is in the disk's blocks that they begin and end in stays as it is.
    pub async fn write(&self, at: u64, bytes: &[u8]) -> Result<(), SlotError> {
        let end = at + bytes.len() as u64;
        if end > self.length {
            return Err(SlotError::WrongLength);
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let (first, last) = (at / BLOCK * BLOCK, end.next_multiple_of(BLOCK));
        let head = (at - first) as usize;
        let mut blocks = Vec::new();
        blocks.try_reserve_exact((last - first) as usize).map_err(|_| SlotError::NoMemory)?;
        blocks.resize((last - first) as usize, 0);
        if head > 0 {
            let before = store::read(&*self.disk, self.place + first, BLOCK).await?;
            blocks[..BLOCK as usize].copy_from_slice(&before);
        }
        if !end.is_multiple_of(BLOCK) {
            let after = store::read(&*self.disk, self.place + last - BLOCK, BLOCK).await?;
            let from = (end % BLOCK) as usize;
            let tail = blocks.len() - BLOCK as usize + from;
            blocks[tail..].copy_from_slice(&after[from..]);
        }
        blocks[head..][..bytes.len()].copy_from_slice(bytes);
        store::write(&*self.disk, self.place + first, blocks).await
    }
}
