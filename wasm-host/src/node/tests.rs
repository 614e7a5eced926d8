//! Nodes of small boxes, run natively: what becomes of a box that misbehaves, and of its neighbours.

use super::{
    Node, Setup,
    fixture::{Running, component, declared, idle, image, key, protocol, start},
};
use crate::{
    boxes::Phase,
    engine,
    image::{Builder, Image, SecretKey},
    platform::{Platform, fake::FakePlatform},
};
use alloc::{format, sync::Arc, vec, vec::Vec};

mod disk;

/// A box that misbehaves beside one that waits for ever.
fn beside(run: &str) -> Running {
    let source = "[system]\nname = \"test\"\n[box.good]\ncomponent = \"good\"\n[box.bad]\ncomponent = \"bad\"\nmemory = \"1 MiB\"\n";
    start(source, &[("good", component("(call $forever)")), ("bad", component(run))]).unwrap()
}

#[test]
fn a_trap_is_kept_with_its_reason_and_the_box_starts_again() {
    let running = beside("unreachable");
    let life = running.until("bad", |life| life.restarts == 3);
    let reason = life.reason.unwrap();
    assert!(reason.starts_with("wasm trap: wasm `unreachable` instruction executed\n    at "), "{reason}");
    let console = running.platform.console();
    assert!(console.contains("bad: starts again in 100 ms"), "{console}");
    assert!(console.contains("bad: starts again in 400 ms"), "the pause grows: {console}");
    let good = running.until("good", |life| life.phase == Phase::Running);
    assert_eq!((good.restarts, good.reason), (0, None));
}

#[test]
fn an_endless_loop_is_preempted_and_ended() {
    let running = beside("(loop $again (br $again))");
    let good = running.until("good", |life| life.phase == Phase::Running);
    assert_eq!(good.restarts, 0);
    let life = running.until("bad", |life| life.restarts == 1);
    assert_eq!(life.reason.unwrap().lines().next(), Some("ran for 5 s without waiting (watchdog)"));
}

/// It is not made to wait for ticks of the timer that came while it slept.
#[test]
fn a_box_that_slept_has_a_whole_time_slice() {
    let times = "(local $left i32) (local.set $left (i32.const 100))
        (loop $again
            (call $wait (i64.add (i64.load (i32.const 0)) (i64.const 5000000)) (i32.const 0))
            (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))";
    let source = "[system]\nname = \"test\"\n[box.good]\ncomponent = \"good\"\n";
    let platform = FakePlatform::leak();
    let setup = Setup {
        platform,
        image: image(source, &[("good", component(times))]),
        target: engine::LINUX_TRIPLE,
        configure: |_| {},
        trusted: &[key().public()],
        stand_ins: &[],
    };
    let node = Node::start(setup).unwrap();
    let good = node.find("good").unwrap();
    node.executor().run_until(platform, || {
        node.engines().increment_epoch();
        good.life().phase == Phase::Ended
    });
    let turns = good.cpu().unwrap().turns();
    assert!((100..110).contains(&turns), "{turns} turns to wake 100 times");
}

#[test]
fn memory_ends_at_the_limit() {
    let running = beside("(loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable");
    let life = running.until("bad", |life| life.restarts == 1);
    let reason = life.reason.unwrap();
    assert!(reason.contains("more memory than its limit of 1024 KiB"), "{reason}");
    assert_eq!(running.node.find("bad").unwrap().memory(), 0, "it is given back");
}

#[test]
fn an_endless_recursion_ends_the_box() {
    let running = beside(
        "(call $deep (i64.const 0)) ) (func $deep (param i64) (call $deep (i64.add (local.get 0) (i64.const 1)))",
    );
    let life = running.until("bad", |life| life.restarts == 1);
    assert!(life.reason.unwrap().contains("call stack exhausted"));
}

#[test]
fn a_box_that_returns_has_ended() {
    let running = beside("");
    let life = running.until("bad", |life| life.phase == Phase::Ended);
    assert_eq!((life.restarts, life.reason.as_deref()), (0, Some("returned")));
}

#[test]
fn a_restart_that_is_asked_for() {
    let running = beside("(call $forever)");
    running.until("bad", |life| life.phase == Phase::Running);
    running.node.find("bad").unwrap().restart("by the operator");
    let life = running.until("bad", |life| life.restarts == 1 && life.phase == Phase::Running);
    assert_eq!(life.reason.as_deref(), Some("restarted: by the operator"));
}

#[test]
fn what_no_arrow_gives_is_refused_before_anything_runs() {
    let wants = idle(&protocol("pearwood:net/tcp@0.2.0", &["listen"], &["listening"], "client"));
    let source = "[system]\nname = \"test\"\n[box.greedy]\ncomponent = \"wants\"\n";
    let error = start(source, &[("wants", wants)]).err().unwrap();
    assert!(error.contains("greedy") && error.contains("pearwood:net/tcp"), "{error}");
}

#[test]
fn an_artifact_for_other_settings_is_refused() {
    let key = SecretKey::from_seed(&[7; 32]);
    let binary = component("(call $forever)");
    let mut other = engine::settings();
    other.epoch_interruption(false);
    let code = wasmtime::Engine::new(&other).unwrap().precompile_component(&binary).unwrap();
    let source = "[system]\nname = \"test\"\n[box.one]\ncomponent = \"one\"\n";
    let mut builder = Builder::new("system.toml", source);
    builder.plan(declared(source, &[("one", binary)]).unwrap());
    builder.artifact("one", engine::requirements(engine::LINUX_TRIPLE), code);
    let image = Image::open(builder.finish(&key).unwrap(), &[key.public()]).unwrap();
    let setup = Setup {
        platform: FakePlatform::leak(),
        image: Arc::new(image),
        target: engine::LINUX_TRIPLE,
        configure: |_| {},
        trusted: &[],
        stand_ins: &[],
    };
    let error = format!("{}", Node::start(setup).err().unwrap());
    assert!(error.starts_with("box `one`: ") && error.contains("epoch"), "{error}");
}

#[test]
fn an_artifact_for_the_other_engine_is_refused() {
    let key = SecretKey::from_seed(&[7; 32]);
    let binary = component("(call $forever)");
    let kind = engine::Kind::Concurrent;
    let code = wasmtime::Engine::new(&engine::settings_of(kind)).unwrap().precompile_component(&binary).unwrap();
    let source = "[system]\nname = \"test\"\n[box.one]\ncomponent = \"one\"\n";
    let mut builder = Builder::new("system.toml", source);
    builder.plan(declared(source, &[("one", binary)]).unwrap());
    builder.artifact("one", engine::requirements_of(kind, engine::LINUX_TRIPLE), code);
    let image = Arc::new(Image::open(builder.finish(&key).unwrap(), &[key.public()]).unwrap());
    let setup = Setup {
        platform: FakePlatform::leak(),
        image,
        target: engine::LINUX_TRIPLE,
        configure: |_| {},
        trusted: &[key.public()],
        stand_ins: &[],
    };
    let error = format!("{}", Node::start(setup).err().unwrap());
    assert!(error.starts_with("box `one`: ") && error.contains("concurrent") && error.contains("lean"), "{error}");
}

#[test]
fn the_status_is_json_with_what_each_box_has_used() {
    let running = beside("(call $forever)");
    running.until("bad", |life| life.phase == Phase::Running);
    let status: serde_json::Value = serde_json::from_str(&super::status::json(&running.node, 1 << 20)).unwrap();
    assert_eq!(status["system"], "test");
    assert_eq!(status["boxes"][1]["name"], "bad");
    assert_eq!(status["boxes"][1]["phase"], "running");
    // its own memory, and what the node holds for it
    let memory = status["boxes"][1]["memory"].as_u64().unwrap();
    assert!(memory > 65_536 && memory < 1 << 20, "{memory}");
}

/// Where there is no room for all that boxes report, one that reports much takes nothing of what others do.
#[test]
fn figures_have_equal_shares_of_a_status() {
    use crate::{
        boxes::figures::{Figure, Report, Value},
        budget::{Budget, Charge},
    };
    let running = beside("(call $forever)");
    let budget = Budget::new(1 << 20);
    let report = |name: &str, count: usize| {
        let mut report = Report::new(Charge::none(&budget));
        for number in 0..count {
            let labels = vec![("x".into(), format!("{number:0>200}}},{{\"name\":\""))];
            report.add(Figure { name: "a".into(), labels, value: Value::Gauge(1) }).unwrap();
        }
        let running = running.node.running();
        let handle = running.boxes.iter().find(|handle| *handle.name == *name).unwrap();
        handle.figures_are(Some(report.finish().unwrap()));
    };
    running.until("bad", |life| life.phase == Phase::Running);
    let none = super::status::json(&running.node, 1 << 20).len();
    report("good", 5);
    report("bad", 100);
    for (room, good, bad) in [(1 << 20, 5, 100..=100), (10_000, 5, 10..=40), (1_500, 1, 1..=5), (30, 0, 0..=0)] {
        let text = super::status::json(&running.node, none + room);
        assert!(text.len() <= none + room, "{} of {room}", text.len() - none);
        let status: serde_json::Value = serde_json::from_str(&text).unwrap();
        let count = |name: &str| status["figures"][name].as_array().map_or(0, Vec::len);
        assert!(count("good") >= good && bad.contains(&count("bad")), "{room}: {} {}", count("good"), count("bad"));
    }
}

/// A box that others call: `add` is this core code, of two parameters.
fn callee(add: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            (core module $code (func (export "add") (param i32 i32) (result i32) {add}))
            (core instance $code (instantiate $code))
            (func $add (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $code "add")))
            (instance $api (export "add" (func $add)))
            (export "acme:sum/api@0.1.2" (instance $api)))"#
    );
    wat::parse_str(text).unwrap()
}

/// A box that calls it a thousand times, and returns if the sums are right.
fn caller() -> Vec<u8> {
    let text = r#"(component
        (import "acme:sum/api@0.1.0" (instance $api
            (export "add" (func (param "a" u32) (param "b" u32) (result u32)))))
        (core func $add (canon lower (func $api "add")))
        (core instance $sum (export "add" (func $add)))
        (core module $code
            (import "sum" "add" (func $add (param i32 i32) (result i32)))
            (func (export "run") (local $n i32)
                (loop $again
                    (if (i32.ne (call $add (i32.const 2) (local.get $n)) (i32.add (i32.const 2) (local.get $n)))
                        (then unreachable))
                    (local.set $n (i32.add (local.get $n) (i32.const 1)))
                    (br_if $again (i32.lt_u (local.get $n) (i32.const 1000))))))
        (core instance $code (instantiate $code (with "sum" (instance $sum))))
        (func $run (canon lift (core func $code "run")))
        (instance $service (export "run" (func $run)))
        (export "pearwood:box/service@0.2.0" (instance $service)))"#;
    wat::parse_str(text).unwrap()
}

fn calling(add: &str) -> Running {
    let source = "[system]\nname = \"test\"\n[box.sum]\ncomponent = \"sum\"\n[box.user]\ncomponent = \"user\"\n\
        arrows.\"acme:sum/api\" = { box = \"sum\" }\n";
    start(source, &[("sum", callee(add)), ("user", caller())]).unwrap()
}

#[test]
fn a_box_calls_another_over_an_arrow_of_their_own() {
    let running = calling("(i32.add (local.get 0) (local.get 1))");
    let life = running.until("user", |life| life.phase == Phase::Ended);
    assert_eq!(life.restarts, 0);
    let sum = running.node.find("sum").unwrap();
    assert_eq!(sum.life().restarts, 0);
    // It had its turns within those of its caller, which would otherwise have one more for each call.
    let turns = ["sum", "user"].map(|name| running.node.find(name).unwrap().cpu().unwrap().turns());
    assert!(turns[0] >= 1000 && turns[1] < 1000, "{turns:?}");
}

#[test]
fn a_callee_that_traps_is_named_to_its_caller() {
    let running = calling("unreachable");
    let reason = running.until("user", |life| life.restarts == 1).reason.unwrap();
    assert!(reason.contains("sum") && reason.contains("unreachable"), "{reason}");
    let reason = running.until("sum", |life| life.restarts == 1).reason.unwrap();
    assert!(reason.contains("unreachable"), "{reason}");
}
