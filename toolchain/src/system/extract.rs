//! Reads a [`Description`] out of a component.

use super::description::{Description, Function, Interface, Type, shape};
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::cell::Cell;
use core::fmt;
use wit_component::DecodedWasm;
use wit_parser as wit;
use wit_parser::{Handle, Resolve, TypeDefKind, TypeId, WorldItem, WorldKey};

/// Why bytes could not be read as a component.
#[derive(Debug)]
pub struct NotAComponent(String);

impl fmt::Display for NotAComponent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for NotAComponent {}

/// Describes a component's imports and exports.
///
/// # Errors
/// If `binary` is no component.
pub fn describe(binary: &[u8]) -> Result<Description, NotAComponent> {
    // both begin with the magic number; a core module's version is 1 (WebAssembly core specification, section 5.5.16)
    if binary.get(..8) == Some(b"\0asm\x01\0\0\0") {
        return Err(NotAComponent("a core module, not a component; `wasm-tools component new` makes one of it".into()));
    }
    match wit_component::decode(binary) {
        Ok(DecodedWasm::Component(resolve, world)) => world_description(&resolve, world),
        Ok(DecodedWasm::WitPackage(..)) => Err(NotAComponent("a WIT package, which has no code".into())),
        Err(error) => Err(NotAComponent(format!("not a component: {error:#}"))),
    }
}

/// Describes the components that a WIT world is for.
pub(super) fn world_description(resolve: &Resolve, world: wit::WorldId) -> Result<Description, NotAComponent> {
    let world = &resolve.worlds[world];
    let items = |items: &wit::IndexMap<WorldKey, WorldItem>| {
        items.iter().filter_map(|(key, item)| interface(resolve, key, item).transpose()).collect::<Result<Vec<_>, _>>()
    };
    Ok(Description { imports: items(&world.imports)?, exports: items(&world.exports)? })
}

fn interface(resolve: &Resolve, key: &WorldKey, item: &WorldItem) -> Result<Option<Interface>, NotAComponent> {
    let name = resolve.name_world_key(key);
    Ok(match item {
        WorldItem::Interface { id, .. } => {
            let interface = &resolve.interfaces[*id];
            let mut functions =
                interface.functions.values().map(|f| function(resolve, &name, f)).collect::<Result<Vec<_>, _>>()?;
            functions.sort_by(|a, b| a.name.cmp(&b.name));
            let types = interface
                .types
                .iter()
                .map(|(name, id)| Type { name: name.clone(), definition: Printer::new(resolve, true).definition(*id) });
            let types = types.collect();
            Some(Interface { name, functions, types })
        }
        WorldItem::Function(f) => {
            let functions = [function(resolve, &name, f)?].into();
            Some(Interface { name, functions, types: Vec::new() })
        }
        WorldItem::Type { .. } => None,
    })
}

fn function(resolve: &Resolve, interface: &str, f: &wit::Function) -> Result<Function, NotAComponent> {
    let written_out = Printer::new(resolve, false);
    let shape = shape(&written_out.signature(f));
    if written_out.budget.get() == 0 {
        let name = &f.name;
        return Err(NotAComponent(format!("`{interface}`: the types of `{name}` are too large written out")));
    }
    Ok(Function { name: f.name.clone(), signature: Printer::new(resolve, true).signature(f), shape })
}

/// Writes types as WIT does.
struct Printer<'a> {
    resolve: &'a Resolve,
    /// Types that have names appear by these; otherwise they are written out, all but resources.
    names: bool,
    /// How many types may yet be written: written out, they can grow with each level.
    budget: Cell<u32>,
}

impl<'a> Printer<'a> {
    fn new(resolve: &'a Resolve, names: bool) -> Self {
        Printer { resolve, names, budget: Cell::new(20_000) }
    }
}

impl Printer<'_> {
    fn signature(&self, f: &wit::Function) -> String {
        let keyword = if f.kind.is_async() { "async func" } else { "func" };
        let parameters: Vec<_> = f.params.iter().map(|p| format!("{}: {}", p.name, self.ty(&p.ty))).collect();
        match &f.result {
            Some(result) => format!("{keyword}({}) -> {}", parameters.join(", "), self.ty(result)),
            None => format!("{keyword}({})", parameters.join(", ")),
        }
    }

    fn ty(&self, ty: &wit::Type) -> String {
        let simple = match ty {
            wit::Type::Id(id) => return self.reference(*id),
            wit::Type::Bool => "bool",
            wit::Type::U8 => "u8",
            wit::Type::U16 => "u16",
            wit::Type::U32 => "u32",
            wit::Type::U64 => "u64",
            wit::Type::S8 => "s8",
            wit::Type::S16 => "s16",
            wit::Type::S32 => "s32",
            wit::Type::S64 => "s64",
            wit::Type::F32 => "f32",
            wit::Type::F64 => "f64",
            wit::Type::Char => "char",
            wit::Type::String => "string",
            wit::Type::ErrorContext => "error-context",
        };
        simple.to_string()
    }

    fn reference(&self, id: TypeId) -> String {
        let def = &self.resolve.types[id];
        match (&def.name, &def.kind) {
            (Some(name), _) if self.names => name.clone(),
            (Some(name), TypeDefKind::Resource) => name.clone(),
            _ => self.definition(id),
        }
    }

    fn optional(&self, ty: Option<&wit::Type>) -> String {
        ty.map_or_else(|| "_".into(), |ty| self.ty(ty))
    }

    /// A type without its name. WIT has no recursive types, so this ends.
    fn definition(&self, id: TypeId) -> String {
        let left = self.budget.get().saturating_sub(1);
        self.budget.set(left);
        if left == 0 {
            return String::new();
        }
        match &self.resolve.types[id].kind {
            TypeDefKind::Type(ty) => match ty {
                // an alias of a resource is that resource, under whatever name it has here
                wit::Type::Id(id) if self.names => self.definition(*id),
                ty => self.ty(ty),
            },
            TypeDefKind::Record(record) => {
                braces("record", record.fields.iter().map(|field| format!("{}: {}", field.name, self.ty(&field.ty))))
            }
            TypeDefKind::Variant(variant) => braces(
                "variant",
                variant.cases.iter().map(|case| match &case.ty {
                    Some(ty) => format!("{}({})", case.name, self.ty(ty)),
                    None => case.name.clone(),
                }),
            ),
            TypeDefKind::Enum(cases) => braces("enum", cases.cases.iter().map(|case| case.name.clone())),
            TypeDefKind::Flags(flags) => braces("flags", flags.flags.iter().map(|flag| flag.name.clone())),
            TypeDefKind::Tuple(tuple) => {
                let types: Vec<_> = tuple.types.iter().map(|ty| self.ty(ty)).collect();
                format!("tuple<{}>", types.join(", "))
            }
            TypeDefKind::List(ty) => format!("list<{}>", self.ty(ty)),
            TypeDefKind::FixedLengthList(ty, length) => format!("list<{}, {length}>", self.ty(ty)),
            TypeDefKind::Map(key, value) => format!("map<{}, {}>", self.ty(key), self.ty(value)),
            TypeDefKind::Option(ty) => format!("option<{}>", self.ty(ty)),
            TypeDefKind::Result(result) => match (&result.ok, &result.err) {
                (None, None) => "result".into(),
                (ok, None) => format!("result<{}>", self.optional(ok.as_ref())),
                (ok, err) => format!("result<{}, {}>", self.optional(ok.as_ref()), self.optional(err.as_ref())),
            },
            TypeDefKind::Stream(None) => "stream".into(),
            TypeDefKind::Stream(Some(ty)) => format!("stream<{}>", self.ty(ty)),
            TypeDefKind::Future(None) => "future".into(),
            TypeDefKind::Future(Some(ty)) => format!("future<{}>", self.ty(ty)),
            TypeDefKind::Handle(Handle::Own(id)) => self.reference(*id),
            TypeDefKind::Handle(Handle::Borrow(id)) => format!("borrow<{}>", self.reference(*id)),
            TypeDefKind::Resource => "resource".into(),
            TypeDefKind::Unknown => "unknown".into(),
        }
    }
}

fn braces(keyword: &str, parts: impl Iterator<Item = String>) -> String {
    let parts: Vec<_> = parts.collect();
    format!("{keyword} {{ {} }}", parts.join(", "))
}

#[cfg(test)]
mod tests;
