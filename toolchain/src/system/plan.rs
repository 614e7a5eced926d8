//! The plan of a declaration that has passed the check: what a node runs.

use super::{
    Description, System, VolumeSpec,
    description::{Function, Interface},
    known::{HANDOVER, Kind},
    routes::{self, BoxRoutes, Provider, Routes, Run},
};
use alloc::{collections::BTreeMap, format, string::String, vec::Vec};
use wasm_host::{
    arrows::{Declared, Protocol, channel::End},
    engine,
    plan::{self, ArrowPlan, BoxPlan, CallPlan, ExportPlan, Plan, PortOf, PortPlan, Service, VolumePlan, grant::Grant},
};

/// The plan of a system, of that version.
pub fn plan(system: &System, routes: &Routes, descriptions: &BTreeMap<String, Description>, version: u64) -> Plan {
    let mut planner = Planner { protocols: Vec::new(), system, routes };
    let boxes: Vec<BoxPlan> = (0..system.boxes.len()).map(|place| planner.one_box(place, descriptions)).collect();
    let arrows = planner.arrows();
    let disk = system.disk.as_ref();
    let trust = system.trust.as_ref();
    Plan {
        system: system.name.clone(),
        version,
        disk: disk.map(|disk| plan::SystemDisk { device: disk.device.clone(), reserve: disk.reserve }),
        volumes: system.volumes.iter().map(volume).collect(),
        trust: trust.map(|trust| trust.iter().map(|trusted| trusted.key).collect()),
        protocols: planner.protocols,
        boxes,
        arrows,
    }
}

fn volume(spec: &VolumeSpec) -> VolumePlan {
    VolumePlan { name: spec.name.clone(), disk: spec.disk.clone(), size: spec.size }
}

struct Planner<'a> {
    protocols: Vec<Declared>,
    system: &'a System,
    routes: &'a Routes,
}

impl Planner<'_> {
    fn one_box(&mut self, place: usize, descriptions: &BTreeMap<String, Description>) -> BoxPlan {
        let (spec, routes) = (&self.system.boxes[place], &self.routes.boxes[place]);
        let none = Description::default();
        let description = descriptions.get(&spec.component_name()).unwrap_or(&none);
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
            instance: description.instance,
            hands_over: description.exports_path(HANDOVER),
            ports: self.ports(routes),
            calls: calls(routes, description),
            exports: exports.map(|it| ExportPlan { interface: it.name.clone(), functions: functions(it) }).collect(),
            lent: routes.lent.clone(),
            nobody: spec.nobody.iter().map(|name| format!("{name}")).chain(routes.nobody.iter().cloned()).collect(),
        }
    }

    /// A client's ports, then a service's.
    fn ports(&mut self, routes: &BoxRoutes) -> Vec<PortPlan> {
        let port = |(side, end): (End, &routes::End)| PortPlan {
            interface: end.interface.clone(),
            side,
            protocol: self.protocol(&end.protocol),
        };
        routes.ends().map(port).collect()
    }

    /// The position of a protocol. Of two versions of one, all kinds are known that either has.
    fn protocol(&mut self, protocol: &Protocol) -> u16 {
        let found = self.protocols.iter().position(|known| known.name == protocol.name);
        let at = found.unwrap_or_else(|| {
            self.protocols.push((**protocol).clone());
            self.protocols.len() - 1
        });
        self.protocols[at].kinds |= protocol.kinds;
        at as u16
    }

    /// The position of a volume, which is there.
    fn volume(&self, name: &str) -> u16 {
        let found = self.system.volumes.iter().position(|volume| volume.name == name);
        found.map_or(u16::MAX, |at| at as u16)
    }

    /// In the order of the boxes, of their ports, and of the lines of each.
    fn arrows(&self) -> Vec<ArrowPlan> {
        let mut arrows = Vec::new();
        for (place, routes) in self.routes.boxes.iter().enumerate() {
            for (port, end) in routes.clients.iter().enumerate() {
                let client = PortOf { place: place as u16, port: port as u8 };
                arrows.extend(end.devices.iter().map(|route| ArrowPlan {
                    client,
                    service: match route.is_volume {
                        true => Service::Volume(self.volume(&route.device)),
                        false => Service::Device(route.device.clone()),
                    },
                    attach: Vec::new(),
                    grant: route.sectors.map_or(Grant::None, Grant::Block),
                }));
                arrows.extend(end.node.map(|upload| ArrowPlan {
                    client,
                    service: Service::Node,
                    attach: Vec::new(),
                    grant: Grant::Control { upload },
                }));
                arrows.extend(end.peers.iter().filter_map(|peer| {
                    let other = &self.routes.boxes[peer.box_index];
                    let mut ends = other.ends();
                    let port = ends.position(|(side, it)| side == End::Service && it.protocol == end.protocol)?;
                    Some(ArrowPlan {
                        client,
                        service: Service::Port(PortOf { place: peer.box_index as u16, port: port as u8 }),
                        attach: peer.attach.clone(),
                        grant: peer.grant.planned(),
                    })
                }));
            }
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
        Provider::Port => None,
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
            words: call.words.clone(),
        }
    });
    calls.collect()
}

/// Whether boxes may call an export: it is none that the node calls.
fn is_other(export: &Interface) -> bool {
    export.parsed().is_some_and(|name| Kind::of(&name) == Kind::Other) && !export.functions.is_empty()
}

fn functions(interface: &Interface) -> Vec<u64> {
    let hash = |function: &Function| super::description::shape(&format!("{}: {}", function.name, function.shape));
    let mut functions: Vec<u64> = interface.functions.iter().map(hash).collect();
    functions.sort_unstable();
    functions
}
