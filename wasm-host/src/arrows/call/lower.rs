//! From a message to a box's memory and arguments.

use super::{
    message::{Message, Misread, Reader},
    shape::{Cases, block_width, flags, flat_count},
};
use core::mem::MaybeUninit;
use wasmtime::{
    Error, Result, ValRaw,
    component::__internal::{InterfaceType, LowerContext, wasmtime_environ},
};
use wasmtime_environ::component::{StringEncoding, TypeListIndex};

/// Marks strings in UTF-16 where the encoding is latin1+utf16.
const UTF16_TAG: usize = 1 << 31;

type Slots<'s> = &'s mut [MaybeUninit<ValRaw>];

/// A resource that enters a box.
pub trait LowerHandle {
    /// The handle in the box's own table; `ty` is an own or a borrow.
    fn lower<T: 'static>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        slot: &mut MaybeUninit<ValRaw>,
    ) -> Result<()>;

    fn store<T: 'static>(&self, cx: &mut LowerContext<'_, T>, ty: InterfaceType, at: usize) -> Result<()>;
}

/// Lowers a tuple, of parameters or results, to core values. Fills as many slots as the type has.
pub fn values<T: 'static, H: LowerHandle>(
    cx: &mut LowerContext<'_, T>,
    ty: InterfaceType,
    message: &Message<H>,
    mut slots: Slots<'_>,
) -> Result<()> {
    Lowerer { cx, from: Reader::new(message) }.flat(ty, &mut slots)
}

/// Lowers a tuple to memory that the box has given.
pub fn memory<T: 'static, H: LowerHandle>(
    cx: &mut LowerContext<'_, T>,
    ty: InterfaceType,
    message: &Message<H>,
    at: usize,
) -> Result<()> {
    Lowerer { cx, from: Reader::new(message) }.memory(ty, at)
}

struct Lowerer<'a, 'b, 'm, T: 'static, H> {
    cx: &'a mut LowerContext<'b, T>,
    from: Reader<'m, H>,
}

impl<'b, T: 'static, H: LowerHandle> Lowerer<'_, 'b, '_, T, H> {
    fn flat(&mut self, ty: InterfaceType, slots: &mut Slots<'_>) -> Result<()> {
        match ty {
            InterfaceType::Bool | InterfaceType::U8 => {
                let [byte] = self.from.array()?;
                set(slots, ValRaw::u32(byte.into()))
            }
            InterfaceType::S8 => {
                let number = i8::from_le_bytes(self.from.array()?);
                set(slots, ValRaw::i32(number.into()))
            }
            InterfaceType::U16 => {
                let number = u16::from_le_bytes(self.from.array()?);
                set(slots, ValRaw::u32(number.into()))
            }
            InterfaceType::S16 => {
                let number = i16::from_le_bytes(self.from.array()?);
                set(slots, ValRaw::i32(number.into()))
            }
            InterfaceType::U32 | InterfaceType::S32 | InterfaceType::Float32 | InterfaceType::Char => {
                let bits = u32::from_le_bytes(self.from.array()?);
                set(slots, ValRaw::u32(bits))
            }
            InterfaceType::U64 | InterfaceType::S64 | InterfaceType::Float64 => {
                let bits = u64::from_le_bytes(self.from.array()?);
                set(slots, ValRaw::u64(bits))
            }
            InterfaceType::String => {
                let (pointer, len) = self.string()?;
                set(slots, ValRaw::u64(pointer as u64))?;
                set(slots, ValRaw::u64(len as u64))
            }
            InterfaceType::List(list) => {
                let (pointer, len) = self.list(list)?;
                set(slots, ValRaw::u64(pointer as u64))?;
                set(slots, ValRaw::u64(len as u64))
            }
            InterfaceType::Record(i) => self.types()[i].fields.iter().try_for_each(|field| self.flat(field.ty, slots)),
            InterfaceType::Tuple(i) => self.types()[i].types.iter().try_for_each(|&ty| self.flat(ty, slots)),
            InterfaceType::Flags(_) => {
                let (_, size) = flags(self.types(), ty).ok_or_else(unsupported)?;
                for word in self.from.slice(size)?.chunks(4) {
                    let mut bits = [0; 4];
                    bits[..word.len()].copy_from_slice(word);
                    set(slots, ValRaw::u32(u32::from_le_bytes(bits)))?;
                }
                Ok(())
            }
            InterfaceType::Own(_) | InterfaceType::Borrow(_) => {
                let slot = slots.split_off_first_mut().ok_or(Misread)?;
                self.from.handle()?.lower(self.cx, ty, slot)
            }
            InterfaceType::Variant(_)
            | InterfaceType::Enum(_)
            | InterfaceType::Option(_)
            | InterfaceType::Result(_) => {
                let cases = Cases::of(self.types(), ty).ok_or_else(unsupported)?;
                let mut mine = slots.split_off_mut(..flat_count(self.types(), ty)).ok_or(Misread)?;
                let case = self.from.small(cases.width())?;
                set(&mut mine, ValRaw::u32(case))?;
                if let Some(payload) = cases.payload(case).ok_or(Misread)? {
                    self.flat(payload, &mut mine)?;
                }
                // What a smaller case leaves is zero.
                mine.iter_mut().for_each(|slot| _ = slot.write(ValRaw::u64(0)));
                Ok(())
            }
            _ => Err(unsupported()),
        }
    }

    fn memory(&mut self, ty: InterfaceType, at: usize) -> Result<()> {
        match ty {
            InterfaceType::Bool | InterfaceType::U8 | InterfaceType::S8 => self.copy::<1>(at),
            InterfaceType::U16 | InterfaceType::S16 => self.copy::<2>(at),
            InterfaceType::U32 | InterfaceType::S32 | InterfaceType::Float32 | InterfaceType::Char => {
                self.copy::<4>(at)
            }
            InterfaceType::U64 | InterfaceType::S64 | InterfaceType::Float64 => self.copy::<8>(at),
            InterfaceType::String => {
                let (pointer, len) = self.string()?;
                self.pair(at, pointer, len)
            }
            InterfaceType::List(list) => {
                let (pointer, len) = self.list(list)?;
                self.pair(at, pointer, len)
            }
            InterfaceType::Record(i) => {
                let mut offset = at;
                self.types()[i].fields.iter().try_for_each(|field| self.field(field.ty, &mut offset))
            }
            InterfaceType::Tuple(i) => {
                let mut offset = at;
                self.types()[i].types.iter().try_for_each(|&ty| self.field(ty, &mut offset))
            }
            InterfaceType::Flags(_) => {
                let (_, size) = flags(self.types(), ty).ok_or_else(unsupported)?;
                let bytes = self.from.slice(size)?;
                self.store(at, bytes)
            }
            InterfaceType::Own(_) | InterfaceType::Borrow(_) => self.from.handle()?.store(self.cx, ty, at),
            InterfaceType::Variant(_)
            | InterfaceType::Enum(_)
            | InterfaceType::Option(_)
            | InterfaceType::Result(_) => {
                let cases = Cases::of(self.types(), ty).ok_or_else(unsupported)?;
                let case = self.from.small(cases.width())?;
                self.store(at, &case.to_le_bytes()[..cases.width()])?;
                match cases.payload(case).ok_or(Misread)? {
                    Some(payload) => self.memory(payload, at + cases.payload_offset()),
                    None => Ok(()),
                }
            }
            _ => Err(unsupported()),
        }
    }

    fn types(&self) -> &'b wasmtime_environ::component::ComponentTypes {
        self.cx.types
    }

    fn field(&mut self, ty: InterfaceType, offset: &mut usize) -> Result<()> {
        let at = self.types().canonical_abi(&ty).next_field32_size(offset);
        self.memory(ty, at)
    }

    /// Where the string has been put, and its length as the box's encoding counts it.
    fn string(&mut self) -> Result<(usize, usize)> {
        let len = self.from.count()?;
        let bytes = self.from.slice(len)?;
        let encoding = self.cx.options().string_encoding;
        if encoding == StringEncoding::Utf8 {
            let at = self.cx.realloc(0, 0, 1, len)?;
            self.store(at, bytes)?;
            return Ok((at, len));
        }
        let text = core::str::from_utf8(bytes)?;
        if encoding == StringEncoding::CompactUtf16 && text.chars().all(|c| u32::from(c) <= 0xff) {
            let count = text.chars().count();
            let at = self.cx.realloc(0, 0, 2, count)?;
            let bytes = self.cx.as_slice_mut().get_mut(at..at + count).ok_or_else(out_of_bounds)?;
            bytes.iter_mut().zip(text.chars()).for_each(|(byte, c)| *byte = c as u8);
            return Ok((at, count));
        }
        let units = text.encode_utf16().count();
        let at = self.cx.realloc(0, 0, 2, units * 2)?;
        let bytes = self.cx.as_slice_mut().get_mut(at..at + units * 2).ok_or_else(out_of_bounds)?;
        for (bytes, unit) in bytes.chunks_exact_mut(2).zip(text.encode_utf16()) {
            bytes.copy_from_slice(&unit.to_le_bytes());
        }
        let tag = if encoding == StringEncoding::CompactUtf16 { UTF16_TAG } else { 0 };
        Ok((at, units | tag))
    }

    /// Where the list has been put, and the number of its elements.
    fn list(&mut self, list: TypeListIndex) -> Result<(usize, usize)> {
        let element = self.types()[list].element;
        let abi = self.types().canonical_abi(&element);
        let size = abi.size32 as usize;
        let len = self.from.count()?;
        let total = len.checked_mul(size).ok_or(Misread)?;
        let at = self.cx.realloc(0, 0, abi.align32, total)?;
        if block_width(element).is_some() {
            let bytes = self.from.slice(total)?;
            self.store(at, bytes)?;
        } else {
            (0..len).try_for_each(|index| self.memory(element, at + index * size))?;
        }
        Ok((at, len))
    }

    fn copy<const N: usize>(&mut self, at: usize) -> Result<()> {
        let bytes = self.from.array::<N>()?;
        let place = self.cx.as_slice_mut().get_mut(at..).and_then(|rest| rest.first_chunk_mut());
        *place.ok_or_else(out_of_bounds)? = bytes;
        Ok(())
    }

    fn pair(&mut self, at: usize, pointer: usize, len: usize) -> Result<()> {
        self.store(at, &(pointer as u32).to_le_bytes())?;
        self.store(at + 4, &(len as u32).to_le_bytes())
    }

    fn store(&mut self, at: usize, bytes: &[u8]) -> Result<()> {
        let place = self.cx.as_slice_mut().get_mut(at..).and_then(|rest| rest.get_mut(..bytes.len()));
        place.ok_or_else(out_of_bounds)?.copy_from_slice(bytes);
        Ok(())
    }
}

#[inline]
fn set(slots: &mut Slots<'_>, value: ValRaw) -> Result<()> {
    slots.split_off_first_mut().ok_or(Misread)?.write(value);
    Ok(())
}

fn out_of_bounds() -> Error {
    Error::msg("values would be out of bounds of memory")
}

/// Linking refuses functions with such types.
fn unsupported() -> Error {
    Error::msg("a type that does not pass between boxes")
}
