//! A node under somebody's hands, and a box that has the power over it.

mod authority;
mod uploads;

use crate::{
    boxes::{Life, Phase},
    deploy::{Options, Outcome, Step},
    engine,
    image::{Builder, Image, SecretKey},
    node::{
        Node, Upload,
        fixture::{Running, component, declared, key, start},
        upload::Bound,
    },
};
use alloc::{format, string::String, vec, vec::Vec};
use manage::Request;

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
    assert_eq!(node.deploy_upload(&mut upload, options()), Ok(1));
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

/// A box that asks for the power over the node, to restart box `two` by it.
fn powerful() -> Vec<u8> {
    let request: String =
        manage::encode(&Request::Restart { name: "two" }).iter().map(|byte| format!("\\{byte:02x}")).collect();
    wat::parse_str(format!(
        r#"(component
            (import "pearwood:control/node@0.2.0" (instance $node
                (export "ask" (func (param "by" string) (param "request" (list u8)) (result (list u8))))))
            (core module $memory
                (memory (export "memory") 1)
                (data (i32.const 0) "anna\0aforged")
                (data (i32.const 64) "{request}")
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
            (core instance $memory (instantiate $memory))
            (core func $ask (canon lower (func $node "ask")
                (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
            (core module $code
                (import "node" "ask" (func $ask (param i32 i32 i32 i32 i32)))
                (func (export "run")
                    (call $ask (i32.const 0) (i32.const 11) (i32.const 64) (i32.const {}) (i32.const 512))))
            (core instance $node (export "ask" (func $ask)))
            (core instance $code (instantiate $code (with "node" (instance $node))))
            (func $run (canon lift (core func $code "run")))
            (instance $service (export "run" (func $run)))
            (export "pearwood:box/service@0.2.0" (instance $service)))"#,
        request.len() / 3
    ))
    .unwrap()
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
    running.until("control", |life| life.phase == Phase::Ended);
    let life = running.until("two", |life| life.restarts == 1);
    assert_eq!(life.reason.as_deref(), Some("restarted: by anna forged"), "on one line");
}

#[test]
fn a_box_without_it_has_not() {
    let why: String = with_power("").err().unwrap();
    assert!(why.contains("imports `pearwood:control/node@0.2.0` and has no arrow for it"), "{why}");
    assert!(why.contains("add arrows.\"pearwood:control/node\" = { node = true }"), "{why}");
}
