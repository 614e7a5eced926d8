//! What no box may send.

use core::fmt;
use wit::{MAX_BATCH, Malformed, Peer};

/// A batch that no honest box sends. It ends the box that did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    Malformed,
    /// More than any receiver takes at once.
    TooLong {
        bytes: usize,
    },
    /// Of a kind that only the node may send, or that the peer does not take.
    Reserved {
        kind: u8,
    },
    NoPort {
        port: u32,
    },
    NoPeer {
        peer: u32,
        peers: u32,
    },
    /// Against what its protocol says.
    Unfit(&'static str),
    /// The node cannot hold it for the receiver.
    NoMemory,
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
            Refused::TooLong { bytes } => write!(f, "sent a batch of {bytes} bytes; the longest is {MAX_BATCH}"),
            Refused::Reserved { kind } if *kind >= Peer::FIRST_KIND => {
                write!(f, "sent a record of kind {kind}, which only the node may")
            }
            Refused::Reserved { kind } => write!(f, "sent a record of kind {kind}, which its peer does not take"),
            Refused::NoPort { port } => write!(f, "has no port {port}"),
            Refused::NoPeer { peer, peers } => write!(f, "sent to peer {peer}, but has {peers}"),
            Refused::Unfit(what) => write!(f, "sent {what}"),
            Refused::NoMemory => f.write_str("sent a batch that the node has no memory for"),
        }
    }
}

impl core::error::Error for Refused {}
