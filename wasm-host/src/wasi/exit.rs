//! `wasi:cli/exit`.

use core::fmt;
use wasmtime::Error;

/// The box called `exit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit(pub u8);

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "called exit with code {}", self.0)
    }
}

impl core::error::Error for Exit {}

/// Whether the box ended because it said that it is done.
pub fn has_exited_well(error: &Error) -> bool {
    error.downcast_ref::<Exit>().is_some_and(|exit| exit.0 == 0)
}
