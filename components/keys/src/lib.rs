//! The keys box: it holds private keys, and signs with them what their purpose allows (`pearwood:keys`). It never gives one out,
//! and reads nothing from the network.
//!
//! [`Keys`] is the box without its arrows. Keys are ECDSA with P-256, or Ed25519. Those that it makes are kept on a disk, sealed
//! (`store.rs` says how). Secrets are wiped when they are dropped.
#![cfg_attr(not(target_arch = "wasm32"), forbid(unsafe_code))]

mod certificate;
mod config;
mod grant;
mod holder;
mod key;
pub mod lent;
mod purpose;
#[cfg(target_arch = "wasm32")]
mod shim;
mod store;

pub use config::{Algorithm, Config, Origin, SETTINGS};
pub use grant::{GRANT, Grant};
pub use holder::Keys;
pub use store::{Disk, MOST, Random};
