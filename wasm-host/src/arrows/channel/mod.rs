//! Ports and arrows: queues of packed records between two boxes, held by the node.
//!
//! A box has a [`Port`] for each protocol and side that it imports. A port has peers: the ports at the other ends of its
//! arrows, which come and go while the box runs, and devices of the node. What a box sends is appended to the inbox of the
//! other's port; that box takes the inbox whole.

mod arrow;
mod gate;
mod link;
mod peers;
mod port;
mod service;
mod signal;
#[cfg(test)]
mod tests;

pub use arrow::Arrow;
pub use gate::Gate;
pub use link::link;
pub use port::{Port, Refused, Setup};
pub use service::Service;
pub use signal::{MAX_PORTS, Ready, Signal};

/// Which side of a protocol a box is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum End {
    Client,
    Service,
}

impl End {
    /// The function of the protocol's interface that a box of this side calls.
    pub const fn function(self) -> &'static str {
        match self {
            End::Client => "client",
            End::Service => "service",
        }
    }

    pub const fn other(self) -> End {
        match self {
            End::Client => End::Service,
            End::Service => End::Client,
        }
    }
}
