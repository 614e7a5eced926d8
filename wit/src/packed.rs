//! How fields are packed (`wit/README.md`, "Records"): little endian, unaligned, one after another.
//!
//! What [`protocol!`](crate::protocol) generates is made of this; users need [`List`], and [`Packed`] for types of their own
//! that stand for a type of a WIT file.

use crate::batch::{Malformed, Record};
use core::{fmt, hash::Hash, net::Ipv6Addr, slice, str};

#[doc(hidden)]
pub use alloc::vec::Vec;

/// A value that is part of a record. What it reads borrows from the record, and nothing is allocated.
///
/// `write` appends exactly `size` bytes, of which there is at least one.
pub trait Packed<'a>: Copy {
    fn size(&self) -> usize;

    fn write(&self, out: &mut Vec<u8>);

    /// # Errors
    /// If the bytes end within the value, or are not the form of one.
    fn read(fields: &mut Fields<'a>) -> Result<Self, Malformed>;

    /// Reads the value as the last of a record, which an earlier version of the protocol may have written: options at its
    /// end may be missing altogether, and are none then.
    ///
    /// # Errors
    /// Those of `read`.
    #[inline]
    fn read_last(fields: &mut Fields<'a>) -> Result<Self, Malformed> {
        Self::read(fields)
    }
}

/// A type that may stand for a type of a WIT file (`types` of [`protocol!`](crate::protocol)).
pub trait StandsFor: Copy + fmt::Debug + Hash + Ord {
    /// The form of the WIT type, without names: `record(u64,u64)`. The macro compares it with that of the WIT file.
    const FORM: &'static str;
}

/// A cursor over one record's bytes.
#[derive(Debug, Clone)]
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub const fn new(bytes: &'a [u8]) -> Self {
        Fields(bytes)
    }

    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// # Errors
    /// If there are fewer bytes than that.
    #[inline]
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    /// # Errors
    /// If there are fewer than `N` bytes.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*taken)
    }

    /// How many elements, or bytes, follow.
    #[inline]
    fn count(&mut self) -> Result<usize, Malformed> {
        // No target has a usize of less than 32 bits.
        Ok(u32::from_le_bytes(self.array()?) as usize)
    }
}

/// The header's id as the field that it is.
#[doc(hidden)]
#[inline]
pub fn id<T: TryFrom<u32>>(record: &Record<'_>) -> Result<T, Malformed> {
    T::try_from(record.id).map_err(|_| Malformed)
}

/// A record's bytes as the one string that they are.
#[doc(hidden)]
#[inline]
pub fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    // Many are, and checking them is a call.
    if bytes.is_empty() {
        return Ok("");
    }
    str::from_utf8(bytes).map_err(|_| Malformed)
}

/// Whether two strings are equal, at compile time.
#[doc(hidden)]
pub const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut at = 0;
    while at < a.len() && at < b.len() && a[at] == b[at] {
        at += 1;
    }
    at == a.len() && at == b.len()
}

macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl<'a> Packed<'a> for $number {
            #[inline]
            fn size(&self) -> usize {
                size_of::<Self>()
            }

            #[inline]
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            #[inline]
            fn read(fields: &mut Fields<'a>) -> Result<Self, Malformed> {
                fields.array().map(Self::from_le_bytes)
            }
        }
    )*};
}

numbers!(u8 u16 u32 u64 i8 i16 i32 i64 f32 f64);

impl<'a> Packed<'a> for bool {
    #[inline]
    fn size(&self) -> usize {
        1
    }

    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        out.push((*self).into());
    }

    #[inline]
    fn read(fields: &mut Fields<'a>) -> Result<Self, Malformed> {
        match fields.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(Malformed),
        }
    }
}

impl<'a> Packed<'a> for char {
    #[inline]
    fn size(&self) -> usize {
        4
    }

    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        u32::from(*self).write(out);
    }

    #[inline]
    fn read(fields: &mut Fields<'a>) -> Result<Self, Malformed> {
        u32::read(fields)?.try_into().map_err(|_| Malformed)
    }
}

/// `list<u8>`
impl<'a> Packed<'a> for &'a [u8] {
    #[inline]
    fn size(&self) -> usize {
        4 + self.len()
    }

    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        (self.len() as u32).write(out);
        out.extend_from_slice(self);
    }

    #[inline]
    fn read(fields: &mut Fields<'a>) -> Result<Self, Malformed> {
        let length = fields.count()?;
        fields.take(length)
    }
}

impl<'a> Packed<'a> for &'a str {
    #[inline]
    fn size(&self) -> usize {
        4 + self.len()
    }

    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        self.as_bytes().write(out);
    }

    #[inline]
    fn read(fields: &mut Fields<'a>) -> Result<Self, Malformed> {
        text(<&[u8]>::read(fields)?)
    }
}

impl<'a, T: Packed<'a>> Packed<'a> for Option<T> {
    #[inline]
    fn size(&self) -> usize {
        1 + self.as_ref().map_or(0, T::size)
    }

    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        self.is_some().write(out);
        if let Some(value) = self {
            value.write(out);
        }
    }

    #[inline]
    fn read(fields: &mut Fields<'a>) -> Result<Self, Malformed> {
        if bool::read(fields)? { T::read(fields).map(Some) } else { Ok(None) }
    }

    #[inline]
    fn read_last(fields: &mut Fields<'a>) -> Result<Self, Malformed> {
        if fields.is_empty() || !bool::read(fields)? { Ok(None) } else { T::read_last(fields).map(Some) }
    }
}

macro_rules! tuples {
    ($(($($name:ident)*))*) => {$(
        #[allow(non_snake_case)]
        impl<'a, $($name: Packed<'a>),*> Packed<'a> for ($($name,)*) {
            #[inline]
            fn size(&self) -> usize {
                let ($($name,)*) = self;
                0 $(+ $name.size())*
            }

            #[inline]
            fn write(&self, out: &mut Vec<u8>) {
                let ($($name,)*) = self;
                $($name.write(out);)*
            }

            #[inline]
            fn read(fields: &mut Fields<'a>) -> Result<Self, Malformed> {
                Ok(($($name::read(fields)?,)*))
            }
        }
    )*};
}

tuples!((A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H));

/// `pearwood:net/types/address`: the first and the last eight octets, as big-endian numbers.
impl<'a> Packed<'a> for Ipv6Addr {
    #[inline]
    fn size(&self) -> usize {
        16
    }

    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        let bits = self.to_bits();
        (((bits >> 64) as u64), bits as u64).write(out);
    }

    #[inline]
    fn read(fields: &mut Fields<'a>) -> Result<Self, Malformed> {
        let (high, low) = <(u64, u64)>::read(fields)?;
        Ok(Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low)))
    }
}

impl StandsFor for Ipv6Addr {
    const FORM: &'static str = "record(u64,u64)";
}

/// `list<T>` of anything but bytes: read from a record, or a slice that is to be written to one. Elements that were read have
/// been checked, and are decoded each time they are looked at.
#[derive(Clone, Copy)]
pub struct List<'a, T>(Items<'a, T>);

#[derive(Clone, Copy)]
enum Items<'a, T> {
    Packed { count: usize, bytes: &'a [u8] },
    Slice(&'a [T]),
}

impl<'a, T> List<'a, T> {
    pub const fn len(&self) -> usize {
        match self.0 {
            Items::Packed { count, .. } => count,
            Items::Slice(items) => items.len(),
        }
    }

    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'a, T: Packed<'a>> List<'a, T> {
    /// A list of what an iterator yields, packed into `buffer`, which is emptied first.
    pub fn pack(items: impl IntoIterator<Item = T>, buffer: &'a mut Vec<u8>) -> Self {
        buffer.clear();
        let count = items.into_iter().inspect(|item| item.write(buffer)).count();
        List(Items::Packed { count, bytes: buffer })
    }

    pub fn iter(&self) -> Iter<'a, T> {
        Iter(match self.0 {
            Items::Packed { count, bytes } => Source::Packed { left: count, fields: Fields(bytes) },
            Items::Slice(items) => Source::Slice(items.iter()),
        })
    }
}

impl<'a, T> From<&'a [T]> for List<'a, T> {
    fn from(items: &'a [T]) -> Self {
        List(Items::Slice(items))
    }
}

impl<'a, T, const N: usize> From<&'a [T; N]> for List<'a, T> {
    fn from(items: &'a [T; N]) -> Self {
        List(Items::Slice(items))
    }
}

impl<T> Default for List<'_, T> {
    fn default() -> Self {
        List(Items::Slice(&[]))
    }
}

impl<'a, T: Packed<'a>> Packed<'a> for List<'a, T> {
    fn size(&self) -> usize {
        4 + match self.0 {
            Items::Packed { bytes, .. } => bytes.len(),
            Items::Slice(items) => items.iter().map(T::size).sum(),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        (self.len() as u32).write(out);
        match self.0 {
            Items::Packed { bytes, .. } => out.extend_from_slice(bytes),
            Items::Slice(items) => items.iter().for_each(|item| item.write(out)),
        }
    }

    fn read(fields: &mut Fields<'a>) -> Result<Self, Malformed> {
        let count = fields.count()?;
        let start = fields.0;
        // Each element has a byte at least, so that this ends at the end of the bytes at the latest.
        for _ in 0..count {
            T::read(fields)?;
        }
        let bytes = &start[..start.len() - fields.0.len()];
        Ok(List(Items::Packed { count, bytes }))
    }
}

impl<'a, T: Packed<'a> + fmt::Debug> fmt::Debug for List<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a, T: Packed<'a> + PartialEq> PartialEq for List<'a, T> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl<'a, T: Packed<'a> + Eq> Eq for List<'a, T> {}

impl<'a, T: Packed<'a>> IntoIterator for List<'a, T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

/// The elements of a [`List`].
#[derive(Debug, Clone)]
pub struct Iter<'a, T>(Source<'a, T>);

#[derive(Debug, Clone)]
enum Source<'a, T> {
    Packed { left: usize, fields: Fields<'a> },
    Slice(slice::Iter<'a, T>),
}

impl<'a, T: Packed<'a>> Iterator for Iter<'a, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        match &mut self.0 {
            Source::Packed { left, fields } => {
                *left = left.checked_sub(1)?;
                // It was read before, when the list was.
                T::read(fields).ok()
            }
            Source::Slice(items) => items.next().copied(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = match &self.0 {
            Source::Packed { left, .. } => *left,
            Source::Slice(items) => items.len(),
        };
        (left, Some(left))
    }
}

impl<'a, T: Packed<'a>> ExactSizeIterator for Iter<'a, T> {}
