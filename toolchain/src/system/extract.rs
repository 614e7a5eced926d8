//! Reads a [`Description`] out of a component.

use super::description::{Case, Declaration, Description, Field, Function, Interface, Type, shape};
use super::instance::estimate;
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::cell::Cell;
use core::fmt;
use wasm_host::arrows::Kinds;
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
        Ok(DecodedWasm::Component(resolve, world)) => {
            let instance = estimate(binary).map_err(NotAComponent)?;
            Ok(Description { instance, ..world_description(&resolve, world)? })
        }
        Ok(DecodedWasm::WitPackage(..)) => Err(NotAComponent("a WIT package, which has no code".into())),
        Err(error) => Err(NotAComponent(format!("not a component: {error:#}"))),
    }
}

/// Describes all interfaces of packages, each of which comes after those that it uses.
pub(super) fn describe_wit(files: &[&str]) -> Result<Vec<Interface>, NotAComponent> {
    let mut resolve = Resolve::default();
    for file in files {
        resolve.push_str("wit", file).map_err(|error| NotAComponent(format!("{error:#}")))?;
    }
    let named = resolve.interfaces.iter().filter_map(|(id, _)| Some((resolve.id_of(id)?, id)));
    named.map(|(name, id)| of_interface(&resolve, name, id)).collect()
}

/// Describes the components that a WIT world is for.
pub(super) fn world_description(resolve: &Resolve, world: wit::WorldId) -> Result<Description, NotAComponent> {
    let world = &resolve.worlds[world];
    let items = |items: &wit::IndexMap<WorldKey, WorldItem>| {
        items.iter().filter_map(|(key, item)| interface(resolve, key, item).transpose()).collect::<Result<Vec<_>, _>>()
    };
    Ok(Description { imports: items(&world.imports)?, exports: items(&world.exports)?, instance: 0 })
}

fn interface(resolve: &Resolve, key: &WorldKey, item: &WorldItem) -> Result<Option<Interface>, NotAComponent> {
    let name = resolve.name_world_key(key);
    Ok(match item {
        WorldItem::Interface { id, .. } => Some(of_interface(resolve, name, *id)?),
        WorldItem::Function(f) => {
            let functions = [function(resolve, &name, f)?].into();
            Some(Interface { name, functions, types: Vec::new(), protocol: None })
        }
        WorldItem::Type { .. } => None,
    })
}

fn of_interface(resolve: &Resolve, name: String, id: wit::InterfaceId) -> Result<Interface, NotAComponent> {
    let interface = &resolve.interfaces[id];
    let functions = interface.functions.values().map(|f| function(resolve, &name, f));
    let mut functions = functions.collect::<Result<Vec<_>, _>>()?;
    functions.sort_by(|a, b| a.name.cmp(&b.name));
    let printed = |id: TypeId| Printer::new(resolve, true).definition(id);
    let types = interface.types.iter().map(|(name, id)| Type { name: name.clone(), definition: printed(*id) });
    let types = types.collect();
    let protocol = protocol(resolve, &name, interface)?;
    Ok(Interface { name, functions, types, protocol })
}

/// What a protocol's functions declare, if the interface has them.
fn protocol(resolve: &Resolve, name: &str, interface: &wit::Interface) -> Result<Option<Declaration>, NotAComponent> {
    let declared = |function: &str| {
        let [parameter] = &interface.functions.get(function)?.params[..] else { return None };
        let wit::Type::Id(list) = parameter.ty else { return None };
        let TypeDefKind::List(wit::Type::Id(record)) = &resolve.types[list].kind else { return None };
        (parameter.name == "protocol").then_some(*record)
    };
    let (client, service) = (declared("client"), declared("service"));
    let Some(record) = client.or(service) else { return Ok(None) };
    let fault = |why: &str| NotAComponent(format!("`{name}`: the record `protocol`: {why}"));
    let parts = record_of(resolve, record).ok_or_else(|| fault("is no record"))?;
    let part = |name: &str| parts.iter().find(|field| field.name == name).map(|field| &field.ty);
    let cases = |name: &str| -> Result<Vec<Case>, NotAComponent> {
        let Some(ty) = part(name) else { return Ok(Vec::new()) };
        let variant = match resolved(resolve, ty) {
            Some(TypeDefKind::Variant(variant)) => variant,
            _ => return Err(fault(&format!("`{name}` is no variant"))),
        };
        if variant.cases.len() >= usize::from(::wit::Peer::FIRST_KIND) {
            return Err(fault(&format!("`{name}` has more than 239 cases")));
        }
        let case = |case: &wit::Case| Case {
            name: case.name.clone(),
            fields: case.ty.as_ref().map(|ty| fields(resolve, ty)).unwrap_or_default(),
        };
        Ok(variant.cases.iter().map(case).collect())
    };
    let (commands, events) = (cases("command")?, cases("event")?);
    let attach = part("attach").map(|ty| fields(resolve, ty));
    let mut kinds = Kinds::default();
    if let Some(metered) = part("metered") {
        let Some(TypeDefKind::Record(record)) = resolved(resolve, metered) else {
            return Err(fault("`metered` is no record"));
        };
        for field in &record.fields {
            let (bits, of) = match &*field.name {
                "asks" => (&mut kinds.asks, &commands),
                "cancels" => (&mut kinds.cancels, &commands),
                "opens" => (&mut kinds.opens, &events),
                "ends" => (&mut kinds.ends, &events),
                "fails" => (&mut kinds.fails, &events),
                "answers" => (&mut kinds.answers, &events),
                other => return Err(fault(&format!("`metered` has a field `{other}`, which means nothing"))),
            };
            let Some(TypeDefKind::Enum(names)) = resolved(resolve, &field.ty) else {
                return Err(fault(&format!("`metered`: `{}` is no enum", field.name)));
            };
            for name in &names.cases {
                let Some(place) = of.iter().position(|case| case.name == name.name) else {
                    return Err(fault(&format!("`metered`: `{}` names `{}`, which is no case", field.name, name.name)));
                };
                *bits |= Kinds::bit(place as u8 + 1);
            }
        }
    }
    Ok(Some(Declaration { client: client.is_some(), service: service.is_some(), commands, events, attach, kinds }))
}

fn record_of(resolve: &Resolve, id: TypeId) -> Option<&[wit::Field]> {
    match resolved(resolve, &wit::Type::Id(id)) {
        Some(TypeDefKind::Record(record)) => Some(&record.fields),
        _ => None,
    }
}

/// What a named type is, behind its aliases.
fn resolved<'a>(resolve: &'a Resolve, ty: &wit::Type) -> Option<&'a TypeDefKind> {
    let mut ty = *ty;
    loop {
        let wit::Type::Id(id) = ty else { return None };
        match &resolve.types[id].kind {
            TypeDefKind::Type(aliased) => ty = *aliased,
            kind => return Some(kind),
        }
    }
}

/// The fields of a payload, with those of a record at its end in that one's place: there a record may grow.
fn fields(resolve: &Resolve, ty: &wit::Type) -> Vec<Field> {
    let printer = Printer::new(resolve, false);
    let Some(TypeDefKind::Record(record)) = resolved(resolve, ty) else {
        return [Field { name: String::new(), ty: printer.ty(ty) }].into();
    };
    let mut all = Vec::new();
    for (place, field) in record.fields.iter().enumerate() {
        let is_record = matches!(resolved(resolve, &field.ty), Some(TypeDefKind::Record(_)));
        if place + 1 == record.fields.len() && is_record {
            all.extend(fields(resolve, &field.ty));
        } else {
            all.push(Field { name: field.name.clone(), ty: printer.ty(&field.ty) });
        }
    }
    all
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
