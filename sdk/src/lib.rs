//! For boxes in Rust. A whole box:
//!
//! ```ignore
//! pearwood::service!(run);
//!
//! fn run() {
//!     let greeting = pearwood::config::get("greeting").unwrap_or_else(|| "Hello".into());
//!     pearwood::http::serve(|request| pearwood::http::Response::text(format!("{greeting}, {}!\n", request.path())));
//! }
//! ```
//!
//! | module | for |
//! |---|---|
//! | [`http`] | requests and answers one by one, with bodies of bounded size |
//! | `disk` | sectors of a disk: read, write, flush |
//! | `config`, `log` | the box's settings, and its log |
//! | `figures` | what the box says of itself to whoever manages the node |
//! | `ports` | batches of packed records, for protocols of one's own and for what streams |
//! | `bindings` | the functions of all WIT packages of Pearwood, as they are |
//!
//! What a box imports is what its code calls: a function that is not called does not become an import of the component.
//! The modules that call the node are there for WebAssembly only; [`http::Exchanges`] can be tested natively.

#![deny(unsafe_code)]

pub mod http;

#[cfg(target_family = "wasm")]
mod node;
#[cfg(target_family = "wasm")]
pub use node::*;

pub use wit;
