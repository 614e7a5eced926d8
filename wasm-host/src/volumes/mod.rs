//! Volumes: parts of disks that have names, by which a system's arrows give them to boxes.
//!
//! A disk with volumes has a partition table (GPT), so that other systems see what is where. A volume is a partition, or several
//! if it has grown where there was no room behind it, with a type of Pearwood's own and the volume's name. The node's
//! [slots](crate::slots) for systems are a partition too. Which volumes there are is what the disks say: a system that names one
//! which is not there gets it made, and one that no system names any more stays until somebody deletes it. None is ever made smaller.
//!
//! A new volume reads as zeroes: its room is made so before the table says that it is there. What is deleted is erased, part by
//! part, before anybody gets its room.
//!
//! What a disk holds that is not Pearwood's is left alone. One that is blank gets its table when it is used first; one with slots at
//! its beginning, and no table, goes on as it is and can have no volumes. Nor can one of which boxes get sectors by their numbers: what
//! they write there is never taken for a table.

mod beginning;
mod erase;
mod parted;
mod registry;
mod space;
mod table;
#[cfg(test)]
mod tests;
mod turn;

pub use parted::{Found, Parted, Place};
pub use registry::{Health, Listed, Volumes, on_disk, slots_of};
pub use table::{Kind, MAX_NAME, MAX_PARTS, is_name};

pub(crate) use erase::serve as erase;

use crate::slots::size;
use alloc::{format, string::String};
use core::fmt;

/// Volumes are a whole number of these, and lie at multiples of them.
pub const MIB: u64 = 1 << 20;

/// The largest volume that a system may name.
pub const MAX_SIZE: u64 = 1 << 50;

/// Bytes that a disk needs beside its volumes, for the table's copies.
pub const OVERHEAD: u64 = 2 * MIB;

/// What a disk is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want<'a> {
    pub kind: Kind,
    pub name: &'a str,
    pub bytes: u64,
}

/// What was made, or grew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    pub kind: Kind,
    pub name: String,
    /// 0: it was not there
    pub was: u64,
    pub bytes: u64,
}

impl Made {
    fn what(&self) -> String {
        what(self.kind, &self.name)
    }
}

fn what(kind: Kind, name: &str) -> String {
    match kind {
        Kind::Slots => "the system's slots".into(),
        _ => format!("volume `{name}`"),
    }
}

impl fmt::Display for Want<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&what(self.kind, self.name))
    }
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, bytes) = (self.what(), size(self.bytes));
        match self.was {
            0 => write!(f, "{what}: made, {bytes}"),
            was => write!(f, "{what}: grown from {} to {bytes}", size(was)),
        }
    }
}
