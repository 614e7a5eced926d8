//! What cannot be deployed, and changes nothing.

use super::{
    SITE, World,
    guests::{self, HANDLER, Handler},
    options,
};
use crate::{
    deploy::{Options, Outcome},
    node::fixture::{VERSION, declared, planned},
    plan::Plan,
};
use alloc::{format, string::String, sync::Arc, vec::Vec};

/// Deploys what is to be refused, and gives the reason. The site that runs has not noticed.
fn refused(source: &str, components: &[(&str, Vec<u8>)]) -> String {
    refused_with(source, components, options())
}

fn refused_with(source: &str, components: &[(&str, Vec<u8>)], options: Options) -> String {
    let mut world = World::new(SITE, &[("site", HANDLER.component())]);
    let site = world.running.node.find("site").unwrap();
    let open = world.client.begin();
    let deployment = world.deploy_with(source, components, options);
    let Outcome::Refused { why } = world.over(&deployment) else { panic!("{:?}", deployment.record()) };
    assert!(Arc::ptr_eq(&site, &world.running.node.find("site").unwrap()) && !site.is_retiring());
    world.client.end(open);
    world.until(|world| world.client.open() == 0);
    assert_eq!(world.client.answers, [(200, b"1".to_vec())]);
    assert_eq!(world.client.failures, Vec::<String>::new());
    let now = world.running.node.running();
    assert_eq!(now.image.source().unwrap().1, SITE);
    why
}

/// What the toolchain makes no plan of.
fn not_sound(source: &str, components: &[(&str, Vec<u8>)]) -> String {
    crate::node::fixture::declared(source, &super::with_client(components)).unwrap_err()
}

/// Deploys what is to be refused, with a plan that is not the declaration's.
fn refused_plan(edit: impl FnOnce(&mut Plan), options: Options) -> (Outcome, World) {
    let mut world = World::new(SITE, &[("site", HANDLER.component())]);
    let components = super::with_client(&[("site", handler(Handler { version: b'2', ..HANDLER }))]);
    let mut plan = declared(SITE, &components).unwrap();
    edit(&mut plan);
    let deployment = world.running.node.deploy(planned(SITE, plan, &components, &[]), options).unwrap();
    (world.over(&deployment), world)
}

#[test]
fn a_plan_that_is_not_sound() {
    let (outcome, _) = refused_plan(|plan| plan.arrows[0].client.port = 9, options());
    let why = "the plan is not sound: arrow 0, of box `client`: it joins a port that is not there".into();
    assert_eq!(outcome, Outcome::Refused { why });
}

#[test]
fn another_system_and_an_older_version_unless_it_is_asked_for() {
    let (outcome, _) = refused_plan(|plan| plan.system = "other".into(), options());
    let Outcome::Refused { why } = outcome else { panic!("{outcome:?}") };
    assert!(why.contains("system `other`") && why.contains("runs `test`"), "{why}");
    let asked = Options { other_system: true, ..options() };
    let (outcome, _) = refused_plan(|plan| plan.system = "other".into(), asked);
    assert_eq!(outcome, Outcome::Done);

    let (outcome, _) = refused_plan(|plan| plan.version = VERSION - 1, options());
    let Outcome::Refused { why } = outcome else { panic!("{outcome:?}") };
    assert!(why.contains("version 6") && why.contains("version 7"), "{why}");

    // what ran can be gone back to, and is no way around
    let (outcome, mut world) = refused_plan(|plan| plan.version = VERSION + 2, options());
    assert_eq!(outcome, Outcome::Done);
    world.running.node.roll_back(options()).unwrap();
    world.until(|world| world.running.node.history()[1].ended.is_some());
    assert_eq!(world.ask(), (200, b"1".to_vec()));
    let components = super::with_client(&[("site", handler(Handler { version: b'3', ..HANDLER }))]);
    let mut plan = declared(SITE, &components).unwrap();
    plan.version = VERSION + 1;
    let deployment = world.running.node.deploy(planned(SITE, plan, &components, &[]), options()).unwrap();
    let Outcome::Refused { why } = world.over(&deployment) else { panic!("{:?}", deployment.record()) };
    assert!(why.contains("version 8") && why.contains("version 9"), "{why}");
}

fn handler(handler: Handler<'_>) -> Vec<u8> {
    handler.component()
}

#[test]
fn a_trap_at_the_start() {
    let why = refused(SITE, &[("site", handler(Handler { begin: "unreachable", ..HANDLER }))]);
    assert!(why.starts_with("box `site` does not start: wasm trap: wasm `unreachable`"), "{why}");
}

#[test]
fn one_that_returns_before_it_is_ready() {
    let why = refused(SITE, &[("site", handler(Handler { begin: "(return)", ..HANDLER }))]);
    assert_eq!(why, "box `site` does not start: returned");
}

#[test]
fn one_that_is_never_ready() {
    // sooner than the watchdog
    let options = Options { ready: 2_000_000_000, ..options() };
    let site = handler(Handler { begin: "(loop $l (br $l))", ..HANDLER });
    let why = refused_with(SITE, &[("site", site)], options);
    assert_eq!(why, "box `site` is not ready within 2000 ms");
}

#[test]
fn one_that_is_not_well() {
    let why = refused(SITE, &[("site", guests::checked("(i32.const 1)", b'2'))]);
    assert_eq!(why, "box `site` does not start: is not well: sick");
    let why = refused(SITE, &[("site", guests::checked("(unreachable)", b'2'))]);
    assert!(why.contains("box `site` does not start: wasm trap"), "{why}");
}

#[test]
fn a_wasi_handler_that_is_not_well() {
    let why = refused(SITE, &[("site", guests::wasi_checked("(i32.const 1)", ""))]);
    assert_eq!(why, "box `site` does not start: is not well: sick");
    let why = refused(SITE, &[("site", guests::wasi_checked("(unreachable)", ""))]);
    assert!(why.contains("box `site` does not start: wasm trap"), "{why}");
}

#[test]
fn a_wasi_handler_that_would_hand_something_over() {
    let handover = r#"
        (func $save (result (list u8)) (canon lift (core func $code "save") (memory (core memory $code "memory"))))
        (func $restore (param "state" (list u8)) (result (result (error string))) (canon lift (core func $code "restore")
            (memory (core memory $code "memory")) (realloc (core func $code "realloc"))))
        (instance $handover (export "save" (func $save)) (export "restore" (func $restore)))
        (export "pearwood:box/handover@0.2.0" (instance $handover))"#;
    let why = not_sound(SITE, &[("site", guests::wasi_checked("(i32.const 0)", handover))]);
    assert!(
        why.contains("box `site` exports both `wasi:http/incoming-handler@0.2.3` and `pearwood:box/handover`"),
        "{why}"
    );
}

/// Each instance of a pool is asked, before it gets a request.
#[test]
fn a_wasi_handler_is_asked_whether_it_is_well() {
    let mut world = World::new(SITE, &[("site", guests::wasi_checked("(i32.const 0)", ""))]);
    for asked in 1..=3 {
        let request = world.client.begin();
        world.client.end(request);
        world.until(|world| world.client.open() == 0);
        assert_eq!(world.client.failures.len(), asked, "it answers nothing");
    }
    assert_eq!(world.client.failures[2], "returned without a response");
    assert_eq!(world.running.node.find("site").unwrap().life().restarts, 0);
}

#[test]
fn a_system_that_is_not_sound() {
    let source = SITE.replace("box = \"site\"", "box = \"sight\"");
    let why = not_sound(&source, &[("site", HANDLER.component())]);
    assert!(why.contains("`client`") && why.contains("`sight`") && why.contains("pearwood:http/handler"), "{why}");
}

#[test]
fn a_device_that_is_not_there() {
    use crate::node::fixture::{idle, protocol};
    let card = idle(&protocol("pearwood:hardware/nic@0.2.0", &["frame"], &["frame", "shared"], "client"));
    let source =
        format!("{SITE}[box.net]\ncomponent = \"card\"\narrows.\"pearwood:hardware/nic\" = {{ device = \"nic7\" }}\n");
    let why = refused(&source, &[("site", HANDLER.component()), ("card", card)]);
    assert_eq!(why, "box `net`: this machine has no device `nic7`");
}

#[test]
fn code_for_another_engine() {
    use crate::{engine, image, node::fixture};
    let mut world = World::new(SITE, &[("site", HANDLER.component())]);
    let binary = handler(Handler { version: b'2', ..HANDLER });
    let mut builder = image::Builder::new("system.toml", SITE);
    builder.plan(fixture::declared(SITE, &super::with_client(&[("site", binary)])).unwrap());
    builder.artifact("site", engine::requirements(engine::KERNEL_TRIPLE), Vec::from(*b"code"));
    let key = fixture::key();
    let image = image::Image::open(builder.finish(&key).unwrap(), &[key.public()]).unwrap();
    let deployment = world.running.node.deploy(Arc::new(image), options()).unwrap();
    let Outcome::Refused { why } = world.over(&deployment) else { panic!("{:?}", deployment.record()) };
    assert!(why.starts_with("box `site`: ") && why.contains("target x86_64-unknown-none"), "{why}");
    assert_eq!(world.ask(), (200, b"1".to_vec()));
}

#[test]
fn a_box_that_a_new_one_calls_must_fit() {
    let source = format!("{SITE}[box.other]\ncomponent = \"other\"\n");
    let why = not_sound(&source, &[("site", HANDLER.component()), ("other", guests::asking())]);
    assert!(why.contains("`other`") && why.contains("acme:count/api"), "{why}");
}
