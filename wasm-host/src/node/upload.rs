//! An image on its way to the node, blob by blob and part by part.
//!
//! What is brought is in the node's memory, not in that of the box that brings it, and it is bounded: by the grant of
//! the box's arrow, and by half of what is free. It counts as the node's `uploads` from the first part on, and no more
//! when the image is deployed, or the upload is dropped.

use crate::{
    boxes::{Budget, Charge},
    image::{Assembly, Hash, Image, ImageError, Pieces},
    plan::Plan,
};
use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

/// No image may be longer, whatever the node has of it.
pub(super) const MAX_IMAGE: u64 = 4 << 30;

/// The most hashes that `lacks` yields at once.
const MAX_HASHES: usize = 1_024;

pub struct Upload {
    assembly: Assembly<'static>,
    /// what has come, and what there is memory for
    charge: Charge,
    pub(super) bound: Bound,
    part: Option<Part>,
}

/// The most bytes that may be brought, and what says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// `upload` of the arrow
    Granted(u64),
    /// half of the memory that is free
    Free(u64),
}

/// A blob of which a part is there.
struct Part {
    hash: Hash,
    length: usize,
    bytes: Vec<u8>,
    hashing: Pieces,
}

impl Upload {
    /// Begins to bring what an image lacks.
    pub(super) fn begin(assembly: Assembly<'static>, bound: Bound, uploads: &Arc<Budget>) -> Result<Self, String> {
        let mut upload = Upload { assembly, charge: Charge::none(uploads), bound, part: None };
        // the manifest is here
        upload.take(upload.assembly.manifest_bytes())?;
        upload.fits(upload.assembly.missing_bytes())?;
        Ok(upload)
    }

    fn fits(&self, bytes: u64) -> Result<(), String> {
        let needs = self.charge.bytes().saturating_add(bytes);
        let (most, what) = match self.bound {
            Bound::Granted(most) => (most, "the arrow to `pearwood:control/node` grants an `upload` of"),
            Bound::Free(most) => (most, "half of the node's free memory is"),
        };
        if needs <= most {
            return Ok(());
        }
        Err(format!("the image is too large: {} KiB are to be brought, and {what} {} KiB", kib(needs), most >> 10))
    }

    fn take(&mut self, bytes: u64) -> Result<(), String> {
        self.fits(bytes)?;
        let all = usize::try_from(self.charge.bytes() + bytes).map_err(|_| "the image is too large".to_string())?;
        // nothing else bounds the node's count of uploads
        if self.charge.resize(all) { Ok(()) } else { Err("the image is too large".into()) }
    }

    /// Bytes that are lacking, as far as is known.
    pub fn missing_bytes(&self) -> u64 {
        self.assembly.missing_bytes()
    }

    /// The hashes of some blobs that are lacking.
    pub fn lacks(&self) -> Vec<u8> {
        self.assembly.missing().take(MAX_HASHES).flat_map(|hash| hash.0).collect()
    }

    /// The plan of the system that is brought. None: it is still lacking.
    pub fn plan(&self) -> Result<Option<Plan>, String> {
        self.assembly.plan().map_err(|error| error.to_string())
    }

    /// Takes in a part of a blob, which costs as much for the last as for the others.
    pub fn put(&mut self, hash: &[u8], length: u64, offset: u64, bytes: &[u8]) -> Result<(), String> {
        let hash = Hash(hash.try_into().map_err(|_| format!("a hash of {} bytes", hash.len()))?);
        if offset == 0 {
            self.first_part(hash, length)?;
        }
        let fits =
            |part: &&mut Part| (part.hash, part.length as u64, part.bytes.len() as u64) == (hash, length, offset);
        let Some(part) = self.part.as_mut().filter(fits) else {
            return Err(format!("blob {hash}: what is at {offset} does not follow what came before"));
        };
        if bytes.len() > part.length - part.bytes.len() {
            return Err(format!("blob {hash} is longer than the {length} bytes it was said to have"));
        }
        part.bytes.extend_from_slice(bytes);
        part.hashing.advance(&part.bytes);
        if part.bytes.len() == part.length
            && let Some(Part { hashing, bytes, .. }) = self.part.take()
        {
            let found = hashing.finish(&bytes);
            if let Err(error) = self.assembly.add_hashed(found, bytes) {
                self.give(length);
                return Err(error.to_string());
            }
        }
        Ok(())
    }

    fn give(&mut self, bytes: u64) {
        let left = self.charge.bytes().saturating_sub(bytes);
        // less always goes
        let _ = self.charge.resize(usize::try_from(left).unwrap_or_default());
    }

    fn first_part(&mut self, hash: Hash, length: u64) -> Result<(), String> {
        if let Some(before) = self.part.take() {
            self.give(before.length as u64);
        }
        match self.assembly.missing_length(hash) {
            None => return Err(format!("blob {hash} is none that the image lacks")),
            Some(wanted) if wanted != length => {
                return Err(format!("blob {hash} has {wanted} bytes in this image, not {length}"));
            }
            Some(_) => self.take(length)?,
        }
        let mut bytes = Vec::new();
        let capacity = usize::try_from(length).unwrap_or(usize::MAX);
        if bytes.try_reserve_exact(capacity).is_err() {
            self.give(length);
            return Err(format!("blob {hash}: the node has no memory for its {} KiB", kib(length)));
        }
        self.part = Some(Part { hash, length: capacity, bytes, hashing: Pieces::default() });
        Ok(())
    }

    /// Nothing is lacking any more.
    pub(super) fn check_complete(&self) -> Result<(), String> {
        match self.assembly.missing().len() {
            0 => Ok(()),
            missing => Err(ImageError::Incomplete { missing }.to_string()),
        }
    }

    /// The image, if nothing is lacking.
    pub(super) fn finish(self) -> Result<Image<'static>, String> {
        self.assembly.finish().map_err(|error| error.to_string())
    }
}

fn kib(bytes: u64) -> u64 {
    bytes.div_ceil(1_024)
}
