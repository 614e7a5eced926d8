//! A node under somebody's hands, and a box that has the power over it.

mod authority;
mod service;
mod uploads;

use crate::{
    arrows::channel::{Refused, Service as _},
    boxes::{BoxHandle, Life, Phase},
    deploy::{Options, Outcome, Step},
    engine,
    grants::Control,
    image::{Builder, Image, SecretKey},
    node::{
        Node, Upload,
        fixture::{Running, component, component_with, declared, key, protocol, start},
        upload::Bound,
    },
};
use crate::{executor::NORMAL_WEIGHT, platform::Platform as _};
use alloc::{format, string::String, sync::Arc, vec, vec::Vec};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use manage::{Request, Response};
use wit::{
    Batch,
    control::{Command, Event},
};

const FOREVER: &str = "(call $forever)";

fn two() -> Running {
    let source = "[system]\nname = \"test\"\n[box.one]\ncomponent = \"one\"\n[box.two]\ncomponent = \"two\"\n";
    start(source, &[("one", component(FOREVER)), ("two", component(FOREVER))]).unwrap()
}

fn runs(life: &Life) -> bool {
    life.phase == Phase::Running
}

#[test]
fn a_box_is_stopped_and_started() {
    let running = two();
    let node = running.node.clone();
    running.until("two", runs);
    node.stop_box("two", "anna", "one").unwrap();
    let life = running.until("two", |life| life.phase == Phase::Stopped);
    assert_eq!((life.restarts, life.reason.as_deref()), (0, Some("stopped: by anna")));
    assert_eq!(node.find("two").unwrap().memory(), 0);
    assert!(node.restart_box("two", "anna").unwrap_err().contains("is stopped"));
    node.start_box("two", "anna").unwrap();
    let life = running.until("two", runs);
    assert_eq!(life.restarts, 0);
    assert_eq!(node.start_box("two", "anna").unwrap_err(), "box `two` is not stopped");
    node.restart_box("two", "anna").unwrap();
    running.until("two", |life| life.restarts == 1 && runs(life));
    assert_eq!(node.restart_box("three", "anna").unwrap_err(), "there is no box `three`; there are one, two");
}

#[test]
fn a_box_is_stopped_while_it_waits_to_be_started_again() {
    let source = "[system]\nname = \"test\"\n[box.one]\ncomponent = \"one\"\n[box.bad]\ncomponent = \"bad\"\n";
    let running = start(source, &[("one", component(FOREVER)), ("bad", component("unreachable"))]).unwrap();
    running.until("bad", |life| life.phase == Phase::Backoff);
    running.node.stop_box("bad", "anna", "one").unwrap();
    let stopped = running.until("bad", |life| life.phase == Phase::Stopped);
    running.node.start_box("bad", "anna").unwrap();
    running.until("bad", |life| life.restarts > stopped.restarts);
}

#[test]
fn who_asks_cannot_be_stopped() {
    let running = two();
    running.until("one", runs);
    let why = running.node.stop_box("one", "anna", "one").unwrap_err();
    assert!(why.contains("is what the node is managed by"), "{why}");
}

#[test]
fn lines_of_a_log_are_numbered() {
    let running = two();
    let node = running.node.clone();
    let two = node.find("two").unwrap();
    for i in 0..100 {
        two.note(crate::boxes::log::Level::Info, &format!("line {i}"));
    }
    let lines: serde_json::Value = serde_json::from_str(&node.log_json("two", 98).unwrap()).unwrap();
    assert_eq!(lines[0]["number"], 98);
    assert_eq!(lines[1]["text"], "line 99");
    let all: Vec<serde_json::Value> = serde_json::from_str(&node.log_json("two", 0).unwrap()).unwrap();
    assert_eq!((all.len(), &all[0]["number"]), (64, &36.into()));
}

const ONE: &str = "[system]\nname = \"test\"\n[box.one]\ncomponent = \"one\"\n";

/// Another system of a box that runs, with files.
fn other(signer: &SecretKey, file: &[u8]) -> Vec<u8> {
    other_of(signer, ONE, file)
}

fn other_of(signer: &SecretKey, source: &str, file: &[u8]) -> Vec<u8> {
    let mut builder = Builder::new("system.toml", source);
    let binary = component(FOREVER);
    builder.plan(declared(source, &[("one", binary.clone())]).unwrap());
    let code = wasmtime::Engine::new(&engine::settings()).unwrap().precompile_component(&binary).unwrap();
    builder.artifact("one", engine::requirements(engine::LINUX_TRIPLE), code);
    builder.asset("one", "a", file.to_vec(), 0).asset("one", "b", b"b".to_vec(), 0);
    builder.finish(signer).unwrap()
}

fn begin(node: &Node, new: &[u8], room: u64) -> Result<Upload, String> {
    let trusted = [key().public(), SecretKey::from_seed(&[9; 32]).public()];
    let manifest = Image::open(new, &trusted).unwrap().manifest().to_vec();
    let assembly = node.assemble(manifest, 1 << 30).map_err(|error| format!("{error}"))?;
    Upload::begin(assembly, Bound::Granted(room), &node.uploads)
}

/// Brings all that is lacking, in parts of `step` bytes.
fn bring(upload: &mut Upload, new: &Image<'_>, step: usize) {
    loop {
        let lacks = upload.lacks();
        let Some(hash) = lacks.first_chunk::<32>() else { return };
        let blobs = new.blobs().unwrap();
        let (_, blob) = blobs.iter().find(|(known, _)| known.0 == *hash).unwrap();
        for (index, part) in blob.chunks(step).enumerate() {
            upload.put(hash, blob.len() as u64, (index * step) as u64, part).unwrap();
        }
    }
}

#[test]
fn an_image_comes_in_parts_and_is_deployed_and_taken_back() {
    let source = ONE;
    let running = start(source, &[("one", component(FOREVER))]).unwrap();
    let node = running.node.clone();
    running.until("one", runs);
    let options = || Options { by: "anna".into(), trial: 0, drain: 1_000_000_000, ..Options::default() };
    assert_eq!(node.roll_back(options()).unwrap_err(), "no other system ran here since the node's boot");

    let bytes = other(&key(), &[1; 5_000]);
    let new = Image::open(&bytes[..], &[key().public()]).unwrap();
    let mut upload = Some(begin(&node, &bytes, 1 << 20).unwrap());
    let why = node.deploy_upload(&mut upload, options()).unwrap_err();
    assert!(why.starts_with("the image lacks "), "{why}");
    bring(upload.as_mut().unwrap(), &new, 999);
    assert_eq!(node.deploy_upload(&mut upload, options()), Ok(Some(1)));
    assert_eq!(node.roll_back(options()).unwrap_err(), "deployment 1 is under way");
    let over = |number: usize| {
        node.executor().run_until(running.platform, || matches!(node.history()[number - 1].step, Step::Over(_)));
        node.history()[number - 1].step.clone()
    };
    assert_eq!(over(1), Step::Over(Outcome::Done));
    assert_eq!(node.find("one").unwrap().assets().len(), 2);
    assert_eq!(node.roll_back(options()), Ok(2));
    assert_eq!(over(2), Step::Over(Outcome::Done));
    assert_eq!(node.find("one").unwrap().assets().len(), 0);
    let history: serde_json::Value = serde_json::from_str(&crate::node::history::json(&node)).unwrap();
    assert_eq!((&history[0]["by"], &history[1]["step"]), (&"anna".into(), &"done".into()));
}

/// A box that has the power over the node, and waits for ever. Tests speak in its place.
pub fn powerful() -> Vec<u8> {
    let protocol = protocol(
        "pearwood:control/node@0.2.0",
        &["part", "ask", "next", "cancel"],
        &["part", "more", "last"],
        "client",
    );
    component_with(&protocol, FOREVER)
}

/// What a box asks at its port to the node, and is answered.
pub struct Asking<'a> {
    running: &'a Running,
    pub handle: Arc<BoxHandle>,
    pub heard: Batch,
}

impl<'a> Asking<'a> {
    pub fn new(running: &'a Running, handle: Arc<BoxHandle>) -> Self {
        Asking { running, handle, heard: Batch::new() }
    }

    pub fn of_control(running: &'a Running) -> Self {
        running.until("control", runs);
        Self::new(running, running.node.find("control").unwrap())
    }

    pub fn send(&self, commands: &[Command<'_>]) -> Result<bool, Refused> {
        let mut batch = Batch::new();
        commands.iter().for_each(|command| command.encode(&mut batch));
        self.control().send(batch.as_bytes())
    }

    pub fn control(&self) -> &Arc<Control> {
        self.handle.control.as_ref().unwrap()
    }

    /// Runs the node until it has nothing more to do, and receives what has come.
    pub fn receive(&mut self) {
        for _ in 0..10 {
            // all that are ready run before one that sleeps for a while
            let (executor, platform) = (self.running.node.executor(), self.running.platform);
            let (timer, until) = (executor.timers().timer(), platform.now() + 5_000_000);
            let slept = Arc::new(AtomicBool::new(false));
            let sleeper = slept.clone();
            executor.spawn(NORMAL_WEIGHT, async move {
                timer.sleep_until(until).await;
                sleeper.store(true, Relaxed);
            });
            executor.run_until(platform, || slept.load(Relaxed));
            self.handle.control.as_ref().unwrap().receive(&mut self.heard, usize::MAX);
        }
    }

    /// The whole answers that have come: a ticket, the answer, and whether it is the last.
    pub fn answers(&mut self) -> Vec<(u32, Response, bool)> {
        self.receive();
        let heard = core::mem::take(&mut self.heard);
        let (mut answers, mut parts) = (Vec::new(), Vec::new());
        for record in heard.records() {
            let (ticket, data, is_last) = match Event::decode(&record.unwrap()).unwrap() {
                Event::Part { ticket, data } => {
                    parts.push((ticket, data.to_vec()));
                    continue;
                }
                Event::More { ticket, data } => (ticket, data, false),
                Event::Last { ticket, data } => (ticket, data, true),
                other => panic!("{other:?}"),
            };
            assert!(parts.iter().all(|part| part.0 == ticket), "parts of two answers do not mix");
            parts.push((ticket, data.to_vec()));
            let bytes: Vec<u8> = parts.drain(..).flat_map(|part| part.1).collect();
            answers.push((ticket, manage::decode(&bytes).unwrap(), is_last));
        }
        assert!(parts.is_empty());
        answers
    }

    pub fn ask(&mut self, by: &str, request: &Request<'_>) -> Response {
        assert!(self.send(&[Command::Ask { ticket: 7, by, data: &manage::encode(request) }]).unwrap());
        match &mut self.answers()[..] {
            [(7, response, true)] => response.clone(),
            other => panic!("{other:?}"),
        }
    }
}

fn with_power(arrow: &str) -> Result<Running, String> {
    let source = format!(
        "[system]\nname = \"test\"\n[box.two]\ncomponent = \"two\"\n[box.control]\ncomponent = \"control\"\n{arrow}\n"
    );
    start(&source, &[("two", component(FOREVER)), ("control", powerful())])
}

#[test]
fn a_box_with_the_arrow_has_the_power() {
    let running = with_power("arrows.\"pearwood:control/node\" = { node = true }").unwrap();
    let mut asking = Asking::of_control(&running);
    assert_eq!(asking.ask("anna\nforged", &Request::Restart { name: "two" }), Response::Done);
    let life = running.until("two", |life| life.restarts == 1);
    assert_eq!(life.reason.as_deref(), Some("restarted: by anna forged"), "on one line");
}

#[test]
fn a_box_without_it_has_not() {
    let why: String = with_power("").err().unwrap();
    assert!(why.contains("imports `pearwood:control/node@0.2.0` and has no arrow for it"), "{why}");
    assert!(why.contains("add arrows.\"pearwood:control/node\" = { node = true }"), "{why}");
}
