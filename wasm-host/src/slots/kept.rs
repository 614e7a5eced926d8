//! The image in a slot, as far as it is in memory.

use super::store::{self, Store};
use super::{BLOCK, CHUNK, SlotError, SlotName};
use crate::{
    image::{Header, Image, ImageError, PublicKey, Source, endorsed, head_length, head_stands},
    platform::Extent,
};
use alloc::{sync::Arc, vec::Vec};
use core::fmt;

/// The most bytes of a manifest, which says how much of an image has to be in memory.
const MAX_MANIFEST: u64 = 4 << 20;

/// An image that was read from a slot.
#[derive(Clone)]
pub struct Kept {
    /// All of it, or its head.
    pub bytes: Vec<u8>,
    /// Where the rest is.
    pub rest: Option<Arc<Source>>,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of an image", self.bytes.len())
    }
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        (&self.bytes, self.rest.is_some()) == (&other.bytes, other.rest.is_some())
    }
}

impl Eq for Kept {}

impl Kept {
    /// Whether it is signed by one of these keys, or by one that they endorse.
    pub fn check(&self, roots: &[PublicKey]) -> Result<(), ImageError> {
        let keys = endorsed(&self.bytes, roots);
        Image::check(&self.bytes, self.rest.is_some(), &keys)
    }

    /// The image, if it is signed by one of these keys, or by one that they endorse.
    pub fn open(self, roots: &[PublicKey]) -> Result<Image<'static>, ImageError> {
        let keys = endorsed(&self.bytes, roots).into_owned();
        match self.rest {
            Some(rest) => Image::open_head(self.bytes, rest, &keys),
            None => Image::open(self.bytes, &keys),
        }
    }
}

impl Store {
    /// The image in a slot: all of it where that has no more than `most` bytes, or was written to be used so; else its head.
    /// What is read has been held against its hash, but for the files of an image that is used where it lies.
    pub async fn load(&self, slot: SlotName, most: u64) -> Result<Kept, SlotError> {
        let held = self.held(slot).ok_or(SlotError::Empty(slot))?;
        let Some(head) = self.head(slot, held.hash, held.length).await? else {
            return Ok(Kept { bytes: self.image(slot).await?, rest: None });
        };
        let rest = Some(self.source(slot)?).filter(|_| held.length > most);
        let wanted = if rest.is_some() { head } else { held.length };
        if rest.is_some() && head > most {
            return Err(SlotError::NoMemory);
        }
        let bytes = self.start(slot, wanted).await?;
        let stands = head_stands(&bytes, self.hasher());
        self.found(slot, stands)?;
        Ok(Kept { bytes, rest })
    }

    /// Bytes of the head of an image that is used where it lies. None: it is not one that is.
    pub(super) async fn head(
        &self,
        slot: SlotName,
        hash: crate::image::Hash,
        length: u64,
    ) -> Result<Option<u64>, SlotError> {
        let start = self.start(slot, length.min(BLOCK)).await?;
        let Ok(header) = Header::read(&start) else { return Ok(None) };
        let signed = header.manifest_length();
        if signed > length.min(MAX_MANIFEST) {
            return Ok(None);
        }
        let manifest = self.start(slot, signed).await?;
        if (self.hasher())(&manifest) != hash {
            return Ok(None);
        }
        Ok(head_length(&manifest).ok().filter(|head| *head <= length))
    }

    /// The first bytes of what is in a slot.
    pub(super) async fn start(&self, slot: SlotName, length: u64) -> Result<Vec<u8>, SlotError> {
        let place = self.inner().table.place(slot);
        let mut bytes = Vec::new();
        let capacity = usize::try_from(length.next_multiple_of(BLOCK)).map_err(|_| SlotError::NoMemory)?;
        bytes.try_reserve_exact(capacity).map_err(|_| SlotError::NoMemory)?;
        for at in (0..length).step_by(CHUNK) {
            let wanted = (length - at).min(CHUNK as u64).next_multiple_of(BLOCK);
            bytes.extend_from_slice(&store::read(&**self.disk(), place + at, wanted).await?);
        }
        bytes.truncate(length as usize);
        Ok(bytes)
    }

    /// Where a slot's image is read from; nothing is written there meanwhile.
    pub fn source(&self, slot: SlotName) -> Result<Arc<Source>, SlotError> {
        let sector = u64::from(self.disk().geometry().sector_size);
        let (place, length) = {
            let table = &self.inner().table;
            (table.place(slot) / sector, table.slot_bytes / sector)
        };
        Ok(Source::new(Extent::new(self.disk().clone(), place, Some(length), true)?, self.pin(slot)))
    }
}
