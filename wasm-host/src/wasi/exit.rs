//! `wasi:cli/exit`.

use core::fmt;

/// The box called `exit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit(pub u8);

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "called exit with code {}", self.0)
    }
}

impl core::error::Error for Exit {}
