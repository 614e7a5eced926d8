//! Every arrow is for an import, and leads to a box that provides it.

use super::{Check, Kind, attach, provides, types};
use crate::system::description::{Declaration, Description, Interface};
use crate::system::grant::{Grant, Setting};
use crate::system::known::{self, CALLER, HANDLER, HANDLER_VERSION, KEYVALUE, SERVICE_FACES};
use crate::system::model::Target;
use crate::system::routes::{CallRoute, DeviceRoute};
use crate::system::{Arrow, BoxSpec, InterfaceName, suggest};
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use wasm_host::arrows::Protocol;
use wasm_host::plan::{MAX_ATTACH, MAX_ENTRIES};

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
                if Kind::of(&arrow.interface) == Kind::Lent {
                    let names = imports.iter().map(|import| import.name.clone());
                    self.routes.boxes[index].lent.extend(names);
                    return;
                }
                let Grant::Control(grant) = &arrow.grant else { return };
                for import in imports {
                    let Some(declared) = import.protocol.as_ref().filter(|declared| declared.client) else { continue };
                    let protocol = Protocol::new(import.track(), declared.kinds);
                    self.client(index, import, protocol).node = Some(grant.upload);
                }
            }
            Target::Device(device) | Target::Volume(device) => {
                for import in imports {
                    let Some(declared) = import.protocol.as_ref().filter(|declared| declared.client) else { continue };
                    let sectors = match &arrow.grant {
                        Grant::Block(grant) => Some(grant.value),
                        _ => None,
                    };
                    let protocol = Protocol::new(import.track(), declared.kinds);
                    let devices = &mut self.client(index, import, protocol).devices;
                    let is_volume = matches!(arrow.target, Target::Volume(_));
                    devices.push(DeviceRoute { device: device.clone(), is_volume, sectors });
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
                // that it is not there was said already
                let Some(description) = self.described[target] else { return };
                for import in imports {
                    let kind = Kind::of(&arrow.interface);
                    match &import.protocol {
                        Some(declared) if !declared.client => self.not_client(spec, arrow),
                        Some(declared) => self.protocol(index, target, import, declared, description, arrow),
                        None if matches!(kind, Kind::Protocol(HANDLER)) => {
                            self.requests_to(index, target, import, description, arrow);
                        }
                        None if matches!(kind, Kind::Protocol(KEYVALUE)) => {
                            self.bucket_of(index, target, import, description, arrow);
                        }
                        None => self.call(index, target, import, description, arrow),
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

    fn not_client(&mut self, spec: &BoxSpec, arrow: &Arrow) {
        let interface = &arrow.interface;
        let message = format!("box `{}` has an arrow for `{interface}`, whose service its component is", spec.name);
        let help = "the arrows of a service are declared by its clients: delete this line";
        self.arrow_fault(spec, arrow, arrow.at, message).help = Some(help.into());
    }

    fn protocol(
        &mut self,
        index: usize,
        target: usize,
        import: &Interface,
        declared: &Declaration,
        description: &Description,
        arrow: &Arrow,
    ) {
        let (spec, other) = (&self.system.boxes[index], &self.system.boxes[target]);
        let name = import.parsed();
        if !name.as_ref().is_some_and(|name| provides(description, name)) {
            let path = arrow.interface.path();
            let faces = if path == HANDLER { SERVICE_FACES } else { &[] };
            let needed: Vec<String> = core::iter::once(format!("import `{path}` and call `service`"))
                .chain(faces.iter().map(|(path, version)| format!("export `{path}@{version}`")))
                .collect();
            let note = format!("to provide it, a component has to {}", needed.join(" or "));
            self.not_provided(index, target, arrow).notes.push(note);
            return;
        }
        let service = name.as_ref().and_then(|name| description.import(name)).and_then(|it| it.protocol.as_ref());
        let misfits = service.map(|service| declared.misfits(service)).unwrap_or_default();
        if !misfits.is_empty() {
            let message = format!(
                "box `{}`: its arrow `{}` does not fit what box `{}` provides",
                spec.name, arrow.interface, other.name
            );
            self.arrow_fault(spec, arrow, arrow.at, message).notes = misfits;
            return;
        }
        let attach = match &arrow.grant {
            Grant::Http(grant) => grant.encode(),
            Grant::Store(grant) => grant.encode(),
            Grant::Attach(settings) => {
                // whichever of both knows more
                let fields = [declared.attach.as_deref(), service.and_then(|service| service.attach.as_deref())];
                let fields = fields.into_iter().flatten().max_by_key(|fields| fields.len()).unwrap_or_default();
                match attach::pack(fields, settings) {
                    Ok(attach) => attach,
                    Err((_, why)) => {
                        let message = format!("box `{}`: its arrow `{}`: {why}", spec.name, arrow.interface);
                        let known: Vec<String> = fields.iter().map(|f| format!("{}: {}", f.name, f.ty)).collect();
                        let fault = self.arrow_fault(spec, arrow, arrow.at, message);
                        if !known.is_empty() {
                            fault.notes.push(format!("`attach` is declared as {{ {} }}", known.join(", ")));
                        }
                        return;
                    }
                }
            }
            _ => Vec::new(),
        };
        self.join(index, import, Protocol::new(import.track(), declared.kinds), target, attach, arrow);
    }

    /// A face of WASI as the client.
    fn requests_to(
        &mut self,
        index: usize,
        target: usize,
        import: &Interface,
        description: &Description,
        arrow: &Arrow,
    ) {
        let handler = known::handler();
        if !InterfaceName::parse(&format!("{HANDLER}@{HANDLER_VERSION}.0"))
            .is_some_and(|name| provides(description, &name))
        {
            self.not_provided(index, target, arrow);
            return;
        }
        let attach = match &arrow.grant {
            Grant::Http(grant) => grant.encode(),
            _ => Vec::new(),
        };
        self.join(index, import, handler, target, attach, arrow);
    }

    /// `wasi:keyvalue` as the client.
    fn bucket_of(&mut self, index: usize, target: usize, import: &Interface, description: &Description, arrow: &Arrow) {
        let protocol = known::spoken(KEYVALUE);
        if !provides(description, &arrow.interface) {
            self.not_provided(index, target, arrow);
            return;
        }
        // what names no bucket was refused when it was read
        let Grant::Store(grant) = &arrow.grant else { return };
        let name = import.parsed();
        if name.is_none_or(|name| name.version.is_none_or(|it| it.to_string() != known::STORE_FACE_VERSION)) {
            let spec = &self.system.boxes[index];
            let message = format!(
                "box `{}` imports `{}`, and the node has version {}",
                spec.name,
                import.name,
                known::STORE_FACE_VERSION
            );
            let help = "build the component against that version, a draft: its texts are in `wit/deps/wasi-keyvalue`";
            self.arrow_fault(spec, arrow, arrow.at, message).help = Some(help.into());
            return;
        }
        let same = |other: &&Arrow| matches!(&other.grant, Grant::Store(it) if it.bucket == grant.bucket);
        let spec = &self.system.boxes[index];
        let first = spec.arrows.iter().filter(|other| other.interface.compatible(&arrow.interface)).find(same);
        if let Some(first) = first.filter(|first| !core::ptr::eq(*first, arrow)) {
            let message = format!(
                "box `{}` has two arrows to a bucket `{}`, which it cannot tell apart",
                spec.name, grant.bucket
            );
            let note = format!("line {} leads to the first", first.target_at.line);
            let fault = self.arrow_fault(spec, arrow, arrow.target_at, message);
            fault.notes.push(note);
            fault.help = Some("give one of the buckets another name, or delete an arrow".into());
            return;
        }
        self.join(index, import, protocol, target, grant.encode(), arrow);
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
        let first = spec.arrows.iter().find(|other| other.interface.compatible(&arrow.interface));
        if let Some(first) = first.filter(|first| !core::ptr::eq(*first, arrow)) {
            let message = format!("box `{}` calls `{}`, which can lead to one box only", spec.name, import.name);
            let note = format!("line {} leads to another first", first.target_at.line);
            self.arrow_fault(spec, arrow, arrow.target_at, message).notes.push(note);
            return;
        }
        let settings: &[(String, Setting)] = if let Grant::Attach(settings) = &arrow.grant { settings } else { &[] };
        if let Some((name, _)) = settings.first().filter(|_| !description.imports_path(CALLER)) {
            let message = format!(
                "box `{}`: its arrow `{}`: `{name}` means nothing, as box `{}` does not look at what arrows say",
                spec.name, arrow.interface, other.name
            );
            let fault = self.arrow_fault(spec, arrow, arrow.at, message);
            fault.notes.push(format!("a component that does imports `{CALLER}`"));
            fault.help = Some("delete it".into());
            return;
        }
        // it would be as if it were not there
        if let Some((name, _)) = settings.iter().find(|(_, value)| *value == Setting::List(Vec::new())) {
            let message = format!("box `{}`: its arrow `{}`: {name} = [] says nothing", spec.name, arrow.interface);
            self.arrow_fault(spec, arrow, arrow.at, message).help =
                Some(format!("delete the arrow, or say what `{name}` are"));
            return;
        }
        let words: Vec<(String, String)> = settings.iter().flat_map(|(key, value)| value.words(key)).collect();
        let bytes: usize = words.iter().map(|(key, value)| key.len() + value.len()).sum();
        if words.len() > MAX_ENTRIES || bytes > MAX_ATTACH {
            let message = format!("box `{}`: its arrow `{}` says too much", spec.name, arrow.interface);
            let note = format!("an arrow says at most {MAX_ENTRIES} values, and {MAX_ATTACH} bytes");
            self.arrow_fault(spec, arrow, arrow.at, message).notes.push(note);
            return;
        }
        let misfits = types::misfits(import, export);
        if misfits.is_empty() {
            let (interface, export) = (import.name.clone(), export.name.clone());
            let route = CallRoute { interface, box_index: target, export, words };
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
        let providers = self.providers(spec, interface);
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
