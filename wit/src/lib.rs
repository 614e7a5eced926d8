//! The packed records that arrows carry, as types. The WIT files beside this crate declare them, and [`protocol!`] generates
//! them; both the node and the boxes encode and decode with what is here.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod batch;
pub mod figures;
mod outbox;
pub mod packed;
mod peers;
pub mod setting;

pub use batch::{Batch, Malformed, Open, Record, Records};
pub use outbox::Outbox;
pub use packed::List;
pub use peers::Peers;
pub use wit_macro::protocol;

/// The error, in words, of each function of an interface that a box can do without and has no arrow for.
pub const NO_ARROW: &str = "there is no arrow for it";

pub mod tcp {
    //! `pearwood:net/tcp`: connections.
    crate::protocol! {
        path: "net",
        interface: "pearwood:net/tcp",
        types: { "pearwood:net/types/address": core::net::Ipv6Addr },
        runtime: crate,
    }
}

pub mod udp {
    //! `pearwood:net/udp`: datagrams.
    pub use crate::tcp::Endpoint;

    crate::protocol! {
        path: "net",
        interface: "pearwood:net/udp",
        types: { "pearwood:net/types/endpoint": crate::tcp::Endpoint },
        runtime: crate,
    }
}

pub mod names {
    //! `pearwood:net/names`: name lookups.
    crate::protocol! {
        path: "net",
        interface: "pearwood:net/names",
        types: { "pearwood:net/types/address": core::net::Ipv6Addr },
        runtime: crate,
    }
}

pub mod http {
    //! `pearwood:http/handler`: requests and their answers.
    crate::protocol! {
        path: ["net", "http"],
        interface: "pearwood:http/handler",
        types: { "pearwood:net/types/address": core::net::Ipv6Addr, "pearwood:net/types/cause": crate::tcp::Cause },
        runtime: crate,
    }
}

pub mod nic {
    //! `pearwood:hardware/nic`: Ethernet frames without FCS.
    crate::protocol! { path: "hardware", interface: "pearwood:hardware/nic", runtime: crate }

    /// The kind of a frame, both ways.
    pub const FRAME: u8 = Event::FRAME;
    /// The kind of [`Event::Shared`].
    pub const SHARED: u8 = Event::SHARED;
    const _: () = assert!(FRAME == Command::FRAME);

    /// The most bytes a frame can have with an MTU of 9,000 and a VLAN tag.
    pub const MAX_FRAME: usize = 9_018;
}

pub mod block {
    //! `pearwood:hardware/block`: disks, or parts of them.
    crate::protocol! { path: "hardware", interface: "pearwood:hardware/block", runtime: crate }
}

pub mod keyvalue {
    //! `pearwood:store/keyvalue`: values by their keys, which stay.
    crate::protocol! { path: "store", interface: "pearwood:store/keyvalue", runtime: crate }

    /// The most bytes of a key.
    pub const MAX_KEY: usize = 1_024;
    /// The most bytes of a value: with its key it fits in a page of the store of 128 KiB, and in half a batch.
    pub const MAX_VALUE: usize = 129_024;
}

pub mod control {
    //! `pearwood:control/node`: the power over the node.
    crate::protocol! { path: "control", interface: "pearwood:control/node", runtime: crate }
}

/// The most bytes that a batch can have (`pearwood:box/ports`).
pub const MAX_BATCH: usize = 262_144;

/// Bytes that may be under way in one direction of a stream before the receiver gives credit back.
pub const INITIAL_CREDIT: u32 = 65_536;

/// Records that mean the same on every channel (`pearwood:box/ports`, "Kinds 240 and up").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer<'a> {
    /// The records after this one came from that peer.
    Is(u32),
    /// The peer is there, with what its grant says.
    Attach(u32, &'a [u8]),
    /// The peer is gone, and why.
    Detach(u32, &'a [u8]),
    /// The peer is being replaced, or its arrow taken away: what is open goes on, nothing new is begun.
    Retire(u32),
    /// From a box, as the only record of a batch to that peer: nothing is open any more.
    Release(u32),
}

impl<'a> Peer<'a> {
    pub const IS: u8 = 240;
    pub const ATTACH: u8 = 241;
    pub const DETACH: u8 = 242;
    pub const RETIRE: u8 = 243;
    pub const RELEASE: u8 = 244;
    /// Kinds from here on are the node's to send, and but for [`Peer::Release`] never a box's.
    pub const FIRST_KIND: u8 = 240;

    pub fn decode(record: &Record<'a>) -> Option<Self> {
        match record.kind {
            Self::IS => Some(Peer::Is(record.id)),
            Self::ATTACH => Some(Peer::Attach(record.id, record.bytes)),
            Self::DETACH => Some(Peer::Detach(record.id, record.bytes)),
            Self::RETIRE => Some(Peer::Retire(record.id)),
            Self::RELEASE => Some(Peer::Release(record.id)),
            _ => None,
        }
    }

    /// The batch by which a box lets go of a peer that retires.
    pub fn release(peer: u32) -> Batch {
        let mut batch = Batch::new();
        Peer::Release(peer).encode(&mut batch);
        batch
    }

    pub fn encode(&self, batch: &mut Batch) {
        match *self {
            Peer::Is(peer) => batch.push(Self::IS, peer, &[]),
            Peer::Attach(peer, grant) => batch.push(Self::ATTACH, peer, grant),
            Peer::Detach(peer, why) => batch.push(Self::DETACH, peer, why),
            Peer::Retire(peer) => batch.push(Self::RETIRE, peer, &[]),
            Peer::Release(peer) => batch.push(Self::RELEASE, peer, &[]),
        }
    }
}

/// What a batch that was received says, record by record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// See [`Peer::Attach`].
    Attach(u32, &'a [u8]),
    /// See [`Peer::Detach`].
    Detach(u32, &'a [u8]),
    /// See [`Peer::Retire`].
    Retire(u32),
    /// A record of the protocol, and the number of the peer that it came from: `u32::MAX`, which none has, if that was not said.
    Record(u32, Record<'a>),
}

/// Reads a batch that was received from a port. Ends with one `Malformed` where it is cut short.
pub fn incoming(batch: &[u8]) -> impl Iterator<Item = Result<Incoming<'_>, Malformed>> {
    let mut from = u32::MAX;
    Records::new(batch).filter_map(move |record| {
        let record = match record {
            Ok(record) if record.kind < Peer::FIRST_KIND => return Some(Ok(Incoming::Record(from, record))),
            Ok(record) => record,
            Err(malformed) => return Some(Err(malformed)),
        };
        let peer = Peer::decode(&record)?;
        from = if let Peer::Is(peer) = peer { peer } else { u32::MAX };
        Some(Ok(match peer {
            Peer::Attach(peer, grant) => Incoming::Attach(peer, grant),
            Peer::Detach(peer, why) => Incoming::Detach(peer, why),
            Peer::Retire(peer) => Incoming::Retire(peer),
            Peer::Is(_) | Peer::Release(_) => return None,
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn what_came_is_told_with_its_peer() {
        let mut batch = Batch::new();
        batch.push(1, 5, b"from nobody");
        Peer::Attach(3, b"grant").encode(&mut batch);
        Peer::Is(3).encode(&mut batch);
        batch.push(1, 6, b"x");
        batch.push(250, 6, b"of a later node");
        Peer::Is(4).encode(&mut batch);
        batch.push(2, 7, b"y");
        batch.push(2, 8, b"z");
        Peer::Retire(4).encode(&mut batch);
        Peer::Detach(3, b"why").encode(&mut batch);
        batch.push(1, 9, b"from nobody");
        let mut bytes = batch.into_bytes();
        bytes.push(1);
        let record = |peer, kind, id, bytes| Ok(Incoming::Record(peer, Record { kind, id, bytes }));
        let told = [
            record(u32::MAX, 1, 5, &b"from nobody"[..]),
            Ok(Incoming::Attach(3, b"grant")),
            record(3, 1, 6, b"x"),
            record(4, 2, 7, b"y"),
            record(4, 2, 8, b"z"),
            Ok(Incoming::Retire(4)),
            Ok(Incoming::Detach(3, b"why")),
            record(u32::MAX, 1, 9, b"from nobody"),
            Err(Malformed),
        ];
        assert_eq!(incoming(&bytes).collect::<Vec<_>>(), told);
    }
}
