//! Where a node keeps its system: three slots on a disk, so that a new system never overwrites the one that works, nor the
//! one that is gone back to from that: if it fails its trial, nothing is lost.
//!
//! The first part of the system disk is reserved for this, by bytes:
//!
//! ```text
//!  64 KiB    the table, first copy       who wrote what into which slot, and how it went
//! 512 KiB    the table, second copy
//!   1 MiB    slot A                      an image as it is, signed
//!            slots B and C               as long as slot A, and right behind it
//! ```
//!
//! A disk that was laid out for two slots goes on with two: then what is written takes the place of the one to go back to.
//!
//! What comes before and between is left alone. Either copy of the table is whole or is not: a checksum tells. A change
//! is written to the older copy and flushed, then to the other: whenever power fails, one of them is whole. A new system
//! is written into the slot that is not needed, flushed, and only then entered into the table, as being on trial: either
//! to be started at the next boot, or beside the current one, which stays that until the other has proved itself.
//!
//! An image that the node's memory has no room for is used where it lies: its head is in memory, and its files are read as boxes
//! ask for them. Nothing is written to a slot while that is so.
//!
//! At boot the current slot's image is held against its hash and its signature. If it does not stand, or has been
//! started [`MAX_ATTEMPTS`] times without having been reported good, that of the one before has come, and then of any other. That holds for what
//! proved itself beside the current one, too, until it has been started once.

mod choose;
mod error;
mod kept;
mod settle;
mod space;
mod store;
mod sum;
mod table;
#[cfg(test)]
mod tests;
mod write;

pub use choose::Chosen;
pub use error::SlotError;
pub use kept::Kept;
pub use space::Space;
pub use store::Store;
pub use sum::Sum;
pub use table::{Held, Record, SlotName, State, What};
pub use write::{Rank, Writer};

use alloc::string::String;

/// So often a system is started that is not known to work.
pub const MAX_ATTEMPTS: u32 = 3;

/// What is reserved if nothing is said: three systems of 42 MiB.
pub const DEFAULT_RESERVE: u64 = 128 << 20;
pub const MIN_RESERVE: u64 = 4 << 20;

/// The table remembers so many deployments.
pub const HISTORY: usize = 64;

/// All offsets and lengths are multiples of this, which every sector size divides.
const BLOCK: u64 = 4_096;
/// The most bytes of one transfer, and what an image is hashed by.
const CHUNK: usize = 256 << 10;
/// Where the copies of the table are.
const COPIES: [u64; 2] = [64 << 10, 512 << 10];
/// How many slots a disk is laid out for.
const COUNT: u64 = 3;
/// Where slot A is.
const SLOTS: u64 = 1 << 20;

/// A deployment: which one, and when and by whom it was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// its number; 0 for the one that follows the last
    pub deploy: u64,
    /// seconds since 1970, if the node knows
    pub time: Option<u64>,
    /// cut after 64 bytes
    pub who: String,
    /// what it changes, cut after 160 bytes
    pub text: String,
    /// of the plan that it brings
    pub version: u64,
}

/// What has to be reserved of a disk for images of so many bytes, in whole MiB.
pub fn reserve_for(length: u64) -> u64 {
    (SLOTS + COUNT * length.next_multiple_of(BLOCK)).next_multiple_of(1 << 20).max(MIN_RESERVE)
}

/// A size in bytes, in the largest unit that says it exactly.
pub fn size(bytes: u64) -> String {
    let (unit, name) = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")]
        .into_iter()
        .find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit))
        .unwrap_or((1, "B"));
    alloc::format!("{} {name}", bytes / unit)
}
