//! From a box's memory and arguments to a message.

use super::{
    MAX_CALL_BYTES, MAX_CALL_HANDLES,
    message::{Message, TooLarge, append},
    shape::{Cases, block_width, clear_unused_flags, flags, flat_count},
};
use alloc::string::String;
use wasmtime::{
    Error, Result, ValRaw, bail,
    component::{
        __internal::{ComponentTypes, InterfaceType, LiftContext, wasmtime_environ},
        Lift,
    },
};
use wasmtime_environ::component::{StringEncoding, TypeListIndex};

/// How this end knows a resource that leaves a box.
pub trait LiftHandle: Sized {
    /// `index` is the handle in the box's own table, `ty` an own or a borrow.
    fn lift(cx: &mut LiftContext<'_>, ty: InterfaceType, index: u32) -> Result<Self>;
}

/// Lifts a tuple, of parameters or results, from core values.
pub fn values<H: LiftHandle>(cx: &mut LiftContext<'_>, ty: InterfaceType, values: &[ValRaw]) -> Result<Message<H>> {
    Lifter::run(cx, ty, |lifter| lifter.flat(ty, &mut &*values))
}

/// Lifts a tuple from memory.
pub fn memory<H: LiftHandle>(cx: &mut LiftContext<'_>, ty: InterfaceType, offset: usize) -> Result<Message<H>> {
    let align = cx.types.canonical_abi(&ty).align32 as usize;
    if !offset.is_multiple_of(align) {
        bail!("pointer to values is not aligned");
    }
    Lifter::run(cx, ty, |lifter| lifter.memory(ty, offset))
}

struct Lifter<'a, 'b, H> {
    cx: &'a mut LiftContext<'b>,
    types: &'b ComponentTypes,
    message: Message<H>,
}

enum Failure {
    /// The box broke the canonical ABI.
    Invalid(Error),
    TooLarge,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Invalid(error)
    }
}

impl From<TooLarge> for Failure {
    fn from(_: TooLarge) -> Self {
        Failure::TooLarge
    }
}

fn invalid(what: &'static str) -> Failure {
    Failure::Invalid(Error::msg(what))
}

type Done = Result<(), Failure>;

impl<'a, 'b, H: LiftHandle> Lifter<'a, 'b, H> {
    fn run(cx: &'a mut LiftContext<'b>, ty: InterfaceType, lift: impl FnOnce(&mut Self) -> Done) -> Result<Message<H>> {
        let types = cx.types;
        // As large as values without strings and lists get.
        let bytes = alloc::vec::Vec::with_capacity(types.canonical_abi(&ty).size32 as usize);
        let mut lifter = Lifter { cx, types, message: Message::new(bytes) };
        match lift(&mut lifter) {
            Ok(()) => {}
            Err(Failure::Invalid(error)) => return Err(error),
            Err(Failure::TooLarge) => lifter.message.whole = false,
        }
        Ok(lifter.message)
    }

    /// The store's limit for what the host copies at once holds as well as ours.
    #[inline]
    fn put(&mut self, data: &[u8]) -> Done {
        self.cx.consume_fuel(data.len()).map_err(|_| Failure::TooLarge)?;
        Ok(append(&mut self.message.bytes, data)?)
    }

    fn count(&mut self, count: usize) -> Done {
        self.put(&(count as u32).to_le_bytes())
    }

    fn flat(&mut self, ty: InterfaceType, values: &mut &[ValRaw]) -> Done {
        match ty {
            InterfaceType::Bool => self.put(&[(next(values)?.get_u32() != 0) as u8]),
            InterfaceType::U8 | InterfaceType::S8 => self.put(&[next(values)?.get_u32() as u8]),
            InterfaceType::U16 | InterfaceType::S16 => self.put(&(next(values)?.get_u32() as u16).to_le_bytes()),
            InterfaceType::U32 | InterfaceType::S32 => self.put(&next(values)?.get_u32().to_le_bytes()),
            InterfaceType::U64 | InterfaceType::S64 => self.put(&next(values)?.get_u64().to_le_bytes()),
            InterfaceType::Float32 => self.put(&next(values)?.get_f32().to_le_bytes()),
            InterfaceType::Float64 => self.put(&next(values)?.get_f64().to_le_bytes()),
            InterfaceType::Char => self.char(next(values)?.get_u32()),
            InterfaceType::String => {
                let [pointer, len] = [next(values)?.get_u32(), next(values)?.get_u32()];
                self.string(pointer, len)
            }
            InterfaceType::List(list) => {
                let [pointer, len] = [next(values)?.get_u32(), next(values)?.get_u32()];
                self.list(list, pointer as usize, len as usize)
            }
            InterfaceType::Record(i) => self.types[i].fields.iter().try_for_each(|field| self.flat(field.ty, values)),
            InterfaceType::Tuple(i) => self.types[i].types.iter().try_for_each(|&ty| self.flat(ty, values)),
            InterfaceType::Flags(_) => {
                let (count, size) = flags(self.types, ty).ok_or_else(unsupported)?;
                let start = self.message.bytes.len();
                for _ in 0..flat_count(self.types, ty) {
                    let word = next(values)?.get_u32().to_le_bytes();
                    let rest = (start + size).saturating_sub(self.message.bytes.len());
                    self.put(&word[..rest.min(4)])?;
                }
                clear_unused_flags(&mut self.message.bytes[start..], count);
                Ok(())
            }
            InterfaceType::Own(_) | InterfaceType::Borrow(_) => self.handle(ty, next(values)?.get_u32()),
            InterfaceType::Variant(_)
            | InterfaceType::Enum(_)
            | InterfaceType::Option(_)
            | InterfaceType::Result(_) => {
                let (mut mine, rest) = values.split_at_checked(flat_count(self.types, ty)).ok_or_else(missing)?;
                *values = rest;
                match self.case(ty, next(&mut mine)?.get_u32())? {
                    // A case may need fewer values than the largest.
                    Some(payload) => self.flat(payload, &mut mine),
                    None => Ok(()),
                }
            }
            _ => Err(unsupported()),
        }
    }

    fn memory(&mut self, ty: InterfaceType, at: usize) -> Done {
        match ty {
            InterfaceType::Bool => {
                let [byte] = self.load(at)?;
                self.put(&[(byte != 0) as u8])
            }
            InterfaceType::U8 | InterfaceType::S8 => self.copy::<1>(at),
            InterfaceType::U16 | InterfaceType::S16 => self.copy::<2>(at),
            InterfaceType::U32 | InterfaceType::S32 | InterfaceType::Float32 => self.copy::<4>(at),
            InterfaceType::U64 | InterfaceType::S64 | InterfaceType::Float64 => self.copy::<8>(at),
            InterfaceType::Char => self.load(at).and_then(|bytes| self.char(u32::from_le_bytes(bytes))),
            InterfaceType::String => {
                let (pointer, len) = self.pair(at)?;
                self.string(pointer, len)
            }
            InterfaceType::List(list) => {
                let (pointer, len) = self.pair(at)?;
                self.list(list, pointer as usize, len as usize)
            }
            InterfaceType::Record(i) => {
                let mut offset = at;
                self.types[i].fields.iter().try_for_each(|field| self.field(field.ty, &mut offset))
            }
            InterfaceType::Tuple(i) => {
                let mut offset = at;
                self.types[i].types.iter().try_for_each(|&ty| self.field(ty, &mut offset))
            }
            InterfaceType::Flags(_) => {
                let (count, size) = flags(self.types, ty).ok_or_else(unsupported)?;
                let bytes = self.slice(at, size)?;
                let start = self.message.bytes.len();
                self.put(bytes)?;
                clear_unused_flags(&mut self.message.bytes[start..], count);
                Ok(())
            }
            InterfaceType::Own(_) | InterfaceType::Borrow(_) => {
                self.load(at).and_then(|bytes| self.handle(ty, u32::from_le_bytes(bytes)))
            }
            InterfaceType::Variant(_)
            | InterfaceType::Enum(_)
            | InterfaceType::Option(_)
            | InterfaceType::Result(_) => {
                let cases = Cases::of(self.types, ty).ok_or_else(unsupported)?;
                let mut case = [0; 4];
                case[..cases.width()].copy_from_slice(self.slice(at, cases.width())?);
                match self.case(ty, u32::from_le_bytes(case))? {
                    Some(payload) => self.memory(payload, at + cases.payload_offset()),
                    None => Ok(()),
                }
            }
            _ => Err(unsupported()),
        }
    }

    fn field(&mut self, ty: InterfaceType, offset: &mut usize) -> Done {
        let at = self.types.canonical_abi(&ty).next_field32_size(offset);
        self.memory(ty, at)
    }

    /// Writes the discriminant; what the case carries.
    fn case(&mut self, ty: InterfaceType, case: u32) -> Result<Option<InterfaceType>, Failure> {
        let cases = Cases::of(self.types, ty).ok_or_else(unsupported)?;
        let payload = cases.payload(case).ok_or_else(|| invalid("discriminant of no case"))?;
        self.put(&case.to_le_bytes()[..cases.width()])?;
        Ok(payload)
    }

    fn char(&mut self, code: u32) -> Done {
        let char = char::from_u32(code).ok_or_else(|| invalid("char is not a Unicode scalar value"))?;
        self.put(&u32::from(char).to_le_bytes())
    }

    fn handle(&mut self, ty: InterfaceType, index: u32) -> Done {
        self.cx.consume_fuel(size_of::<H>()).map_err(|_| Failure::TooLarge)?;
        if self.message.handles.len() >= MAX_CALL_HANDLES {
            return Err(Failure::TooLarge);
        }
        self.message.handles.try_reserve(1).map_err(|_| TooLarge)?;
        let handle = H::lift(self.cx, ty, index)?;
        self.message.handles.push(handle);
        Ok(())
    }

    fn string(&mut self, pointer: u32, len: u32) -> Done {
        if self.cx.options().string_encoding == StringEncoding::Utf8 {
            let bytes = self.slice(pointer as usize, len as usize)?;
            if core::str::from_utf8(bytes).is_err() {
                return Err(invalid("string is not UTF-8"));
            }
            self.count(bytes.len())?;
            return self.put(bytes);
        }
        // The length counts code units here (its top bit may be a tag): none yields more than three bytes.
        if (len & !(1 << 31)) as usize > MAX_CALL_BYTES {
            return Err(Failure::TooLarge);
        }
        let pair = [ValRaw::u32(pointer), ValRaw::u32(len)];
        let text = String::linear_lift_from_flat(self.cx, InterfaceType::String, &pair)?;
        self.count(text.len())?;
        self.put(text.as_bytes())
    }

    fn list(&mut self, list: TypeListIndex, pointer: usize, len: usize) -> Done {
        let element = self.types[list].element;
        let abi = self.types.canonical_abi(&element);
        let size = abi.size32 as usize;
        let total = len.checked_mul(size).ok_or_else(|| invalid("list is longer than memory"))?;
        let bytes = self.slice(pointer, total)?;
        if !pointer.is_multiple_of(abi.align32 as usize) {
            return Err(invalid("list is not aligned"));
        }
        self.count(len)?;
        if block_width(element).is_some() {
            return self.put(bytes);
        }
        (0..len).try_for_each(|index| self.memory(element, pointer + index * size))
    }

    fn copy<const N: usize>(&mut self, at: usize) -> Done {
        let bytes = self.load::<N>(at)?;
        self.put(&bytes)
    }

    fn pair(&self, at: usize) -> Result<(u32, u32), Failure> {
        Ok((u32::from_le_bytes(self.load(at)?), u32::from_le_bytes(self.load(at + 4)?)))
    }

    #[inline]
    fn load<const N: usize>(&self, at: usize) -> Result<[u8; N], Failure> {
        let bytes = self.cx.memory().get(at..).and_then(|rest| rest.first_chunk());
        bytes.copied().ok_or_else(|| invalid("pointer is out of bounds of memory"))
    }

    fn slice(&self, at: usize, len: usize) -> Result<&'b [u8], Failure> {
        let bytes = self.cx.memory().get(at..).and_then(|rest| rest.get(..len));
        bytes.ok_or_else(|| invalid("pointer and length are out of bounds of memory"))
    }
}

#[inline]
fn next<'v>(values: &mut &'v [ValRaw]) -> Result<&'v ValRaw, Failure> {
    values.split_off_first().ok_or_else(missing)
}

fn missing() -> Failure {
    invalid("a core value is missing")
}

/// Linking refuses functions with such types.
fn unsupported() -> Failure {
    invalid("a type that does not pass between boxes")
}
