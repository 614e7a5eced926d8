//! A batch: records packed one after another.
//!
//! ```text
//! kind: u8 << 24 | length: u24 (little endian),  id: u32 (little endian),  then `length` bytes
//! ```

use crate::MAX_BATCH;
use alloc::vec::Vec;
use core::fmt;

/// Bytes that a record begins with.
pub const HEADER: usize = 8;

/// The most bytes one record can carry.
pub const MAX_RECORD: usize = (1 << 24) - 1;

/// Bytes of the length of a list.
const LENGTH: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    pub kind: u8,
    pub id: u32,
    pub bytes: &'a [u8],
}

/// A batch being written. Its buffer can be kept from batch to batch.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Batch(Vec<u8>);

/// A record whose bytes are being added: where it begins, and where the list does that they belong to. Between the two are at
/// least the header and, unless the list is all of the record, its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open {
    pub(crate) record: usize,
    list: usize,
}

impl Batch {
    pub const fn new() -> Self {
        Batch(Vec::new())
    }

    /// An empty batch that is written where `buffer` was.
    pub fn reuse(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        Batch(buffer)
    }

    /// A batch that goes on where packed records end.
    pub fn from_bytes(packed: Vec<u8>) -> Self {
        Batch(packed)
    }

    pub fn with_capacity(bytes: usize) -> Self {
        Batch(Vec::with_capacity(bytes))
    }

    /// # Panics
    /// If `bytes` is longer than [`MAX_RECORD`].
    #[inline]
    pub fn push(&mut self, kind: u8, id: u32, bytes: &[u8]) {
        self.begin(kind, id, bytes.len()).extend_from_slice(bytes);
    }

    /// A record whose bytes are those of all parts together.
    ///
    /// # Panics
    /// If the parts are together longer than [`MAX_RECORD`].
    pub fn push_parts(&mut self, kind: u8, id: u32, parts: &[&[u8]]) {
        let length = parts.iter().map(|part| part.len()).sum();
        self.head(kind, id, length);
        for part in parts {
            self.0.extend_from_slice(part);
        }
    }

    /// A record of `length` zero bytes for the caller to fill.
    ///
    /// # Panics
    /// If `length` is more than [`MAX_RECORD`].
    pub fn reserve(&mut self, kind: u8, id: u32, length: usize) -> &mut [u8] {
        self.head(kind, id, length);
        let start = self.0.len();
        self.0.resize(start + length, 0);
        &mut self.0[start..]
    }

    /// A record whose bytes are one list of bytes, behind its length (`list<u8>` in a record).
    ///
    /// # Panics
    /// If it is longer than [`MAX_RECORD`].
    #[inline]
    pub fn push_list(&mut self, kind: u8, id: u32, list: &[u8]) {
        let length = LENGTH + list.len();
        let mut start = [0; HEADER + LENGTH];
        start[..HEADER].copy_from_slice(&head(kind, id, length));
        start[HEADER..].copy_from_slice(&(list.len() as u32).to_le_bytes());
        self.0.reserve(HEADER + length);
        self.0.extend_from_slice(&start);
        self.0.extend_from_slice(list);
    }

    /// Starts a record whose bytes [`Batch::extend`] adds piece by piece.
    pub fn open(&mut self, kind: u8, id: u32) -> Open {
        let record = self.0.len();
        self.head(kind, id, 0);
        self.opened(record)
    }

    /// Starts a record that is one list of bytes, behind its length, which [`Batch::extend`] adds piece by piece.
    pub fn open_list(&mut self, kind: u8, id: u32) -> Open {
        let record = self.0.len();
        self.begin(kind, id, LENGTH).extend_from_slice(&[0; LENGTH]);
        self.opened(record)
    }

    /// The bytes to be added to the record at `record` begin here.
    #[doc(hidden)]
    #[inline]
    pub fn opened(&self, record: usize) -> Open {
        Open { record, list: self.0.len() }
    }

    /// Adds bytes, in parts, to a record that was opened and is still the last one.
    ///
    /// # Panics
    /// If that record becomes longer than [`MAX_RECORD`], or there is none.
    #[inline]
    pub fn extend<const PARTS: usize>(&mut self, Open { record, list }: Open, parts: [&[u8]; PARTS]) {
        self.0.reserve(parts.iter().map(|part| part.len()).sum());
        for part in parts {
            if !part.is_empty() {
                self.0.extend_from_slice(part);
            }
        }
        let length = self.0.len() - record - HEADER;
        assert!(length <= MAX_RECORD, "a record of {length} bytes");
        self.0[record..record + 3].copy_from_slice(&(length as u32).to_le_bytes()[..3]);
        if list > record + HEADER {
            let length = (self.0.len() - list) as u32;
            self.0[list - LENGTH..list].copy_from_slice(&length.to_le_bytes());
        }
    }

    /// Starts a record of `length` bytes; the caller appends just as many.
    #[doc(hidden)]
    #[inline]
    pub fn begin(&mut self, kind: u8, id: u32, length: usize) -> &mut Vec<u8> {
        self.head(kind, id, length);
        &mut self.0
    }

    #[inline]
    fn head(&mut self, kind: u8, id: u32, length: usize) {
        self.0.reserve(HEADER + length);
        self.0.extend_from_slice(&head(kind, id, length));
    }

    /// Appends another batch's records, already packed.
    pub fn append(&mut self, packed: &[u8]) {
        self.0.extend_from_slice(packed);
    }

    pub fn records(&self) -> Records<'_> {
        Records(&self.0)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn capacity(&self) -> usize {
        self.0.capacity()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes back what was added since it was this long.
    pub fn truncate(&mut self, length: usize) {
        self.0.truncate(length);
    }

    /// Sends it in pieces of whole records that any receiver takes, and drops what was sent. False: `send` refused a
    /// piece, which is left with what follows.
    #[inline]
    pub fn flush(&mut self, mut send: impl FnMut(&[u8]) -> bool) -> bool {
        if self.0.len() > MAX_BATCH {
            return self.flush_long(&mut send);
        }
        let sent = self.0.is_empty() || send(&self.0);
        if sent {
            self.0.clear();
        }
        sent
    }

    #[cold]
    #[inline(never)]
    fn flush_long(&mut self, send: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let mut sent = 0;
        while sent < self.0.len() {
            let piece = piece(&self.0[sent..]);
            if !send(&self.0[sent..][..piece]) {
                break;
            }
            sent += piece;
        }
        self.0.drain(..sent);
        self.0.is_empty()
    }
}

/// How long the first records are that go together in one batch: at least one, whatever its length.
fn piece(packed: &[u8]) -> usize {
    let mut end = 0;
    for record in Records::new(packed).flatten() {
        let next = end + HEADER + record.bytes.len();
        if next > MAX_BATCH && end > 0 {
            break;
        }
        end = next;
    }
    // what is no record is sent as it is, and ends the sender
    if end == 0 { packed.len() } else { end }
}

/// What a record begins with.
///
/// # Panics
/// If `length` is more than [`MAX_RECORD`].
#[inline]
pub fn head(kind: u8, id: u32, length: usize) -> [u8; HEADER] {
    assert!(length <= MAX_RECORD, "a record of {length} bytes");
    (u64::from((kind as u32) << 24 | length as u32) | u64::from(id) << 32).to_le_bytes()
}

/// The bytes are no batch: a record is cut short, or a payload is not of its kind's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("malformed batch")
    }
}

impl core::error::Error for Malformed {}

/// Reads a batch. Ends after the last record, or with one `Malformed`.
#[derive(Debug, Clone)]
pub struct Records<'a>(&'a [u8]);

impl<'a> Records<'a> {
    pub const fn new(packed: &'a [u8]) -> Self {
        Records(packed)
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let Some((head, rest)) = self.0.split_first_chunk::<HEADER>() else {
            return if self.0.is_empty() { None } else { self.stop() };
        };
        let head = u64::from_le_bytes(*head);
        let length = (head & MAX_RECORD as u64) as usize;
        let Some((bytes, rest)) = rest.split_at_checked(length) else { return self.stop() };
        self.0 = rest;
        Some(Ok(Record { kind: (head >> 24) as u8, id: (head >> 32) as u32, bytes }))
    }
}

impl<'a> Records<'a> {
    fn stop(&mut self) -> Option<Result<Record<'a>, Malformed>> {
        self.0 = &[];
        Some(Err(Malformed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_as_written() {
        let mut batch = Batch::new();
        batch.push(1, 7, b"abc");
        batch.push_parts(255, u32::MAX, &[b"", b"de", b"f"]);
        batch.reserve(3, 0, 2).copy_from_slice(b"xy");
        let read: Vec<_> = batch.records().map(Result::unwrap).map(|r| (r.kind, r.id, r.bytes)).collect();
        assert_eq!(read, [(1, 7, &b"abc"[..]), (255, u32::MAX, b"def"), (3, 0, b"xy")]);
    }

    #[test]
    fn a_long_batch_goes_in_pieces_of_whole_records() {
        let mut batch = Batch::new();
        (0..200).for_each(|id| batch.push(1, id, &[0; 2_000]));
        let mut pieces = Vec::new();
        let mut take = 1;
        let sent = batch.flush(|piece| {
            take -= 1;
            if take < 0 {
                return false;
            }
            pieces.push(piece.to_vec());
            true
        });
        assert!(!sent && !batch.is_empty());
        assert!(batch.flush(|piece| {
            pieces.push(piece.to_vec());
            true
        }));
        assert!(pieces.iter().all(|piece| piece.len() <= MAX_BATCH) && batch.is_empty());
        let ids = pieces.iter().flat_map(|piece| Records::new(piece)).map(|record| record.unwrap().id);
        assert!(ids.eq(0..200));
    }

    #[test]
    fn a_record_written_in_pieces_is_one_record() {
        let mut batch = Batch::new();
        batch.push(1, 7, b"abc");
        let position = batch.open(4, 9);
        batch.extend(position, [b"de"]);
        batch.extend(position, [b"", b"f"]);
        batch.extend(position, [b"gh"]);
        batch.push(3, 0, b"");
        let read: Vec<_> = batch.records().map(Result::unwrap).map(|r| (r.kind, r.id, r.bytes)).collect();
        assert_eq!(read, [(1, 7, &b"abc"[..]), (4, 9, b"defgh"), (3, 0, b"")]);
    }

    #[test]
    fn every_cut_is_malformed_once() {
        let mut batch = Batch::new();
        batch.push(1, 7, b"abc");
        for cut in 1..batch.len() {
            let read: Vec<_> = Records::new(&batch.as_bytes()[..cut]).collect();
            assert_eq!(read, [Err(Malformed)], "cut at {cut}");
        }
    }
}
