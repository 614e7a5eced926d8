//! Channel arrows: queues of packed records between two boxes, held by the node.
//!
//! A box has one [`Port`] for each channel interface that it imports. A port has peers: the ports at the other ends of
//! its arrows. What a peer sends is appended to the port's inbox; the box takes the inbox whole.

mod grant;
mod link;
mod port;
mod signal;
#[cfg(test)]
mod tests;

pub use crate::system::known::Channel;
pub use grant::Resolved;
pub use link::link;
pub use port::{Arrow, Port, Refused, Traffic, join};
pub use signal::{Ready, Signal};

/// Which end of a channel a box holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum End {
    Client,
    Service,
}
