//! An image on its way to the node, blob by blob and part by part.

use crate::image::{Assembly, Hash, Image};
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

/// No image may be longer, whatever the node has of it.
pub(super) const MAX_IMAGE: u64 = 4 << 30;

/// The most hashes that `lacks` yields at once.
const MAX_HASHES: usize = 1_024;

pub struct Upload {
    assembly: Assembly<'static>,
    /// bytes that may still be brought
    room: u64,
    part: Option<Part>,
}

/// A blob of which a part is there.
struct Part {
    hash: Hash,
    length: usize,
    bytes: Vec<u8>,
}

impl Upload {
    /// Begins to bring what an image lacks, which may take `room` bytes.
    pub(super) fn begin(assembly: Assembly<'static>, room: u64) -> Result<Self, String> {
        let needs = assembly.missing_bytes();
        if needs > room {
            return Err(no_memory(needs, room));
        }
        Ok(Upload { assembly, room, part: None })
    }

    /// Bytes that are lacking, as far as is known.
    pub fn missing_bytes(&self) -> u64 {
        self.assembly.missing_bytes()
    }

    /// The hashes of some blobs that are lacking.
    pub fn lacks(&self) -> Vec<u8> {
        self.assembly.missing().take(MAX_HASHES).flat_map(|hash| hash.0).collect()
    }

    /// Takes in a part of a blob.
    pub fn put(&mut self, hash: &[u8], length: u64, offset: u64, bytes: &[u8]) -> Result<(), String> {
        let hash = Hash(hash.try_into().map_err(|_| format!("a hash of {} bytes", hash.len()))?);
        if offset == 0 {
            self.part = Some(self.first_part(hash, length)?);
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
        if part.bytes.len() == part.length
            && let Some(part) = self.part.take()
        {
            self.assembly.add(part.bytes).map_err(|error| error.to_string())?;
            self.room = self.room.saturating_sub(length);
        }
        Ok(())
    }

    fn first_part(&self, hash: Hash, length: u64) -> Result<Part, String> {
        match self.assembly.missing_length(hash) {
            None => return Err(format!("blob {hash} is none that the image lacks")),
            Some(wanted) if wanted != length => {
                return Err(format!("blob {hash} has {wanted} bytes in this image, not {length}"));
            }
            Some(_) if length > self.room => return Err(no_memory(length, self.room)),
            Some(_) => {}
        }
        let length = usize::try_from(length).map_err(|_| no_memory(length, self.room))?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length).map_err(|_| no_memory(length as u64, self.room))?;
        Ok(Part { hash, length, bytes })
    }

    /// Nothing is lacking any more.
    pub(super) fn check_complete(&self) -> Result<(), String> {
        match self.assembly.missing().len() {
            0 => Ok(()),
            lacking => Err(format!("the image lacks {lacking} of its blobs")),
        }
    }

    /// The image, if nothing is lacking.
    pub(super) fn finish(self) -> Result<Image<'static>, String> {
        self.assembly.finish().map_err(|incomplete| incomplete.to_string())
    }
}

fn no_memory(needs: u64, room: u64) -> String {
    format!("the node has no memory for it: it needs {} KiB, and may use {} KiB", needs.div_ceil(1_024), room / 1_024)
}
