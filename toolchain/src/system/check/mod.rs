//! The route check: every import has an arrow, and every arrow fits.

mod arrows;
mod cycles;
mod grants;
mod handlers;
mod imports;
mod types;

use super::description::{Description, Interface};
use super::known::{COMMAND, Channel, Faces, Kind, SERVICE, has_version};
use super::routes::{BoxRoutes, End, Peer, Provider, Routes, Run, Service};
use super::{Arrow, BoxSpec, Diagnostic, InterfaceName, Place, Severity, System};
use alloc::{collections::BTreeMap, format, string::String, vec::Vec};

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
            () if exports(COMMAND) => Run::Command,
            () => Run::Called,
        };
        let services = Channel::ALL
            .into_iter()
            .filter_map(|channel| {
                let provider = provider(description?, channel)?;
                Some(Service { end: End { channel, peers: Vec::new() }, provider })
            })
            .collect();
        BoxRoutes {
            run,
            clients: Vec::new(),
            services,
            devices: Vec::new(),
            disks: Vec::new(),
            calls: Vec::new(),
            controls: false,
        }
    }

    /// Joins a client and a service of a channel.
    fn join(&mut self, client: usize, service: usize, channel: Channel, attach: Vec<u8>, arrow: &Arrow) {
        let net = match &arrow.grant {
            super::grant::Grant::Net(net) => Some(net.clone()),
            _ => None,
        };
        let clients = &mut self.routes.boxes[client].clients;
        let at = clients.iter().position(|end| end.channel == channel).unwrap_or_else(|| {
            clients.push(End { channel, peers: Vec::new() });
            clients.len() - 1
        });
        let client_number = clients[at].peers.len() as u32;
        let Some(other) = self.routes.boxes[service].services.iter_mut().find(|s| s.end.channel == channel) else {
            return;
        };
        let service_number = other.end.peers.len() as u32;
        // each end knows the other by its own numbering, and tells it the number it is known by
        other.end.peers.push(Peer {
            box_index: client,
            number: client_number,
            attach: attach.clone(),
            net: net.clone(),
        });
        let peer = Peer { box_index: service, number: service_number, attach, net };
        self.routes.boxes[client].clients[at].peers.push(peer);
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

/// How a component provides a channel, if it does.
fn provider(description: &Description, channel: Channel) -> Option<Provider> {
    if description.imports_path(channel.service()) {
        return Some(Provider::Channel);
    }
    channel.exports().iter().find_map(|(path, version)| {
        let fits = |name: &InterfaceName| name.path() == *path && has_version(name, version);
        let export = description.exports.iter().find(|export| export.parsed().is_some_and(|name| fits(&name)))?;
        Some(Provider::Export(export.name.clone()))
    })
}

#[cfg(test)]
mod tests;
