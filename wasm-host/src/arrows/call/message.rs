//! What travels between two stores: values in a compact encoding, and the resources that they name.
//!
//! Both ends walk the same WIT type, so the encoding says nothing of types. Integers and floats are little endian and
//! unpadded; `bool` is one byte; `char` four; a discriminant has the width that the canonical ABI gives it; `flags`
//! have their size in memory; strings are UTF-8 and lists their elements, after a length of four bytes; a resource is
//! nothing but the next entry of `handles`.

use super::MAX_CALL_BYTES;
use alloc::vec::Vec;
use core::fmt;

/// The parameters or the result of one call. `H` is how this end knows resources.
#[derive(Debug)]
pub struct Message<H> {
    pub bytes: Vec<u8>,
    pub handles: Vec<H>,
    /// false: it was too large, and what is here is of no use but to release the handles
    pub whole: bool,
}

impl<H> Message<H> {
    pub fn new(bytes: Vec<u8>) -> Self {
        Message { bytes, handles: Vec::new(), whole: true }
    }

    /// The same values, with resources as another store knows them.
    pub fn with_handles<I>(self, handles: Vec<I>) -> Message<I> {
        Message { bytes: self.bytes, handles, whole: self.whole }
    }

    /// Bytes that the node holds while this waits.
    pub fn size(&self) -> usize {
        self.bytes.capacity() + self.handles.len() * size_of::<H>()
    }
}

/// More than [`MAX_CALL_BYTES`], or than the node has memory for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge;

/// Appends to a message without ever exceeding the limit.
pub fn append(bytes: &mut Vec<u8>, data: &[u8]) -> Result<(), TooLarge> {
    if data.len() > MAX_CALL_BYTES.saturating_sub(bytes.len()) {
        return Err(TooLarge);
    }
    bytes.try_reserve(data.len()).map_err(|_| TooLarge)?;
    bytes.extend_from_slice(data);
    Ok(())
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
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Misread> {
        let (first, rest) = self.bytes.split_first_chunk().ok_or(Misread)?;
        self.bytes = rest;
        Ok(*first)
    }

    #[inline]
    pub fn slice(&mut self, len: usize) -> Result<&'a [u8], Misread> {
        let (first, rest) = self.bytes.split_at_checked(len).ok_or(Misread)?;
        self.bytes = rest;
        Ok(first)
    }

    /// A length or count.
    pub fn count(&mut self) -> Result<usize, Misread> {
        self.array().map(|bytes| u32::from_le_bytes(bytes) as usize)
    }

    /// A number of `width` bytes, at most four.
    pub fn small(&mut self, width: usize) -> Result<u32, Misread> {
        let mut number = [0; 4];
        number.get_mut(..width).ok_or(Misread)?.copy_from_slice(self.slice(width)?);
        Ok(u32::from_le_bytes(number))
    }

    pub fn handle(&mut self) -> Result<&'a H, Misread> {
        let (first, rest) = self.handles.split_first().ok_or(Misread)?;
        self.handles = rest;
        Ok(first)
    }
}
