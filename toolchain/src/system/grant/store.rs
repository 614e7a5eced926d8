//! Which bucket a box has, and what of it.

use alloc::{string::String, vec::Vec};
use core::fmt;
use wasm_host::slots::size;
use wit::keyvalue::{Access, Attach, MAX_KEY};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreGrant {
    pub bucket: String,
    pub access: Access,
    /// Empty: any key.
    pub prefix: String,
    /// bytes
    pub quota: Option<u64>,
}

impl StoreGrant {
    /// As the protocol's `attach` says it.
    pub fn encode(&self) -> Vec<u8> {
        let StoreGrant { bucket, access, prefix, quota } = self;
        Attach { bucket, access: *access, prefix, quota: *quota }.encode()
    }

    /// What keys may begin with.
    pub fn prefix(text: &str) -> Result<String, String> {
        match text.len() {
            0..=MAX_KEY => Ok(text.into()),
            length => Err(alloc::format!("a key has at most {MAX_KEY} bytes, and this prefix {length}")),
        }
    }
}

/// As `access` says it.
pub fn access(text: &str) -> Option<Access> {
    match text {
        "read" => Some(Access::Read),
        "write" => Some(Access::Write),
        "read-write" => Some(Access::ReadWrite),
        _ => None,
    }
}

impl fmt::Display for StoreGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.bucket)?;
        if !self.prefix.is_empty() {
            write!(f, "/{}", self.prefix)?;
        }
        match self.access {
            Access::Read => f.write_str(" read")?,
            Access::Write => f.write_str(" write")?,
            Access::ReadWrite => {}
        }
        if let Some(quota) = self.quota {
            write!(f, " ≤ {}", size(quota))?;
        }
        Ok(())
    }
}
