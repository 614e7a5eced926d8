//! Whole-system tests: start a node, talk to it with real clients.
//!
//! Each test file in `tests/` is one subject. This library has what they share: systems that are built once, nodes that
//! are waited for, and clients that keep what they saw for the error message.

pub mod client;
pub mod frames;
pub mod load;
pub mod node;

pub use node::{On, TestNode};
