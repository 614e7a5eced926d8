//! Grants: what an arrow carries beyond its type.

mod http;
mod ports;
mod remote;
mod sectors;

pub use http::{HttpGrant, http_host, http_path};
pub use ports::Ports;
pub use remote::{Host, Remote};
pub use sectors::{BlockGrant, Sectors};

use alloc::{string::String, vec::Vec};
use core::fmt;
use wit::tcp::Endpoint;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Grant {
    /// The type says all.
    #[default]
    None,
    /// For `pearwood:net/tcp` and `pearwood:net/udp`.
    Net(NetGrant),
    /// For `pearwood:http/handler`: which requests go that way.
    Http(HttpGrant),
    /// For `pearwood:hardware/block`: which sectors.
    Block(BlockGrant),
    /// For `pearwood:control/node`.
    Control(ControlGrant),
    /// For protocols whose service looks after its grants itself: what `attach` is to say.
    Attach(Vec<(String, Setting)>),
}

/// A value of a grant that the node does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    Text(String),
    Number(i64),
    Truth(bool),
    List(Vec<Setting>),
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Setting::Text(text) => write!(f, "{text:?}"),
            Setting::Number(number) => write!(f, "{number}"),
            Setting::Truth(truth) => write!(f, "{truth}"),
            Setting::List(items) => {
                f.write_str("[")?;
                for (place, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if place > 0 { ", " } else { "" })?;
                }
                f.write_str("]")
            }
        }
    }
}

/// The most bytes of an image that the box may bring to the node, beside what the node has of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlGrant {
    pub upload: u64,
}

impl ControlGrant {
    pub const DEFAULT_UPLOAD: u64 = 64 << 20;
}

impl Default for ControlGrant {
    fn default() -> Self {
        ControlGrant { upload: Self::DEFAULT_UPLOAD }
    }
}

/// The ports that a box may listen at (or bind, with UDP), and whom it may talk to by itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
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

    /// Whether looking this name up can be of use.
    pub fn may_look_up(&self, name: &str) -> bool {
        self.connect.iter().any(|remote| remote.host == Host::Any || remote.host.admits_name(name))
    }
}
