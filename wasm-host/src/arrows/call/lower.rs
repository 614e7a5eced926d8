//! From a message to a box's memory and arguments.

use super::{
    lift::UTF16_TAG,
    message::{Message, Misread, Reader},
    shape::{Cases, flat_count, is_block, width},
};
use core::mem::MaybeUninit;
use wasmtime::{
    Error, Result, ValRaw,
    component::__internal::{InterfaceType, LowerContext, wasmtime_environ},
};
use wasmtime_environ::component::{StringEncoding, TypeListIndex};

/// A resource that enters a box.
pub trait LowerHandle {
    /// The handle in the box's own table; `ty` is an own or a borrow.
    fn lower<T: 'static>(&self, cx: &mut LowerContext<'_, T>, ty: InterfaceType) -> Result<u32>;
}

/// Where the values of a tuple are to be.
pub enum Target<'v> {
    /// as many as the type has, of which all are written
    Slots(&'v mut [MaybeUninit<ValRaw>]),
    /// at this offset, or at the next that the type's alignment allows, in memory that the box has given
    Memory(usize),
}

/// Lowers a tuple, of parameters or results.
pub fn values<T: 'static, H: LowerHandle>(
    cx: &mut LowerContext<'_, T>,
    ty: InterfaceType,
    message: &Message<H>,
    mut target: Target<'_>,
) -> Result<()> {
    let types = cx.types;
    let mut lowerer = Lowerer { cx, from: Reader::new(message) };
    match ty {
        InterfaceType::Tuple(i) => types[i].types.iter().try_for_each(|&ty| lowerer.value(ty, &mut target)),
        _ => lowerer.value(ty, &mut target),
    }
}

struct Lowerer<'a, 'b, 'm, T: 'static, H> {
    cx: &'a mut LowerContext<'b, T>,
    from: Reader<'m, H>,
}

impl<T: 'static, H: LowerHandle> Lowerer<'_, '_, '_, T, H> {
    /// A value, and the target goes on behind it.
    #[inline]
    fn value(&mut self, ty: InterfaceType, target: &mut Target<'_>) -> Result<()> {
        if let (Some(width), Target::Slots(slots)) = (width(ty), &mut *target) {
            let number = self.from.number(width)?;
            // of a signed number, the whole core value
            let number = match ty {
                InterfaceType::S8 => (number as i8 as u32).into(),
                InterfaceType::S16 => (number as i16 as u32).into(),
                _ => number,
            };
            slots.split_off_first_mut().ok_or(Misread)?.write(ValRaw::u64(number));
            return Ok(());
        }
        self.other(ty, target)
    }

    /// What is no number, or is in memory.
    fn other(&mut self, ty: InterfaceType, target: &mut Target<'_>) -> Result<()> {
        let types = self.cx.types;
        let mut offset = match target {
            Target::Slots(_) => 0,
            Target::Memory(at) => types.canonical_abi(&ty).next_field32_size(at),
        };
        // What has parts passes them on to these.
        let mut parts = match target {
            Target::Slots(slots) => Target::Slots(core::mem::take(slots)),
            Target::Memory(_) => Target::Memory(offset),
        };
        if let Some(width) = width(ty) {
            let number = self.from.number(width)?;
            self.store(number, width, &mut parts)?;
        } else {
            match ty {
                InterfaceType::String => {
                    let (pointer, len) = self.string()?;
                    self.store(pointer as u64, 4, &mut parts)?;
                    self.store(len as u64, 4, &mut parts)?;
                }
                InterfaceType::List(list) => {
                    let (pointer, len) = self.list(list)?;
                    self.store(pointer as u64, 4, &mut parts)?;
                    self.store(len as u64, 4, &mut parts)?;
                }
                InterfaceType::Record(i) => {
                    types[i].fields.iter().try_for_each(|field| self.value(field.ty, &mut parts))?;
                }
                InterfaceType::Tuple(i) => types[i].types.iter().try_for_each(|&ty| self.value(ty, &mut parts))?,
                InterfaceType::Flags(i) => {
                    let mut size = types[i].abi.size32 as usize;
                    while size > 0 {
                        let width = size.min(4);
                        let word = self.from.number(width)?;
                        self.store(word, width, &mut parts)?;
                        size -= width;
                    }
                }
                InterfaceType::Own(_) | InterfaceType::Borrow(_) => {
                    let handle = self.from.handle()?.lower(self.cx, ty)?;
                    self.store(handle.into(), 4, &mut parts)?;
                }
                _ => {
                    let cases = Cases::of(types, ty).ok_or_else(unsupported)?;
                    let case = self.from.number(cases.width())?;
                    let inner = cases.payload(case as u32).ok_or(Misread)?;
                    let rest = match &mut parts {
                        Target::Slots(slots) => {
                            let mine = slots.split_off_mut(..flat_count(types, ty)).ok_or(Misread)?;
                            core::mem::replace(&mut parts, Target::Slots(mine))
                        }
                        Target::Memory(_) => Target::Memory(0),
                    };
                    self.store(case, cases.width(), &mut parts)?;
                    if let Target::Memory(at) = &mut parts {
                        offset += cases.payload_offset();
                        *at = offset;
                    }
                    if let Some(inner) = inner {
                        self.value(inner, &mut parts)?;
                    }
                    // What a smaller case leaves is zero.
                    if let Target::Slots(left) = parts {
                        left.iter_mut().for_each(|slot| _ = slot.write(ValRaw::u64(0)));
                    }
                    parts = rest;
                }
            }
        }
        if let (Target::Slots(slots), Target::Slots(rest)) = (target, parts) {
            *slots = rest;
        }
        Ok(())
    }

    #[inline]
    fn store(&mut self, number: u64, width: usize, target: &mut Target<'_>) -> Result<()> {
        match target {
            Target::Slots(slots) => {
                slots.split_off_first_mut().ok_or(Misread)?.write(ValRaw::u64(number));
                Ok(())
            }
            Target::Memory(at) => {
                let start = *at;
                *at += width;
                self.copy(start, &number.to_le_bytes()[..width])
            }
        }
    }

    /// Where the string has been put, and its length as the box's encoding counts it.
    fn string(&mut self) -> Result<(usize, usize)> {
        let len = self.from.count()?;
        let bytes = self.from.slice(len)?;
        let encoding = self.cx.options().string_encoding;
        if encoding == StringEncoding::Utf8 {
            let at = self.cx.realloc(0, 0, 1, len)?;
            self.copy(at, bytes)?;
            return Ok((at, len));
        }
        let text = core::str::from_utf8(bytes)?;
        if encoding == StringEncoding::CompactUtf16 && text.chars().all(|c| u32::from(c) <= 0xff) {
            let count = text.chars().count();
            let at = self.cx.realloc(0, 0, 2, count)?;
            let place = self.place(at, count)?;
            place.iter_mut().zip(text.chars()).for_each(|(byte, c)| *byte = c as u8);
            return Ok((at, count));
        }
        let units = text.encode_utf16().count();
        let at = self.cx.realloc(0, 0, 2, units * 2)?;
        for (place, unit) in self.place(at, units * 2)?.chunks_exact_mut(2).zip(text.encode_utf16()) {
            place.copy_from_slice(&unit.to_le_bytes());
        }
        let tag = if encoding == StringEncoding::CompactUtf16 { UTF16_TAG } else { 0 };
        Ok((at, units | tag))
    }

    /// Where the list has been put, and the number of its elements.
    fn list(&mut self, list: TypeListIndex) -> Result<(usize, usize)> {
        let element = self.cx.types[list].element;
        let abi = self.cx.types.canonical_abi(&element);
        let len = self.from.count()?;
        let total = len.checked_mul(abi.size32 as usize).ok_or(Misread)?;
        let at = self.cx.realloc(0, 0, abi.align32, total)?;
        if is_block(element) {
            let bytes = self.from.slice(total)?;
            self.copy(at, bytes)?;
        } else {
            let mut elements = Target::Memory(at);
            (0..len).try_for_each(|_| self.value(element, &mut elements))?;
        }
        Ok((at, len))
    }

    #[inline]
    fn place(&mut self, at: usize, len: usize) -> Result<&mut [u8]> {
        let place = self.cx.as_slice_mut().get_mut(at..).and_then(|rest| rest.get_mut(..len));
        place.ok_or_else(|| Error::msg("values would be out of bounds of memory"))
    }

    #[inline]
    fn copy(&mut self, at: usize, bytes: &[u8]) -> Result<()> {
        self.place(at, bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }
}

/// Linking refuses functions with such types.
fn unsupported() -> Error {
    Error::msg("a type that does not pass between boxes")
}
