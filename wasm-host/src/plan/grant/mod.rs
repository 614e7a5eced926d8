//! Grants: what an arrow carries beyond its type.

mod ports;
mod remote;
mod sectors;

pub use ports::Ports;
pub use remote::{Host, Remote, host_name};
pub use sectors::{BlockGrant, Sectors};

use super::{MAX_ATTACH, MAX_ENTRIES};
use alloc::{string::String, vec::Vec};
use core::net::IpAddr;
use serde::{Deserialize, Serialize};
use wit::tcp::Endpoint;

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Grant {
    /// The type says all.
    #[default]
    None,
    /// For `pearwood:net/tcp` and `pearwood:net/udp`.
    Net(NetGrant),
    /// For `pearwood:hardware/block`: which sectors.
    Block(BlockGrant),
    /// For `pearwood:control/node`: bytes of an image that the box may bring, from 1 MiB to 4 GiB.
    Control { upload: u64 },
    /// The service looks after it, and is told by `attach`. These are the words of the declaration, to be shown.
    Said(String),
}

impl Grant {
    /// Whether it is one that a declaration can say.
    pub(super) fn is_sound(&self) -> bool {
        match self {
            Grant::None => true,
            Grant::Net(NetGrant { listen, connect }) => {
                listen.len().max(connect.len()) <= MAX_ENTRIES
                    && listen.iter().all(Ports::is_sound)
                    && connect.iter().all(Remote::is_sound)
            }
            Grant::Block(grant) => grant.sectors.is_sound(),
            Grant::Control { upload } => (1 << 20..=4 << 30).contains(upload),
            Grant::Said(words) => words.len() <= MAX_ATTACH && !words.chars().any(char::is_control),
        }
    }
}

/// The bytes of an image that the box with the power over the node may bring, unless its arrow says otherwise.
pub const DEFAULT_UPLOAD: u64 = 64 << 20;

/// The ports that a box may listen at (or bind, with UDP), and whom it may talk to by itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NetGrant {
    pub listen: Vec<Ports>,
    pub connect: Vec<Remote>,
}

impl NetGrant {
    pub fn may_listen(&self, port: u16) -> bool {
        self.listen.iter().any(|ports| ports.contains(port))
    }

    /// `names` are those that the box has found this address under.
    pub fn may_connect(&self, to: Endpoint, names: &[&str]) -> bool {
        self.connect.iter().any(|remote| remote.admits(to, names))
    }

    /// Whether a host may be connected to by its name, or by an address in words.
    pub fn may_dial(&self, name: &str, port: u16) -> bool {
        let address = match name.trim_start_matches('[').trim_end_matches(']').parse() {
            Ok(IpAddr::V4(v4)) => Some(v4.to_ipv6_mapped()),
            Ok(IpAddr::V6(v6)) => Some(v6),
            Err(_) => None,
        };
        match address {
            Some(address) => self.may_connect(Endpoint { address, port }, &[]),
            None => self.connect.iter().any(|remote| {
                remote.ports.contains(port) && (remote.host == Host::Any || remote.host.admits_name(name))
            }),
        }
    }

    /// Whether looking this name up can be of use.
    pub fn may_look_up(&self, name: &str) -> bool {
        self.connect.iter().any(|remote| remote.host == Host::Any || remote.host.admits_name(name))
    }
}
