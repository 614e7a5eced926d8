//! Several components joined into one, which a box with `component = ["./a.wasm", "./b.wasm"]` runs.
//!
//! The whole is a component that holds the others, instantiates the last one first, and exports what the first one exports
//! (Component Model, Binary.md: component, instance and alias sections).

use crate::system::description::Interface;
use crate::system::{self, Description};
use anyhow::{Context, Result, anyhow, bail};
use std::collections::{BTreeMap, BTreeSet};
use wasm_encoder::reencode::{ReencodeComponent, RoundtripReencoder};
use wasm_encoder::{ComponentBuilder, ComponentExportKind};
use wasmparser::{ComponentType, ComponentTypeDeclaration, Parser, Payload, Validator, WasmFeatures};
use wit_component::DecodedWasm;
use wit_parser::{CloneMaps, IndexMap, InterfaceId, PackageId, PackageName, Resolve, WorldId, WorldItem, WorldKey};

/// The package of the hooks by which a node starts, watches and replaces a box.
const HOOKS: &str = "pearwood:box";

/// Joins components, given with their names, into one.
///
/// An import is met by the next component after its own that exports it, in a compatible version. What no later one exports
/// stays an import of the whole, in the highest of the versions that the components ask for, and the first one's exports
/// are the whole's.
///
/// # Errors
/// If an export does not fit the import that it would meet, a component after the first meets no import of those before it, or
/// it has a hook that the node would not find.
pub fn fuse(components: &[(&str, &[u8])]) -> Result<Vec<u8>> {
    let read = |(name, binary)| Part::read(name, binary).with_context(|| format!("component `{name}`"));
    let parts: Vec<Part> = components.iter().copied().map(read).collect::<Result<_>>()?;
    let met = meet(&parts)?;
    let mut whole = ComponentBuilder::default();
    let outside = imports(&parts, &met, &mut whole)?;
    let mut instances = BTreeMap::new();
    for (index, part) in parts.iter().enumerate().rev() {
        let mut arguments = Vec::new();
        for (key, item) in &part.resolve.worlds[part.world].imports {
            let name = part.resolve.name_world_key(key);
            let argument = match met[index].get(&name) {
                Some((giver, export)) => {
                    let kind = kind_of(item);
                    (kind, whole.alias_export(instances[giver], export, kind))
                }
                None => outside[index][&name],
            };
            arguments.push((name, argument.0, argument.1));
        }
        let component = whole.component_raw(Some(part.name), part.binary);
        instances.insert(index, whole.instantiate(Some(part.name), component, arguments));
    }
    for (key, item) in &parts[0].resolve.worlds[parts[0].world].exports {
        let (name, kind) = (parts[0].resolve.name_world_key(key), kind_of(item));
        let export = whole.alias_export(instances[&0], &name, kind);
        whole.export(name.as_str(), kind, export, None);
    }
    whole.append_names();
    let whole = whole.finish();
    Validator::new_with_features(WasmFeatures::all())
        .validate_all(&whole)
        .context("the components do not fit together")?;
    Ok(whole)
}

struct Part<'a> {
    name: &'a str,
    binary: &'a [u8],
    description: Description,
    resolve: Resolve,
    world: WorldId,
}

impl<'a> Part<'a> {
    fn read(name: &'a str, binary: &'a [u8]) -> Result<Self> {
        let description = system::describe(binary)?;
        match wit_component::decode(binary)? {
            DecodedWasm::Component(resolve, world) => Ok(Part { name, binary, description, resolve, world }),
            DecodedWasm::WitPackage(..) => bail!("a WIT package, which has no code"),
        }
    }

    /// What would meet an import.
    fn export(&self, import: &Interface) -> Option<&Interface> {
        match import.parsed() {
            Some(name) => self.description.export(&name),
            None => self.description.exports.iter().find(|export| export.name == import.name),
        }
    }
}

/// For each component, the imports that a later one meets: which one, and by which export.
type Met = Vec<BTreeMap<String, (usize, String)>>;

fn meet(parts: &[Part]) -> Result<Met> {
    let mut used = vec![BTreeSet::new(); parts.len()];
    let mut met = Met::new();
    for (index, part) in parts.iter().enumerate() {
        let mut own = BTreeMap::new();
        for import in &part.description.imports {
            let later = parts.iter().enumerate().skip(index + 1);
            let found = later.filter_map(|(giver, other)| Some((giver, other.export(import)?))).next();
            let Some((giver, export)) = found else {
                if import.parsed().is_none() {
                    let why = "which is not an interface of a package, and no component after it exports it";
                    bail!("`{}` imports `{}`, {why}", part.name, import.name);
                }
                continue;
            };
            let misfits = system::misfits(import, export);
            if !misfits.is_empty() {
                let (name, giver, export) = (part.name, parts[giver].name, &export.name);
                let misfits = misfits.join("\n  ");
                bail!("`{name}` imports `{}`, which `{export}` of `{giver}` does not fit:\n  {misfits}", import.name);
            }
            used[giver].insert(export.name.as_str());
            own.insert(import.name.clone(), (giver, export.name.clone()));
        }
        met.push(own);
    }
    for (part, used) in parts.iter().zip(&used).skip(1) {
        let exports = &part.description.exports;
        if used.is_empty() {
            let names: Vec<_> = exports.iter().map(|export| format!("`{}`", export.name)).collect();
            let names = if names.is_empty() { "nothing".into() } else { names.join(", ") };
            bail!(
                "nothing before `{}` imports what it exports: {names}. The first component is the one that others see, \
                 and each after it meets imports of those before it",
                part.name
            );
        }
        let is_hook = |export: &&Interface| export.parsed().is_some_and(|name| name.package() == HOOKS);
        let hidden = exports.iter().filter(is_hook).find(|export| !used.contains(export.name.as_str()));
        if let Some(hook) = hidden {
            bail!(
                "`{}` exports `{}`, which the node calls on the first component of a box alone",
                part.name,
                hook.name
            );
        }
    }
    Ok(met)
}

/// What is given to an import: of which kind, and its index in the whole.
type Argument = (ComponentExportKind, u32);

/// Gives the whole the imports that are not met, and says for each component which of them is which.
fn imports(parts: &[Part], met: &Met, whole: &mut ComponentBuilder) -> Result<Vec<BTreeMap<String, Argument>>> {
    let newest = newest_versions(parts);
    let mut names = Vec::new();
    let mut merged: Option<(Resolve, WorldId)> = None;
    for (index, part) in parts.iter().enumerate() {
        let (mut resolve, id) = (part.resolve.clone(), part.world);
        let before: Vec<String> = resolve.worlds[id].imports.keys().map(|key| resolve.name_world_key(key)).collect();
        for (package, to) in renamed(&resolve, id, index, &newest) {
            rename(&mut resolve, package, to);
        }
        let after = resolve.worlds[id].imports.keys().map(|key| resolve.name_world_key(key));
        let pairs = before.iter().cloned().zip(after);
        names.push(pairs.filter(|(name, _)| !met[index].contains_key(name)).collect::<Vec<_>>());
        let world = &mut resolve.worlds[id];
        world.exports.clear();
        let mut before = before.iter();
        world.imports.retain(|_, _| before.next().is_some_and(|name| !met[index].contains_key(name)));
        match &mut merged {
            None => merged = Some((resolve, id)),
            Some((all, into)) => {
                let disagree = || format!("`{}` and the components before it import different things", part.name);
                let from = all.merge(resolve).with_context(disagree)?.map_world(id, Default::default());
                let from = from.map_err(|error| anyhow!("{error}")).with_context(disagree)?;
                all.merge_worlds(from, *into, &mut CloneMaps::default()).with_context(disagree)?;
            }
        }
    }
    let (mut resolve, world) = merged.context("no component")?;
    let mut ordered = IndexMap::default();
    for (key, item) in std::mem::take(&mut resolve.worlds[world].imports) {
        let needed = match &item {
            WorldItem::Interface { id, .. } => resolve.interface_direct_deps(*id).collect(),
            WorldItem::Type { id, .. } => resolve.type_interface_dep(*id).into_iter().collect(),
            WorldItem::Function(_) => Vec::new(),
        };
        needed.into_iter().for_each(|id| with_needed(&resolve, id, &mut ordered));
        ordered.insert(key, item);
    }
    resolve.worlds[world].imports = ordered;
    let indices = declare(&resolve, world, whole)?;
    let of = |(own, name): (String, String)| {
        let argument = indices.get(&name).with_context(|| format!("the import `{own}` is lost"))?;
        Ok((own, *argument))
    };
    names.into_iter().map(|names| names.into_iter().map(of).collect()).collect()
}

/// Adds an interface after those whose types it uses: one that is met may be used by one that is not.
fn with_needed(resolve: &Resolve, id: InterfaceId, ordered: &mut IndexMap<WorldKey, WorldItem>) {
    let key = WorldKey::Interface(id);
    if !ordered.contains_key(&key) {
        resolve.interface_direct_deps(id).for_each(|needed| with_needed(resolve, needed, ordered));
        let (stability, external_id, docs, span) = Default::default();
        ordered.insert(key, WorldItem::Interface { id, stability, external_id, docs, span });
    }
}

/// The highest version of each package, where versions are compatible.
fn newest_versions(parts: &[Part]) -> BTreeMap<String, PackageName> {
    let mut newest = BTreeMap::new();
    for name in parts.iter().flat_map(|part| part.resolve.packages.iter().map(|(_, package)| &package.name)) {
        let highest = newest.entry(track(name)).or_insert_with(|| name.clone());
        if name.version > highest.version {
            *highest = name.clone();
        }
    }
    newest
}

/// The name with the part of its version that says what is compatible.
fn track(name: &PackageName) -> String {
    PackageName { version: name.version.as_ref().map(PackageName::version_compat_track), ..name.clone() }.to_string()
}

/// The packages of one component that another also has, in a higher version, and that of its own world, which has the same
/// name in all components.
fn renamed(
    resolve: &Resolve,
    world: WorldId,
    index: usize,
    newest: &BTreeMap<String, PackageName>,
) -> Vec<(PackageId, PackageName)> {
    let root = resolve.worlds[world].package;
    let to = |(id, name): (PackageId, &PackageName)| match Some(id) == root {
        true => (id, PackageName { name: format!("component-{index}"), ..name.clone() }),
        false => (id, newest[&track(name)].clone()),
    };
    resolve.packages.iter().map(|(id, package)| to((id, &package.name))).collect()
}

/// Gives a package another name, unless a package has it.
fn rename(resolve: &mut Resolve, package: PackageId, to: PackageName) {
    if !resolve.package_names.contains_key(&to) {
        let before = std::mem::replace(&mut resolve.packages[package].name, to.clone());
        resolve.package_names.shift_remove(&before);
        resolve.package_names.insert(to, package);
    }
}

/// Declares a world's imports in a component: their indices by name.
fn declare(resolve: &Resolve, world: WorldId, whole: &mut ComponentBuilder) -> Result<BTreeMap<String, Argument>> {
    // As a WIT package, a world is the type of a component that exports the type of those that the world is for. Types,
    // aliases and imports are declared in it as in a component itself, with the same indices.
    let package = resolve.worlds[world].package.context("the world has no package")?;
    let package = wit_component::encode(resolve, package)?;
    let mut indices = BTreeMap::new();
    for payload in Parser::new(0).parse_all(&package) {
        let Payload::ComponentTypeSection(types) = payload? else { continue };
        for ty in types {
            let ComponentType::Component(outer) = ty? else { continue };
            for declaration in outer {
                let ComponentTypeDeclaration::Type(ComponentType::Component(inner)) = declaration else { continue };
                for declaration in inner {
                    copy(declaration, whole, &mut indices)?;
                }
            }
        }
    }
    Ok(indices)
}

/// Copies a declaration of a component's type into a component.
fn copy(
    declaration: ComponentTypeDeclaration<'_>,
    whole: &mut ComponentBuilder,
    indices: &mut BTreeMap<String, Argument>,
) -> Result<()> {
    let same = &mut RoundtripReencoder;
    match declaration {
        ComponentTypeDeclaration::Type(ty) => same.parse_component_type(whole.ty(None).1, ty)?,
        ComponentTypeDeclaration::Alias(alias) => {
            whole.alias(None, same.component_alias(alias)?);
        }
        ComponentTypeDeclaration::Import(import) => {
            let index = whole.import(import.name, same.component_type_ref(import.ty)?);
            indices.insert(import.name.name.into(), (same.component_export_kind(import.ty.kind()), index));
        }
        ComponentTypeDeclaration::CoreType(_) | ComponentTypeDeclaration::Export { .. } => {}
    }
    Ok(())
}

fn kind_of(item: &WorldItem) -> ComponentExportKind {
    match item {
        WorldItem::Interface { .. } => ComponentExportKind::Instance,
        WorldItem::Function(_) => ComponentExportKind::Func,
        WorldItem::Type { .. } => ComponentExportKind::Type,
    }
}

#[cfg(test)]
mod tests;
