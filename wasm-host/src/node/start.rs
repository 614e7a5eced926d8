//! From an image to a running system.

use super::{Node, console, wire};
use crate::{
    arrows::channel,
    boxes::{BoxHandle, Parts, State, supervise},
    engine,
    executor::{Executor, NORMAL_WEIGHT},
    grants,
    image::{Image, ImageError},
    platform::Platform,
    system::{BoxSpec, Report, check, routes::BoxRoutes},
};
use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use core::fmt;
use wasmtime::{
    Config, Engine,
    component::{Component, InstancePre, Linker},
};

/// What a node is made of.
pub struct Setup<'a> {
    pub platform: &'static dyn Platform,
    pub image: &'a Image<'static>,
    /// The triple that this machine's artifacts are compiled for.
    pub target: &'static str,
    /// The machine's part of the engine's configuration.
    pub configure: &'a mut dyn FnMut(&mut Config),
    /// Components that the platform stands in for: their boxes have ports and no instance.
    pub stand_ins: &'a [&'a str],
}

/// Why a node does not start. Names the box at fault.
#[derive(Debug)]
pub struct StartError(String);

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for StartError {}

impl StartError {
    fn image(error: ImageError) -> Self {
        StartError(format!("{error}"))
    }
}

impl Node {
    /// Makes all boxes and starts them. They run when [`Node::run`] is called.
    pub fn start(setup: Setup<'_>) -> Result<Arc<Node>, StartError> {
        let Setup { platform, image, target, configure, stand_ins } = setup;
        let system = image.system().map_err(StartError::image)?;
        let descriptions = image.descriptions().map_err(StartError::image)?;
        let routes = check(&system, &descriptions).map_err(|faults| StartError(Report(&faults).to_string()))?;
        let mut config = engine::settings();
        configure(&mut config);
        let engine =
            Engine::new(&config).map_err(|error| StartError(format!("the engine does not start: {error:#}")))?;

        let stands_in = |spec: &BoxSpec| spec.component.iter().any(|component| stand_ins.contains(&component.as_str()));
        let parts = wire::wire(&system, &routes, platform, stands_in).map_err(|missing| {
            let name = &system.boxes[missing.box_index].name;
            StartError(format!("box `{name}`: this machine has no device `{}`", missing.device))
        })?;
        let mut boxes = Vec::new();
        for (spec, parts) in system.boxes.iter().zip(parts) {
            let assets =
                image.assets(&spec.name).map_err(|error| StartError(format!("box `{}`: {error}", spec.name)))?;
            boxes.push(BoxHandle::new(spec.clone(), Parts { assets, ..parts }, platform));
        }

        let executor = Executor::new();
        for (handle, routes) in boxes.iter().zip(&routes.boxes) {
            if stands_in(&handle.spec) {
                handle.stand_in();
                continue;
            }
            let component = load(&engine, image, target, handle, routes)
                .map_err(|error| StartError(format!("box `{}`: {error:#}", handle.name)))?;
            let timer = executor.timers().timer();
            let task = executor.spawn(handle.spec.cpu, supervise(handle.clone(), platform, timer, component));
            handle.runs_as(&task);
        }
        let node = Arc::new(Node { platform, engine, executor, system, routes, boxes });
        node.executor.spawn(NORMAL_WEIGHT, console::serve(node.clone()));
        Ok(node)
    }
}

/// Loads a box's component and links what its arrows give, no more: a component that imports anything else is refused.
fn load(
    engine: &Engine,
    image: &Image<'_>,
    target: &str,
    handle: &Arc<BoxHandle>,
    routes: &BoxRoutes,
) -> wasmtime::Result<InstancePre<State>> {
    let artifact =
        image.component(&handle.spec.component_name(), &engine::requirements(target)).map_err(wasmtime::Error::new)?;
    let component = code::load(engine, artifact)?;
    let mut linker = Linker::new(engine);
    grants::own(&mut linker)?;
    for port in &handle.ports {
        channel::link(&mut linker, port)?;
    }
    if !routes.devices.is_empty() {
        grants::nic(&mut linker)?;
    }
    linker.instantiate_pre(&component)
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
