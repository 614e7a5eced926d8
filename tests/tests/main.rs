//! Whole-system tests, a subject each. `cargo test --test system wasi::` runs one subject.

extern crate alloc;

mod acme;
mod assets;
mod broken;
mod browser;
mod collective;
mod console;
mod control;
mod deploy;
mod differential;
mod disks;
mod ethernet;
mod faults;
mod frames;
mod gateway;
mod http;
mod https;
mod images;
mod languages;
mod leaks;
mod lossy;
mod outgoing;
mod power;
mod protocol;
mod readme;
mod rogue;
mod selftest;
mod slots;
mod store;
mod swaps;
mod wasi;
mod website;

// Components made by hand, of the tests of `wasm-host`.
#[allow(dead_code)]
#[path = "../../wasm-host/src/deploy/tests/guests.rs"]
mod guests;
#[allow(dead_code)]
#[path = "../../wasm-host/src/arrows/call/tests/guests.rs"]
mod typed_guests;
