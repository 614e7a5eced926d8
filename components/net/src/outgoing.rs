//! The batch of frames for the card.
//!
//! A buffer that is zeroed once, not for each frame, as a vector is that grows for it.

use wit::Records;
use wit::batch::{HEADER, head};

/// Bytes of the largest batch that the node passes on.
pub const LARGEST: usize = 131_072;

/// How long the first frames are together that make the largest batch.
#[cold]
#[inline(never)]
fn largest(packed: &[u8]) -> usize {
    let lengths = Records::new(packed).flatten().map(|record| HEADER + record.bytes.len());
    let mut length = 0;
    for more in lengths {
        if length + more > LARGEST {
            break;
        }
        length += more;
    }
    length
}

#[derive(Debug, Default)]
pub struct Outgoing {
    bytes: Vec<u8>,
    used: usize,
}

impl Outgoing {
    /// A frame of that many bytes for the caller to write, every one: what is in them was in others.
    #[inline]
    pub fn frame(&mut self, length: usize) -> &mut [u8] {
        let start = self.used + HEADER;
        let end = start + length;
        if self.bytes.len() < end {
            self.grow(end);
        }
        self.bytes[self.used..start].copy_from_slice(&head(wit::nic::Command::FRAME, 0, length));
        self.used = end;
        &mut self.bytes[start..end]
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, length: usize) {
        self.bytes.resize(length.next_power_of_two(), 0);
    }

    /// The packed frames, in batches that are as large as may be.
    pub fn batches(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.bytes[..self.used];
        core::iter::from_fn(move || {
            let mut length = rest.len();
            if length > LARGEST {
                length = largest(rest);
            }
            let (batch, after) = rest.split_at(length);
            rest = after;
            (length > 0).then_some(batch)
        })
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.used
    }

    /// Drops what is beyond that many bytes, which must be whole frames.
    pub fn truncate(&mut self, length: usize) {
        self.used = self.used.min(length);
    }

    /// The last frame, which has that many bytes.
    pub fn last(&mut self, length: usize) -> &mut [u8] {
        &mut self.bytes[self.used - length..self.used]
    }

    /// The first frame beyond that many bytes, if there is one.
    pub fn beyond(&mut self, length: usize) -> &mut [u8] {
        let used = self.used;
        let (start, end) = match Records::new(&self.bytes[length..used]).next() {
            Some(Ok(record)) => (length + HEADER, length + HEADER + record.bytes.len()),
            _ => (used, used),
        };
        &mut self.bytes[start..end]
    }

    /// Drops the last frame, which has that many bytes.
    pub fn drop_last(&mut self, length: usize) {
        self.used -= HEADER + length;
    }

    pub fn clear(&mut self) {
        self.used = 0;
    }
}
