//! Every import has an arrow, or needs none.

use super::{Check, Kind, provides};
use crate::system::description::{Description, Interface};
use crate::system::given::{find_given, given};
use crate::system::grant::{Grant, Ports, Remote, plain};
use crate::system::known::{KEYVALUE, NAMES, OPTIONAL};
use crate::system::model::Target;
use crate::system::{BoxSpec, InterfaceName, suggest};
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use wasm_host::arrows::Protocol;
use wasm_host::plan::grant::Host;

fn is_optional(spec: &BoxSpec, name: &InterfaceName) -> bool {
    OPTIONAL.iter().any(|(component, path)| *path == name.path() && spec.component.iter().any(|it| it == component))
}

impl Check<'_> {
    pub(super) fn imports(&mut self, spec: &BoxSpec, description: &Description) {
        for import in &description.imports {
            self.import(spec, import);
        }
    }

    fn import(&mut self, spec: &BoxSpec, import: &Interface) {
        let Some(name) = import.parsed() else {
            let message =
                format!("box `{}` imports `{}`, which is not an interface of a package", spec.name, import.name);
            let fault = self.fault(spec, spec.component_at, message);
            fault.interface = Some(import.name.clone());
            fault.help = Some("put it into an interface of a WIT package, so that an arrow can name it".into());
            return;
        };
        let kind = Kind::of(&name);
        let is_own = name.package().starts_with("pearwood:");
        if is_own
            && matches!(kind, Kind::Own | Kind::Control | Kind::Device(_) | Kind::Lent)
            && !import.functions.is_empty()
        {
            self.of_the_node(spec, &name, import);
        }
        let needs_arrow = match (kind, &import.protocol) {
            (_, Some(declared)) => declared.client,
            (Kind::Own | Kind::Face | Kind::Lent, None) => false,
            (Kind::Control, None) => true,
            // types alone give no power
            (Kind::Device(_) | Kind::Protocol(_) | Kind::Other, None) => !import.functions.is_empty(),
        };
        let mut declared = spec.arrows.iter().map(|arrow| &arrow.interface).chain(&spec.nobody);
        if !needs_arrow || declared.any(|interface| interface.compatible(&name)) {
            return;
        }
        match (&import.protocol, self.system.position(&spec.name)) {
            (Some(declared), Some(index)) if kind == Kind::Protocol(NAMES) && !self.looks_up(spec, &name) => {
                // a port that leads nowhere
                self.client(index, import, Protocol::new(import.track(), declared.kinds));
            }
            (None, Some(index)) if is_optional(spec, &name) => match self.listener(spec) {
                None => self.routes.boxes[index].nobody.push(import.name.clone()),
                Some((other, ports)) => {
                    self.missing_arrow(spec, &name, kind);
                    if let Some(fault) = self.faults.last_mut() {
                        fault.notes.push(format!("box `{other}` listens at it, at port {ports}"));
                    }
                }
            },
            _ => self.missing_arrow(spec, &name, kind),
        }
    }

    /// Whether the box may connect to hosts by name at a box that looks names up. One that may not, or whose connections are made
    /// by another box from the name, needs no arrow for looking names up.
    fn looks_up(&self, spec: &BoxSpec, names: &InterfaceName) -> bool {
        let providers = self.providers(spec, names);
        spec.arrows.iter().any(|arrow| match (&arrow.target, &arrow.grant) {
            (Target::Box(target), Grant::Net(grant)) => {
                let by_name = |remote: &Remote| !matches!(remote.host, Host::Network { .. });
                providers.contains(&target.as_str()) && plain(&grant.connect).iter().any(by_name)
            }
            _ => false,
        })
    }

    /// A box that listens at this one, and where.
    fn listener(&self, spec: &BoxSpec) -> Option<(String, Ports)> {
        let all = self.system.boxes.iter().flat_map(|other| other.arrows.iter().map(move |arrow| (other, arrow)));
        all.filter(|(_, arrow)| matches!(&arrow.target, Target::Box(name) if *name == spec.name)).find_map(
            |(other, arrow)| match &arrow.grant {
                Grant::Net(grant) => Some((other.name.clone(), grant.listen.first()?.value)),
                _ => None,
            },
        )
    }

    fn missing_arrow(&mut self, spec: &BoxSpec, name: &InterfaceName, kind: Kind) {
        let message = format!("box `{}` imports `{name}` and has no arrow for it", spec.name);
        let other_version = spec.arrows.iter().find(|arrow| arrow.interface.path() == name.path());
        let arrow = match kind {
            Kind::Device(class) => format!("{{ device = \"{class}0\" }}"),
            Kind::Control => "{ node = true }".into(),
            _ => {
                let provider = self.providers(spec, name).first().copied().unwrap_or("…");
                let bucket = if kind == Kind::Protocol(KEYVALUE) { ", bucket = \"…\"" } else { "" };
                format!("{{ box = \"{provider}\"{bucket} }}")
            }
        };
        let fault = self.fault(spec, spec.at, message);
        fault.interface = Some(name.to_string());
        fault.help = Some(match other_version {
            Some(arrow) => format!("the arrow for `{}` is for another version", arrow.interface),
            None if name.package() == "wasi:http" => {
                format!("add arrows.\"{}\" = {arrow}, or [] if it is to ask nobody", name.path())
            }
            None => format!("add arrows.\"{}\" = {arrow}", name.path()),
        });
    }

    /// The names of other boxes that provide an interface.
    pub(super) fn providers(&self, spec: &BoxSpec, name: &InterfaceName) -> Vec<&str> {
        let provides = |description: &Description| provides(description, name) || description.export(name).is_some();
        let boxes = self.system.boxes.iter().zip(&self.described);
        boxes
            .filter(|(other, description)| other.name != spec.name && description.is_some_and(provides))
            .map(|(other, _)| other.name.as_str())
            .collect()
    }

    /// Holds an import against the node's own interface of that name.
    fn of_the_node(&mut self, spec: &BoxSpec, name: &InterfaceName, import: &Interface) {
        let Some(given) = find_given(name) else {
            let message = format!("box `{}` imports `{name}`, which the node does not have", spec.name);
            let own = given().iter().map(Interface::path).filter(|path| path.starts_with(name.package()));
            let fault = self.fault(spec, spec.component_at, message);
            fault.interface = Some(name.to_string());
            fault.help = suggest::help(name.path(), own);
            return;
        };
        let own = &given.name;
        if given.parsed().is_some_and(|own| !own.compatible(name)) {
            let version = own.split_once('@').map_or("", |(_, version)| version);
            let message = format!("box `{}` imports `{name}`, and the node has version {version}", spec.name);
            let fault = self.fault(spec, spec.component_at, message);
            fault.interface = Some(name.to_string());
            fault.help = Some("build the component against this version's `wit` folder".into());
            return;
        }
        // a protocol's records are told apart by its version
        let unfit = if import.protocol.is_some() { Vec::new() } else { super::types::unlike(given, import) };
        if unfit.is_empty() {
            return;
        }
        let message = format!("box `{}` imports `{name}` which the node's `{own}` does not fit", spec.name);
        let fault = self.fault(spec, spec.component_at, message);
        fault.interface = Some(name.to_string());
        fault.notes = unfit;
        fault.help = Some("build the component against this version's `wit` folder".into());
    }
}
