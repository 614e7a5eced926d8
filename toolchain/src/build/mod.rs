//! From a system's file to what a node runs.

mod aot;
mod assets;
mod cargo;
mod componentize;
mod compress;
mod drawing;
mod image;
mod kernel;
mod language;
mod source;

pub use crate::keys::development as development_key;
pub use aot::{Compiler, Target};
pub use assets::File;
pub use cargo::{component_command, kernel_command, package_name};
pub use componentize::componentize;
pub use drawing::svg;
pub use image::{image, image_of};
pub use kernel::features as kernel_features;
pub use language::Language;
pub use source::Source;

use crate::setup::{self, Group, Toolchain};
use crate::system::{self, BoxSpec, Description, Diagnostic, Report, Routes, System};
use crate::workspace::Workspace;
use anyhow::{Context, Result, anyhow, bail};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use wasm_host::plan::Plan;

/// A system whose components are built and fit together.
pub struct Components {
    pub system: System,
    /// The folder of the system's file.
    pub base: PathBuf,
    pub routes: Routes,
    /// By the name that [`BoxSpec::component_name`](crate::system::BoxSpec::component_name) gives.
    pub components: BTreeMap<String, Component>,
}

pub struct Component {
    pub binary: Vec<u8>,
    pub description: Description,
}

impl Components {
    /// What a node runs, as that version.
    pub fn plan(&self, version: u64) -> Plan {
        system::plan(&self.system, &self.routes, &descriptions(&self.components), version)
    }
}

fn descriptions(components: &BTreeMap<String, Component>) -> BTreeMap<String, Description> {
    components.iter().map(|(name, component)| (name.clone(), component.description.clone())).collect()
}

/// The file of a system that is given as a folder or a file.
pub fn system_file(path: &Path) -> PathBuf {
    if path.is_dir() { path.join("system.toml") } else { path.to_path_buf() }
}

/// Reads a system's declaration.
pub fn parse(path: &Path) -> Result<System> {
    let file = system_file(path);
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    System::parse(&file.display().to_string(), &text).map_err(|faults| report(&faults))
}

/// Builds the components of a system, and checks them against its declaration.
pub fn components(path: &Path) -> Result<Components> {
    components_with(path, None)
}

/// The same, with a component for one box that is not the declared one.
pub fn components_with(path: &Path, other: Option<(&str, &Path)>) -> Result<Components> {
    let system = parse(path)?;
    check_settings(&system)?;
    let base = system_file(path).parent().map(Path::to_path_buf).unwrap_or_default();
    let missing = assets::missing(&system, &base);
    if !missing.is_empty() {
        return Err(report(&missing));
    }
    let workspace = Workspace::find()?;
    let components = build_components(&system, &base, &workspace, other)?;
    let routes = system::check(&system, &descriptions(&components)).map_err(|faults| report(&faults))?;
    if !routes.warnings.is_empty() {
        eprint!("{}", Report(&routes.warnings));
    }
    Ok(Components { system, base, routes, components })
}

/// The settings of system boxes are read as the boxes will read them: a fault is known before the box finds it.
fn check_settings(system: &System) -> Result<()> {
    let mut faults = Vec::new();
    for spec in &system.boxes {
        let settings = spec.config.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let found = match spec.component_name().as_str() {
            "site" => pearwood_site::Settings::read(settings).err(),
            "http" => pearwood_http::Config::read(settings).err(),
            "control" => {
                if let Err(why) = control::Config::read(settings) {
                    bail!("{}:{}: box `{}`: {why}", system.source.file, spec.at.line, spec.name);
                }
                None
            }
            _ => None,
        };
        for fault in found.into_iter().flatten() {
            // of a table, the first setting in it
            let of_fault =
                |key: &str| key.strip_prefix(&fault.key).is_some_and(|rest| matches!(rest.as_bytes(), [] | [b'.', ..]));
            let at = spec.config.iter().position(|(key, _)| of_fault(key)).map_or(spec.at, |at| spec.config_at[at]);
            faults.push(system.diagnostic(at, format!("box `{}`: {fault}", spec.name)).of_box(&spec.name));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(report(&faults)) }
}

fn report(faults: &[Diagnostic]) -> anyhow::Error {
    anyhow!("the system is not sound\n\n{}", Report(faults))
}

fn build_components(
    system: &System,
    base: &Path,
    workspace: &Workspace,
    other: Option<(&str, &Path)>,
) -> Result<BTreeMap<String, Component>> {
    let mut sources = BTreeMap::new();
    let other = other.map(|(name, path)| Ok::<_, anyhow::Error>((component_of(system, name)?, path))).transpose()?;
    for spec in &system.boxes {
        let [name] = spec.component.as_slice() else {
            bail!(
                "{}:{}: box `{}`: several components in one box are not supported yet",
                system.source.file,
                spec.component_at.line,
                spec.name
            );
        };
        let source = match &other {
            Some((swapped, path)) if swapped == name => Ok(Source::Wasm(path.to_path_buf())),
            _ => Source::resolve(name, base, workspace),
        };
        let source = source
            .with_context(|| format!("{}:{}: box `{}`", system.source.file, spec.component_at.line, spec.name))?;
        sources.insert(name.clone(), source);
    }
    let modules = build_sources(&sources, workspace)?;
    let mut components = BTreeMap::new();
    for (name, path) in modules {
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let binary = componentize(&bytes).with_context(|| format!("component `{name}` ({})", path.display()))?;
        let description = system::describe(&binary).with_context(|| format!("component `{name}`"))?;
        components.insert(name, Component { binary, description });
    }
    Ok(components)
}

/// The name of the component that a box alone has.
fn component_of(system: &System, box_name: &str) -> Result<String> {
    let Some(spec) = system.find(box_name) else {
        let names: Vec<&str> = system.boxes.iter().map(|spec| spec.name.as_str()).collect();
        bail!("there is no box `{box_name}` in {}; there are {}", system.source.file, names.join(", "));
    };
    let same = system.boxes.iter().find(|other| other.name != box_name && other.component == spec.component);
    if let Some(same) = same {
        let name = spec.component_name();
        bail!("box `{}` has the component `{name}` as well as `{box_name}`: both would be swapped", same.name);
    }
    Ok(spec.component_name())
}

/// The files with the modules or components, by name.
fn build_sources(sources: &BTreeMap<String, Source>, workspace: &Workspace) -> Result<BTreeMap<String, PathBuf>> {
    let mut toolchain = None;
    let mut build = |folder: &Path| {
        let toolchain = match &toolchain {
            Some(ready) => ready,
            None => toolchain.insert(ready_toolchain()?),
        };
        cargo::component(workspace, toolchain, folder)
    };
    let file = |source: &Source| match source {
        Source::SystemBox(name) => build(&workspace.component(name)),
        Source::Folder(folder) => build(folder),
        Source::Foreign(language, folder) => language::build(*language, folder, workspace),
        Source::Wasm(path) => Ok(path.clone()),
    };
    let files: Vec<PathBuf> = sources.values().map(file).collect::<Result<_>>()?;
    Ok(sources.keys().cloned().zip(files).collect())
}

/// The toolchain for the targets, set up first if need be.
pub fn ready_toolchain() -> Result<Toolchain> {
    setup::ensure(Group::Build)?;
    Toolchain::find().context("there is no Rust toolchain with the targets")
}

/// Builds the kernel with features of its crate.
pub fn kernel(features: &[&str]) -> Result<PathBuf> {
    kernel::build(&Workspace::find()?, &ready_toolchain()?, features)
}

/// The files of a box, as they will be in the image. `base` is the folder of the system's file.
pub fn assets_of(system: &System, spec: &BoxSpec, base: &Path) -> Result<Vec<File>> {
    assets::gather(system, spec, base, &Workspace::find()?)
}

/// This program, built for this machine.
pub fn own_command() -> Result<PathBuf> {
    cargo::own_command(&Workspace::find()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each fault is at its line, whatever box it is of, and all are told at once.
    #[test]
    fn settings_of_system_boxes_are_checked() {
        let text = "[system]\nname = \"s\"\n[box.w]\ncomponent = \"http\"\n[box.w.config]\nrules = [\n    { path = \"/a\", \
            redirect = \"/b\" },\n    { path = \"/c\", redirect = \"/d/*\" },\n    { path = \"/e\" },\n]\n[box.s]\ncomponent = \
            \"site\"\n[box.s.config]\nindex = \"index.html\"\nclean-urls = \"yes\"\n[box.o]\ncomponent = \
            \"./other\"\nconfig.index = \"a/b\"\n";
        let system = System::parse("system.toml", text).unwrap();
        let told = check_settings(&system).unwrap_err().to_string();
        for part in [
            "box `w`: config.rules.1.redirect: it has a *, and the path has none\n --> system.toml:8:",
            "box `w`: config.rules.2: the rule says nothing\n --> system.toml:9:",
            "box `s`: config.clean-urls = \"yes\": true or false is meant\n  --> system.toml:15:",
            "3 errors",
        ] {
            assert!(told.contains(part), "{part} in {told}");
        }
    }
}
