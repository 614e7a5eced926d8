//! What no box may send.

use core::fmt;
use wit::Malformed;

/// A batch that no honest box sends. It ends the box that did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    Malformed,
    Reserved { kind: u8 },
    NoPeer { peer: u32, peers: u32 },
}

impl From<Malformed> for Refused {
    fn from(_: Malformed) -> Self {
        Refused::Malformed
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Malformed => f.write_str("sent a malformed batch"),
            Refused::Reserved { kind } => write!(f, "sent a record of kind {kind}, which only the node may"),
            Refused::NoPeer { peer, peers } => write!(f, "sent to peer {peer}, but has {peers}"),
        }
    }
}

impl core::error::Error for Refused {}
