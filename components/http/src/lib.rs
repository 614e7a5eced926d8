//! The http box: HTTP/1.1 (RFC 9110, RFC 9112) and HTTP/2 (RFC 9113) for whoever connects, and [`pearwood:http/handler`] for the boxes that
//! answer.
//!
//! [`Http`] does no I/O: it is fed batches and the time, and leaves batches. `shim` joins it to the box's arrows.
#![cfg_attr(not(target_arch = "wasm32"), forbid(unsafe_code))]

mod config;
mod connection;
mod date;
mod exchange;
mod figures;
mod flood;
mod packing;
mod password;
mod reader;
mod response;
mod rules;
mod server;
mod session;
mod settings;
#[cfg(target_arch = "wasm32")]
mod shim;
mod stream;

pub use config::Config;
pub use password::PasswordHash;
pub use server::{Http, Level, Outside, To, Wake};
pub use settings::SETTINGS;
