//! The fetch box: requests of boxes to other hosts, by HTTP/1.1 (RFC 9112). It is a service of [`pearwood:http/handler`], and a client
//! of [`pearwood:net/tcp`]: of a box `net` for `http`, and for `https` of a box that secures connections, `tls`.
//!
//! With upstreams it is a gateway's other half: all requests go to those, which stand for one another.
//!
//! [`Fetch`] does no I/O: it is fed batches and the time, and leaves batches. `shim` joins it to the box's arrows.
#![cfg_attr(not(target_arch = "wasm32"), forbid(unsafe_code))]

mod config;
mod exchange;
mod pace;
mod request;
mod response;
mod server;
#[cfg(target_arch = "wasm32")]
mod shim;
mod upstreams;

pub use config::{Config, SETTINGS};
pub use request::Origin;
pub use server::{Fetch, Level, Outside, To, Wake};
