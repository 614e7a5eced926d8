//! The plan of a declaration that has passed the check: what a node runs.

use super::{
    Description, InterfaceName, System, Target,
    description::{Function, Interface},
    known::{Channel, HANDOVER, Kind},
    routes::{BoxRoutes, Provider, Routes, Run},
};
use alloc::{collections::BTreeMap, format, string::String, vec::Vec};
use wasm_host::{
    arrows::channel::End,
    engine,
    plan::{self, ArrowPlan, BoxPlan, CallPlan, ExportPlan, Kinds, Plan, PortOf, PortPlan, ProtocolPlan, Service},
};

/// The plan of a system, of that version.
pub fn plan(system: &System, routes: &Routes, descriptions: &BTreeMap<String, Description>, version: u64) -> Plan {
    let mut planner = Planner { protocols: Vec::new(), system, routes };
    let boxes: Vec<BoxPlan> = (0..system.boxes.len()).map(|place| planner.one_box(place, descriptions)).collect();
    let arrows = planner.arrows(&boxes);
    let disk = system.disk.as_ref();
    let trust = system.trust.as_ref();
    Plan {
        system: system.name.clone(),
        version,
        disk: disk.map(|disk| plan::SystemDisk { device: disk.device.clone(), reserve: disk.reserve }),
        trust: trust.map(|trust| trust.iter().map(|trusted| trusted.key).collect()),
        protocols: planner.protocols,
        boxes,
        arrows,
    }
}

struct Planner<'a> {
    protocols: Vec<ProtocolPlan>,
    system: &'a System,
    routes: &'a Routes,
}

impl Planner<'_> {
    fn one_box(&mut self, place: usize, descriptions: &BTreeMap<String, Description>) -> BoxPlan {
        let (spec, routes) = (&self.system.boxes[place], &self.routes.boxes[place]);
        let none = Description::default();
        let description = descriptions.get(&spec.component_name()).unwrap_or(&none);
        let controls = spec.arrows.iter().find_map(|arrow| match arrow.grant {
            super::grant::Grant::Control(grant) => Some(grant.upload),
            _ => None,
        });
        let exports = description.exports.iter().filter(|export| is_other(export));
        BoxPlan {
            name: spec.name.clone(),
            component: spec.component.clone(),
            engine: engine_of(description),
            memory: spec.memory,
            cpu: spec.cpu,
            queue: spec.queue,
            concurrency: spec.concurrency,
            reuse: spec.reuse,
            restart: spec.restart,
            config: spec.config.clone(),
            assets: !spec.assets.is_empty(),
            run: run(routes),
            hands_over: description.exports_path(HANDOVER),
            ports: self.ports(routes, description),
            calls: calls(routes, description),
            exports: exports.map(|it| ExportPlan { interface: it.name.clone(), functions: functions(it) }).collect(),
            controls: controls.filter(|_| routes.controls),
            nobody: spec.nobody.iter().map(|name| format!("{name}")).collect(),
        }
    }

    /// A client's ports, and those of its devices; then a service's.
    fn ports(&mut self, routes: &BoxRoutes, description: &Description) -> Vec<PortPlan> {
        let mut ports = Vec::new();
        let imported = |is_of: &dyn Fn(&InterfaceName) -> bool| {
            let imports = description.imports.iter().filter(|import| import.parsed().is_some_and(|name| is_of(&name)));
            imports.map(|import| import.name.clone()).next()
        };
        for end in &routes.clients {
            let interface = imported(&|name| Kind::of(name) == Kind::Channel(end.channel));
            ports.push((interface, End::Client, self.channel(end.channel)));
        }
        let devices = routes.devices.iter().map(|device| &device.interface);
        for interface in devices.chain(routes.disks.iter().map(|disk| &disk.interface)) {
            let protocol = self.protocol(interface, Kinds::default());
            if !ports.iter().any(|(_, _, other)| *other == protocol) {
                ports.push((Some(interface.clone()), End::Client, protocol));
            }
        }
        for service in &routes.services {
            let channel = service.end.channel;
            let interface = match &service.provider {
                Provider::Channel => imported(&|name| Kind::of(name) == Kind::Service(channel)),
                Provider::Export(export) => Some(export.clone()),
            };
            ports.push((interface, End::Service, self.channel(channel)));
        }
        let ports = ports
            .into_iter()
            .filter_map(|(interface, side, protocol)| Some(PortPlan { interface: interface?, side, protocol }));
        ports.collect()
    }

    fn channel(&mut self, channel: Channel) -> u16 {
        self.protocol(&format!("{}@0.1.0", channel.client()), kinds(channel))
    }

    /// The position of the protocol that an interface is.
    fn protocol(&mut self, interface: &str, kinds: Kinds) -> u16 {
        let name = compatible_name(interface);
        let found = self.protocols.iter().position(|protocol| protocol.name == name);
        found.unwrap_or_else(|| {
            self.protocols.push(ProtocolPlan { name, kinds });
            self.protocols.len() - 1
        }) as u16
    }

    fn arrows(&self, boxes: &[BoxPlan]) -> Vec<ArrowPlan> {
        let port = |place: usize, path: &str, side: End| {
            let is_it =
                |port: &PortPlan| port.side == side && self.protocols[usize::from(port.protocol)].path() == path;
            let port = boxes[place].ports.iter().position(is_it)?;
            Some(PortOf { place: place as u16, port: port as u8 })
        };
        let mut arrows = Vec::new();
        for (place, spec) in self.system.boxes.iter().enumerate() {
            // of each channel in the order of the lines
            let channels = self.routes.boxes[place].clients.iter().map(|end| end.channel);
            for channel in channels {
                let of_it = spec.arrows.iter().filter(|arrow| Kind::of(&arrow.interface) == Kind::Channel(channel));
                arrows.extend(of_it.filter_map(|arrow| {
                    let Target::Box(target) = &arrow.target else { return None };
                    let path = channel.client();
                    Some(ArrowPlan {
                        client: port(place, path, End::Client)?,
                        service: Service::Port(port(self.system.position(target)?, path, End::Service)?),
                        attach: match &arrow.grant {
                            super::grant::Grant::Http(grant) => grant.encode(),
                            _ => Vec::new(),
                        },
                        grant: arrow.grant.planned(),
                    })
                }));
            }
            arrows.extend(spec.arrows.iter().filter_map(|arrow| {
                let Target::Device(device) = &arrow.target else { return None };
                let client = port(place, arrow.interface.path(), End::Client)?;
                let service = Service::Device(device.clone());
                Some(ArrowPlan { client, service, attach: Vec::new(), grant: arrow.grant.planned() })
            }));
        }
        arrows
    }
}

/// The engine for a component.
pub fn engine_of(description: &Description) -> engine::Kind {
    if description.is_concurrent() { engine::Kind::Concurrent } else { engine::Kind::Lean }
}

fn run(routes: &BoxRoutes) -> plan::Run {
    let export = routes.services.iter().find_map(|service| match &service.provider {
        Provider::Export(export) => Some(export),
        Provider::Channel => None,
    });
    match (routes.run, export) {
        (Run::Service, _) => plan::Run::Service,
        (Run::Command, _) => plan::Run::Command,
        (Run::Called, Some(export)) => plan::Run::Handler(export.clone()),
        (Run::Called, None) => plan::Run::Called,
    }
}

fn calls(routes: &BoxRoutes, description: &Description) -> Vec<CallPlan> {
    let calls = routes.calls.iter().map(|call| {
        let import = description.imports.iter().find(|import| import.name == call.interface);
        CallPlan {
            interface: call.interface.clone(),
            callee: call.box_index as u16,
            export: call.export.clone(),
            functions: import.map(functions).unwrap_or_default(),
        }
    });
    calls.collect()
}

/// Whether boxes may call an export: it is none that the node calls.
fn is_other(export: &Interface) -> bool {
    export.parsed().is_some_and(|name| Kind::of(&name) == Kind::Call) && !export.functions.is_empty()
}

fn functions(interface: &Interface) -> Vec<u64> {
    let hash = |function: &Function| super::description::shape(&format!("{}: {}", function.name, function.shape));
    let mut functions: Vec<u64> = interface.functions.iter().map(hash).collect();
    functions.sort_unstable();
    functions
}

/// The name of an interface with only the part of its version that says what is compatible.
fn compatible_name(interface: &str) -> String {
    let Some(name) = InterfaceName::parse(interface) else { return interface.into() };
    match &name.version {
        Some(version) if !version.pre.is_empty() || (version.major, version.minor) == (0, 0) => format!("{name}"),
        Some(version) if version.major == 0 => format!("{}@0.{}", name.path(), version.minor),
        Some(version) => format!("{}@{}", name.path(), version.major),
        None => name.path().into(),
    }
}

/// What is metered of the channels, by the numbers of the crate `wit`.
fn kinds(channel: Channel) -> Kinds {
    let none = Kinds::default();
    match channel {
        Channel::Handler => {
            Kinds { asks: 1 << 1, cancels: 1 << 5, ends: 1 << 3 | 1 << 5, fails: 1 << 5, answers: 1 << 1, ..none }
        }
        Channel::Names => Kinds { asks: 1 << 1, ends: 1 << 1 | 1 << 2, fails: 1 << 2, ..none },
        Channel::Tcp => Kinds { opens: 1 << 3 | 1 << 4, fails: 1 << 2, ..none },
        Channel::Udp => Kinds { fails: 1 << 2, ..none },
    }
}
