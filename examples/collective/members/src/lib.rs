//! A site with accounts: people sign up, log in and out, and see a page that only members see.
//!
//! [`Site`] answers requests and is tested natively; `shim` has its disk, its clock and its randomness.

mod accounts;
mod pages;
#[cfg(target_family = "wasm")]
mod shim;
mod site;

pub use accounts::{Account, Accounts, Store};
pub use site::{Site, Today};
