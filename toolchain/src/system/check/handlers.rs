//! What a box whose exports the node calls can be, and what only such a box can import.

use super::{Check, Kind};
use crate::system::known::{COMMAND, HANDLER, HANDOVER, KEYVALUE, SERVICE, SERVICE_FACES, has_version};
use crate::system::routes::Provider;
use crate::system::{BoxSpec, Description, InterfaceName};
use alloc::{format, string::String};

/// Where a box waits by itself.
const PORTS: &str = "pearwood:box/ports";

impl Check<'_> {
    pub(super) fn handlers(&mut self) {
        let system = self.system;
        for (index, spec) in system.boxes.iter().enumerate() {
            let Some(description) = self.described[index] else { continue };
            let export = self.routes.boxes[index].services.iter().find_map(|service| match &service.provider {
                Provider::Export(export) => Some(export.clone()),
                Provider::Port => None,
            });
            match export {
                Some(export) => self.handler(spec, description, &export),
                None => self.no_handler(spec, description),
            }
        }
    }

    /// The node gives a handler its turn for each request, so it has no other.
    fn handler(&mut self, spec: &BoxSpec, description: &Description, export: &str) {
        if description.exports_path(SERVICE) {
            let message = format!("box `{}` exports both `{export}` and `{SERVICE}`", spec.name);
            let help = "the node calls a handler for each request, and a `run` once: make two boxes of it";
            self.handler_fault(spec, export, message, help.into());
        }
        let is_pooled = InterfaceName::parse(export).is_some_and(|name| has_version(&name, "0.2"));
        if is_pooled && description.exports_path(HANDOVER) {
            let message = format!("box `{}` exports both `{export}` and `{HANDOVER}`", spec.name);
            let help = "such a box has instances as it needs them, and none has a state of all: keep it in another box";
            self.handler_fault(spec, HANDOVER, message, help.into());
        }
        for import in &description.imports {
            let Some(name) = import.parsed() else { continue };
            let of_a_service = match Kind::of(&name) {
                Kind::Control => true,
                _ => import.protocol.is_some() || name.path() == PORTS,
            };
            if of_a_service {
                let message = format!("box `{}` exports `{export}` and imports `{}`", spec.name, import.name);
                let help = format!(
                    "the node calls a handler for each request; `{}` is for boxes that wait by themselves, and export `{SERVICE}`",
                    name.path()
                );
                self.handler_fault(spec, &import.name, message, help);
            }
        }
    }

    /// The node holds a client's port only where it holds the service's.
    fn no_handler(&mut self, spec: &BoxSpec, description: &Description) {
        if description.exports_path(COMMAND) && !description.exports_path(SERVICE) {
            let message = format!("box `{}` exports `{COMMAND}`, and this node does not run commands", spec.name);
            let help = format!("export `{}`, or `{SERVICE}`", SERVICE_FACES[0].0);
            self.handler_fault(spec, COMMAND, message, help);
        }
        for import in &description.imports {
            let Some(name) = import.parsed() else { continue };
            let Kind::Protocol(protocol @ (HANDLER | KEYVALUE)) = Kind::of(&name) else { continue };
            if import.protocol.is_some() || import.functions.is_empty() {
                continue;
            }
            let message = format!("box `{}` imports `{}` and exports no handler", spec.name, import.name);
            let help = format!("only a box that exports `{}` can; others import `{protocol}`", SERVICE_FACES[0].0);
            self.handler_fault(spec, &import.name, message, help);
        }
    }

    fn handler_fault(&mut self, spec: &BoxSpec, interface: &str, message: String, help: String) {
        let fault = self.fault(spec, spec.component_at, message);
        fault.interface = Some(interface.into());
        fault.help = Some(help);
    }
}
