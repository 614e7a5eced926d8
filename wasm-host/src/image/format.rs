//! The bytes of an image.

use super::{Endorsement, EngineSettings, Hash, ImageError, KeyId, PublicKey, endorsement::MAX_ENDORSEMENTS, hash};
use alloc::{
    collections::BTreeSet,
    string::{String, ToString},
    vec::Vec,
};
use serde::{Deserialize, Serialize};

/// What blobs are aligned to, in bytes.
pub const PAGE: u64 = 4096;

pub(super) const MAGIC: &[u8; 8] = b"PEARWOOD";
pub(super) const VERSION: u32 = 3;
/// What is signed begins with this, so that the signature is good for nothing else.
const CONTEXT: &[u8; 16] = b"pearwood image 1";
const SIGNATURE: usize = 32;

/// The image's first 104 bytes, little endian:
///
/// | bytes | |
/// |---|---|
/// | 0–7 | `PEARWOOD` |
/// | 8–11 | version of the format |
/// | 12–15 | length of the index, which follows the endorsements |
/// | 16–23 | length of the image |
/// | 24–31 | id of the key that signed it |
/// | 32–95 | ed25519 signature of [`CONTEXT`], bytes 0–31 and the BLAKE3 of the index |
/// | 96–99 | number of [endorsements](super::Endorsement), which follow the header and have signatures of their own |
/// | 100–103 | 0 |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub index_length: u32,
    pub length: u64,
    pub key_id: KeyId,
    pub signature: [u8; 64],
    pub endorsed: u32,
}

impl Header {
    pub const LENGTH: usize = 104;

    /// Reads what an image says of itself, which may be anything as long as it has not been verified.
    pub fn read(bytes: &[u8]) -> Result<Header, ImageError> {
        let start = &bytes[..bytes.len().min(MAGIC.len())];
        if start.is_empty() || !MAGIC.starts_with(start) {
            return Err(ImageError::NotAnImage);
        }
        let has = bytes.len() as u64;
        let truncated = |needs| ImageError::Truncated { has, needs };
        let header = bytes.first_chunk::<{ Self::LENGTH }>().ok_or(truncated(Self::LENGTH as u64))?;
        let word = |at: usize| u64::from_le_bytes(core::array::from_fn(|i| header[at + i]));
        let version = word(8) as u32;
        if version != VERSION {
            return Err(ImageError::Version(version));
        }
        let endorsed = word(96);
        if endorsed > MAX_ENDORSEMENTS as u64 {
            return Err(ImageError::BadIndex);
        }
        Ok(Header {
            endorsed: endorsed as u32,
            index_length: (word(8) >> 32) as u32,
            length: word(16),
            key_id: KeyId(word(24).to_le_bytes()),
            signature: core::array::from_fn(|i| header[SIGNATURE + i]),
        })
    }

    pub(super) fn index<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], ImageError> {
        let end = self.manifest_length();
        if end > self.length {
            return Err(ImageError::Truncated { has: self.length, needs: end });
        }
        Ok(part(bytes, self.index_at(), self.index_length.into()))
    }

    fn index_at(&self) -> u64 {
        Self::LENGTH as u64 + u64::from(self.endorsed) * Endorsement::LENGTH as u64
    }

    /// Bytes of all that comes before the blobs.
    pub fn manifest_length(&self) -> u64 {
        self.index_at() + u64::from(self.index_length)
    }

    pub(super) fn endorsements<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        part(bytes, Self::LENGTH as u64, self.index_at() - Self::LENGTH as u64)
    }

    #[cfg(feature = "build")]
    pub(super) fn write(&self) -> Vec<u8> {
        [&self.unsigned()[..], &self.signature, &u64::from(self.endorsed).to_le_bytes()].concat()
    }

    /// What comes before the signature.
    fn unsigned(&self) -> [u8; SIGNATURE] {
        let mut bytes = [0; SIGNATURE];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.index_length.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.length.to_le_bytes());
        bytes[24..].copy_from_slice(&self.key_id.0);
        bytes
    }

    /// What is signed.
    pub(super) fn message(&self, index: &[u8]) -> Vec<u8> {
        [&CONTEXT[..], &self.unsigned(), &hash(index).0].concat()
    }

    pub(super) fn verify(&self, index: &[u8], trusted: &[PublicKey]) -> Result<(), ImageError> {
        if self.key_id.0 == [0; 8] && self.signature == [0; 64] {
            return Err(ImageError::Unsigned);
        }
        let signer = self.key_id;
        let key = trusted
            .iter()
            .find(|key| key.id() == signer)
            .ok_or_else(|| ImageError::Untrusted { signer, trusted: trusted.iter().map(PublicKey::id).collect() })?;
        if key.verifies(&self.message(index), &self.signature) {
            Ok(())
        } else {
            Err(ImageError::BadSignature { signer })
        }
    }
}

/// The bytes from `offset`, as many as there are of `length`.
pub(super) fn part(bytes: &[u8], offset: u64, length: u64) -> &[u8] {
    let limit = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(bytes.len());
    bytes.get(limit(offset)..limit(offset.saturating_add(length))).unwrap_or_default()
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub kind: Kind,
    pub name: String,
    pub offset: u64,
    pub length: u64,
    pub hash: Hash,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    /// The system's file; the name is the file's.
    System,
    /// The [`Plan`](crate::plan::Plan) that a node makes the system by.
    Plan,
    /// A component compiled for an engine of these settings.
    Artifact(EngineSettings),
    /// A box's table of assets, and where in the image the files are that it lists.
    Assets { offset: u64, length: u64 },
}

impl Entry {
    /// What it is, wherever it lies.
    pub fn same(&self) -> (&'static str, Option<&EngineSettings>, &str, Hash) {
        let settings = match &self.kind {
            Kind::Artifact(settings) => Some(settings),
            _ => None,
        };
        (self.kind.word(), settings, &self.name, self.hash)
    }
}

impl Kind {
    /// What the entry's name is the name of.
    pub fn word(&self) -> &'static str {
        match self {
            Kind::System => "system",
            Kind::Plan => "plan",
            Kind::Artifact(_) => "component",
            Kind::Assets { .. } => "assets of box",
        }
    }
}

/// Reads the index and makes sure that no two entries share a name or a byte.
pub(super) fn read_index(index: &[u8], header: &Header) -> Result<Vec<Entry>, ImageError> {
    let (entries, rest) = postcard::take_from_bytes::<Vec<Entry>>(index).map_err(|_| ImageError::BadIndex)?;
    if !rest.is_empty() {
        return Err(ImageError::BadIndex);
    }
    let mut names = BTreeSet::new();
    let mut ranges = Vec::with_capacity(entries.len());
    for entry in &entries {
        let what = entry.kind.word();
        // one system and one plan, whatever they are called; artifacts of one component for several engines
        let (name, variant) = match &entry.kind {
            Kind::System | Kind::Plan => ("", None),
            Kind::Artifact(settings) => {
                (entry.name.as_str(), Some((&settings.target, &settings.wasmtime, settings.flags())))
            }
            _ => (entry.name.as_str(), None),
        };
        if !names.insert((what, name, variant)) {
            return Err(ImageError::Duplicate { what, name: entry.name.clone() });
        }
        ranges.push((entry.offset, entry.length, entry));
        if let Kind::Assets { offset, length } = entry.kind {
            ranges.push((offset, length, entry));
        }
    }
    ranges.sort_by_key(|(offset, ..)| *offset);
    let mut free = header.manifest_length();
    for (offset, length, entry) in ranges {
        let misplaced = |why| Err(ImageError::Misplaced { what: entry.kind.word(), name: entry.name.to_string(), why });
        if !offset.is_multiple_of(PAGE) {
            return misplaced("does not begin at a page's start");
        }
        if offset < free {
            return misplaced("overlaps what comes before it");
        }
        match offset.checked_add(length) {
            Some(end) if end <= header.length => free = end,
            _ => return misplaced("lies outside the image"),
        }
    }
    Ok(entries)
}
