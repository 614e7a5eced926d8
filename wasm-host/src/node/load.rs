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
    plan::{BoxPlan, Plan, Run},
    platform::Platform,
    wasi,
};
use alloc::{sync::Arc, vec::Vec};
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
    pub image: &'a Image<'static>,
    pub target: &'a str,
    pub platform: &'static dyn Platform,
    pub before: &'a dyn Before,
}

impl Loader<'_> {
    /// Loads the components of all boxes that are to run, and makes the queues of those that others call. The error is
    /// with the position of the box at fault.
    pub fn load(&self, plan: &Plan, runs: impl Fn(&BoxPlan) -> bool) -> core::result::Result<Loaded, (usize, Error)> {
        let mut loaded = Loaded::default();
        for (index, spec) in plan.boxes.iter().enumerate() {
            let component = if runs(spec) { Some(self.component(spec).map_err(|error| (index, error))?) } else { None };
            let called = component.as_ref().filter(|_| plan.is_called(index));
            let queue = called.map(|(_, component)| self.queue(index, spec, component));
            loaded.components.push(component);
            loaded.queues.push(queue);
        }
        Ok(loaded)
    }

    fn component(&self, spec: &BoxPlan) -> Result<(Hash, Component)> {
        let name = spec.component_name();
        let engine = self.engines.of(spec.engine)?;
        let settings = engine::requirements_of(spec.engine, self.target);
        let hash = self.image.component_hash(&name, &settings).map_err(Error::new)?;
        if let Some(component) = self.before.component(hash) {
            return Ok((hash, component));
        }
        let artifact = self.image.component(&name, &settings).map_err(Error::new)?;
        Ok((hash, code::load(engine, artifact)?))
    }

    fn queue(&self, index: usize, spec: &BoxPlan, component: &Component) -> CallQueue {
        let platform = self.platform;
        self.before.queue(index).unwrap_or_else(|| {
            let within = self.engines.of(Kind::Lean).is_ok_and(|lean| Engine::same(lean, component.engine()));
            let (limits, clock) = (Limits { within, ..limits(spec) }, Arc::new(|| platform.now()));
            CallQueue::new(&spec.name, component.engine(), component.component_type(), limits, clock)
        })
    }
}

/// An instance works on one call at a time; as many more as the box serves at once may wait.
fn limits(spec: &BoxPlan) -> Limits {
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
    pub fn link(&self, plan: &Plan, index: usize, handle: &BoxHandle) -> Result<Option<(InstancePre<State>, Duty)>> {
        let Some(component) = self.component(index) else { return Ok(None) };
        let mut linker = Linker::new(component.engine());
        grants::own(&mut linker)?;
        let spec = &plan.boxes[index];
        let handler = match &spec.run {
            Run::Handler(export) => Some(export),
            _ => None,
        };
        // a handler's ports are held by the node
        for (port, planned) in handle.ports.iter().zip(&spec.ports).filter(|_| handler.is_none()) {
            channel::link(&mut linker, &planned.interface, port)?;
        }
        grants::lent(&mut linker, &component.component_type(), &spec.lent, handle.platform())?;
        let has_wasi = wasi::link(&mut linker, &component.component_type())?;
        handle.will_take(Footprint { instance: spec.instance, has_wasi });
        let arrows = spec.calls.iter().map(|call| {
            let callee = self.queues.get(usize::from(call.callee)).and_then(Option::as_ref);
            let callee = callee.ok_or_else(|| Error::msg("the box that it calls does not run here"))?;
            Ok((call.interface.as_str(), callee))
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
        let words = |index: usize| spec.calls.get(index).map(|call| call.words.clone()).unwrap_or_default();
        call::link(&mut linker, &component.component_type(), &handle.name, &arrows, words, meter)?;
        // what WASI has is linked already, arrow or not
        let is_imported =
            |name: &&alloc::string::String| component.component_type().get_import(component.engine(), name).is_some();
        for absent in spec.nobody.iter().filter(|name| !name.starts_with("wasi:")).filter(is_imported) {
            call::link_absent(&mut linker, &component.component_type(), &handle.name, absent)?;
        }
        let duty = match (&spec.run, &self.queues[index]) {
            (Run::Handler(export), queue) => Duty::Handle(export.clone(), queue.clone()),
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
