//! The control box lets people with a key see and change the system that runs on its node.
//!
//! ```text
//! TCP         frames: length (u16, big endian), then a Noise message of that length
//! Noise       NX_25519_ChaChaPoly_BLAKE2s: the node proves its static key, and what follows is secret
//! channel     the first message of the client is its ed25519 key and its signature over the hash of the handshake, by
//!             which all that it asks is bound to this channel; then requests and responses (see [`message`])
//! ```
//!
//! The Noise pattern is the one in which only the node has a static key: people are known by their ed25519 keys, and one
//! key of each is enough.
//!
//! [`Control`] does no I/O: it is fed batches of `pearwood:net/tcp` and `pearwood:control/node` and the time, and leaves
//! batches. `shim` joins it to the box's arrows. [`Client`] is the other side.
#![cfg_attr(not(target_arch = "wasm32"), forbid(unsafe_code))]

mod channel;
mod client;
mod config;
mod frames;
pub mod message;
mod metrics;
mod page;
mod power;
mod server;
#[cfg(target_arch = "wasm32")]
mod shim;

pub use channel::{ChannelError, Identity, STATEMENT};
pub use client::{Client, Heard};
pub use config::{Config, Grantee, SETTINGS, hex, key_of};
pub use metrics::metrics;
pub use power::{Level, Outside};
pub use server::{Control, Wake, lockout};
