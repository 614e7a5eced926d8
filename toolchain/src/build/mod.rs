//! From a system's file to what a node runs.

mod aot;
mod assets;
mod cargo;
mod componentize;
mod compress;
mod crypto;
mod drawing;
mod fresh;
pub mod fuse;
mod image;
mod kernel;
pub mod language;
mod settings;
mod source;

pub use crate::keys::development as development_key;
pub use aot::{Compiler, Target};
pub use assets::{Content, File};
pub use cargo::{component_command, kernel_command, package_name};
pub use componentize::componentize;
pub use drawing::svg;
pub use image::{Packed, image, image_of, install, pack};
pub use kernel::features as kernel_features;
pub use language::Language;
pub use settings::faults as setting_faults;
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
    let base = system_file(path).parent().map(Path::to_path_buf).unwrap_or_default();
    let faults = [settings::faults(&system), assets::missing(&system, &base)].concat();
    if !faults.is_empty() {
        return Err(report(&faults));
    }
    let workspace = Workspace::find()?;
    let components = build_components(&system, &base, &workspace, other)?;
    let too_small = settings::too_small(&system, &components);
    if !too_small.is_empty() {
        return Err(report(&too_small));
    }
    let mut routes = system::check(&system, &descriptions(&components)).map_err(|faults| report(&faults))?;
    settings::grant_keys(&system, &mut routes);
    if !routes.warnings.is_empty() {
        eprint!("{}", Report(&routes.warnings));
    }
    Ok(Components { system, base, routes, components })
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
    let place = |spec: &BoxSpec| format!("{}:{}: box `{}`", system.source.file, spec.component_at.line, spec.name);
    let takes_place = |spec: &&BoxSpec| other.as_ref().is_some_and(|(swapped, _)| *swapped == spec.component_name());
    for spec in system.boxes.iter().filter(|spec| !takes_place(spec)) {
        for name in &spec.component {
            let source = Source::resolve(name, base, workspace).with_context(|| place(spec))?;
            sources.insert(name.clone(), source);
        }
    }
    let read = |name: &str, path: &Path| {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        componentize(&bytes).with_context(|| format!("component `{name}` ({})", path.display()))
    };
    let mut parts = BTreeMap::new();
    for (name, path) in build_sources(&sources, workspace)? {
        let binary = read(&name, &path)?;
        parts.insert(name, binary);
    }
    let mut components = BTreeMap::new();
    for spec in &system.boxes {
        let name = spec.component_name();
        if components.contains_key(&name) {
            continue;
        }
        let binary = match (&other, spec.component.as_slice()) {
            (Some((swapped, path)), _) if *swapped == name => read(&name, path)?,
            (_, [alone]) => parts[alone].clone(),
            (_, several) => {
                let several: Vec<_> = several.iter().map(|part| (part.as_str(), parts[part].as_slice())).collect();
                fuse::fuse(&several).with_context(|| place(spec))?
            }
        };
        let description = system::describe(&binary).with_context(|| format!("component `{name}`"))?;
        components.insert(name, Component { binary, description });
    }
    Ok(components)
}

/// The name of the component that a box alone has. Of several that are joined it is the name of the whole.
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
