//! Where the files of an image lie that is not all in memory.

use super::{Hash, Hasher};
use crate::platform::{Disk as _, DiskError, Extent, Pending};
use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::{any::Any, fmt};

/// What is read from a disk is whole blocks of this many bytes, which every sector size divides.
const BLOCK: u64 = 4_096;

/// Of the blocks that were read for a piece, no more than so many bytes are kept beside it.
const SLACK: usize = 64;

/// An image on a disk. As long as this lives, nobody writes to where it lies.
pub struct Source {
    /// from the image's start on
    disk: Extent,
    _pin: Box<dyn Any + Send + Sync>,
}

impl Source {
    /// `pin`: what keeps others from writing there.
    pub fn new(disk: Extent, pin: impl Any + Send + Sync) -> Arc<Self> {
        Arc::new(Source { disk, _pin: Box::new(pin) })
    }

    /// Begins to read the blocks in which `length` bytes of the image lie, which is less than 4 GiB.
    fn read(&self, at: u64, length: u64) -> Pending<Vec<u8>> {
        let sector = u64::from(self.disk.geometry().sector_size);
        let (first, end) = (at / BLOCK * BLOCK, (at + length).next_multiple_of(BLOCK));
        self.disk.read(first / sector, ((end - first) / sector) as u32)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an image on a disk")
    }
}

/// The part of a file that has a hash of its own, on a disk.
#[derive(Debug, Clone)]
pub struct Piece {
    pub(super) source: Arc<Source>,
    /// its number among all pieces of the box's files
    pub number: usize,
    /// its number among those of its file
    pub block: u64,
    /// where in its file it begins
    pub offset: u64,
    pub length: usize,
    /// where in the image
    pub(super) at: u64,
    pub(super) hash: Hash,
    pub(super) hasher: Hasher,
}

/// Why a piece cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PieceError {
    Disk(DiskError),
    /// Its bytes are not those that were signed.
    Corrupt,
}

impl fmt::Display for PieceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PieceError::Disk(error) => error.fmt(f),
            PieceError::Corrupt => f.write_str("its bytes on the disk are not those that were signed"),
        }
    }
}

impl core::error::Error for PieceError {}

impl Piece {
    /// Begins to read it.
    pub fn read(&self) -> Pending<Vec<u8>> {
        self.source.read(self.at, self.length as u64)
    }

    /// Makes the piece of the blocks that were read for it, if they hold it.
    pub fn verified(&self, read: Result<Vec<u8>, DiskError>) -> Result<Vec<u8>, PieceError> {
        let mut bytes = read.map_err(PieceError::Disk)?;
        let skip = (self.at % BLOCK) as usize;
        let piece = bytes.get(skip..skip + self.length).ok_or(PieceError::Disk(DiskError::Io))?;
        if (self.hasher)(piece) != self.hash {
            return Err(PieceError::Corrupt);
        }
        if skip > 0 || bytes.capacity() > self.length + SLACK {
            let mut copy = Vec::new();
            copy.try_reserve_exact(self.length).map_err(|_| PieceError::Disk(DiskError::NoMemory))?;
            copy.extend_from_slice(piece);
            bytes = copy;
        } else {
            bytes.truncate(self.length);
        }
        Ok(bytes)
    }
}
