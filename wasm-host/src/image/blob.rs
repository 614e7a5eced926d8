//! Bytes of an image, wherever they are kept.

use super::format::part;
use alloc::{sync::Arc, vec::Vec};
use core::{fmt, ops::Deref};

/// Bytes that do not change: where a boot loader left them, or shared on the heap by all images that have them.
#[derive(Clone)]
pub struct Blob<'a>(Place<'a>);

#[derive(Clone)]
enum Place<'a> {
    Lent(&'a [u8]),
    Shared { all: Arc<Vec<u8>>, from: usize, to: usize },
}

impl<'a> Blob<'a> {
    /// The bytes from `offset`, as many as there are of `length`. Nothing is copied.
    pub fn slice(&self, offset: u64, length: u64) -> Blob<'a> {
        let limit = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(self.len());
        Blob(match &self.0 {
            Place::Lent(bytes) => Place::Lent(part(bytes, offset, length)),
            Place::Shared { all, from, .. } => Place::Shared {
                all: all.clone(),
                from: from + limit(offset),
                to: from + limit(offset.saturating_add(length)),
            },
        })
    }
}

impl Deref for Blob<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Place::Lent(bytes) => bytes,
            Place::Shared { all, from, to } => all.get(*from..*to).unwrap_or_default(),
        }
    }
}

impl Default for Blob<'_> {
    fn default() -> Self {
        Blob(Place::Lent(&[]))
    }
}

impl<'a> From<&'a [u8]> for Blob<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Blob(Place::Lent(bytes))
    }
}

impl<'a> From<&'a Vec<u8>> for Blob<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        Blob(Place::Lent(bytes))
    }
}

impl From<Vec<u8>> for Blob<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        let to = bytes.len();
        Blob(Place::Shared { all: Arc::new(bytes), from: 0, to })
    }
}

impl fmt::Debug for Blob<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}
