//! Grants as a declaration says them, with their places.

use super::Place;
use alloc::vec::Vec;
use core::{fmt, ops::Deref};
pub use wasm_host::plan::grant::{BlockGrant, DEFAULT_UPLOAD, HttpGrant, Ports, Remote, Sectors, http_host, http_path};

/// What is declared at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct At<T> {
    pub value: T,
    pub at: Place,
}

impl<T> Deref for At<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: fmt::Display> fmt::Display for At<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

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
    Block(At<BlockGrant>),
    /// For `pearwood:control/node`.
    Control(ControlGrant),
}

/// The ports that a box may listen at (or bind, with UDP), and whom it may talk to by itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NetGrant {
    pub listen: Vec<At<Ports>>,
    pub connect: Vec<At<Remote>>,
}

/// The most bytes of an image that the box may bring to the node, beside what the node has of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlGrant {
    pub upload: u64,
}

impl Default for ControlGrant {
    fn default() -> Self {
        ControlGrant { upload: DEFAULT_UPLOAD }
    }
}

pub(super) fn plain<T: Clone>(all: &[At<T>]) -> Vec<T> {
    all.iter().map(|one| one.value.clone()).collect()
}

impl Grant {
    /// As a plan says it.
    pub(super) fn planned(&self) -> wasm_host::plan::grant::Grant {
        use wasm_host::plan::grant::{Grant as Planned, NetGrant};
        match self {
            Grant::None | Grant::Control(_) => Planned::None,
            Grant::Net(net) => Planned::Net(NetGrant { listen: plain(&net.listen), connect: plain(&net.connect) }),
            Grant::Http(grant) => Planned::Http(grant.clone()),
            Grant::Block(grant) => Planned::Block(grant.value),
        }
    }
}
