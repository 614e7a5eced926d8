//! What a node needs to wire a system: who is joined to whom, by which interface, with which grant.

use super::Diagnostic;
use super::grant::{BlockGrant, NetGrant};
use super::known::Channel;
use alloc::{string::String, vec::Vec};

/// The wiring of a system that has passed the check.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Routes {
    /// For each box of the system, by its position.
    pub boxes: Vec<BoxRoutes>,
    /// What may not be as meant.
    pub warnings: Vec<Diagnostic>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoxRoutes {
    pub run: Run,
    /// The channel ends at which the box is the client, one for each interface.
    pub clients: Vec<End>,
    /// The channel ends at which the box is the service, one for each interface. One that nobody uses has no peers.
    pub services: Vec<Service>,
    /// Network cards.
    pub devices: Vec<DeviceRoute>,
    pub disks: Vec<DiskRoute>,
    pub calls: Vec<CallRoute>,
    /// It has the power over the node.
    pub controls: bool,
}

/// How a box comes to do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// It exports `pearwood:box/service`: its `run` is called once and lasts as long as the box.
    Service,
    /// It exports `wasi:cli/run`: the same, and returning from it ends the box for good.
    Command,
    /// Others call its exports.
    Called,
}

/// One end of a channel. A peer's number is its position here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    pub channel: Channel,
    /// At a client's end in the order of the file's lines; at a service's, in the order of the boxes and then of their lines.
    pub peers: Vec<Peer>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    pub end: End,
    pub provider: Provider,
}

/// How a box provides a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Provider {
    /// It imports the channel's service interface.
    Channel,
    /// The node calls this export of the box, named as the component names it.
    Export(String),
}

/// Who is at the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The position of its box.
    pub box_index: usize,
    /// The number by which the peer knows this end.
    pub number: u32,
    /// What the `attach` record says to this end.
    pub attach: Vec<u8>,
    /// What the client at this or the other end may do.
    pub net: Option<NetGrant>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRoute {
    /// As the component names it.
    pub interface: String,
    pub device: String,
}

/// Some of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskRoute {
    /// As the component names it.
    pub interface: String,
    pub device: String,
    pub grant: BlockGrant,
}

/// An import that is another box's export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRoute {
    /// As the component names it.
    pub interface: String,
    /// The position of the box that exports it.
    pub box_index: usize,
    /// As that box's component names it.
    pub export: String,
}

impl BoxRoutes {
    pub fn client(&self, channel: Channel) -> Option<&End> {
        self.clients.iter().find(|end| end.channel == channel)
    }

    pub fn service(&self, channel: Channel) -> Option<&Service> {
        self.services.iter().find(|service| service.end.channel == channel)
    }
}
