//! What is deployed is on the disk: power fails at each write, disks fail, and nodes are started again.

mod failures;
mod large;
mod power;

use super::{
    SITE, World,
    guests::{HANDLER, Handler},
    options, with_client,
};
use crate::{
    deploy::{Deployment, Lasts, NotBegun, Options, Outcome, Step},
    engine,
    image::Image,
    node::fixture,
    platform::{
        Disk,
        fake::{FakeDisk, FakePlatform, block_on},
    },
    slots::{SlotName, State, Store},
};
use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

const DISK: u64 = 8 << 20;

type Parts = [(&'static str, Vec<u8>); 1];

fn site(version: u8) -> Parts {
    [("site", Handler { version, ..HANDLER }.component())]
}

fn crashing(version: u8) -> Parts {
    [("site", Handler { version, at_request: "unreachable", ..HANDLER }.component())]
}

fn refused(version: u8) -> Parts {
    [("site", Handler { version, begin: "unreachable", ..HANDLER }.component())]
}

/// The image of a version, in one piece.
fn bytes(parts: &Parts) -> Vec<u8> {
    in_one_piece(&fixture::image(SITE, &with_client(parts)))
}

fn in_one_piece(image: &Image<'_>) -> Vec<u8> {
    let (mut stream, mut bytes) = (image.stream(&engine::all_requirements(engine::LINUX_TRIPLE)).unwrap(), Vec::new());
    while stream.read(&mut bytes, 1 << 20).unwrap() > 0 {}
    bytes
}

fn blank() -> FakeDisk {
    let disk = Arc::new(FakeDisk::new(512, DISK / 512));
    block_on(Store::format(disk.clone(), DISK)).unwrap();
    disk.after_power_cut(0)
}

/// The version that a node with this disk would start, held against all bytes that it should have. None: that of the
/// boot loader.
fn starts(store: &Store, versions: &[u8]) -> Option<u8> {
    let chosen = block_on(store.choose(0, |_| Ok(()), |_| ()))?;
    let found = versions.iter().find(|version| bytes(&site(**version)) == chosen.image.bytes);
    Some(*found.expect("a whole system, and one of those that were deployed"))
}

/// A node that is started with such a disk: it runs what is on it, or else version `b'1'`.
fn boot(disk: &Arc<FakeDisk>) -> World {
    let store = Arc::new(block_on(Store::open(disk.clone())).unwrap().expect("it has slots"));
    let version = starts(&store, b"123456").unwrap_or(b'1');
    on(disk.clone(), store, version)
}

fn on(disk: Arc<dyn Disk>, store: Arc<Store>, version: u8) -> World {
    let platform = FakePlatform::leak();
    platform.add_disk(disk);
    platform.set_slots(store);
    World::on(platform, SITE, &site(version))
}

fn quick() -> Options {
    Options { trial: 0, ..options() }
}

fn deploys(world: &mut World, parts: &Parts) -> (Arc<Deployment>, Outcome) {
    let deployment = world.deploy_with(SITE, parts, quick());
    let outcome = world.over(&deployment);
    (deployment, outcome)
}

/// What is so of it when the node is started again; none if it was refused.
fn deployed(world: &mut World, version: u8) -> Option<Lasts> {
    match deploys(world, &site(version)) {
        (deployment, Outcome::Done) => Some(lasts(&deployment)),
        (_, Outcome::Refused { .. }) => None,
        (_, other) => panic!("{other:?}"),
    }
}

fn rolls_back(world: &mut World) -> Step {
    let number = world.running.node.roll_back(quick()).unwrap();
    let node = world.running.node.clone();
    let find = || node.history().into_iter().find(|record| record.number == number).unwrap();
    world.until(|_| find().ended.is_some());
    find().step
}

fn lasts(deployment: &Deployment) -> Lasts {
    deployment.record().lasts.expect("it is done")
}

fn runs(world: &mut World) -> u8 {
    world.ask().1[0]
}

fn store(world: &World) -> Arc<Store> {
    world.running.node.slots().unwrap()
}

#[test]
fn what_is_deployed_is_what_the_next_boot_starts() {
    let disk = Arc::new(blank());
    let mut world = boot(&disk);
    for version in b'2'..=b'5' {
        let (deployment, outcome) = deploys(&mut world, &site(version));
        assert_eq!(outcome, Outcome::Done);
        // A holds what this node was started with, and keeps it
        let slot = [SlotName::B, SlotName::C][usize::from(version - b'2') % 2];
        assert_eq!(lasts(&deployment), Lasts::Kept { slot });
        // the power may go the moment that this was said
        let disk = Arc::new(disk.after_power_cut(1));
        let mut world = boot(&disk);
        assert_eq!(runs(&mut world), version);
        let kept = store(&world);
        assert_eq!(kept.held(slot).unwrap().state, State::Unbooted);
        world.until(|_| !kept.on_trial());
        assert_eq!(kept.held(slot).unwrap().state, State::Good, "it was started, and runs");
        // and the one of before is there to be gone back to
        assert_eq!(rolls_back(&mut world), Step::Over(Outcome::Done));
        assert_eq!(runs(&mut world), version - 1);
        assert_eq!(runs(&mut boot(&Arc::new(disk.after_power_cut(1)))), version - 1);
        // twice is there and back
        assert_eq!(rolls_back(&mut world), Step::Over(Outcome::Done));
        assert_eq!(runs(&mut world), version);
        assert_eq!(runs(&mut boot(&Arc::new(disk.after_power_cut(1)))), version);
    }
}

#[test]
fn the_history_goes_on_after_a_boot() {
    let disk = Arc::new(blank());
    let mut world = boot(&disk);
    deploys(&mut world, &site(b'2'));
    let (_, outcome) = deploys(&mut world, &refused(b'3'));
    assert!(matches!(outcome, Outcome::Refused { .. }), "{outcome:?}");
    drop(world);
    let mut world = boot(&disk);
    let (deployment, _) = deploys(&mut world, &site(b'4'));
    assert_eq!(deployment.record().number, 3);
    assert_eq!(rolls_back(&mut world), Step::Over(Outcome::Done));
    let history = || -> Vec<serde_json::Value> {
        serde_json::from_str(&crate::node::history::json(&world.running.node)).unwrap()
    };
    let told = |history: &[serde_json::Value]| -> Vec<String> {
        let one = |it: &serde_json::Value| format!("{} {} {} {}", it["number"], it["by"], it["step"], it["kept"]);
        history.iter().map(one).collect()
    };
    let now = history();
    let expected = [
        r#"1 "a test" "done" true"#,
        r#"2 "a test" "refused" null"#,
        r#"3 "a test" "done" true"#,
        r#"4 "a test" "done" true"#,
    ];
    assert_eq!(told(&now), expected);
    assert!(now[1]["text"].as_str().unwrap().contains("refused: "), "{}", now[1]);
    assert_eq!(now[0]["hash"], now[3]["hash"], "the same system");
    assert_ne!(now[2]["hash"], now[3]["hash"]);
    assert_eq!((&now[0]["began"], now[3]["began"].is_u64()), (&serde_json::Value::Null, true));
    drop(world);
    let world = boot(&disk);
    let later: Vec<serde_json::Value> = serde_json::from_str(&crate::node::history::json(&world.running.node)).unwrap();
    assert_eq!(told(&later), expected);
    assert_eq!(later[3]["changes"][0], "back to deployment 1; site: another component");
}

/// What ran is remembered by the disk, whatever is gone back to: no older image comes in after a boot.
#[test]
fn an_older_version_is_refused_after_a_boot_too() {
    let disk = Arc::new(blank());
    let mut world = boot(&disk);
    let deploys = |world: &mut World, version: u8, of: u64| {
        let components = with_client(&site(version));
        let mut plan = fixture::declared(SITE, &components).unwrap();
        plan.version = of;
        let deployment = world.running.node.deploy(fixture::planned(SITE, plan, &components, &[]), quick()).unwrap();
        world.over(&deployment)
    };
    assert_eq!(deploys(&mut world, b'2', fixture::VERSION + 2), Outcome::Done);
    assert_eq!(rolls_back(&mut world), Step::Over(Outcome::Done));
    drop(world);
    let mut world = boot(&disk);
    assert_eq!(runs(&mut world), b'1');
    let Outcome::Refused { why } = deploys(&mut world, b'3', fixture::VERSION + 1) else { panic!("taken") };
    assert!(why.contains("version 8") && why.contains("has run version 9"), "{why}");
    assert_eq!(deploys(&mut world, b'3', fixture::VERSION + 2), Outcome::Done);
    // and there is a way back to what is older
    assert_eq!(rolls_back(&mut world), Step::Over(Outcome::Done));
    assert_eq!(runs(&mut world), b'1');
}

#[test]
fn what_is_refused_leaves_the_way_back() {
    let disk = Arc::new(blank());
    let mut world = boot(&disk);
    deployed(&mut world, b'2').unwrap();
    deployed(&mut world, b'3').unwrap();
    let (_, outcome) = deploys(&mut world, &refused(b'4'));
    assert!(matches!(outcome, Outcome::Refused { .. }), "{outcome:?}");
    let mut world = boot(&disk);
    assert_eq!(runs(&mut world), b'3');
    assert_eq!(rolls_back(&mut world), Step::Over(Outcome::Done));
    assert_eq!(runs(&mut world), b'2');
}

/// The system that runs, deployed once more, costs neither a slot nor the system to go back to.
#[test]
fn what_is_the_same_is_no_deployment() {
    let disk = Arc::new(blank());
    let mut world = boot(&disk);
    let again = |world: &World, version: u8, more: u64| {
        let components = with_client(&site(version));
        let mut plan = fixture::declared(SITE, &components).unwrap();
        plan.version += more;
        world.running.node.deploy(fixture::planned(SITE, plan, &components, &[]), quick()).map(drop)
    };
    assert_eq!(again(&world, b'1', 1), Err(NotBegun::Unchanged), "what the boot loader brings is started again");
    deployed(&mut world, b'2').unwrap();
    deployed(&mut world, b'3').unwrap();
    let writes = disk.operations();
    // made anew, so it has another version
    for more in 0..3 {
        assert_eq!(again(&world, b'3', more), Err(NotBegun::Unchanged));
    }
    assert_eq!((world.running.node.history().len(), disk.operations()), (2, writes));
    assert_eq!(rolls_back(&mut world), Step::Over(Outcome::Done));
    assert_eq!(runs(&mut world), b'2');
    drop(world);
    let mut world = boot(&disk);
    assert_eq!((runs(&mut world), again(&world, b'2', 0)), (b'2', Err(NotBegun::Unchanged)));
}

/// What runs, but is not what the disk starts, becomes that when it is deployed.
#[test]
fn what_runs_and_is_not_what_is_started_can_be_deployed() {
    let disk = Arc::new(blank());
    deployed(&mut boot(&disk), b'2').unwrap();
    // the disk's slots are not looked at, and what the boot loader brings is started
    let store = Arc::new(block_on(Store::open(disk.clone())).unwrap().expect("it has slots"));
    let mut world = on(disk.clone(), store, b'1');
    assert!(matches!(deployed(&mut world, b'1'), Some(Lasts::Kept { .. })));
    drop(world);
    assert_eq!(runs(&mut boot(&disk)), b'1');
}

#[test]
fn a_node_without_a_disk_says_so() {
    let mut world = World::new(SITE, &site(b'1'));
    let (deployment, outcome) = deploys(&mut world, &site(b'2'));
    assert_eq!((outcome, lasts(&deployment)), (Outcome::Done, Lasts::UntilTheEnd { wanted: None }));
    assert!(world.running.platform.console().contains("it lasts until the node is started again"));
    let wants = SITE.replace("name = \"test\"\n", "name = \"test\"\ndisk = \"disk7\"\n");
    let deployment = world.deploy_with(&wants, &site(b'2'), quick());
    assert_eq!(world.over(&deployment), Outcome::Done);
    assert!(
        lasts(&deployment).to_string().ends_with("has not started with slots on disk7"),
        "{:?}",
        lasts(&deployment)
    );
}
