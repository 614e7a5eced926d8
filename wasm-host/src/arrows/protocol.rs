//! A protocol, as far as the node knows it: what its WIT declares beyond the types of its records.

use alloc::{string::String, sync::Arc};
use core::{
    fmt,
    ops::{BitOrAssign, Deref},
};
use serde::{Deserialize, Serialize};

/// The protocols that the node itself knows: those whose grants it enforces, and those that the faces of WASI speak.
pub const TCP: &str = "pearwood:net/tcp";
pub const UDP: &str = "pearwood:net/udp";
pub const NAMES: &str = "pearwood:net/names";
pub const HANDLER: &str = "pearwood:http/handler";
pub const KEYVALUE: &str = "pearwood:store/keyvalue";
pub const CONTROL: &str = "pearwood:control/node";

/// The protocol of a port. Ports of one protocol can be joined; the declarations of both ends were compared before.
#[derive(Clone)]
pub struct Protocol(Arc<Declared>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declared {
    /// The interface and the part of its version that says what is compatible: `pearwood:net/tcp@0.2`.
    pub name: String,
    pub kinds: Kinds,
}

/// What records mean for meters, as the record `metered` of the interface says: a bit for each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kinds {
    /// from the client: begins a request of the record's id
    pub asks: u64,
    /// from the client: the request is no longer wanted
    pub cancels: u64,
    /// from the service: something was opened, such as a connection
    pub opens: u64,
    /// from the service: the request of that id is over
    pub ends: u64,
    /// from the service: something has failed
    pub fails: u64,
    /// from the service: its first field after the id is a status as HTTP has it
    pub answers: u64,
}

impl Kinds {
    /// The bit of a kind; of those beyond, nothing is metered.
    pub const fn bit(kind: u8) -> u64 {
        if kind < 64 { 1 << kind } else { 0 }
    }
}

impl BitOrAssign for Kinds {
    fn bitor_assign(&mut self, other: Self) {
        let Kinds { asks, cancels, opens, ends, fails, answers } = other;
        self.asks |= asks;
        self.cancels |= cancels;
        self.opens |= opens;
        self.ends |= ends;
        self.fails |= fails;
        self.answers |= answers;
    }
}

impl Declared {
    /// The interface, without a version.
    pub fn path(&self) -> &str {
        self.name.split_once('@').map_or(&self.name, |(path, _)| path)
    }
}

impl From<Declared> for Protocol {
    fn from(declared: Declared) -> Self {
        Protocol(Arc::new(declared))
    }
}

impl Protocol {
    pub fn new(name: impl Into<String>, kinds: Kinds) -> Self {
        Declared { name: name.into(), kinds }.into()
    }

    /// Whether it consists of requests, which a client begins and a service ends. Otherwise the service holds something
    /// for a client, or begins something with it.
    pub fn is_of_requests(&self) -> bool {
        self.kinds.asks != 0
    }
}

impl Deref for Protocol {
    type Target = Declared;

    fn deref(&self) -> &Declared {
        &self.0
    }
}

impl PartialEq for Protocol {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.name == other.name
    }
}

impl Eq for Protocol {}

impl PartialOrd for Protocol {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Protocol {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.name.cmp(&other.name)
    }
}

impl fmt::Debug for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
