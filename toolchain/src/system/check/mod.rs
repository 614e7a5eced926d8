//! The route check: every import has an arrow, and every arrow fits.

mod arrows;
mod attach;
mod cycles;
mod grants;
mod handlers;
mod imports;
mod types;

pub(crate) use types::misfits;

use super::description::{Description, Interface};
use super::known::{
    self, COMMAND, HANDLER, HANDLER_VERSION, KEYVALUE, Kind, SERVICE, SERVICE_FACES, STORE_FACE, has_version,
};
use super::routes::{BoxRoutes, End, Peer, Provider, Routes, Run, Service};
use super::{Arrow, BoxSpec, Diagnostic, InterfaceName, Place, Severity, System};
use alloc::{collections::BTreeMap, format, string::String, vec::Vec};
use wasm_host::arrows::{Protocol, channel::MAX_PORTS};

/// Holds a declaration against what its components import and export.
///
/// `descriptions` are found by [`BoxSpec::component_name`].
///
/// # Errors
/// All faults found, in the order of the file.
pub fn check(system: &System, descriptions: &BTreeMap<String, Description>) -> Result<Routes, Vec<Diagnostic>> {
    let described = system.boxes.iter().map(|spec| descriptions.get(&spec.component_name())).collect();
    let mut check = Check { system, described, faults: Vec::new(), routes: Routes::default() };
    check.routes.boxes = (0..system.boxes.len()).map(|index| check.empty_routes(index)).collect();
    for (index, spec) in system.boxes.iter().enumerate() {
        match check.described[index] {
            Some(description) => check.imports(spec, description),
            None => check.not_described(spec),
        }
        for arrow in &spec.arrows {
            check.arrow(index, arrow);
        }
    }
    check.grants();
    check.cycles();
    check.handlers();
    check.idle_boxes();
    check.too_many_ports();
    check.finish()
}

struct Check<'a> {
    system: &'a System,
    /// For each box, by its position.
    described: Vec<Option<&'a Description>>,
    faults: Vec<Diagnostic>,
    /// Grows as arrows are found to fit.
    routes: Routes,
}

impl<'a> Check<'a> {
    fn fault(&mut self, spec: &BoxSpec, place: Place, message: String) -> &mut Diagnostic {
        self.faults.push(self.system.diagnostic(place, message).of_box(&spec.name));
        let last = self.faults.len() - 1;
        &mut self.faults[last]
    }

    fn arrow_fault(&mut self, spec: &BoxSpec, arrow: &Arrow, place: Place, message: String) -> &mut Diagnostic {
        let fault = self.fault(spec, place, message);
        fault.interface = Some(format!("{}", arrow.interface));
        fault
    }

    fn not_described(&mut self, spec: &BoxSpec) {
        let message = format!("box `{}`: there is no component `{}`", spec.name, spec.component_name());
        self.fault(spec, spec.component_at, message);
    }

    /// The ends that a box has whoever its peers are.
    fn empty_routes(&self, index: usize) -> BoxRoutes {
        let description = self.described[index];
        let exports = |path| description.is_some_and(|d| d.exports_path(path));
        let run = match () {
            () if exports(SERVICE) => Run::Service,
            // any program with a `main` exports it beside its handler, which is what it is for
            () if exports(COMMAND) && description.and_then(face).is_none() => Run::Command,
            () => Run::Called,
        };
        let end = |protocol, interface| End { protocol, interface, devices: Vec::new(), node: None, peers: Vec::new() };
        let mut services = Vec::new();
        for import in description.into_iter().flat_map(|description| &description.imports) {
            if let Some(declared) = import.protocol.as_ref().filter(|declared| declared.service) {
                let protocol = Protocol::new(import.track(), declared.kinds);
                services.push(Service { end: end(protocol, import.name.clone()), provider: Provider::Port });
            }
        }
        if let Some(export) = description.and_then(face) {
            let provider = Provider::Export(export.name.clone());
            services.push(Service { end: end(known::handler(), export.name.clone()), provider });
        }
        BoxRoutes { run, clients: Vec::new(), services, calls: Vec::new(), lent: Vec::new(), nobody: Vec::new() }
    }

    /// The port of a client for an import, which is made when its first arrow is found to fit.
    fn client(&mut self, index: usize, import: &Interface, protocol: Protocol) -> &mut End {
        let clients = &mut self.routes.boxes[index].clients;
        let at = clients.iter().position(|end| end.protocol == protocol).unwrap_or_else(|| {
            let interface = import.name.clone();
            clients.push(End { protocol, interface, devices: Vec::new(), node: None, peers: Vec::new() });
            clients.len() - 1
        });
        &mut clients[at]
    }

    /// Joins a client and a service of a protocol.
    fn join(
        &mut self,
        client: usize,
        import: &Interface,
        protocol: Protocol,
        service: usize,
        attach: Vec<u8>,
        arrow: &Arrow,
    ) {
        let client_number = self.client(client, import, protocol.clone()).peers.len() as u32;
        let services = &mut self.routes.boxes[service].services;
        let Some(other) = services.iter_mut().find(|service| service.end.protocol == protocol) else { return };
        let service_number = other.end.peers.len() as u32;
        // each end knows the other by its own numbering, and tells it the number it is known by
        other.end.peers.push(Peer {
            box_index: client,
            number: client_number,
            attach: attach.clone(),
            grant: arrow.grant.clone(),
        });
        let peer = Peer { box_index: service, number: service_number, attach, grant: arrow.grant.clone() };
        self.client(client, import, protocol).peers.push(peer);
    }

    fn idle_boxes(&mut self) {
        let system = self.system;
        for (index, spec) in system.boxes.iter().enumerate() {
            let called = self.routes.boxes[index].services.iter().any(|service| !service.end.peers.is_empty())
                || self.routes.boxes.iter().flat_map(|routes| &routes.calls).any(|call| call.box_index == index);
            let Some(description) = self.described[index] else { continue };
            if self.routes.boxes[index].run != Run::Called || called {
                continue;
            }
            let exports: Vec<&str> = description.exports.iter().map(|export| export.name.as_str()).collect();
            let note = match exports[..] {
                [] => "its component exports nothing".into(),
                _ => format!("its component exports `{}`", exports.join("`, `")),
            };
            let message =
                format!("nothing ever runs box `{}`: no arrow leads to it, and it has no run of its own", spec.name);
            let warning = system.diagnostic(spec.at, message).of_box(&spec.name).note(note).warning();
            self.routes.warnings.push(warning);
        }
    }

    /// `wait` has a flag for each.
    fn too_many_ports(&mut self) {
        for (index, spec) in self.system.boxes.iter().enumerate() {
            let ports = self.routes.boxes[index].ends().count();
            if ports > MAX_PORTS {
                let message = format!("box `{}` has {ports} ports, and a box can have {MAX_PORTS}", spec.name);
                let help = "each protocol that its component uses is a port: make two boxes of it";
                self.fault(spec, spec.component_at, message).help = Some(help.into());
            }
        }
    }

    fn finish(mut self) -> Result<Routes, Vec<Diagnostic>> {
        let (mut errors, warnings): (Vec<_>, Vec<_>) =
            self.faults.into_iter().partition(|fault| fault.severity == Severity::Error);
        self.routes.warnings.extend(warnings);
        let in_order = |faults: &mut Vec<Diagnostic>| faults.sort_by_key(|f| (f.place.line, f.place.column));
        in_order(&mut errors);
        in_order(&mut self.routes.warnings);
        if errors.is_empty() { Ok(self.routes) } else { Err(errors) }
    }
}

/// Whether an export has all functions that an import has, of the same types.
pub fn fits(import: &Interface, export: &Interface) -> bool {
    types::misfits(import, export).is_empty()
}

/// The export by which the node answers requests of [`HANDLER`] for a component that has no port for it.
fn face(description: &Description) -> Option<&Interface> {
    SERVICE_FACES.iter().find_map(|(path, version)| {
        let fits = |name: &InterfaceName| name.path() == *path && has_version(name, version);
        description.exports.iter().find(|export| export.parsed().is_some_and(|name| fits(&name)))
    })
}

/// Whether a component provides a protocol: has a port as its service, or a face of WASI stands for it.
fn provides(description: &Description, protocol: &InterfaceName) -> bool {
    let handles = Kind::of(protocol) == Kind::Protocol(HANDLER);
    // a face of WASI speaks the protocol under another name
    let is_face = handles && protocol.path() != HANDLER;
    let is_service = |import: &Interface| {
        import.protocol.as_ref().is_some_and(|declared| declared.service)
            && import.parsed().is_some_and(|name| match is_face {
                true => name.path() == HANDLER && has_version(&name, HANDLER_VERSION),
                false if protocol.path() == STORE_FACE => name.path() == KEYVALUE,
                false => name.compatible(protocol),
            })
    };
    let answers = handles && face(description).is_some();
    answers || description.imports.iter().any(is_service)
}

#[cfg(test)]
mod tests;
