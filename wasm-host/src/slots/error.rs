//! Why a slot cannot be used.

use super::{MIN_RESERVE, SlotName, reserve_for, size};
use crate::platform::DiskError;
use core::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotError {
    Disk(DiskError),
    /// It does not come to an end with what it does.
    Silent,
    /// Somebody else is writing.
    Busy,
    /// The disk, or what is reserved of it, is smaller than this.
    TooSmall {
        needs: u64,
    },
    TooLarge {
        length: u64,
        most: u64,
    },
    /// The node uses what is in all of them.
    AllUsed,
    /// The disk holds something else where the slots would be.
    InUse,
    /// Neither copy of the table is whole.
    NoTable,
    Version(u32),
    /// The slot has no image that could be run.
    Empty(SlotName),
    Corrupt(SlotName),
    /// Fewer or more bytes than the image was said to have.
    WrongLength,
    NoMemory,
}

impl fmt::Display for SlotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SlotError::Disk(error) => error.fmt(f),
            SlotError::Silent => f.write_str("the disk does not answer"),
            SlotError::Busy => f.write_str("another system is just being written"),
            SlotError::TooSmall { needs } => {
                write!(f, "{} are needed for the system's slots, at least {}", size(*needs), size(MIN_RESERVE))
            }
            SlotError::TooLarge { length, most } => {
                let (most, needs) = (size(*most), size(reserve_for(*length)));
                write!(
                    f,
                    "the image has {length} bytes, and a slot has room for {most}: it needs a disk that is laid out with \
                     `[system] disk = {{ device = \"disk0\", reserve = \"{needs}\" }}` or more"
                )
            }
            SlotError::AllUsed => {
                f.write_str("the node uses what is in the slots; one is free when a deployment is over")
            }
            SlotError::InUse => f.write_str("there is something else on the disk where the system's slots would be"),
            SlotError::NoTable => f.write_str("neither copy of the table of slots is whole"),
            SlotError::Version(version) => write!(f, "the slots are of format {version}, which this node cannot read"),
            SlotError::Empty(slot) => write!(f, "slot {slot} holds no system that could be run"),
            SlotError::Corrupt(slot) => write!(f, "the image in slot {slot} is not the one that was written"),
            SlotError::WrongLength => f.write_str("the image has not as many bytes as were announced"),
            SlotError::NoMemory => f.write_str("there is not enough memory for the image"),
        }
    }
}

impl core::error::Error for SlotError {}

impl From<DiskError> for SlotError {
    fn from(error: DiskError) -> Self {
        SlotError::Disk(error)
    }
}
