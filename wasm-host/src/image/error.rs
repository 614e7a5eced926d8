//! Why an image is refused.

use super::{Hash, KeyId};
use crate::plan::PlanError;
use alloc::{string::String, vec::Vec};
use core::fmt;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageError {
    /// It does not begin as images do.
    NotAnImage,
    /// It ends early.
    Truncated {
        has: u64,
        needs: u64,
    },
    /// It is longer than the node takes.
    TooLarge {
        length: u64,
        limit: u64,
    },
    Version(u32),
    Unsigned,
    /// The key that signed it, and those that are trusted.
    Untrusted {
        signer: KeyId,
        trusted: Vec<KeyId>,
    },
    /// It was not signed by the key that it names, or was changed since.
    BadSignature {
        signer: KeyId,
    },
    /// The index is no index.
    BadIndex,
    /// Two entries of one kind have this name.
    Duplicate {
        what: &'static str,
        name: String,
    },
    /// An entry lies outside the image, off its alignment, or on another.
    Misplaced {
        what: &'static str,
        name: String,
        why: &'static str,
    },
    /// The bytes are not those that were signed.
    Corrupt {
        what: &'static str,
        name: String,
    },
    /// A file of which an image is made cannot be read.
    #[cfg(feature = "build")]
    Unreadable {
        name: String,
        why: String,
    },
    /// There is no place for an image that is made.
    #[cfg(feature = "build")]
    Unwritten {
        why: String,
    },
    /// The file is not in memory.
    OnDisk {
        name: String,
    },
    /// It has no plan, or not the file of its declaration.
    NoSystem,
    /// The image's plan is none that this node runs.
    Plan(PlanError),
    NoComponent {
        name: String,
    },
    /// A blob that by its own hash is not one of those that are missing.
    Unwanted {
        hash: Hash,
        length: u64,
    },
    /// So many of its blobs are missing.
    Incomplete {
        missing: usize,
    },
    /// The component's code is not for the node's engine.
    OtherEngine {
        name: String,
        differences: String,
    },
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ImageError::NotAnImage => f.write_str("not an image of a system"),
            ImageError::Truncated { has, needs } => {
                write!(f, "the image is cut off: it has {has} bytes and needs {needs}")
            }
            ImageError::TooLarge { length, limit } => {
                write!(f, "the image has {length} bytes, and this node takes {limit}")
            }
            ImageError::Version(version) => {
                write!(f, "the image is of format {version}; this node reads format {}", super::format::VERSION)
            }
            ImageError::Unsigned => f.write_str("the image is not signed"),
            ImageError::Untrusted { signer, trusted } if trusted.is_empty() => {
                write!(f, "the image is signed by key {signer}, and the node trusts no key")
            }
            ImageError::Untrusted { signer, trusted } => {
                write!(f, "the image is signed by key {signer}, which the node does not trust; it trusts")?;
                trusted.iter().enumerate().try_for_each(|(i, key)| {
                    f.write_str(if i == 0 { " " } else { ", " })?;
                    write!(f, "{key}")
                })
            }
            ImageError::BadSignature { signer } => {
                write!(
                    f,
                    "the image's signature by key {signer} is not valid: the image was changed after it was signed"
                )
            }
            ImageError::BadIndex => f.write_str("the image's index cannot be read"),
            ImageError::Duplicate { what, name } => write!(f, "the image has two entries for {what} `{name}`"),
            ImageError::Misplaced { what, name, why } => write!(f, "the image's entry for {what} `{name}` {why}"),
            ImageError::Corrupt { what, name } => {
                write!(f, "{what} `{name}` is corrupt: its bytes are not those that were signed")
            }
            #[cfg(feature = "build")]
            ImageError::Unreadable { name, why } => write!(f, "asset `{name}`: {why}"),
            #[cfg(feature = "build")]
            ImageError::Unwritten { why } => write!(f, "the image cannot be written: {why}"),
            ImageError::OnDisk { name } => write!(f, "asset `{name}` is on the disk, and not in memory"),
            ImageError::NoSystem => f.write_str("the image declares no system"),
            ImageError::Plan(error) => write!(f, "{error}"),
            ImageError::NoComponent { name } => write!(f, "the image has no code for component `{name}`"),
            ImageError::Unwanted { hash, length } => {
                write!(f, "{length} bytes of hash {hash} are no blob that the image lacks")
            }
            ImageError::Incomplete { missing } => write!(f, "the image lacks {missing} of its blobs"),
            ImageError::OtherEngine { name, differences } => {
                write!(f, "the artifact for component `{name}` was compiled for other engine settings: {differences}")
            }
        }
    }
}

impl core::error::Error for ImageError {}
