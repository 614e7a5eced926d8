//! Whose power it is: keys that change, and boxes that lose or get it.

use super::*;
use crate::{
    deploy::Record,
    platform::fake::{FakeDisk, FakePlatform, block_on},
    slots::Store,
};

fn next_key() -> SecretKey {
    SecretKey::from_seed(&[9; 32])
}

fn options() -> Options {
    Options { by: "anna".into(), trial: 0, drain: 1_000_000_000, ..Options::default() }
}

/// The way of an image to a node, from the manifest to the end.
fn deploy(running: &Running, image: &[u8]) -> Result<Record, String> {
    let node = &running.node;
    let mut upload = Some(begin(node, image, 1 << 20)?);
    let new = Image::open(image, &[key().public(), next_key().public()]).unwrap();
    bring(upload.as_mut().unwrap(), &new, 30 << 10);
    node.deploy_upload(&mut upload, options())?;
    Ok(over(running))
}

fn over(running: &Running) -> Record {
    let last = || running.node.history().pop().unwrap();
    running.node.executor().run_until(running.platform, || matches!(last().step, Step::Over(_)));
    last()
}

fn with_trust(trust: &str) -> String {
    ONE.replace("[box", &format!("trust = {trust}\n[box"))
}

#[test]
fn keys_that_sign_images_are_changed_by_an_image() {
    let running = start(ONE, &[("one", component(FOREVER))]).unwrap();
    let [old, new] = [key(), next_key()];
    let refused = |image: &[u8]| {
        let why = deploy(&running, image).unwrap_err();
        assert!(why.contains("which the node does not trust"), "{why}");
    };
    refused(&other(&new, b"early"));
    let both = with_trust(&format!("[\"{}\", \"{}\"]", old.public(), new.public()));
    assert_eq!(deploy(&running, &other_of(&old, &both, b"1")).unwrap().step, Step::Over(Outcome::Done));
    let only = with_trust(&format!("[\"{}\"]", new.public()));
    assert_eq!(deploy(&running, &other_of(&new, &only, b"2")).unwrap().step, Step::Over(Outcome::Done));
    refused(&other(&old, b"late"));
    // an endorsement is for the node's start, and gets nobody in later
    let mut endorsed = Builder::new("system.toml", ONE);
    endorsed.endorsement(new.endorse(&old.public()));
    refused(&endorsed.finish(&old).unwrap());
    // what was there before trusts whom it did, which is not for everyone to bring back
    running.node.roll_back(Options { same_authority: true, ..options() }).unwrap();
    let why = format!("{}", over(&running).step);
    assert!(why.contains("gives the power over the node to others"), "{why}");
    refused(&other(&old, b"late"));
    running.node.roll_back(options()).unwrap();
    assert_eq!(over(&running).step, Step::Over(Outcome::Done));
    assert_eq!(deploy(&running, &other_of(&old, &both, b"3")).unwrap().step, Step::Over(Outcome::Done));
    // and what does not say trusts whom the node was started with
    assert_eq!(deploy(&running, &other(&new, b"4")).unwrap().step, Step::Over(Outcome::Done));
    refused(&other(&new, b"5"));
}

#[test]
fn a_system_that_fails_changes_no_keys() {
    let running = start(ONE, &[("one", component(FOREVER))]).unwrap();
    let source = with_trust(&format!("[\"{}\"]", next_key().public()));
    let mut builder = Builder::new("system.toml", &source);
    let binary = component("unreachable");
    builder.plan(declared(&source, &[("one", binary.clone())]).unwrap());
    let code = wasmtime::Engine::new(&engine::settings()).unwrap().precompile_component(&binary).unwrap();
    builder.artifact("one", engine::requirements(engine::LINUX_TRIPLE), code);
    let record = deploy(&running, &builder.finish(&key()).unwrap()).unwrap();
    assert!(matches!(record.step, Step::Over(Outcome::Refused { .. })), "{record:?}");
    assert!(begin(&running.node, &other(&next_key(), b"x"), 1 << 20).is_err());
    assert!(begin(&running.node, &other(&key(), b"x"), 1 << 20).is_ok());
}

const CONTROLLED: &str = "[system]\nname = \"test\"\n[box.one]\ncomponent = \"one\"\n[box.control]\ncomponent = \"control\"\n\
    arrows.\"pearwood:control/node\" = { node = true }\nconfig.keys = \"anna\"\n";

/// An image of which nothing but the plan matters.
fn plan_only(source: &str) -> Vec<u8> {
    let mut builder = Builder::new("system.toml", source);
    builder.plan(declared(source, &[("one", component(FOREVER)), ("control", powerful())]).unwrap());
    builder.finish(&key()).unwrap()
}

#[test]
fn who_would_have_the_power_is_known_before() {
    let running = start(CONTROLLED, &[("one", component(FOREVER)), ("control", powerful())]).unwrap();
    let node = &running.node;
    assert!(node.successor(None).unwrap_err().contains("no other system ran"));
    let anna = || Some(vec![(String::from("keys"), String::from("anna"))]);
    let next = format!("[system]\ntrust = [\"{}\"]", next_key().public());
    for (source, settings, is_other) in [
        (CONTROLLED.into(), anna(), false),
        (CONTROLLED.replace("component = \"one\"", "component = \"one\"\nmemory = \"1 MiB\""), anna(), false),
        (CONTROLLED.replace("\"anna\"", "\"ben\""), Some(vec![("keys".into(), "ben".into())]), true),
        (CONTROLLED.replace("[system]", &next), anna(), true),
        (
            CONTROLLED.replace(
                "[system]",
                &next.replace(&format!("{}", next_key().public()), &format!("{}", key().public())),
            ),
            anna(),
            false,
        ),
        (ONE.into(), None, true),
    ] {
        let image = Image::open(plan_only(&source), &[key().public()]).unwrap();
        node.keep_previous(Arc::new(image), None);
        let successor = node.successor(None).unwrap().unwrap();
        assert_eq!((successor.settings, successor.is_other), (settings, is_other), "{source}");
    }
    // and of one that is being brought, as soon as its plan is there
    let new = plan_only(&CONTROLLED.replace("anna", "carla"));
    let mut upload = begin(node, &new, 1 << 20).unwrap();
    assert_eq!(node.successor(Some(&upload)).unwrap_err(), "the image lacks its plan");
    bring(&mut upload, &Image::open(&new[..], &[key().public()]).unwrap(), 100);
    let successor = node.successor(Some(&upload)).unwrap().unwrap();
    assert_eq!(successor.settings, Some(vec![("keys".into(), "carla".into())]));
    assert!(successor.is_other);
}

#[test]
fn the_power_goes_with_the_place() {
    let running = with_power("arrows.\"pearwood:control/node\" = { node = true }").unwrap();
    let node = running.node.clone();
    let mut old = Asking::of_control(&running);
    assert_eq!(old.ask("anna", &Request::Restart { name: "two" }), Response::Done);
    running.until("two", |life| life.restarts == 1 && runs(life));
    let source = node.source().replace("[box.control]\n", "[box.control]\nconfig.new = \"1\"\n");
    let image = crate::node::fixture::image(&source, &[("two", component(FOREVER)), ("control", powerful())]);
    node.deploy(image, options()).unwrap();
    assert_eq!(over(&running).step, Step::Over(Outcome::Done));
    assert!(!node.has_place(&old.handle) && node.has_place(&node.find("two").unwrap()));
    // what another has taken the place of may still look, and no more
    assert!(matches!(old.ask("anna", &Request::History), Response::Text(_)));
    let refused = old.ask("anna", &Request::Restart { name: "two" });
    assert!(matches!(&refused, Response::Refused(why) if why.contains("another box has the power")), "{refused:?}");
    let mut new = Asking::of_control(&running);
    assert_eq!(new.ask("anna", &Request::Restart { name: "two" }), Response::Done);
    running.until("two", |life| life.restarts == 2);
}

#[test]
fn where_systems_are_kept_does_not_change_while_the_node_runs() {
    let other = ONE.replace("[box", "disk = \"disk0\"\n[box");
    let deploys = |platform: &'static FakePlatform| {
        let components = [("one", component(FOREVER))];
        let running = crate::node::fixture::start_on(platform, ONE, &components, &[]).unwrap();
        running.node.deploy(crate::node::fixture::image(&other, &components), options()).unwrap();
        over(&running)
    };
    let record = deploys(FakePlatform::leak());
    assert_eq!(record.step, Step::Over(Outcome::Done));
    let line = "[system] disk is another (disk0, 128 MiB; was none): this takes effect when the node is started";
    assert!(record.changes.iter().any(|change| change.starts_with(line)), "{record:?}");

    let platform = FakePlatform::leak();
    let disk = Arc::new(FakeDisk::new(512, 8_192));
    platform.set_slots(Arc::new(block_on(Store::format(disk, 4 << 20)).unwrap()));
    let record = deploys(platform);
    let why = format!("{}", record.step);
    assert!(
        why.starts_with("refused: [system] disk is another") && why.contains("start it with the new system"),
        "{why}"
    );
}
