//! Whether what a box imports is what another exports.

use crate::interface::InterfaceName;
use alloc::{
    format,
    string::{String, ToString},
    sync::{Arc, Weak},
    vec::Vec,
};
use core::fmt::{self, Write};
use wasmtime::{
    Engine, Error, Result, bail,
    component::types::{self, ComponentInstance, ComponentItem, ResourceType, Type},
    error::Context as _,
};

/// The interfaces that a box imports from another.
pub(super) struct Link {
    pub caller: Arc<str>,
    /// gone when nothing can make an instance of the caller any more
    pub alive: Weak<()>,
    pub importer: types::Component,
    /// as the caller names them
    pub interfaces: Vec<String>,
}

/// A resource of the caller, and what it is to the callee.
struct Pair {
    import: ResourceType,
    export: ResourceType,
}

/// Where a component first meets a resource among its imports.
pub(super) struct Origin {
    pub ty: ResourceType,
    pub interface: String,
    pub name: String,
}

/// The interfaces that a component exports: as names, and as it spells them. The latest version is first.
pub(super) fn exports(engine: &Engine, component: &types::Component) -> Vec<(InterfaceName, String)> {
    let instances =
        component.exports(engine).filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentInstance(_)));
    let mut names: Vec<_> =
        instances.filter_map(|(name, _)| Some((InterfaceName::parse(name)?, name.to_string()))).collect();
    names.sort_by(|(a, _), (b, _)| b.cmp(a));
    names
}

/// The export that serves an import: of the same version, or else the latest that is compatible.
pub(super) fn compatible<'e>(exports: &'e [(InterfaceName, String)], import: &InterfaceName) -> Option<&'e str> {
    let same = exports.iter().find(|(export, _)| export == import);
    let found = same.or_else(|| exports.iter().find(|(export, _)| export.compatible(import)));
    found.map(|(_, name)| name.as_str())
}

/// The resources that a component imports, each with the first interface that has it: others only use it.
pub(super) fn origins(engine: &Engine, component: &types::Component) -> Vec<Origin> {
    let mut origins: Vec<Origin> = Vec::new();
    let mut add = |interface: &str, name: &str, ty| {
        if !origins.iter().any(|known| known.ty == ty) {
            origins.push(Origin { ty, interface: interface.to_string(), name: name.to_string() });
        }
    };
    for (interface, import) in component.imports(engine) {
        match import.ty {
            ComponentItem::Resource(ty) => add(interface, interface, ty),
            ComponentItem::ComponentInstance(instance) => {
                for (name, item) in instance.exports(engine) {
                    if let ComponentItem::Resource(ty) = item.ty {
                        add(interface, name, ty);
                    }
                }
            }
            _ => {}
        }
    }
    origins
}

pub(super) fn imported(engine: &Engine, component: &types::Component, interface: &str) -> Result<ComponentInstance> {
    match component.get_import(engine, interface).map(|import| import.ty) {
        Some(ComponentItem::ComponentInstance(instance)) => Ok(instance),
        Some(_) => bail!("imports {interface}, which is no interface"),
        None => bail!("does not import {interface}"),
    }
}

impl Link {
    /// Every function that the caller imports must be among the callee's exports, with the same type.
    pub fn check(&self, engine: &Engine, exporter: &types::Component, callee: &str) -> Result<()> {
        let caller = &self.caller;
        let exports = exports(engine, exporter);
        let origins = origins(engine, &self.importer);
        let mut both = Vec::new();
        for interface in &self.interfaces {
            let import = imported(engine, &self.importer, interface).with_context(|| format!("box {caller}"))?;
            let name = InterfaceName::parse(interface);
            let Some(name) = name.and_then(|name| compatible(&exports, &name)) else {
                let known: Vec<&str> = exports.iter().map(|(_, name)| name.as_str()).collect();
                let known = if known.is_empty() { "no interface".into() } else { known.join(", ") };
                bail!("box {caller} imports {interface} from box {callee}, which exports {known}");
            };
            match exporter.get_export(engine, name).map(|export| export.ty) {
                Some(ComponentItem::ComponentInstance(export)) => both.push((interface, import, export)),
                _ => bail!("box {callee} exports {name}, but it is no interface"),
            }
        }
        let mut pairs: Vec<Pair> = Vec::new();
        for (interface, import, export) in &both {
            for (name, item) in import.exports(engine) {
                let ComponentItem::Resource(ty) = item.ty else { continue };
                let origin = origins.iter().find(|origin| origin.ty == ty);
                if !origin.is_some_and(|origin| self.interfaces.contains(&origin.interface)) {
                    continue;
                }
                let Some(ComponentItem::Resource(theirs)) = export.get_export(engine, name).map(|item| item.ty) else {
                    bail!("resource `{name}` of {interface}, which box {caller} imports, is none of box {callee}'s");
                };
                match pairs.iter().find(|pair| pair.import == ty) {
                    Some(pair) if pair.export != theirs => {
                        bail!("resource `{name}` of {interface} is two resources of box {callee}")
                    }
                    Some(_) => {}
                    None => pairs.push(Pair { import: ty, export: theirs }),
                }
            }
        }
        let fit = Fit { pairs, origins };
        for (interface, import, export) in &both {
            for (name, item) in import.exports(engine) {
                let ComponentItem::ComponentFunc(ours) = item.ty else { continue };
                let Some(ComponentItem::ComponentFunc(theirs)) = export.get_export(engine, name).map(|item| item.ty)
                else {
                    bail!("box {caller} imports {interface}#{name}, which box {callee} does not export");
                };
                fit.function(&ours, &theirs).map_err(|why| {
                    Error::msg(format!("{interface}#{name} of box {caller} does not fit box {callee}: {why}"))
                })?;
            }
        }
        Ok(())
    }
}

struct Fit {
    pairs: Vec<Pair>,
    origins: Vec<Origin>,
}

/// Why two types do not fit, or cannot pass.
type Mismatch = String;

impl Fit {
    fn function(&self, ours: &types::ComponentFunc, theirs: &types::ComponentFunc) -> Result<(), Mismatch> {
        if ours.async_() || theirs.async_() {
            return Err("an `async func` does not pass between boxes yet".into());
        }
        if ours.params().len() != theirs.params().len() {
            return Err(format!("{} parameters against {}", ours.params().len(), theirs.params().len()));
        }
        for ((name, ours), (other, theirs)) in ours.params().zip(theirs.params()) {
            same(name, other, "parameter")?;
            self.types(&ours, &theirs).map_err(|why| format!("parameter `{name}`: {why}"))?;
        }
        if ours.results().len() != theirs.results().len() {
            return Err("only one of them has a result".into());
        }
        let mut results = ours.results().zip(theirs.results());
        results.try_for_each(|(ours, theirs)| self.types(&ours, &theirs).map_err(|why| format!("result: {why}")))
    }

    fn types(&self, ours: &Type, theirs: &Type) -> Result<(), Mismatch> {
        match (ours, theirs) {
            (Type::List(a), Type::List(b)) => self.types(&a.ty(), &b.ty()).map_err(|why| format!("list of {why}")),
            (Type::Record(a), Type::Record(b)) => {
                count(a.fields().len(), b.fields().len(), "fields")?;
                for (a, b) in a.fields().zip(b.fields()) {
                    same(a.name, b.name, "field")?;
                    self.types(&a.ty, &b.ty).map_err(|why| format!("field `{}`: {why}", a.name))?;
                }
                Ok(())
            }
            (Type::Tuple(a), Type::Tuple(b)) => {
                count(a.types().len(), b.types().len(), "values")?;
                a.types().zip(b.types()).try_for_each(|(a, b)| self.types(&a, &b))
            }
            (Type::Variant(a), Type::Variant(b)) => {
                count(a.cases().len(), b.cases().len(), "cases")?;
                for (a, b) in a.cases().zip(b.cases()) {
                    same(a.name, b.name, "case")?;
                    self.payloads(a.ty, b.ty).map_err(|why| format!("case `{}`: {why}", a.name))?;
                }
                Ok(())
            }
            (Type::Enum(a), Type::Enum(b)) => {
                count(a.names().len(), b.names().len(), "cases")?;
                a.names().zip(b.names()).try_for_each(|(a, b)| same(a, b, "case"))
            }
            (Type::Flags(a), Type::Flags(b)) => {
                count(a.names().len(), b.names().len(), "flags")?;
                a.names().zip(b.names()).try_for_each(|(a, b)| same(a, b, "flag"))
            }
            (Type::Option(a), Type::Option(b)) => self.types(&a.ty(), &b.ty()),
            (Type::Result(a), Type::Result(b)) => {
                self.payloads(a.ok(), b.ok())?;
                self.payloads(a.err(), b.err())
            }
            (Type::Own(a), Type::Own(b)) | (Type::Borrow(a), Type::Borrow(b)) => self.resource(*a, *b),
            (
                Type::Bool
                | Type::Char
                | Type::String
                | Type::Float32
                | Type::Float64
                | Type::U8
                | Type::U16
                | Type::U32
                | Type::U64
                | Type::S8
                | Type::S16
                | Type::S32
                | Type::S64,
                _,
            ) if ours == theirs => Ok(()),
            (Type::Future(_) | Type::Stream(_) | Type::ErrorContext | Type::Map(_) | Type::FixedLengthList(_), _) => {
                Err(format!("a {} does not pass between boxes", kind(ours)))
            }
            _ => Err(format!("{} against {}", kind(ours), kind(theirs))),
        }
    }

    fn payloads(&self, ours: Option<Type>, theirs: Option<Type>) -> Result<(), Mismatch> {
        match (ours, theirs) {
            (Some(ours), Some(theirs)) => self.types(&ours, &theirs),
            (None, None) => Ok(()),
            (ours, theirs) => {
                let kind = |ty: Option<Type>| ty.as_ref().map_or("nothing".into(), kind);
                Err(format!("{} against {}", kind(ours), kind(theirs)))
            }
        }
    }

    fn resource(&self, ours: ResourceType, theirs: ResourceType) -> Result<(), Mismatch> {
        match self.pairs.iter().find(|pair| pair.import == ours) {
            Some(pair) if pair.export == theirs => Ok(()),
            Some(_) => Err("different resources".into()),
            None => Err(match self.origins.iter().find(|origin| origin.ty == ours) {
                Some(Origin { interface, name, .. }) => format!(
                    "resource `{name}` of {interface} does not come from there, and only resources that the callee \
                     made pass"
                ),
                None => "the caller's own resources do not pass".into(),
            }),
        }
    }
}

fn same(ours: &str, theirs: &str, what: &str) -> Result<(), Mismatch> {
    if ours == theirs { Ok(()) } else { Err(format!("{what} `{ours}` against `{theirs}`")) }
}

fn count(ours: usize, theirs: usize, what: &str) -> Result<(), Mismatch> {
    if ours == theirs { Ok(()) } else { Err(format!("{ours} {what} against {theirs}")) }
}

/// What kind of type it is, by wasmtime's name for that.
fn kind(ty: &Type) -> String {
    struct Word(String);
    impl fmt::Write for Word {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let (word, is_over) = text.split_once('(').map_or((text, false), |(word, _)| (word, true));
            self.0.push_str(&word.to_lowercase());
            if is_over { Err(fmt::Error) } else { Ok(()) }
        }
    }
    let mut word = Word(String::new());
    // what a type consists of is not written
    let _ = write!(word, "{ty:?}");
    word.0
}
