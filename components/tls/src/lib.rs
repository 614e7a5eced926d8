//! The tls box: TLS 1.3 (RFC 8446) and 1.2 (RFC 5246) between the network and the boxes that listen there, by the protocol
//! [`pearwood:net/tcp`] on both sides; and from the boxes that ask for it to other hosts, which prove who they are. It holds no private key: what a handshake signs, another box signs ([`Keys`]).
//!
//! [`Tls`] does no I/O: it is fed batches and the time, and leaves batches. `shim` joins it to the box's arrows.
#![cfg_attr(not(target_arch = "wasm32"), forbid(unsafe_code))]

mod certificates;
mod clock;
mod config;
mod connection;
mod figures;
mod provider;
mod server;
mod session;
#[cfg(target_arch = "wasm32")]
mod shim;
mod tickets;
mod trust;
mod visitors;

pub use certificates::Keys;
pub use config::{Certificate, Clients, Config, SETTINGS, Trusted};
pub use provider::lent;
pub use rustls::crypto::{GetRandomFailed, SecureRandom};
pub use rustls::{pki_types::UnixTime, time_provider::TimeProvider};
pub use server::{CONNECTION, Level, Outside, Tls, To, Wake};
