//! The site box: static files from the image, answered by RFC 9110.
//!
//! [`Site`] is a state machine: batches of `pearwood:http/handler` commands go in, batches of events come out,
//! and files are read through the [`Assets`] trait. It neither blocks nor waits, so tests and fuzzers feed it
//! natively; `shim` (compiled only for wasm32) is the loop that runs it as a box.
//!
//! A request passes through these modules in order: [`target`] finds the file, [`fields`] finds the few header
//! lines that matter, [`encoding`] picks a representation, [`preconditions`] and [`range`] decide what of it is
//! wanted, [`head`] and [`body`] are what is sent.
#![deny(unsafe_code)]

pub mod assets;
mod body;
mod cache;
mod catalogue;
mod decide;
mod encoding;
mod fields;
mod head;
mod listing;
mod media_type;
mod preconditions;
mod range;
pub mod settings;
mod site;
mod streams;
mod target;

#[cfg(target_arch = "wasm32")]
mod shim;

pub use assets::{Assets, Entry, Fetched};
pub use settings::Settings;
pub use site::{Progress, Site};
