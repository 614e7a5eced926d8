//! The files of a box, read where they lie in the image.

use super::{Blob, Hash, Hasher, ImageError, Piece, Source, hash};
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
    pub files: Vec<File>,
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
        for file in &files {
            let count = usize::try_from(file.size.div_ceil(CHUNK)).ok()?;
            let listed = if count > 1 { count } else { 0 };
            let end = file.offset.checked_add(file.size)?;
            if file.offset < free || end > length || file.chunks.len() != listed {
                return None;
            }
            free = end;
        }
        Some(Table::of(files))
    }

    /// Nothing of its files is verified.
    fn of(files: Vec<File>) -> Table {
        let mut chunks = 0;
        let first_chunk = |file: &File| {
            let first = chunks;
            chunks += file.chunks.len().max(1);
            first
        };
        let first_chunks = files.iter().map(first_chunk).collect();
        Table { files, first_chunks, verified: (0..chunks).map(|_| AtomicBool::new(false)).collect() }
    }

    /// The same table, for the files of another image.
    pub fn unverified(&self) -> Table {
        Table::of(self.files.clone())
    }
}

/// The files of a box. Cheap to clone; all clones remember what has been verified.
#[derive(Debug, Clone)]
pub struct Assets<'a> {
    box_name: Arc<str>,
    stored: Arc<Contents<'a>>,
    hasher: Hasher,
}

/// A table, and the content of each of its files.
#[derive(Debug, Default)]
pub(super) struct Contents<'a> {
    pub table: Table,
    pub files: Files<'a>,
}

/// Where the files of a table are.
#[derive(Debug)]
pub(super) enum Files<'a> {
    Here(Vec<Blob<'a>>),
    /// One after another, from there on in an image on a disk.
    There(Arc<Source>, u64),
}

impl Default for Files<'_> {
    fn default() -> Self {
        Files::Here(Vec::new())
    }
}

impl<'a> Contents<'a> {
    /// Of files that lie one after another, as the table says.
    pub fn of(table: Table, bytes: &Blob<'a>) -> Self {
        let files = table.files.iter().map(|file| bytes.slice(file.offset, file.size)).collect();
        Contents { table, files: Files::Here(files) }
    }

    /// The content of a file, if it is in memory.
    fn here(&self, index: usize) -> Option<&Blob<'a>> {
        match &self.files {
            Files::Here(files) => files.get(index),
            Files::There(..) => None,
        }
    }
}

impl Default for Assets<'_> {
    fn default() -> Self {
        Assets::new("", Arc::default(), hash)
    }
}

impl<'a> Assets<'a> {
    pub(super) fn new(box_name: &str, stored: Arc<Contents<'a>>, hasher: Hasher) -> Self {
        Assets { box_name: box_name.into(), stored, hasher }
    }

    /// The content of each file that is in memory, by its hash.
    pub(super) fn blobs(&self) -> impl Iterator<Item = (Hash, Blob<'a>)> {
        let blob = |(index, file): (usize, &File)| Some((file.hash, self.stored.here(index)?.clone()));
        self.stored.table.files.iter().enumerate().filter_map(blob)
    }

    /// Whether the files are read from a disk as they are asked for.
    pub fn are_on_disk(&self) -> bool {
        matches!(self.stored.files, Files::There(..))
    }

    /// Where each file is, from the start of the box's files.
    pub(super) fn places(&self) -> impl Iterator<Item = u64> {
        self.stored.table.files.iter().map(|file| file.offset)
    }

    pub fn len(&self) -> usize {
        self.stored.table.files.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The file at that position, in the bytewise order of paths.
    pub fn get(&self, index: usize) -> Option<Asset<'_, 'a>> {
        (index < self.len()).then_some(Asset { assets: self, index })
    }

    pub fn find(&self, path: &str) -> Option<Asset<'_, 'a>> {
        let files = &self.stored.table.files;
        let index = files.binary_search_by(|file| file.path.as_bytes().cmp(path.as_bytes())).ok()?;
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
        &self.assets.stored.table.files[self.index]
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
    pub fn bytes(&self) -> Result<&'t [u8], ImageError> {
        self.read(0, self.size())
    }

    /// At most `length` bytes from `offset`; fewer at the end, none past it. Only the chunks that are touched are
    /// verified, and only once.
    pub fn read(&self, offset: u64, length: u64) -> Result<&'t [u8], ImageError> {
        let stored: &'t Contents<'a> = &self.assets.stored;
        let (file, table) = (self.file(), &stored.table);
        let end = offset.saturating_add(length).min(file.size);
        if offset >= end {
            return Ok(&[]);
        }
        let content = stored.here(self.index).ok_or_else(|| ImageError::OnDisk { name: self.name() })?;
        for chunk in offset / CHUNK..=(end - 1) / CHUNK {
            let verified = &table.verified[table.first_chunks[self.index] + chunk as usize];
            if verified.load(Ordering::Acquire) {
                continue;
            }
            let expected = file.chunks.get(chunk as usize).unwrap_or(&file.hash);
            if (self.assets.hasher)(super::format::part(content, chunk * CHUNK, CHUNK)) != *expected {
                return Err(ImageError::Corrupt { what: "asset", name: self.name() });
            }
            verified.store(true, Ordering::Release);
        }
        Ok(super::format::part(content, offset, end - offset))
    }

    fn name(&self) -> String {
        format!("{}: {}", self.assets.box_name, self.path())
    }

    /// Of a file on a disk: the piece in which the byte at `offset` lies. None past the end, and for files in memory.
    pub fn piece(&self, offset: u64) -> Option<Piece> {
        let (stored, file) = (&self.assets.stored, self.file());
        let Files::There(source, content) = &stored.files else { return None };
        if offset >= file.size {
            return None;
        }
        let (block, number) = (offset / CHUNK, stored.table.first_chunks[self.index]);
        let start = block * CHUNK;
        Some(Piece {
            source: source.clone(),
            number: number + block as usize,
            block,
            offset: start,
            length: CHUNK.min(file.size - start) as usize,
            at: content + file.offset + start,
            hash: *file.chunks.get(block as usize).unwrap_or(&file.hash),
            hasher: self.assets.hasher,
        })
    }
}
