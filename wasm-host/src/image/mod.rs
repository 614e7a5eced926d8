//! The image: a signed archive of a system, its compiled components and their assets.
//!
//! ```text
//! header     96 bytes: magic, version, lengths, key id, signature
//! index      postcard: entries of kind, name, offset, length, BLAKE3
//! blobs      each at a multiple of 4,096 bytes, used where they lie
//! ```
//!
//! The signature covers the header and the index, the index covers the blobs by their hashes. A blob is held against
//! its hash when it is first used, a large asset in parts, so opening an image takes the same time however large it is.

mod assets;
#[cfg(feature = "build")]
mod builder;
mod engine;
mod error;
mod format;
mod hash;
mod key;
#[cfg(feature = "build")]
mod secret;

pub use assets::{Asset, Assets};
#[cfg(feature = "build")]
pub use builder::Builder;
pub use engine::EngineSettings;
pub use error::ImageError;
pub use format::{Header, PAGE};
#[cfg(target_arch = "x86_64")]
pub use hash::vector_hash;
pub use hash::{Hash, Hasher, hash};
pub use key::{KeyId, PublicKey};
#[cfg(feature = "build")]
pub use secret::{KeyError, SecretKey};

use crate::system::{Description, System};
use alloc::{collections::BTreeMap, string::String, sync::Arc, vec::Vec};
use core::sync::atomic::{AtomicBool, Ordering};
use format::{Entry, Kind};
use once_cell::race::OnceBox;

/// An image whose signature has been verified.
#[derive(Debug)]
pub struct Image<'a> {
    bytes: &'a [u8],
    signer: KeyId,
    entries: Vec<Stored>,
    hasher: Hasher,
}

#[derive(Debug)]
struct Stored {
    entry: Entry,
    /// The blob is what the index says.
    verified: AtomicBool,
    /// Of assets, once they have been opened.
    table: OnceBox<Arc<assets::Table>>,
}

impl<'a> Image<'a> {
    /// Opens an image if one of the `trusted` keys has signed it. What follows its end is ignored.
    pub fn open(bytes: &'a [u8], trusted: &[PublicKey]) -> Result<Image<'a>, ImageError> {
        let header = Header::read(bytes)?;
        let index = header.index(bytes)?;
        header.verify(index, trusted)?;
        let entries = format::read_index(index, &header)?;
        let stored = |entry| Stored { entry, verified: AtomicBool::new(false), table: OnceBox::new() };
        Ok(Image { bytes, signer: header.key_id, entries: entries.into_iter().map(stored).collect(), hasher: hash })
    }

    /// Verifies blobs with this instead of the portable [`hash`].
    pub fn with_hasher(mut self, hasher: Hasher) -> Self {
        self.hasher = hasher;
        self
    }

    /// The key that signed the image.
    pub fn signer(&self) -> KeyId {
        self.signer
    }

    /// The name and the text of the system's file.
    pub fn source(&self) -> Result<(&str, &'a str), ImageError> {
        let stored = self.find(|kind| matches!(kind, Kind::System), None).ok_or(ImageError::NoSystem)?;
        let text = core::str::from_utf8(self.blob(stored)?).map_err(|_| self.damaged(stored))?;
        Ok((&stored.entry.name, text))
    }

    /// The system that the image declares.
    pub fn system(&self) -> Result<System, ImageError> {
        let (file, text) = self.source()?;
        System::parse(file, text).map_err(ImageError::System)
    }

    /// What the components import and export, by [`component_name`](crate::system::BoxSpec::component_name).
    pub fn descriptions(&self) -> Result<BTreeMap<String, Description>, ImageError> {
        let described = self.entries.iter().filter(|stored| matches!(stored.entry.kind, Kind::Description));
        described
            .map(|stored| {
                let description = postcard::from_bytes(self.blob(stored)?).map_err(|_| self.damaged(stored))?;
                Ok((stored.entry.name.clone(), description))
            })
            .collect()
    }

    /// The component's code, compiled for an engine that is set as the node's.
    pub fn component(&self, name: &str, node: &EngineSettings) -> Result<&'a [u8], ImageError> {
        let mut other: Option<&EngineSettings> = None;
        for stored in self.entries.iter().filter(|stored| stored.entry.name == name) {
            match &stored.entry.kind {
                Kind::Artifact(settings) if settings == node => return self.blob(stored),
                // of several that do not fit, the one for this target says most
                Kind::Artifact(settings) if other.is_none_or(|other| other.target != node.target) => {
                    other = Some(settings);
                }
                _ => {}
            }
        }
        Err(match other {
            Some(compiled) => ImageError::OtherEngine { name: name.into(), differences: compiled.differences(node) },
            None => ImageError::NoComponent { name: name.into() },
        })
    }

    /// The names of the components whose code is in the image, and what it was compiled for.
    pub fn components(&self) -> impl Iterator<Item = (&str, &EngineSettings)> {
        self.entries.iter().filter_map(|stored| match &stored.entry.kind {
            Kind::Artifact(settings) => Some((stored.entry.name.as_str(), settings)),
            _ => None,
        })
    }

    /// The assets of a box; none if it has none.
    pub fn assets(&self, box_name: &str) -> Result<Assets<'a>, ImageError> {
        let Some(stored) = self.find(|kind| matches!(kind, Kind::Assets { .. }), Some(box_name)) else {
            return Ok(Assets::default());
        };
        let Kind::Assets { offset, length } = stored.entry.kind else { return Ok(Assets::default()) };
        let table = match stored.table.get() {
            Some(table) => table,
            None => {
                let table = assets::Table::read(self.blob(stored)?, length).ok_or_else(|| self.damaged(stored))?;
                stored.table.get_or_init(|| alloc::boxed::Box::new(Arc::new(table)))
            }
        };
        Ok(Assets::new(box_name, format::part(self.bytes, offset, length), table.clone(), self.hasher))
    }

    fn find(&self, kind: impl Fn(&Kind) -> bool, name: Option<&str>) -> Option<&Stored> {
        let fits = |entry: &Entry| kind(&entry.kind) && name.is_none_or(|name| entry.name == name);
        self.entries.iter().find(|stored| fits(&stored.entry))
    }

    /// A blob that is what its hash says.
    fn blob(&self, stored: &Stored) -> Result<&'a [u8], ImageError> {
        let entry = &stored.entry;
        let bytes = format::part(self.bytes, entry.offset, entry.length);
        // the bytes do not change, so it does no harm if two verify at once
        if !stored.verified.load(Ordering::Acquire) {
            if (self.hasher)(bytes) != entry.hash {
                return Err(self.damaged(stored));
            }
            stored.verified.store(true, Ordering::Release);
        }
        Ok(bytes)
    }

    fn damaged(&self, stored: &Stored) -> ImageError {
        ImageError::Corrupt { what: stored.entry.kind.word(), name: stored.entry.name.clone() }
    }
}

#[cfg(all(test, feature = "build"))]
mod tests;
