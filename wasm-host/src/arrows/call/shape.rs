//! What lifting and lowering both ask of a type's layout (component model, "Canonical ABI").

use wasmtime::component::{
    __internal::{ComponentTypes, InterfaceType, wasmtime_environ},
    types::Type,
};
use wasmtime_environ::component::VariantInfo;

/// Parameters beyond this many core values are passed in memory.
pub const MAX_FLAT_PARAMS: usize = 16;
/// Results beyond this many core values are passed in memory.
pub const MAX_FLAT_RESULTS: usize = 1;

/// Bytes of a number. `bool` and `char` are numbers too, of which some are no value.
#[inline]
pub fn width(ty: InterfaceType) -> Option<usize> {
    match ty {
        InterfaceType::Bool | InterfaceType::U8 | InterfaceType::S8 => Some(1),
        InterfaceType::U16 | InterfaceType::S16 => Some(2),
        InterfaceType::U32 | InterfaceType::S32 | InterfaceType::Float32 | InterfaceType::Char => Some(4),
        InterfaceType::U64 | InterfaceType::S64 | InterfaceType::Float64 => Some(8),
        _ => None,
    }
}

/// Whether a list of these can be copied as one block: every bit pattern is a value, and none is padding.
#[inline]
pub fn is_block(element: InterfaceType) -> bool {
    width(element).is_some() && !matches!(element, InterfaceType::Bool | InterfaceType::Char)
}

/// A variant, enum, option or result.
pub struct Cases<'a> {
    info: &'a VariantInfo,
    of: Of<'a>,
}

enum Of<'a> {
    Variant(&'a wasmtime_environ::component::TypeVariant),
    Enum(usize),
    Option(InterfaceType),
    Result([Option<InterfaceType>; 2]),
}

impl<'a> Cases<'a> {
    pub fn of(types: &'a ComponentTypes, ty: InterfaceType) -> Option<Self> {
        Some(match ty {
            InterfaceType::Variant(i) => Cases { info: &types[i].info, of: Of::Variant(&types[i]) },
            InterfaceType::Enum(i) => Cases { info: &types[i].info, of: Of::Enum(types[i].names.len()) },
            InterfaceType::Option(i) => Cases { info: &types[i].info, of: Of::Option(types[i].ty) },
            InterfaceType::Result(i) => Cases { info: &types[i].info, of: Of::Result([types[i].ok, types[i].err]) },
            _ => return None,
        })
    }

    /// Bytes of the discriminant.
    pub fn width(&self) -> usize {
        usize::from(self.info.size)
    }

    /// Where the payload is in memory, from the start of the value.
    pub fn payload_offset(&self) -> usize {
        self.info.payload_offset32 as usize
    }

    /// What a case carries; None if there is no such case.
    pub fn payload(&self, case: u32) -> Option<Option<InterfaceType>> {
        let case = case as usize;
        match &self.of {
            Of::Variant(ty) => ty.cases.get_index(case).map(|(_, payload)| *payload),
            Of::Enum(names) => (case < *names).then_some(None),
            Of::Option(some) => [None, Some(*some)].get(case).copied(),
            Of::Result(both) => both.get(case).copied(),
        }
    }
}

/// Core values that a value takes where it is not in memory.
pub fn flat_count(types: &ComponentTypes, ty: InterfaceType) -> usize {
    types.canonical_abi(&ty).flat_count(usize::MAX).unwrap_or(usize::MAX)
}

/// Core values of a string or list.
pub const PAIR: usize = 2;

/// The same before there is an instance. `list`: what a string or list counts for.
pub fn flat_count_of(ty: &Type, list: usize) -> usize {
    let count = |ty: &Type| flat_count_of(ty, list);
    let payloads = |payloads: &mut dyn Iterator<Item = Option<Type>>| {
        1 + payloads.map(|ty| ty.as_ref().map_or(0, count)).max().unwrap_or(0)
    };
    match ty {
        Type::String | Type::List(_) => list,
        Type::Record(record) => record.fields().map(|field| count(&field.ty)).sum(),
        Type::Tuple(tuple) => tuple.types().map(|ty| count(&ty)).sum(),
        Type::Flags(flags) => flags.names().len().div_ceil(32),
        Type::Variant(variant) => payloads(&mut variant.cases().map(|case| case.ty)),
        Type::Option(option) => payloads(&mut [Some(option.ty())].into_iter()),
        Type::Result(result) => payloads(&mut [result.ok(), result.err()].into_iter()),
        _ => 1,
    }
}

/// Whether the values of a type always make a message of at most [`super::message::SMALL`] bytes, resources included.
pub fn is_always_small(ty: &Type) -> bool {
    const RESOURCE: usize = size_of::<wasmtime::component::ResourceAny>();
    const MOST: usize = super::message::SMALL / if RESOURCE > 8 { RESOURCE } else { 8 };
    flat_count_of(ty, MOST + 1) <= MOST
}
