//! From artifacts to components that are linked to what their arrows give, and to no more.

use crate::{
    arrows::{
        call::{self, CallQueue, Limits, MAX_CALL_BYTES},
        channel,
        measure::Meter,
    },
    boxes::{BoxHandle, Called, Duty, Footprint, State},
    engine::{self, Engines, Kind},
    grants,
    image::{Hash, Image},
    platform::Platform,
    system::{
        BoxSpec, Description,
        routes::{BoxRoutes, Provider, Routes, Run},
    },
    wasi,
};
use alloc::{collections::BTreeMap, string::String, sync::Arc, vec::Vec};
use wasmtime::{
    Engine, Error, Result,
    component::{Component, InstancePre, Linker},
};

/// What each box runs and does. None for those that the platform stands in for.
#[derive(Default)]
pub struct Loaded {
    components: Vec<Option<(Hash, Component)>>,
    /// of the boxes that others call
    queues: Vec<Option<CallQueue>>,
    /// what an instance of each takes of the node
    instances: Vec<u64>,
}

/// What has been loaded before.
pub trait Before {
    /// The component of that code.
    fn component(&self, hash: Hash) -> Option<Component>;
    /// The queue that a box keeps.
    fn queue(&self, index: usize) -> Option<CallQueue>;
}

/// Nothing.
impl Before for () {
    fn component(&self, _: Hash) -> Option<Component> {
        None
    }

    fn queue(&self, _: usize) -> Option<CallQueue> {
        None
    }
}

/// Loads the components of an image.
pub struct Loader<'a> {
    pub engines: &'a Engines,
    /// what the image's components import and export
    pub descriptions: &'a BTreeMap<String, Description>,
    pub image: &'a Image<'static>,
    pub target: &'a str,
    pub platform: &'static dyn Platform,
    pub before: &'a dyn Before,
}

impl Loader<'_> {
    /// Loads the components of all boxes that are to run, and makes the queues of those that others call. The error is
    /// with the position of the box at fault.
    pub fn load(
        &self,
        boxes: &[BoxSpec],
        routes: &Routes,
        runs: impl Fn(&BoxSpec) -> bool,
    ) -> core::result::Result<Loaded, (usize, Error)> {
        let mut loaded = Loaded::default();
        for (index, spec) in boxes.iter().enumerate() {
            let component = if runs(spec) { Some(self.component(spec).map_err(|error| (index, error))?) } else { None };
            let is_called = routes.boxes.iter().flat_map(|routes| &routes.calls).any(|call| call.box_index == index);
            let called = component.as_ref().filter(|_| is_called);
            let queue = called.map(|(_, component)| self.queue(index, spec, component));
            loaded.components.push(component);
            loaded.queues.push(queue);
            let description = self.descriptions.get(&spec.component_name());
            loaded.instances.push(description.map_or(0, |description| description.instance));
        }
        Ok(loaded)
    }

    fn component(&self, spec: &BoxSpec) -> Result<(Hash, Component)> {
        let name = spec.component_name();
        let kind = self.descriptions.get(&name).map_or(Kind::Lean, Kind::of);
        let engine = self.engines.of(kind)?;
        let settings = engine::requirements_of(kind, self.target);
        let hash = self.image.component_hash(&name, &settings).map_err(Error::new)?;
        if let Some(component) = self.before.component(hash) {
            return Ok((hash, component));
        }
        let artifact = self.image.component(&name, &settings).map_err(Error::new)?;
        Ok((hash, code::load(engine, artifact)?))
    }

    fn queue(&self, index: usize, spec: &BoxSpec, component: &Component) -> CallQueue {
        let platform = self.platform;
        self.before.queue(index).unwrap_or_else(|| {
            let within = self.engines.of(Kind::Lean).is_ok_and(|lean| Engine::same(lean, component.engine()));
            let (limits, clock) = (Limits { within, ..limits(spec) }, Arc::new(|| platform.now()));
            CallQueue::new(&spec.name, component.engine(), component.component_type(), limits, clock)
        })
    }
}

/// An instance works on one call at a time; as many more as the box serves at once may wait.
fn limits(spec: &BoxSpec) -> Limits {
    let bytes = usize::try_from(spec.memory / 4).unwrap_or(MAX_CALL_BYTES).min(MAX_CALL_BYTES);
    Limits { queue: spec.concurrency as usize, bytes, ..Limits::default() }
}

impl Loaded {
    /// The queue of a box that others call.
    pub fn queue(&self, index: usize) -> Option<&CallQueue> {
        self.queues.get(index)?.as_ref()
    }

    pub fn component(&self, index: usize) -> Option<&Component> {
        self.components.get(index)?.as_ref().map(|(_, component)| component)
    }

    /// The component of that code, if one of the boxes has it.
    pub fn find(&self, hash: Hash) -> Option<&Component> {
        self.components.iter().flatten().find(|(known, _)| *known == hash).map(|(_, component)| component)
    }

    /// Links a box: a component that imports anything that its arrows do not give is refused.
    pub fn link(
        &self,
        index: usize,
        handle: &BoxHandle,
        routes: &BoxRoutes,
    ) -> Result<Option<(InstancePre<State>, Duty)>> {
        let Some(component) = self.component(index) else { return Ok(None) };
        let mut linker = Linker::new(component.engine());
        grants::own(&mut linker)?;
        let handler = handler(routes);
        // a handler's ports are held by the node
        for (port, (_, end)) in handle.ports.iter().zip(routes.ends()).filter(|_| handler.is_none()) {
            channel::link(&mut linker, &end.interface, port)?;
        }
        let has_wasi = wasi::link(&mut linker, &component.component_type())?;
        let instance = self.instances.get(index).copied().unwrap_or_default();
        handle.will_take(Footprint { instance, has_wasi });
        if routes.controls {
            grants::control(&mut linker)?;
        }
        let arrows = routes.calls.iter().map(|route| {
            let callee = self.queues.get(route.box_index).and_then(Option::as_ref);
            let callee = callee.ok_or_else(|| Error::msg("the box that it calls does not run here"))?;
            Ok((route.interface.as_str(), callee))
        });
        let arrows = arrows.collect::<Result<Vec<_>>>()?;
        let platform = handle.platform();
        let measured = arrows.iter().filter(|_| platform.measures()).map(|&(interface, callee)| Called {
            interface: interface.into(),
            to: callee.name().clone(),
            meter: Arc::new(Meter::of_calls(platform)),
        });
        handle.will_call(measured.collect());
        let meter = |index: usize| handle.calls().get(index).map(|called| called.meter.clone());
        call::link(&mut linker, &component.component_type(), &handle.name, &arrows, meter)?;
        let duty = match (routes.run, &self.queues[index]) {
            (Run::Called, None) if let Some(export) = handler => Duty::Handle(export.clone()),
            (_, _) if handler.is_some() => {
                return Err(Error::msg(
                    "it answers requests, and runs or is called besides; an instance can do one of these",
                ));
            }
            (Run::Called, Some(queue)) => Duty::Serve(queue.clone()),
            (Run::Service, None) => Duty::Run,
            (Run::Called, None) => {
                return Err(Error::msg("nobody calls it: it exports no `run`, and no arrow leads to it"));
            }
            (Run::Service, Some(_)) => {
                return Err(Error::msg("it exports `run` and is called by others; an instance can do one of both"));
            }
            (Run::Command, _) => {
                return Err(Error::msg("this node does not run commands (`wasi:cli/run`) yet"));
            }
        };
        Ok(Some((linker.instantiate_pre(component)?, duty)))
    }
}

/// The export that the node calls for requests.
fn handler(routes: &BoxRoutes) -> Option<&String> {
    let mut exports = routes.services.iter().filter_map(|service| match &service.provider {
        Provider::Export(export) => Some(export),
        Provider::Port => None,
    });
    exports.next()
}

mod code {
    #![allow(unsafe_code)]

    use super::{Component, Engine};

    /// Takes verified native code into the engine.
    pub fn load(engine: &Engine, artifact: &[u8]) -> wasmtime::Result<Component> {
        // SAFETY: the artifact is what wasmtime's compiler made: the image that it comes from is signed by a key that
        // this node trusts to compile for it, and its hash was verified.
        unsafe { Component::deserialize(engine, artifact) }
    }
}
