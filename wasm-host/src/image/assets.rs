//! The files of a box, read where they lie in the image.

use super::{Hash, Hasher, ImageError, hash};
use alloc::{format, string::String, sync::Arc, vec::Vec};
use core::sync::atomic::{AtomicBool, Ordering};
use serde::{Deserialize, Serialize};

/// Files are verified in parts of this many bytes, so that the first read of a large one does not hold up the node.
pub(super) const CHUNK: u64 = 64 << 10;

/// One file in the table, as the image has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct File {
    /// Relative, `/`-separated.
    pub path: String,
    /// From the start of the box's files.
    pub offset: u64,
    pub size: u64,
    /// Seconds since 1970.
    pub modified: u64,
    /// Of the whole.
    pub hash: Hash,
    /// Of each chunk, if there is more than one.
    pub chunks: Vec<Hash>,
}

/// A box's table: files sorted bytewise by path.
#[derive(Debug, Default)]
pub(super) struct Table {
    files: Vec<File>,
    /// For each file, the number of its first chunk in `verified`.
    first_chunks: Vec<usize>,
    verified: Vec<AtomicBool>,
}

impl Table {
    /// None if the bytes are no table of files that lie one after another within `length` bytes.
    pub fn read(bytes: &[u8], length: u64) -> Option<Table> {
        let (files, rest) = postcard::take_from_bytes::<Vec<File>>(bytes).ok()?;
        let sorted = files.is_sorted_by(|a, b| a.path.as_bytes() < b.path.as_bytes());
        if !rest.is_empty() || !sorted {
            return None;
        }
        let mut free = 0;
        let mut chunks = 0;
        let mut first_chunks = Vec::with_capacity(files.len());
        for file in &files {
            let count = usize::try_from(file.size.div_ceil(CHUNK)).ok()?;
            let listed = if count > 1 { count } else { 0 };
            let end = file.offset.checked_add(file.size)?;
            if file.offset < free || end > length || file.chunks.len() != listed {
                return None;
            }
            free = end;
            first_chunks.push(chunks);
            chunks += count.max(1);
        }
        let verified = (0..chunks).map(|_| AtomicBool::new(false)).collect();
        Some(Table { files, first_chunks, verified })
    }
}

/// The files of a box. Cheap to clone; all clones remember what has been verified.
#[derive(Debug, Clone)]
pub struct Assets<'a> {
    box_name: Arc<str>,
    bytes: &'a [u8],
    table: Arc<Table>,
    hasher: Hasher,
}

impl Default for Assets<'_> {
    fn default() -> Self {
        Assets::new("", &[], Arc::default(), hash)
    }
}

impl<'a> Assets<'a> {
    pub(super) fn new(box_name: &str, bytes: &'a [u8], table: Arc<Table>, hasher: Hasher) -> Self {
        Assets { box_name: box_name.into(), bytes, table, hasher }
    }

    pub fn len(&self) -> usize {
        self.table.files.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The file at that position, in the bytewise order of paths.
    pub fn get(&self, index: usize) -> Option<Asset<'_, 'a>> {
        (index < self.len()).then_some(Asset { assets: self, index })
    }

    pub fn find(&self, path: &str) -> Option<Asset<'_, 'a>> {
        let index = self.table.files.binary_search_by(|file| file.path.as_bytes().cmp(path.as_bytes())).ok()?;
        self.get(index)
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = Asset<'_, 'a>> {
        (0..self.len()).map(|index| Asset { assets: self, index })
    }
}

/// One file.
#[derive(Debug, Clone, Copy)]
pub struct Asset<'t, 'a> {
    assets: &'t Assets<'a>,
    index: usize,
}

impl<'t, 'a> Asset<'t, 'a> {
    fn file(&self) -> &'t File {
        &self.assets.table.files[self.index]
    }

    /// Relative, `/`-separated.
    pub fn path(&self) -> &'t str {
        &self.file().path
    }

    pub fn size(&self) -> u64 {
        self.file().size
    }

    /// Of the content.
    pub fn hash(&self) -> Hash {
        self.file().hash
    }

    /// Seconds since 1970.
    pub fn modified(&self) -> u64 {
        self.file().modified
    }

    /// The whole content.
    pub fn bytes(&self) -> Result<&'a [u8], ImageError> {
        self.read(0, self.size())
    }

    /// At most `length` bytes from `offset`; fewer at the end, none past it. Only the chunks that are touched are
    /// verified, and only once.
    pub fn read(&self, offset: u64, length: u64) -> Result<&'a [u8], ImageError> {
        let (file, table) = (self.file(), &self.assets.table);
        let content = super::format::part(self.assets.bytes, file.offset, file.size);
        let end = offset.saturating_add(length).min(file.size);
        if offset >= end {
            return Ok(&[]);
        }
        for chunk in offset / CHUNK..=(end - 1) / CHUNK {
            let verified = &table.verified[table.first_chunks[self.index] + chunk as usize];
            if verified.load(Ordering::Acquire) {
                continue;
            }
            let expected = file.chunks.get(chunk as usize).unwrap_or(&file.hash);
            if (self.assets.hasher)(super::format::part(content, chunk * CHUNK, CHUNK)) != *expected {
                let name = format!("{}: {}", self.assets.box_name, file.path);
                return Err(ImageError::Corrupt { what: "asset", name });
            }
            verified.store(true, Ordering::Release);
        }
        Ok(super::format::part(content, offset, end - offset))
    }
}
