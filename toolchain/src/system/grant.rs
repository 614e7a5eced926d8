//! Grants as a declaration says them, with their places.

mod http;
mod store;

pub use http::{HttpGrant, http_host, http_path};
pub use store::{StoreGrant, access as store_access};

use super::Place;
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::{fmt, ops::Deref};
pub use wasm_host::plan::grant::{BlockGrant, DEFAULT_UPLOAD, Ports, Remote, Sectors};

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
    /// For `pearwood:store/keyvalue`: which bucket, and what of it.
    Store(StoreGrant),
    /// For `pearwood:hardware/block`: which sectors.
    Block(At<BlockGrant>),
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

impl Setting {
    /// As a box reads it: text by names, those of a list numbered.
    pub fn words(&self, key: &str) -> Vec<(String, String)> {
        match self {
            Setting::List(items) => {
                let items = items.iter().enumerate();
                items.flat_map(|(place, item)| item.words(&format!("{key}.{place}"))).collect()
            }
            Setting::Text(text) => [(key.into(), text.clone())].into(),
            Setting::Number(_) | Setting::Truth(_) => [(key.into(), self.to_string())].into(),
        }
    }
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

/// The ports that a box may listen at (or bind, with UDP), and whom it may talk to by itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NetGrant {
    pub listen: Vec<At<Ports>>,
    pub connect: Vec<At<Remote>>,
}

impl NetGrant {
    /// Whether a host may be connected to, by a name or an address in words.
    pub fn may_dial(&self, host: &str, port: u16) -> bool {
        let grant = wasm_host::plan::grant::NetGrant { listen: Vec::new(), connect: plain(&self.connect) };
        grant.may_dial(host, port)
    }
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
            Grant::None => Planned::None,
            Grant::Control(control) => Planned::Control { upload: control.upload },
            Grant::Net(net) => Planned::Net(NetGrant { listen: plain(&net.listen), connect: plain(&net.connect) }),
            Grant::Block(grant) => Planned::Block(grant.value),
            Grant::Http(_) | Grant::Store(_) | Grant::Attach(_) => match self.words() {
                words if words.is_empty() => Planned::None,
                words => Planned::Said(words),
            },
        }
    }

    /// What `attach` says, in the words of the declaration.
    pub(super) fn words(&self) -> String {
        match self {
            Grant::Http(route) => route.to_string(),
            Grant::Store(store) => store.to_string(),
            Grant::Attach(settings) => {
                let settings: Vec<String> = settings.iter().map(|(key, value)| format!("{key} = {value}")).collect();
                settings.join(", ")
            }
            _ => String::new(),
        }
    }
}
