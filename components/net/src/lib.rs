//! The net box: ARP, NDP, IPv4, IPv6, ICMP, DHCP, TCP, UDP and name lookups, on a network card that carries frames.
//!
//! [`Stack`] is the box without its surroundings: batches of packed records and the time go in, batches come out. On
//! wasm32 the module `shim` joins it to the box's arrows; elsewhere it is tested, with smoltcp or another `Stack` at
//! the other end of a wire.
//!
//! smoltcp does the protocols. What is added here: one socket set per connection and a map to it, so that a segment
//! costs the same however many connections there are; checksums over whole frames; memory that connections share;
//! ownership of connections and ports by the client boxes; router discovery; a resolver; which segments a connection
//! takes (RFC 5961); path MTU discovery; initial sequence numbers and SYN cookies (RFC 6528); IPv6 extension headers and
//! fragments; whether addresses are another machine's too (RFC 4862, RFC 5227). smoltcp sees what is left then, and is not
//! changed.
#![deny(unsafe_code)]

mod addresses;
mod checksum;
mod datagrams;
mod echo;
mod extensions;
mod fragments;
mod heritage;
mod journal;
mod link;
mod memory;
mod names;
mod neighbours;
mod outgoing;
mod packet;
mod paths;
mod random;
mod restraint;
mod segments;
mod senders;
mod settings;
#[cfg(target_arch = "wasm32")]
mod shim;
mod stack;
mod tcp;
mod timers;
mod udp;

pub use heritage::{Heritage, Malformed};
pub use journal::Level;
pub use link::Card;
pub use random::Seed;
pub use settings::{SETTINGS, Settings};
pub use stack::{Counters, Stack};
