//! An image from its manifest and blobs, so that only what a node lacks has to travel.
//!
//! The manifest, the image's signed beginning, says which blobs there are by their BLAKE3. What an image that is there
//! already has of them is taken from it, shared and not copied; [`Assembly::missing`] says which must be brought. The
//! files of a box are blobs of their own, known once the box's table is there.

use super::{
    Blob, EngineSettings, Hash, Hasher, Image, ImageError, PublicKey, Stored,
    assets::{Contents, Table},
    format::{self, Entry, Header, Kind},
    hash,
};
use crate::plan::Plan;
use alloc::{collections::BTreeMap, string::String, sync::Arc, vec::Vec};
use core::sync::atomic::AtomicBool;
use once_cell::race::OnceBox;

/// An image in the making. Its signature has been verified.
#[derive(Debug)]
pub struct Assembly<'a> {
    manifest: Blob<'a>,
    header: Header,
    /// without the code for other engines
    entries: Vec<Entry>,
    /// what that is for
    others: Vec<(String, EngineSettings)>,
    hasher: Hasher,
    /// what other images have
    known: BTreeMap<Hash, Blob<'a>>,
    found: BTreeMap<Hash, Found<'a>>,
    /// and how long each is
    missing: BTreeMap<Hash, u64>,
    tables: BTreeMap<Hash, Table>,
}

#[derive(Debug)]
struct Found<'a> {
    blob: Blob<'a>,
    /// It was held against its hash.
    verified: bool,
}

impl<'a> Assembly<'a> {
    /// Begins an image with its manifest, if one of the `trusted` keys has signed it. It will have the code for
    /// engines that are set as `node`, and be no longer than `limit` bytes.
    pub fn new(
        manifest: impl Into<Blob<'a>>,
        trusted: &[PublicKey],
        node: &[EngineSettings],
        limit: u64,
    ) -> Result<Self, ImageError> {
        let manifest = manifest.into();
        let header = Header::read(&manifest)?;
        let index = header.index(&manifest)?;
        let length = header.manifest_length();
        if index.len() < header.index_length as usize {
            return Err(ImageError::Truncated { has: manifest.len() as u64, needs: length });
        }
        header.verify(index, trusted)?;
        if header.length > limit {
            return Err(ImageError::TooLarge { length: header.length, limit });
        }
        let mut entries = format::read_index(index, &header)?;
        let mut others = Vec::new();
        entries.retain(|entry| match &entry.kind {
            Kind::Artifact(settings) if !node.contains(settings) => {
                others.push((entry.name.clone(), settings.clone()));
                false
            }
            _ => true,
        });
        let mut assembly = Assembly {
            manifest: manifest.slice(0, length),
            header,
            entries,
            others,
            hasher: hash,
            known: BTreeMap::new(),
            found: BTreeMap::new(),
            missing: BTreeMap::new(),
            tables: BTreeMap::new(),
        };
        for index in 0..assembly.entries.len() {
            let entry = &assembly.entries[index];
            let (hash, length) = (entry.hash, entry.length);
            assembly.want(hash, length);
        }
        Ok(assembly)
    }

    /// Hashes with this instead of the portable [`hash`].
    pub fn with_hasher(mut self, hasher: Hasher) -> Self {
        self.hasher = hasher;
        self
    }

    /// Takes what another image has.
    pub fn reuse(&mut self, image: &Image<'a>) -> Result<(), ImageError> {
        self.known.extend(image.blobs()?);
        let here: Vec<Hash> = self.missing.keys().copied().filter(|hash| self.known.contains_key(hash)).collect();
        for hash in here {
            self.take_known(hash)?;
        }
        Ok(())
    }

    /// How long a blob is, if it is missing.
    pub fn missing_length(&self, hash: Hash) -> Option<u64> {
        self.missing.get(&hash).copied()
    }

    /// The hashes of the blobs that are not there. There may be more when these are.
    pub fn missing(&self) -> impl ExactSizeIterator<Item = Hash> {
        self.missing.keys().copied()
    }

    /// Bytes of the manifest.
    pub(crate) fn manifest_bytes(&self) -> u64 {
        self.manifest.len() as u64
    }

    /// Bytes of all that is known to be missing.
    pub fn missing_bytes(&self) -> u64 {
        self.missing.values().sum()
    }

    /// Adds a blob that is missing; which one, its hash says.
    pub fn add(&mut self, bytes: Vec<u8>) -> Result<(), ImageError> {
        let hash = (self.hasher)(&bytes);
        self.add_hashed(hash, bytes)
    }

    /// The same, of bytes whose hash this is: the caller has made it while they came.
    pub(crate) fn add_hashed(&mut self, hash: Hash, bytes: Vec<u8>) -> Result<(), ImageError> {
        let length = bytes.len() as u64;
        if self.missing.get(&hash) != Some(&length) {
            return Err(ImageError::Unwanted { hash, length });
        }
        self.put(hash, Blob::from(bytes), true)
    }

    fn want(&mut self, hash: Hash, length: u64) {
        if length > 0 && !self.found.contains_key(&hash) {
            self.missing.insert(hash, length);
        }
    }

    /// Blobs of other images are held against their hashes when they are used.
    fn take_known(&mut self, hash: Hash) -> Result<(), ImageError> {
        match self.known.get(&hash).cloned() {
            Some(blob) if self.missing.get(&hash) == Some(&(blob.len() as u64)) => self.put(hash, blob, false),
            _ => Ok(()),
        }
    }

    fn put(&mut self, hash: Hash, blob: Blob<'a>, verified: bool) -> Result<(), ImageError> {
        let table_of = |entry: &&Entry| entry.hash == hash && matches!(entry.kind, Kind::Assets { .. });
        let tables = self.entries.iter().filter(table_of);
        let content = tables.filter_map(|entry| match entry.kind {
            Kind::Assets { length, .. } => Some((entry, length)),
            _ => None,
        });
        if let Some((entry, length)) = content.min_by_key(|(_, length)| *length) {
            let corrupt = || ImageError::Corrupt { what: entry.kind.word(), name: entry.name.clone() };
            if !verified && (self.hasher)(&blob) != hash {
                return Err(corrupt());
            }
            let table = Table::read(&blob, length).ok_or_else(corrupt)?;
            let files: Vec<(Hash, u64)> = table.files.iter().map(|file| (file.hash, file.size)).collect();
            self.tables.insert(hash, table);
            self.missing.remove(&hash);
            self.found.insert(hash, Found { blob, verified: true });
            for (hash, size) in files {
                self.want(hash, size);
                self.take_known(hash)?;
            }
            return Ok(());
        }
        self.missing.remove(&hash);
        self.found.insert(hash, Found { blob, verified });
        Ok(())
    }

    /// What a node makes the system by. None: it is missing.
    pub fn plan(&self) -> Result<Option<Plan>, ImageError> {
        let entry = self.entries.iter().find(|entry| matches!(entry.kind, Kind::Plan)).ok_or(ImageError::NoSystem)?;
        let Some(found) = self.found.get(&entry.hash) else { return Ok(None) };
        let corrupt = || ImageError::Corrupt { what: entry.kind.word(), name: entry.name.clone() };
        if !found.verified && (self.hasher)(&found.blob) != entry.hash {
            return Err(corrupt());
        }
        Plan::decode(&found.blob).map(Some).map_err(ImageError::Plan)
    }

    /// The image, if nothing is missing.
    pub fn finish(self) -> Result<Image<'a>, ImageError> {
        if !self.missing.is_empty() {
            return Err(ImageError::Incomplete { missing: self.missing.len() });
        }
        let Assembly { manifest, header, entries, others, hasher, found, tables, .. } = self;
        let blob_of = |hash: &Hash| found.get(hash).map(|found| found.blob.clone()).unwrap_or_default();
        let stored = |entry: Entry| {
            let assets = OnceBox::new();
            if let Some(table) = tables.get(&entry.hash).filter(|_| matches!(entry.kind, Kind::Assets { .. })) {
                let files = table.files.iter().map(|file| blob_of(&file.hash)).collect();
                let contents = Contents { table: table.unverified(), files };
                assets.get_or_init(|| alloc::boxed::Box::new(Arc::new(contents)));
            }
            let verified = found.get(&entry.hash).is_some_and(|found| found.verified);
            let blob = blob_of(&entry.hash);
            Stored { entry, blob, verified: AtomicBool::new(verified), content: Blob::default(), assets }
        };
        let entries = entries.into_iter().map(stored).collect();
        Ok(Image { manifest, signer: header.key_id, entries, others, hasher })
    }
}

#[cfg(all(test, feature = "build"))]
mod tests;
