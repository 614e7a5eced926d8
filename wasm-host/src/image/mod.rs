//! The image: a signed archive of a system, its compiled components and their assets.
//!
//! ```text
//! header     104 bytes: magic, version, lengths, key id, signature
//!            endorsements of keys by keys, if there are any
//! index      postcard: entries of kind, name, offset, length, BLAKE3
//! blobs      each at a multiple of 4,096 bytes, used where they lie
//! ```
//!
//! The signature covers the header and the index, the index covers the blobs by their hashes. A blob is held against
//! its hash when it is first used, a large asset in parts, so opening an image takes the same time however large it is.
//!
//! The files come last. What is before them is the image's head: a node whose memory the image would fill has the head in
//! memory, and reads the files from its disk as boxes ask for them.

mod assembly;
mod assets;
mod blob;
#[cfg(feature = "build")]
mod builder;
mod endorsement;
mod engine;
mod error;
mod format;
mod hash;
mod key;
#[cfg(feature = "build")]
mod secret;
mod source;
mod stream;

pub use assembly::{Assembly, Place};
pub use assets::{Asset, Assets};
pub use blob::Blob;
#[cfg(feature = "build")]
pub use builder::{Builder, Content};
pub use endorsement::{Endorsement, MAX_ENDORSEMENTS, endorsed};
pub use engine::EngineSettings;
pub use error::ImageError;
pub use format::{Header, PAGE};
pub use hash::{Hash, Hasher, Pieces, hash};
#[cfg(target_arch = "x86_64")]
pub use hash::{vector_hash, wide_vector_hash};
pub use key::{KeyId, PublicKey};
#[cfg(feature = "build")]
pub use secret::{KeyError, SecretKey};
pub use source::{Piece, PieceError, Source};
pub use stream::Stream;

use crate::plan::Plan;
use alloc::{string::String, sync::Arc, vec::Vec};
use assets::{Contents, Files};
use core::sync::atomic::{AtomicBool, Ordering};
use format::{Entry, Kind};
use once_cell::race::OnceBox;

/// An image whose signature has been verified.
#[derive(Debug)]
pub struct Image<'a> {
    /// header and index
    manifest: Blob<'a>,
    signer: KeyId,
    entries: Vec<Stored<'a>>,
    /// Code that was left out when the image came here, and what it is for.
    others: Vec<(String, EngineSettings)>,
    hasher: Hasher,
    /// where the files are, if they are not in memory
    source: Option<Arc<Source>>,
}

#[derive(Debug)]
struct Stored<'a> {
    entry: Entry,
    blob: Blob<'a>,
    /// The blob is what the index says.
    verified: AtomicBool,
    /// Of assets: the files where they lie one after another.
    content: Blob<'a>,
    /// Of assets, once they have been opened.
    assets: OnceBox<Arc<Contents<'a>>>,
}

impl<'a> Stored<'a> {
    /// Where it lies in an image that is all in one.
    fn within(image: &Blob<'a>, entry: Entry) -> Self {
        let content = match entry.kind {
            Kind::Assets { offset, length } => image.slice(offset, length),
            _ => Blob::default(),
        };
        let blob = image.slice(entry.offset, entry.length);
        Stored { entry, blob, verified: AtomicBool::new(false), content, assets: OnceBox::new() }
    }
}

impl<'a> Image<'a> {
    /// Opens an image if one of the `trusted` keys has signed it. What follows its end is ignored.
    pub fn open(bytes: impl Into<Blob<'a>>, trusted: &[PublicKey]) -> Result<Image<'a>, ImageError> {
        Self::open_from(bytes.into(), None, trusted)
    }

    /// Opens an image of which only the [head](head_length) is in memory, if one of the `trusted` keys has signed it.
    pub fn open_head(head: Vec<u8>, source: Arc<Source>, trusted: &[PublicKey]) -> Result<Image<'a>, ImageError> {
        Self::open_from(head.into(), Some(source), trusted)
    }

    /// Whether these bytes are an image, or the head of one, that one of the `trusted` keys has signed.
    pub fn check(bytes: &[u8], is_head: bool, trusted: &[PublicKey]) -> Result<(), ImageError> {
        Self::signed(bytes, is_head, trusted).map(drop)
    }

    fn signed(bytes: &[u8], is_head: bool, trusted: &[PublicKey]) -> Result<(Header, Vec<Entry>), ImageError> {
        let header = Header::read(bytes)?;
        let needs = if is_head { head_length(bytes)? } else { header.length };
        if needs > bytes.len() as u64 {
            return Err(ImageError::Truncated { has: bytes.len() as u64, needs });
        }
        let index = header.index(bytes)?;
        header.verify(index, trusted)?;
        Ok((header, format::read_index(index, &header)?))
    }

    fn open_from(bytes: Blob<'a>, source: Option<Arc<Source>>, trusted: &[PublicKey]) -> Result<Self, ImageError> {
        let (header, entries) = Self::signed(&bytes, source.is_some(), trusted)?;
        let manifest = bytes.slice(0, header.manifest_length());
        let entries = entries.into_iter().map(|entry| Stored::within(&bytes, entry)).collect();
        Ok(Image { manifest, signer: header.key_id, entries, others: Vec::new(), hasher: hash, source })
    }

    /// Whether its files are on a disk, and read as they are asked for.
    pub fn is_on_disk(&self) -> bool {
        self.source.is_some()
    }

    /// The image's signed beginning: what is in it, by name and hash. [`Assembly`] makes an image of it and of blobs.
    pub fn manifest(&self) -> &Blob<'a> {
        &self.manifest
    }

    /// Verifies blobs with this instead of the portable [`hash`].
    pub fn with_hasher(mut self, hasher: Hasher) -> Self {
        self.hasher = hasher;
        self
    }

    pub fn hasher(&self) -> Hasher {
        self.hasher
    }

    /// The key that signed the image.
    pub fn signer(&self) -> KeyId {
        self.signer
    }

    /// The name and the text of the system's file.
    pub fn source(&self) -> Result<(&str, &str), ImageError> {
        let stored = self.find(|kind| matches!(kind, Kind::System), None).ok_or(ImageError::NoSystem)?;
        let text = core::str::from_utf8(self.blob(stored)?).map_err(|_| self.damaged(stored))?;
        Ok((&stored.entry.name, text))
    }

    /// What a node makes the system by.
    pub fn plan(&self) -> Result<Plan, ImageError> {
        let stored = self.find(|kind| matches!(kind, Kind::Plan), None).ok_or(ImageError::NoSystem)?;
        Plan::decode(self.blob(stored)?).map_err(ImageError::Plan)
    }

    /// Whether both are of one system, to the last byte but for the versions of their plans.
    pub fn is_same(&self, other: &Image<'_>) -> bool {
        **self.manifest() == **other.manifest()
            || (self.signer, &self.others) == (other.signer, &other.others)
                && self.unversioned().eq(other.unversioned())
                && matches!((self.plan(), other.plan()), (Ok(one), Ok(other)) if one.is_same(&other))
    }

    /// What is in it but for its plan.
    fn unversioned(&self) -> impl Iterator<Item = (&'static str, Option<&EngineSettings>, &str, Hash)> {
        let entries = self.entries.iter().map(|stored| &stored.entry);
        entries.filter(|entry| !matches!(entry.kind, Kind::Plan)).map(Entry::same)
    }

    /// The component's code, compiled for an engine that is set as the node's.
    pub fn component(&self, name: &str, node: &EngineSettings) -> Result<&[u8], ImageError> {
        self.blob(self.artifact(name, node)?)
    }

    /// The hash of that code.
    pub fn component_hash(&self, name: &str, node: &EngineSettings) -> Result<Hash, ImageError> {
        self.artifact(name, node).map(|stored| stored.entry.hash)
    }

    fn artifact(&self, name: &str, node: &EngineSettings) -> Result<&Stored<'a>, ImageError> {
        let mut other: Option<&EngineSettings> =
            self.others.iter().find(|(left_out, _)| left_out == name).map(|(_, settings)| settings);
        for stored in self.entries.iter().filter(|stored| stored.entry.name == name) {
            match &stored.entry.kind {
                Kind::Artifact(settings) if settings == node => return Ok(stored),
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
        let contents = match stored.assets.get() {
            Some(contents) => contents,
            None => {
                let table = assets::Table::read(self.blob(stored)?, length).ok_or_else(|| self.damaged(stored))?;
                let contents = match &self.source {
                    Some(source) => Contents { table, files: Files::There(source.clone(), offset) },
                    None => Contents::of(table, &stored.content),
                };
                stored.assets.get_or_init(|| alloc::boxed::Box::new(Arc::new(contents)))
            }
        };
        Ok(Assets::new(box_name, contents.clone(), self.hasher))
    }

    /// The hash of the table that lists a box's assets with their hashes. None if it has none.
    pub fn assets_hash(&self, box_name: &str) -> Option<Hash> {
        self.find(|kind| matches!(kind, Kind::Assets { .. }), Some(box_name)).map(|stored| stored.entry.hash)
    }

    /// All that can be used in another image: blobs, and the files of boxes.
    pub fn blobs(&self) -> Result<Vec<(Hash, Blob<'a>)>, ImageError> {
        let mut blobs: Vec<_> = self.entries.iter().map(|stored| (stored.entry.hash, stored.blob.clone())).collect();
        for stored in self.entries.iter().filter(|stored| matches!(stored.entry.kind, Kind::Assets { .. })) {
            blobs.extend(self.assets(&stored.entry.name)?.blobs());
        }
        Ok(blobs)
    }

    /// The files of all boxes.
    pub fn all_assets(&self) -> Result<Vec<Assets<'a>>, ImageError> {
        let tables = self.entries.iter().filter(|stored| matches!(stored.entry.kind, Kind::Assets { .. }));
        tables.map(|stored| self.assets(&stored.entry.name)).collect()
    }

    fn find(&self, kind: impl Fn(&Kind) -> bool, name: Option<&str>) -> Option<&Stored<'a>> {
        let fits = |entry: &Entry| kind(&entry.kind) && name.is_none_or(|name| entry.name == name);
        self.entries.iter().find(|stored| fits(&stored.entry))
    }

    /// A blob that is what its hash says.
    fn blob<'s>(&self, stored: &'s Stored<'a>) -> Result<&'s [u8], ImageError> {
        let (entry, bytes) = (&stored.entry, &stored.blob);
        // the bytes do not change, so it does no harm if two verify at once
        if !stored.verified.load(Ordering::Acquire) {
            if (self.hasher)(bytes) != entry.hash {
                return Err(self.damaged(stored));
            }
            stored.verified.store(true, Ordering::Release);
        }
        Ok(bytes)
    }

    fn damaged(&self, stored: &Stored<'a>) -> ImageError {
        ImageError::Corrupt { what: stored.entry.kind.word(), name: stored.entry.name.clone() }
    }
}

/// Bytes of an image that come before its files: what has to be in memory for the image to be used. `manifest`: at least
/// so much of its start as is signed, which has not been verified.
pub fn head_length(manifest: &[u8]) -> Result<u64, ImageError> {
    let header = Header::read(manifest)?;
    let mut end = header.manifest_length();
    if (manifest.len() as u64) < end {
        return Err(ImageError::Truncated { has: manifest.len() as u64, needs: end });
    }
    let mut files = header.length;
    for entry in format::read_index(header.index(manifest)?, &header)? {
        end = end.max(entry.offset + entry.length);
        if let Kind::Assets { offset, length: 1.. } = entry.kind {
            files = files.min(offset);
        }
    }
    // what no builder of ours makes is to be in memory as a whole
    Ok(if end <= files { end } else { header.length })
}

/// Whether all that is in the head of an image is what its index says. Zeroes stand for code that a node has no use for.
pub fn head_stands(head: &[u8], hasher: Hasher) -> bool {
    let entries = Header::read(head).and_then(|header| format::read_index(header.index(head)?, &header));
    let stands = |entry: &Entry| {
        let bytes = format::part(head, entry.offset, entry.length);
        let left_out = || matches!(entry.kind, Kind::Artifact(_)) && bytes.iter().all(|byte| *byte == 0);
        hasher(bytes) == entry.hash || left_out()
    };
    entries.is_ok_and(|entries| entries.iter().all(stands))
}

#[cfg(all(test, feature = "build"))]
mod tests;
