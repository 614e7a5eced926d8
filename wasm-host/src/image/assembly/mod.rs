//! An image from its manifest and blobs, so that only what a node lacks has to travel.
//!
//! The manifest, the image's signed beginning, says which blobs there are by their BLAKE3. What an image that is there
//! already has of them is taken from it, shared and not copied; [`Assembly::missing`] says which must be brought. The
//! files of a box are blobs of their own, known once the box's table is there.
//!
//! Of an image that is put together [on a disk](Assembly::on_disk), only what is not a file is kept here: for the files it says
//! where they belong and what the hashes of their parts are, and which of them the other image has.

use super::{
    Asset, Assets, Blob, EngineSettings, Hash, Hasher, Image, ImageError, PublicKey, Stored,
    assets::{CHUNK, Contents, File, Files, Table},
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
    /// of an image that is put together on a disk
    disk: Option<Scattered<'a>>,
}

/// Files that belong on a disk.
#[derive(Debug, Default)]
struct Scattered<'a> {
    /// those of other images, and in which of them a file is, by its hash
    others: Vec<Assets<'a>>,
    known: BTreeMap<Hash, (usize, usize)>,
    /// a table that lists the file and its number there, and all places where it belongs in the image
    places: BTreeMap<Hash, (Hash, usize, Vec<u64>)>,
    /// what others have, and has yet to be copied
    copies: BTreeMap<Hash, u64>,
}

/// Where a part of a file belongs.
#[derive(Debug, Clone)]
pub struct Place {
    /// from the image's start
    pub places: Vec<u64>,
    pub length: usize,
    pub hash: Hash,
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
            disk: None,
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

    pub fn hasher(&self) -> Hasher {
        self.hasher
    }

    /// Its files belong on a disk, and not in memory.
    pub fn on_disk(mut self) -> Self {
        self.disk = Some(Scattered::default());
        self
    }

    /// Bytes of the whole image.
    pub fn length(&self) -> u64 {
        self.header.length
    }

    /// Takes what another image has.
    pub fn reuse(&mut self, image: &Image<'a>) -> Result<(), ImageError> {
        self.known.extend(image.blobs()?);
        if let Some(disk) = &mut self.disk {
            for assets in image.all_assets()? {
                let place = disk.others.len();
                let known = assets.iter().enumerate().map(|(index, asset)| (asset.hash(), (place, index)));
                disk.known.extend(known);
                disk.others.push(assets);
            }
        }
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
            if let Some(disk) = &mut self.disk {
                let starts = self.entries.iter().filter(table_of).filter_map(|entry| match entry.kind {
                    Kind::Assets { offset, .. } => Some(offset),
                    _ => None,
                });
                for start in starts {
                    for (index, file) in table.files.iter().enumerate().filter(|(_, file)| file.size > 0) {
                        let (.., places) = disk.places.entry(file.hash).or_insert((hash, index, Vec::new()));
                        places.push(start + file.offset);
                    }
                }
            }
            self.tables.insert(hash, table);
            self.missing.remove(&hash);
            self.found.insert(hash, Found { blob, verified: true });
            if let Some(disk) = &mut self.disk {
                let heads: Vec<Hash> = self.entries.iter().map(|entry| entry.hash).collect();
                for (hash, size) in files.into_iter().filter(|(hash, size)| *size > 0 && !heads.contains(hash)) {
                    let list = if disk.known.contains_key(&hash) { &mut disk.copies } else { &mut self.missing };
                    list.insert(hash, size);
                }
                return Ok(());
            }
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

    /// Of a file that belongs on a disk: the places in the image where its part at `offset` belongs, how long it is, and its
    /// hash.
    pub fn place(&self, hash: Hash, offset: u64) -> Option<Place> {
        if self.entries.iter().any(|entry| entry.hash == hash) {
            return None;
        }
        let (table, index, places) = self.disk.as_ref()?.places.get(&hash)?;
        let file: &File = self.tables.get(table)?.files.get(*index)?;
        let block = usize::try_from(offset / CHUNK).ok()?;
        Some(Place {
            places: places.iter().map(|place| place + offset).collect(),
            length: CHUNK.min(file.size.checked_sub(offset)?) as usize,
            hash: *file.chunks.get(block).unwrap_or(&file.hash),
        })
    }

    /// A file has been written to its places.
    pub fn written(&mut self, hash: Hash) {
        self.missing.remove(&hash);
        if let Some(disk) = &mut self.disk {
            disk.copies.remove(&hash);
        }
    }

    /// A file that another image has, and that has yet to be written to its places.
    pub fn to_copy(&self) -> Option<(Hash, Asset<'_, 'a>)> {
        let disk = self.disk.as_ref()?;
        let (hash, _) = disk.copies.first_key_value()?;
        let (other, index) = disk.known.get(hash)?;
        Some((*hash, disk.others.get(*other)?.get(*index)?))
    }

    /// Files that are the same as something that is no file, such as the declaration: their content, and where it belongs.
    pub fn doubles(&self) -> impl Iterator<Item = (&Blob<'a>, &[u64])> {
        self.found.iter().filter_map(|(hash, found)| {
            let (.., places) = self.disk.as_ref()?.places.get(hash)?;
            Some((&found.blob, &places[..]))
        })
    }

    /// Bytes that have yet to be copied.
    pub fn bytes_to_copy(&self) -> u64 {
        self.disk.as_ref().map_or(0, |disk| disk.copies.values().sum())
    }

    /// What the other image has is not what its hash says: the file is missing.
    pub fn cannot_copy(&mut self, hash: Hash) {
        if let Some(size) = self.disk.as_mut().and_then(|disk| disk.copies.remove(&hash)) {
            self.missing.insert(hash, size);
        }
    }

    /// The hash of the manifest, and the image's head, if nothing is missing: all that is not on the disk.
    pub fn finish_head(self) -> Result<(Hash, Vec<u8>), ImageError> {
        let copies = self.disk.as_ref().map_or(0, |disk| disk.copies.len());
        let missing = self.missing.len() + copies;
        if missing > 0 {
            return Err(ImageError::Incomplete { missing });
        }
        let length = super::head_length(&self.manifest)?;
        let refused = || ImageError::TooLarge { length, limit: self.manifest.len() as u64 };
        let mut head = Vec::new();
        let bytes = usize::try_from(length).map_err(|_| refused())?;
        head.try_reserve_exact(bytes).map_err(|_| refused())?;
        head.resize(bytes, 0);
        let found = self.entries.iter().filter_map(|entry| Some((entry.offset, &*self.found.get(&entry.hash)?.blob)));
        for (at, blob) in found.chain([(0, &*self.manifest)]) {
            // the index was checked: its blobs lie within the head
            if let Some(place) = head.get_mut(at as usize..).and_then(|rest| rest.get_mut(..blob.len())) {
                place.copy_from_slice(blob);
            }
        }
        Ok(((self.hasher)(&self.manifest), head))
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
                let contents = Contents { table: table.unverified(), files: Files::Here(files) };
                assets.get_or_init(|| alloc::boxed::Box::new(Arc::new(contents)));
            }
            let verified = found.get(&entry.hash).is_some_and(|found| found.verified);
            let blob = blob_of(&entry.hash);
            Stored { entry, blob, verified: AtomicBool::new(verified), content: Blob::default(), assets }
        };
        let entries = entries.into_iter().map(stored).collect();
        Ok(Image { manifest, signer: header.key_id, entries, others, hasher, source: None })
    }
}

#[cfg(all(test, feature = "build"))]
mod tests;
