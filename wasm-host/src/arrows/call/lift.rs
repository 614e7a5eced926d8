//! From a box's memory and arguments to a message.
//!
//! What is long is gone through twice: first it is checked and counted, and when it is paid for, it is copied. The memory
//! cannot change between the two, since the box does not run.

use super::{
    MAX_CALL_BYTES, MAX_CALL_HANDLES,
    message::{Encoded, Message, SMALL},
    shape::{Cases, MAX_FLAT_PARAMS, flat_count, is_block, width},
};
use alloc::vec::Vec;
use wasmtime::{
    Error, Result, ValRaw, bail,
    component::__internal::{ComponentTypes, InterfaceType, LiftContext, wasmtime_environ},
};
use wasmtime_environ::component::{StringEncoding, TypeListIndex};

/// In the encoding `latin1+utf16`, the flag of a length in units of UTF-16 (component model, "Loading").
pub const UTF16_TAG: usize = 1 << 31;

/// How this end knows a resource that leaves a box.
pub trait LiftHandle: Sized {
    /// `index` is the handle in the box's own table, `ty` an own or a borrow.
    fn lift(cx: &mut LiftContext<'_>, ty: InterfaceType, index: u32) -> Result<Self>;
}

/// Where the values of a tuple are.
#[derive(Clone, Copy)]
pub enum Source<'v> {
    Slots(&'v [ValRaw]),
    /// at this offset, or at the next that the type's alignment allows
    Memory(usize),
}

/// The box whose values are lifted.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub types: &'a ComponentTypes,
    pub memory: &'a [u8],
    pub encoding: StringEncoding,
}

impl<'a> View<'a> {
    pub fn of(cx: &LiftContext<'a>) -> Self {
        View { types: cx.types, memory: cx.memory(), encoding: cx.options().string_encoding }
    }
}

/// Checks a tuple and takes its resources; copies it if it is at most [`SMALL`].
pub fn begin<H: LiftHandle>(cx: &mut LiftContext<'_>, ty: InterfaceType, source: Source<'_>) -> Result<Message<H>> {
    if let Source::Memory(at) = source
        && !at.is_multiple_of(cx.types.canonical_abi(&ty).align32 as usize)
    {
        bail!("pointer to values is not aligned");
    }
    let mut message = Message::new();
    if let (InterfaceType::Tuple(i), Source::Slots(slots)) = (ty, source)
        && numbers(&cx.types[i].types, slots, &mut message.bytes)
    {
        message.total = message.bytes.len();
        return Ok(message);
    }
    let from = View::of(cx);
    let mut handles = Vec::new();
    let handle = |ty, index| {
        if handles.len() >= MAX_CALL_HANDLES || handles.try_reserve(1).is_err() {
            return Err(Failure::TooLarge);
        }
        handles.push(H::lift(cx, ty, index)?);
        Ok(())
    };
    let mut lifter = Lifter { from, bytes: &mut message.bytes, most: SMALL, total: 0, handle };
    let (done, total) = (lifter.value(ty, &mut { source }), lifter.total);
    message.handles = handles.into();
    message.total = match done {
        Ok(()) => total,
        Err(Failure::Invalid(error)) => return Err(error),
        Err(Failure::TooLarge) => usize::MAX,
    };
    Ok(message)
}

/// Copies the whole of what [`begin`] has checked.
pub fn finish<H>(from: View<'_>, ty: InterfaceType, mut source: Source<'_>, message: &mut Message<H>) -> Result<()> {
    let most = message.total;
    let mut lifter = Lifter { from, bytes: &mut message.bytes, most, total: 0, handle: |_, _| Ok(()) };
    match lifter.value(ty, &mut source) {
        Err(Failure::Invalid(error)) => Err(error),
        _ => Ok(()),
    }
}

/// Numbers alone, which many calls have, need no check. False: there is something else among them.
fn numbers(types: &[InterfaceType], slots: &[ValRaw], bytes: &mut Encoded) -> bool {
    const WIDEST: usize = 8;
    let mut numbers = [0; WIDEST * MAX_FLAT_PARAMS];
    let mut length = 0;
    for (ty, slot) in types.iter().zip(slots) {
        let width = width(*ty).filter(|_| is_block(*ty));
        let (Some(width), Some(place)) = (width, numbers.get_mut(length..length + WIDEST)) else { return false };
        let number = if width == WIDEST { slot.get_u64() } else { slot.get_u32().into() };
        place.copy_from_slice(&number.to_le_bytes());
        length += width;
    }
    bytes.extend_from_slice(&numbers[..length]);
    true
}

struct Lifter<'a, F> {
    from: View<'a>,
    bytes: &'a mut Encoded,
    /// As many are copied. What comes after them is counted.
    most: usize,
    total: usize,
    handle: F,
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

fn invalid(what: &'static str) -> Failure {
    Failure::Invalid(Error::msg(what))
}

type Done = Result<(), Failure>;

impl<'a, F: FnMut(InterfaceType, u32) -> Done> Lifter<'a, F> {
    #[inline]
    fn put(&mut self, data: &[u8]) -> Done {
        self.total += data.len();
        if self.total <= self.most {
            self.bytes.extend_from_slice(data);
        } else if self.total > MAX_CALL_BYTES {
            return Err(Failure::TooLarge);
        }
        Ok(())
    }

    #[inline]
    fn number(&mut self, number: u64, width: usize) -> Done {
        match width {
            1 => self.put(&[number as u8]),
            2 => self.put(&(number as u16).to_le_bytes()),
            4 => self.put(&(number as u32).to_le_bytes()),
            _ => self.put(&number.to_le_bytes()),
        }
    }

    /// A value, and the source goes on behind it.
    fn value(&mut self, ty: InterfaceType, source: &mut Source<'_>) -> Done {
        if let Some(width) = width(ty) {
            let number = self.take(ty, width, source)?;
            return match ty {
                InterfaceType::Bool => self.number((number as u32 != 0).into(), width),
                InterfaceType::Char if char::from_u32(number as u32).is_none() => {
                    Err(invalid("char is not a Unicode scalar value"))
                }
                _ => self.number(number, width),
            };
        }
        let types = self.from.types;
        match ty {
            InterfaceType::String => {
                let (pointer, len) = self.pair(ty, source)?;
                self.string(pointer, len)
            }
            InterfaceType::List(list) => {
                let (pointer, len) = self.pair(ty, source)?;
                self.list(list, pointer, len)
            }
            InterfaceType::Record(i) => {
                let mut fields = self.enter(ty, source);
                types[i].fields.iter().try_for_each(|field| self.value(field.ty, &mut fields))?;
                self.leave(fields, source);
                Ok(())
            }
            InterfaceType::Tuple(i) => {
                let mut fields = self.enter(ty, source);
                types[i].types.iter().try_for_each(|&ty| self.value(ty, &mut fields))?;
                self.leave(fields, source);
                Ok(())
            }
            InterfaceType::Flags(i) => {
                let (mut left, mut size) = (types[i].names.len(), types[i].abi.size32 as usize);
                let mut words = self.enter(ty, source);
                while size > 0 {
                    let width = size.min(4);
                    // words of four bytes, but for flags of which one or two hold all
                    let word = self.load(&mut words, width)? & mask(left);
                    self.number(word, width)?;
                    (left, size) = (left.saturating_sub(32), size - width);
                }
                self.leave(words, source);
                Ok(())
            }
            InterfaceType::Own(_) | InterfaceType::Borrow(_) => {
                let index = self.take(ty, 4, source)?;
                (self.handle)(ty, index as u32)
            }
            _ => {
                let cases = Cases::of(types, ty).ok_or_else(|| invalid("a type that does not pass between boxes"))?;
                let mut payload = match source {
                    Source::Memory(_) => self.enter(ty, source),
                    Source::Slots(slots) => {
                        // a case may need fewer values than the largest
                        let (mine, rest) = slots.split_at_checked(flat_count(types, ty)).ok_or_else(missing)?;
                        *slots = rest;
                        Source::Slots(mine)
                    }
                };
                let start = payload;
                let case = self.load(&mut payload, cases.width())?;
                let inner = cases.payload(case as u32).ok_or_else(|| invalid("discriminant of no case"))?;
                self.number(case, cases.width())?;
                let Some(inner) = inner else { return Ok(()) };
                if let Source::Memory(at) = start {
                    payload = Source::Memory(at + cases.payload_offset());
                }
                self.value(inner, &mut payload)
            }
        }
    }

    /// Where the parts of a value are; the source goes on behind the value if that is in memory.
    #[inline]
    fn enter<'v>(&self, ty: InterfaceType, source: &mut Source<'v>) -> Source<'v> {
        match source {
            Source::Slots(slots) => Source::Slots(slots),
            Source::Memory(at) => Source::Memory(self.from.types.canonical_abi(&ty).next_field32_size(at)),
        }
    }

    /// The source goes on behind the value's parts if those are core values.
    #[inline]
    fn leave<'v>(&self, parts: Source<'v>, source: &mut Source<'v>) {
        if let Source::Slots(_) = parts {
            *source = parts;
        }
    }

    #[inline]
    fn take(&self, ty: InterfaceType, width: usize, source: &mut Source<'_>) -> Result<u64, Failure> {
        let mut part = self.enter(ty, source);
        let number = self.load(&mut part, width)?;
        self.leave(part, source);
        Ok(number)
    }

    /// A core value, of which so many bytes count, or so many bytes of memory.
    #[inline]
    fn load(&self, source: &mut Source<'_>, width: usize) -> Result<u64, Failure> {
        match source {
            Source::Slots(slots) => {
                let slot = slots.split_off_first().ok_or_else(missing)?;
                Ok(if width == 8 { slot.get_u64() } else { slot.get_u32().into() })
            }
            Source::Memory(at) => {
                let bytes = self.slice(*at, width)?;
                *at += width;
                let mut number = [0; 8];
                number[..width].copy_from_slice(bytes);
                Ok(u64::from_le_bytes(number))
            }
        }
    }

    /// Pointer and length.
    fn pair(&self, ty: InterfaceType, source: &mut Source<'_>) -> Result<(usize, usize), Failure> {
        let mut parts = self.enter(ty, source);
        let pair = (self.load(&mut parts, 4)? as usize, self.load(&mut parts, 4)? as usize);
        self.leave(parts, source);
        Ok(pair)
    }

    fn string(&mut self, pointer: usize, len: usize) -> Done {
        let is_compact = self.from.encoding == StringEncoding::CompactUtf16;
        if self.from.encoding == StringEncoding::Utf8 {
            let bytes = self.slice(pointer, len)?;
            if core::str::from_utf8(bytes).is_err() {
                return Err(invalid("string is not UTF-8"));
            }
            self.number(bytes.len() as u64, 4)?;
            return self.put(bytes);
        }
        if is_compact && len & UTF16_TAG == 0 {
            let bytes = self.slice(pointer, len)?;
            return self.chars(pointer, bytes.iter().map(|byte| Ok(char::from(*byte))));
        }
        let units = if is_compact { len ^ UTF16_TAG } else { len };
        let bytes = self.slice(pointer, units * 2)?;
        let units = bytes.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
        self.chars(pointer, char::decode_utf16(units).map(|char| char.map_err(|_| invalid("string is not UTF-16"))))
    }

    /// Text in units of two bytes, or that could be.
    fn chars(&mut self, pointer: usize, chars: impl Iterator<Item = Result<char, Failure>> + Clone) -> Done {
        if !pointer.is_multiple_of(2) {
            return Err(invalid("string is not aligned"));
        }
        let mut len = 0;
        for char in chars.clone() {
            len += char?.len_utf8();
            if len > MAX_CALL_BYTES {
                return Err(Failure::TooLarge);
            }
        }
        self.number(len as u64, 4)?;
        for char in chars {
            self.put(char?.encode_utf8(&mut [0; 4]).as_bytes())?;
        }
        Ok(())
    }

    fn list(&mut self, list: TypeListIndex, pointer: usize, len: usize) -> Done {
        let element = self.from.types[list].element;
        let abi = self.from.types.canonical_abi(&element);
        let total = len.checked_mul(abi.size32 as usize).ok_or_else(|| invalid("list is longer than memory"))?;
        let bytes = self.slice(pointer, total)?;
        if !pointer.is_multiple_of(abi.align32 as usize) {
            return Err(invalid("list is not aligned"));
        }
        self.number(len as u64, 4)?;
        if is_block(element) {
            return self.put(bytes);
        }
        let mut elements = Source::Memory(pointer);
        (0..len).try_for_each(|_| self.value(element, &mut elements))
    }

    #[inline]
    fn slice(&self, at: usize, len: usize) -> Result<&'a [u8], Failure> {
        let bytes = self.from.memory.get(at..).and_then(|rest| rest.get(..len));
        bytes.ok_or_else(|| invalid("pointer and length are out of bounds of memory"))
    }
}

/// The bits of a word that are flags, of so many that are left.
fn mask(flags: usize) -> u64 {
    if flags >= 32 { u32::MAX.into() } else { (1 << flags) - 1 }
}

fn missing() -> Failure {
    invalid("a core value is missing")
}
