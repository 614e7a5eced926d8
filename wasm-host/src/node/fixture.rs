//! Nodes of small boxes for tests, run natively.

use super::{Node, Setup};
use crate::{
    boxes::Life,
    engine,
    image::{Builder, Image, SecretKey},
    plan::Plan,
    platform::fake::FakePlatform,
    system::{self, Report, System},
};
use alloc::{collections::BTreeMap, format, string::String, sync::Arc, vec::Vec};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::Mutex;

/// A component whose `run` is this core code. It has a memory of one page and may wait.
pub fn component(run: &str) -> Vec<u8> {
    component_with("", run)
}

/// The same, with that import.
pub fn component_with(import: &str, run: &str) -> Vec<u8> {
    let text = format!(
        r#"(component {import}
            (import "pearwood:box/ports@0.2.0" (instance $ports
                (type $notices' (flags "deadline" "room" "retire"))
                (export "notices" (type $notices (eq $notices')))
                (type $wake' (record (field "now" u64) (field "ready" u64) (field "notices" $notices)))
                (export "wake" (type $wake (eq $wake')))
                (export "wait" (func (param "deadline" u64) (result $wake)))
                (export "send" (func (param "port" u32) (param "peer" u32) (param "batch" (list u8)) (result bool)))
                (export "receive" (func (param "port" u32) (result (list u8))))))
            (core module $memory (memory (export "memory") 1))
            (core instance $memory (instantiate $memory))
            (core func $wait (canon lower (func $ports "wait") (memory (core memory $memory "memory"))))
            (core module $code
                (import "ports" "wait" (func $wait (param i64 i32)))
                (import "memory" "memory" (memory 1))
                (func $forever (loop $again (call $wait (i64.const -1) (i32.const 0)) (br $again)))
                (func (export "run") {run}))
            (core instance $waits (export "wait" (func $wait)))
            (core instance $code (instantiate $code
                (with "ports" (instance $waits)) (with "memory" (instance $memory))))
            (func $run (canon lift (core func $code "run")))
            (instance $service (export "run" (func $run)))
            (export "pearwood:box/service@0.2.0" (instance $service)))"#
    );
    wat::parse_str(text).unwrap()
}

/// The import of a protocol, as far as the node looks at it: no payloads. `function` is `client` or `service`.
pub fn protocol(interface: &str, commands: &[&str], events: &[&str], function: &str) -> String {
    let cases = |names: &[&str]| names.iter().map(|name| format!("(case \"{name}\")")).collect::<String>();
    format!(
        r#"(import "{interface}" (instance $protocol
            (type $command' (variant {}))
            (export "command" (type $command (eq $command')))
            (type $event' (variant {}))
            (export "event" (type $event (eq $event')))
            (type $protocol' (record (field "command" $command) (field "event" $event)))
            (export "protocol" (type $protocol (eq $protocol')))
            (export "{function}" (func (param "protocol" (list $protocol)) (result u32)))))"#,
        cases(commands),
        cases(events)
    )
}

/// A component that imports this and returns at once.
pub fn idle(import: &str) -> Vec<u8> {
    let text = format!(
        r#"(component {import}
            (core module $code (func (export "run")))
            (core instance $code (instantiate $code))
            (func $run (canon lift (core func $code "run")))
            (instance $service (export "run" (func $run)))
            (export "pearwood:box/service@0.2.0" (instance $service)))"#
    );
    wat::parse_str(text).unwrap()
}

/// An engine that compiles for the nodes of these tests.
fn compiler() -> wasmtime::Engine {
    wasmtime::Engine::new(&engine::settings()).unwrap()
}

/// Compiled once, since the compiler does not make the same code each time.
fn compiled(binary: &[u8]) -> Vec<u8> {
    static DONE: Mutex<BTreeMap<Vec<u8>, Vec<u8>>> = Mutex::new(BTreeMap::new());
    let mut done = DONE.lock().unwrap();
    done.entry(binary.to_vec()).or_insert_with(|| compiler().precompile_component(binary).unwrap()).clone()
}

/// The key that the images of tests are signed by.
pub fn key() -> SecretKey {
    SecretKey::from_seed(&[7; 32])
}

/// What a node makes of a declaration.
///
/// # Errors
/// What the toolchain finds wrong with it.
pub fn declared(source: &str, components: &[(&str, Vec<u8>)]) -> Result<Plan, String> {
    let text = |faults: Vec<system::Diagnostic>| format!("{}", Report(&faults));
    let system = System::parse("system.toml", source).map_err(text)?;
    let describe = |(name, binary): &(&str, Vec<u8>)| (String::from(*name), system::describe(binary).unwrap());
    let descriptions = components.iter().map(describe).collect();
    let routes = system::check(&system, &descriptions).map_err(text)?;
    Ok(system::plan(&system, &routes, &descriptions, VERSION))
}

/// Of the plans of tests, unless they say otherwise.
pub const VERSION: u64 = 7;

pub fn image(source: &str, components: &[(&str, Vec<u8>)]) -> Arc<Image<'static>> {
    image_with(source, components, &[])
}

/// The same, with files: box, path, content.
pub fn image_with(
    source: &str,
    components: &[(&str, Vec<u8>)],
    files: &[(&str, &str, Vec<u8>)],
) -> Arc<Image<'static>> {
    let plan = declared(source, components).unwrap_or_else(|error| panic!("{error}"));
    planned(source, plan, components, files)
}

/// The same, with a plan that need not be the declaration's.
pub fn planned(
    source: &str,
    plan: Plan,
    components: &[(&str, Vec<u8>)],
    files: &[(&str, &str, Vec<u8>)],
) -> Arc<Image<'static>> {
    let mut builder = Builder::new("system.toml", source);
    builder.plan(plan);
    for (name, binary) in components {
        builder.artifact(name, engine::requirements(engine::LINUX_TRIPLE), compiled(binary));
    }
    for (name, path, content) in files {
        builder.asset(name, path, content.clone(), 0);
    }
    Arc::new(Image::open(builder.finish(&key()).unwrap(), &[key().public()]).unwrap())
}

pub struct Running {
    pub node: Arc<Node>,
    pub platform: &'static FakePlatform,
    stop: Arc<AtomicBool>,
}

/// Starts a node whose clock ticks: a millisecond of its time at each tick.
pub fn start(source: &str, components: &[(&str, Vec<u8>)]) -> Result<Running, String> {
    start_on(FakePlatform::leak(), source, components, &[])
}

/// The same, on a platform of one's own, with components that the test stands in for.
pub fn start_on(
    platform: &'static FakePlatform,
    source: &str,
    components: &[(&str, Vec<u8>)],
    stand_ins: &[&str],
) -> Result<Running, String> {
    declared(source, components)?;
    start_image(platform, image(source, components), stand_ins)
}

/// The same of an image that there is.
pub fn start_image(
    platform: &'static FakePlatform,
    image: Arc<Image<'static>>,
    stand_ins: &[&str],
) -> Result<Running, String> {
    let setup = Setup {
        platform,
        image,
        target: engine::LINUX_TRIPLE,
        configure: |_| {},
        trusted: &[key().public()],
        stand_ins,
    };
    let node = Node::start(setup).map_err(|error| format!("{error}"))?;
    let stop = Arc::new(AtomicBool::new(false));
    let (engines, stopped) = (node.engines().clone(), stop.clone());
    std::thread::spawn(move || {
        while !stopped.load(Relaxed) {
            platform.pass(1_000_000);
            engines.increment_epoch();
            std::thread::sleep(std::time::Duration::from_micros(100));
        }
    });
    Ok(Running { node, platform, stop })
}

impl Running {
    /// Runs the node until a box is as `wanted`.
    pub fn until(&self, name: &str, wanted: impl Fn(&Life) -> bool) -> Life {
        let handle = self.node.find(name).unwrap();
        self.node.executor().run_until(self.platform, || wanted(&handle.life()));
        handle.life()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}
