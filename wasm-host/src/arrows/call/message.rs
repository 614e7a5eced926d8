//! What travels between two stores: values in a compact encoding, and the resources that they name.
//!
//! Both ends walk the same WIT type, so the encoding says nothing of types. Integers and floats are little endian and
//! unpadded; `bool` is one byte; `char` four; a discriminant has the width that the canonical ABI gives it; `flags`
//! have their size in memory; strings are UTF-8 and lists their elements, after a length of four bytes; a resource is
//! nothing but the next entry of `handles`.

use super::CallError;
use crate::budget::Charge;
use alloc::{boxed::Box, vec::Vec};
use core::fmt;
use smallvec::SmallVec;

/// A message of at most so many bytes is part of what a store holds of the node, which its box has paid for.
pub const SMALL: usize = 8 << 10;

/// A few numbers take no memory of their own. Messages are moved often, so they are small.
pub type Encoded = SmallVec<[u8; 16]>;

/// The parameters or the result of one call. `H` is how this end knows resources.
#[derive(Debug)]
pub struct Message<H> {
    pub bytes: Encoded,
    pub handles: Box<[H]>,
    /// How long the whole is. What is beyond [`SMALL`] is in `bytes` only when somebody pays for it.
    pub total: usize,
    charge: Option<Box<Charge>>,
}

impl<H> Message<H> {
    pub fn new() -> Self {
        Message { bytes: Encoded::new(), handles: Box::default(), total: 0, charge: None }
    }

    pub fn of(bytes: Encoded) -> Self {
        Message { total: bytes.len(), bytes, handles: Box::default(), charge: None }
    }

    /// The same values, with resources as another store knows them.
    pub fn with_handles<I>(self, handles: Vec<I>) -> Message<I> {
        Message { bytes: self.bytes, handles: handles.into(), total: self.total, charge: self.charge }
    }

    /// Bytes that the node holds for it, if they are more than [`SMALL`].
    pub fn size(&self) -> Option<usize> {
        let size = self.total.saturating_add(self.handles.len() * size_of::<H>());
        (size > SMALL).then_some(size)
    }

    /// The charge pays for it.
    pub fn paid_with(&mut self, charge: Charge) {
        self.charge = Some(Box::new(charge));
    }

    /// Makes place for the whole.
    pub fn reserve(&mut self) -> Result<(), CallError> {
        self.bytes.clear();
        self.bytes.try_reserve_exact(self.total).map_err(|_| CallError::NoMemory)
    }
}

/// Takes a message apart, in the order in which it was made.
pub struct Reader<'a, H> {
    bytes: &'a [u8],
    handles: &'a [H],
}

/// The message is not of the type that it was read as. Cannot happen between types that fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Misread;

impl fmt::Display for Misread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the values of a call do not fit its type")
    }
}

impl core::error::Error for Misread {}

impl<'a, H> Reader<'a, H> {
    pub fn new(message: &'a Message<H>) -> Self {
        Reader { bytes: &message.bytes, handles: &message.handles }
    }

    #[inline]
    pub fn slice(&mut self, len: usize) -> Result<&'a [u8], Misread> {
        let (first, rest) = self.bytes.split_at_checked(len).ok_or(Misread)?;
        self.bytes = rest;
        Ok(first)
    }

    /// A number of so many bytes.
    #[inline]
    pub fn number(&mut self, width: usize) -> Result<u64, Misread> {
        let bytes = self.slice(width)?;
        Ok(match *bytes {
            [a] => a.into(),
            [a, b] => u16::from_le_bytes([a, b]).into(),
            [a, b, c, d] => u32::from_le_bytes([a, b, c, d]).into(),
            _ => u64::from_le_bytes(bytes.try_into().map_err(|_| Misread)?),
        })
    }

    /// A length or count.
    pub fn count(&mut self) -> Result<usize, Misread> {
        self.number(4).map(|count| count as usize)
    }

    pub fn handle(&mut self) -> Result<&'a H, Misread> {
        let (first, rest) = self.handles.split_first().ok_or(Misread)?;
        self.handles = rest;
        Ok(first)
    }
}
