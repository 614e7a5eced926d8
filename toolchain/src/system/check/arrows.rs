//! Every arrow is for an import, and leads to a box that provides it.

use super::{Check, Kind, provider, types};
use crate::system::description::{Description, Interface};
use crate::system::grant::{At, Grant};
use crate::system::known::{Channel, Faces};
use crate::system::model::Target;
use crate::system::routes::{CallRoute, DeviceRoute, DiskRoute};
use crate::system::{Arrow, BoxSpec, suggest};
use alloc::{format, string::String, vec::Vec};

impl Check<'_> {
    pub(super) fn arrow(&mut self, index: usize, arrow: &Arrow) {
        let system = self.system;
        let spec = &system.boxes[index];
        let imports: Vec<&Interface> = match self.described[index] {
            // the target can still be looked at
            None => Vec::new(),
            Some(description) => {
                let fits = |import: &&Interface| import.parsed().is_some_and(|name| arrow.interface.compatible(&name));
                let imports: Vec<&Interface> = description.imports.iter().filter(fits).collect();
                if imports.is_empty() {
                    self.not_imported(spec, description, arrow);
                }
                imports
            }
        };
        match &arrow.target {
            Target::Node => {
                let controls = Kind::of(&arrow.interface) == Kind::Control && !imports.is_empty();
                self.routes.boxes[index].controls |= controls;
            }
            Target::Device(device) => {
                let names = imports.iter().map(|import| (import.name.clone(), device.clone()));
                let routes = &mut self.routes.boxes[index];
                match arrow.grant {
                    Grant::Block(At { value: grant, .. }) => {
                        routes.disks.extend(names.map(|(interface, device)| DiskRoute { interface, device, grant }));
                    }
                    _ => routes.devices.extend(names.map(|(interface, device)| DeviceRoute { interface, device })),
                }
            }
            Target::Box(name) => {
                let Some(target) = system.position(name) else {
                    self.no_such_box(spec, arrow, name);
                    return;
                };
                if target == index {
                    let message = format!("box `{name}`: its arrow `{}` leads back to itself", arrow.interface);
                    self.arrow_fault(spec, arrow, arrow.target_at, message);
                    return;
                }
                match (Kind::of(&arrow.interface), self.described[target]) {
                    // said already
                    (_, None) => {}
                    (Kind::Channel(channel), Some(description)) => {
                        self.channel(index, target, channel, description, arrow, !imports.is_empty());
                    }
                    (_, Some(description)) => {
                        for import in imports {
                            self.call(index, target, import, description, arrow);
                        }
                    }
                }
            }
        }
    }

    fn not_imported(&mut self, spec: &BoxSpec, description: &Description, arrow: &Arrow) {
        let interface = &arrow.interface;
        let message =
            format!("box `{}` has an arrow for `{interface}`, which its component does not import", spec.name);
        let paths = || description.imports.iter().map(Interface::path);
        let other_version = description.imports.iter().find(|import| import.path() == interface.path());
        let help: Option<String> = if let Some(import) = other_version {
            Some(format!("it imports `{}`", import.name))
        } else if let Some(near) = suggest::nearest(interface.path(), paths()) {
            Some(format!("did you mean `{near}`?"))
        } else if description.exports_path(interface.path()) {
            Some("it exports it; the arrow belongs to the boxes that import it".into())
        } else {
            Some("delete the arrow: a box has none that it does not need".into())
        };
        self.arrow_fault(spec, arrow, arrow.at, message).help = help;
    }

    fn no_such_box(&mut self, spec: &BoxSpec, arrow: &Arrow, name: &str) {
        let message =
            format!("box `{}`: its arrow `{}` leads to box `{name}`, which does not exist", spec.name, arrow.interface);
        let others = self.system.boxes.iter().map(|other| other.name.as_str()).filter(|other| *other != spec.name);
        let help = suggest::help(name, others);
        self.arrow_fault(spec, arrow, arrow.target_at, message).help = help;
    }

    fn channel(
        &mut self,
        index: usize,
        target: usize,
        channel: Channel,
        description: &Description,
        arrow: &Arrow,
        imported: bool,
    ) {
        if provider(description, channel).is_none() {
            let needed: Vec<String> = core::iter::once(format!("import `{}`", channel.service()))
                .chain(channel.exports().iter().map(|(path, version)| format!("export `{path}@{version}`")))
                .collect();
            let note = format!("to provide it, a component has to {}", needed.join(" or "));
            self.not_provided(index, target, arrow).notes.push(note);
        } else if imported {
            let attach = match &arrow.grant {
                Grant::Http(grant) => grant.encode(),
                _ => Vec::new(),
            };
            self.join(index, target, channel, attach, arrow);
        }
    }

    fn call(&mut self, index: usize, target: usize, import: &Interface, description: &Description, arrow: &Arrow) {
        let system = self.system;
        let (spec, other) = (&system.boxes[index], &system.boxes[target]);
        let export = import.parsed().and_then(|name| description.export(&name));
        let Some(export) = export else {
            let versions: Vec<&str> = description
                .exports
                .iter()
                .filter(|export| export.path() == import.path())
                .map(|export| export.name.as_str())
                .collect();
            let fault = self.not_provided(index, target, arrow);
            if !versions.is_empty() {
                fault.notes.push(format!("it exports `{}`; `{}` is needed", versions.join("`, `"), import.name));
            }
            return;
        };
        let misfits = types::misfits(import, export);
        if misfits.is_empty() {
            let route = CallRoute { interface: import.name.clone(), box_index: target, export: export.name.clone() };
            self.routes.boxes[index].calls.push(route);
            return;
        }
        let message = format!(
            "box `{}`: its arrow `{}` does not fit what box `{}` exports",
            spec.name, arrow.interface, other.name
        );
        self.arrow_fault(spec, arrow, arrow.at, message).notes = misfits;
    }

    fn not_provided(&mut self, index: usize, target: usize, arrow: &Arrow) -> &mut crate::system::Diagnostic {
        let system = self.system;
        let (spec, other) = (&system.boxes[index], &system.boxes[target]);
        let interface = &arrow.interface;
        let providers = self.providers(spec, interface, Kind::of(interface));
        let help = match providers[..] {
            [] => None,
            [one] => Some(format!("box `{one}` provides it")),
            _ => Some(format!("boxes `{}` provide it", providers.join("`, `"))),
        };
        let message = format!(
            "box `{}`: its arrow `{interface}` leads to box `{}`, which does not provide it",
            spec.name, other.name
        );
        let fault = self.arrow_fault(spec, arrow, arrow.target_at, message);
        fault.help = help;
        fault
    }
}
