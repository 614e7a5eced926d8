//! Channel arrows: queues of packed records between two boxes, held by the node.
//!
//! A box has one [`Port`] for each channel interface that it imports. A port has peers: the ports at the other ends of
//! its arrows, which come and go while the box runs. What a peer sends is appended to the port's inbox; the box takes the inbox whole.

mod arrow;
mod grant;
mod known;
mod link;
mod peers;
mod port;
mod signal;
mod tally;
#[cfg(test)]
mod tests;

pub use arrow::Arrow;
pub use grant::Resolved;
pub use known::Channel;
pub use link::link;
pub use port::{Port, Refused};
pub use signal::{Ready, Signal};
pub use tally::Tally;

use serde::{Deserialize, Serialize};

/// Which end of a channel a box holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum End {
    Client,
    Service,
}

impl End {
    pub const fn other(self) -> End {
        match self {
            End::Client => End::Service,
            End::Service => End::Client,
        }
    }
}
