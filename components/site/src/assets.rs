//! Where files come from: `pearwood:box/assets` in a box, memory in tests.

/// One file of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// relative, `/`-separated
    pub path: String,
    pub size: u64,
    /// BLAKE3 of the content
    pub hash: [u8; 32],
    /// seconds since 1970; 0 if nobody knows
    pub modified: u64,
}

/// What there is of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// Empty at the end of the file; else there may be fewer bytes than were asked for, and at least one.
    Bytes(Vec<u8>),
    /// They are being read from the node's disk.
    Awaited,
    /// They cannot be had.
    Lost,
}

/// The files of the image. They do not change while the box lives.
pub trait Assets {
    /// All of them; a file's place in this list is its index.
    fn entries(&mut self) -> Vec<Entry>;

    /// At most `len` bytes from `offset`.
    fn fetch(&mut self, index: u32, offset: u64, len: u32) -> Fetched;
}
