//! What a node needs to wire a system: who is joined to whom, by which interface, with which grant.

use super::Diagnostic;
use super::grant::{BlockGrant, Grant};
use alloc::{string::String, vec::Vec};
use wasm_host::arrows::{Protocol, channel::End as Side};

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
    /// The ports at which the box is the client, one for each protocol. Their numbers are their positions.
    pub clients: Vec<End>,
    /// The ports at which the box is the service, one for each protocol, numbered after the clients'. One that nobody
    /// uses has no peers.
    pub services: Vec<Service>,
    pub calls: Vec<CallRoute>,
    /// Imports that the node lends, as the component names them.
    pub lent: Vec<String>,
    /// Imports that it does without.
    pub nobody: Vec<String>,
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

/// One port. A peer's number is its position here, after those of the devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    pub protocol: Protocol,
    /// As the component names it.
    pub interface: String,
    pub devices: Vec<DeviceRoute>,
    /// Bytes of images that may be brought, where it is the power over the node.
    pub node: Option<u64>,
    /// At a client's end in the order of the file's lines; at a service's, in the order of the boxes and then of their lines.
    pub peers: Vec<Peer>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    pub end: End,
    pub provider: Provider,
}

/// How a box provides a protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Provider {
    /// It has a port for it.
    Port,
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
    /// As the client's arrow declares it.
    pub grant: Grant,
}

/// A device, or some of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRoute {
    /// its name, or that of a volume
    pub device: String,
    pub is_volume: bool,
    /// of a disk
    pub sectors: Option<BlockGrant>,
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
    /// What that box is told of the arrow: names and values.
    pub words: Vec<(String, String)>,
}

impl BoxRoutes {
    /// All ports, in the order of their numbers.
    pub fn ends(&self) -> impl Iterator<Item = (Side, &End)> {
        let clients = self.clients.iter().map(|end| (Side::Client, end));
        clients.chain(self.services.iter().map(|service| (Side::Service, &service.end)))
    }

    /// The port of a protocol, named by its interface without a version.
    pub fn client(&self, path: &str) -> Option<&End> {
        self.clients.iter().find(|end| end.protocol.path() == path)
    }

    pub fn service(&self, path: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.end.protocol.path() == path)
    }
}
