//! What a box hands over to its successor.

use super::{
    SITE, World,
    guests::{self, Handler, TAKES},
    options,
};
use crate::{
    deploy::{Options, Outcome, Step},
    platform::fake::{FakeDisk, FakePlatform},
};
use alloc::{format, string::String, sync::Arc, vec::Vec};

fn counting(restored: &str) -> [(&'static str, Vec<u8>); 1] {
    [("site", guests::counting(restored))]
}

#[test]
fn a_box_that_runs_hands_over_when_it_has_returned() {
    let mut world = World::new(SITE, &counting(TAKES));
    assert_eq!((world.ask().1, world.ask().1), (b"\x01".to_vec(), b"\x02".to_vec()));
    for round in 0..3 {
        // what is dropped is not compiled, but where the rest is in the source
        let newer = format!("{TAKES} {}", "(drop (i32.const 1))".repeat(round + 1));
        let deployment = world.deploy(SITE, &counting(&newer));
        // what comes meanwhile waits for the new one
        let asked = world.client.begin();
        world.client.end(asked);
        assert_eq!(world.over(&deployment), Outcome::Done);
        assert_eq!(world.client.open(), 0);
    }
    assert_eq!(world.ask().1, b"\x06".to_vec());
    assert_eq!(world.client.failures, Vec::<String>::new());
}

fn giving(restored: &str) -> [(&'static str, Vec<u8>); 1] {
    [("site", guests::giving(restored))]
}

#[test]
fn a_box_that_goes_on_hands_over_at_once() {
    let mut world = World::new(SITE, &giving(TAKES));
    assert_eq!((world.ask().1, world.ask().1), (b"\x01".to_vec(), b"\x02".to_vec()));
    let old = world.running.node.find("site").unwrap();
    let open = world.client.begin();
    let deployment = world.deploy(SITE, &giving(&format!("{TAKES} (drop (i32.const 1))")));
    world.until(|world| world.client.has_retiring());
    let asked = world.client.begin();
    world.client.end(asked);
    world.until(|world| world.client.open() == 1);
    assert_eq!(world.client.answers.last().unwrap().1, b"\x03", "of the new one, which knows the count");
    assert!(!old.has_ended(), "it has a request");
    world.client.end(open);
    world.until(|world| world.client.open() == 0);
    assert_eq!(world.client.answers.last().unwrap().1, b"\x03", "of the old one");
    assert_eq!(world.over(&deployment), Outcome::Done);
    assert_eq!((old.life().reason.as_deref(), old.memory()), (Some("returned"), 0));
    assert_eq!(world.ask().1, b"\x04");
}

/// What the old instance had given is better than nothing.
#[test]
fn after_a_crash_the_state_of_before_is_there() {
    let mut world = World::new(SITE, &giving(TAKES));
    assert_eq!((world.ask().1, world.ask().1), (b"\x01".to_vec(), b"\x02".to_vec()));
    let deployment = world.deploy(SITE, &giving(&format!("{TAKES} (drop (i32.const 1))")));
    world.until(|_| deployment.record().step == Step::Trial);
    world.running.node.find("site").unwrap().restart("by the test");
    let Outcome::RolledBack { .. } = world.over(&deployment) else { panic!("{:?}", deployment.record()) };
    assert_eq!(world.ask().1, b"\x03");
}

/// A box that crashes again and again can be replaced by one that does not.
#[test]
fn one_that_is_down_has_no_state() {
    let mut world = World::new(SITE, &giving(TAKES));
    assert_eq!(world.ask().1, b"\x01");
    let site = world.running.node.find("site").unwrap();
    site.stop("by the test");
    world.until(|_| site.life().phase == crate::boxes::Phase::Stopped);
    let deployment = world.deploy(SITE, &giving(&format!("{TAKES} (drop (i32.const 1))")));
    assert_eq!(world.over(&deployment), Outcome::Done);
    assert_eq!(world.ask().1, b"\x01");
}

#[test]
fn one_that_does_not_take_the_state_is_rolled_back() {
    let mut world = World::new(SITE, &counting(TAKES));
    world.ask();
    let deployment = world.deploy(SITE, &counting("(i32.const 1)"));
    let Outcome::RolledBack { why } = world.over(&deployment) else { panic!("{:?}", deployment.record()) };
    assert_eq!(why, "box `site`: does not take over the state of its predecessor: no");
    assert_eq!(world.ask().0, 200);
}

const CALLING: &str = "[system]\nname = \"test\"\n\
    [box.client]\ncomponent = \"client\"\narrows.\"pearwood:http/handler\" = { box = \"site\" }\n\
    [box.site]\ncomponent = \"asking\"\narrows.\"acme:count/api\" = { box = \"counter\" }\n\
    [box.counter]\ncomponent = \"counter\"\n";

fn calling(by: u32) -> [(&'static str, Vec<u8>); 2] {
    [("asking", guests::asking()), ("counter", guests::counter(by))]
}

#[test]
fn a_box_that_is_called_hands_over_between_two_calls() {
    let mut world = World::new(CALLING, &calling(1));
    assert_eq!((world.ask().1, world.ask().1), (b"\x01".to_vec(), b"\x02".to_vec()));
    let site = world.running.node.find("site").unwrap();
    let deployment = world.deploy_with(CALLING, &calling(10), Options { trial: 0, ..options() });
    let mut asked = 0;
    world.until(|world| {
        if world.client.open() == 0 && asked < 200 {
            asked += 1;
            let request = world.client.begin();
            world.client.end(request);
        }
        deployment.outcome().is_some()
    });
    assert_eq!(deployment.outcome(), Some(Outcome::Done));
    world.until(|world| world.client.open() == 0);
    // on a busy machine all may have been asked before the new one came
    let request = world.client.begin();
    world.client.end(request);
    world.until(|world| world.client.open() == 0);
    let counts: Vec<u8> = world.client.answers.iter().map(|(_, body)| body[0]).collect();
    let steps: Vec<u8> = counts.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    let moved = steps.iter().position(|step| *step == 10).expect("the new one has answered");
    assert!(steps[..moved].iter().all(|step| *step == 1) && steps[moved..].iter().all(|step| *step == 10), "{steps:?}");
    assert!(Arc::ptr_eq(&site, &world.running.node.find("site").unwrap()), "its caller is not touched");
    assert_eq!(world.client.failures, Vec::<String>::new());
    assert_eq!(deployment.record().changes, ["counter: another component"]);
}

#[test]
fn a_caller_can_be_replaced_too() {
    let mut world = World::new(CALLING, &calling(1));
    world.ask();
    let source = CALLING.replace("[box.counter]", "memory = \"8 MiB\"\n[box.counter]");
    let deployment = world.deploy(&source, &calling(1));
    assert_eq!(world.over(&deployment), Outcome::Done);
    assert_eq!(deployment.record().changes, ["site: another limits"]);
    assert_eq!(world.ask().1, b"\x02".to_vec());
}

/// A box with state of another version, and one that does not know of it.
#[test]
fn a_version_without_state_begins_anew() {
    let mut world = World::new(SITE, &counting(TAKES));
    world.ask();
    let plain = Handler { version: b'p', ..guests::HANDLER }.component();
    let deployment = world.deploy(SITE, &[("site", plain)]);
    assert_eq!(world.over(&deployment), Outcome::Done);
    assert_eq!(world.ask().1, b"p".to_vec());
}

/// Both ends of a call are of another type now: the old ones call each other to their end, and so do the new ones.
#[test]
fn a_call_whose_type_changes() {
    let mut world = World::new(CALLING, &calling(1));
    let open = world.client.begin();
    let old = ["site", "counter"].map(|name| world.running.node.find(name).unwrap());
    let other = [("asking", guests::other_asking()), ("counter", guests::other_counter())];
    let deployment = world.deploy(CALLING, &other);
    world.until(|world| world.client.has_retiring());
    let asked = world.client.begin();
    world.client.end(asked);
    world.until(|world| world.client.open() == 1);
    assert_eq!(world.client.answers, [(200, b"\x04".to_vec())], "it counted before it was ready, at the new one");
    assert!(old.iter().all(|handle| !handle.has_ended()));
    world.client.end(open);
    assert_eq!(world.over(&deployment), Outcome::Done);
    assert_eq!(world.client.answers[1], (200, b"\x01".to_vec()), "the old one asked the old one");
    assert!(old.iter().all(|handle| handle.has_ended() && handle.memory() == 0));
    assert_eq!(world.client.failures, Vec::<String>::new());
}

#[test]
fn a_box_that_is_called_goes_when_its_callers_are_gone() {
    let mut world = World::new(CALLING, &calling(1));
    let open = world.client.begin();
    let counter = world.running.node.find("counter").unwrap();
    let source = "[system]\nname = \"test\"\n\
        [box.client]\ncomponent = \"client\"\narrows.\"pearwood:http/handler\" = { box = \"site\" }\n\
        [box.site]\ncomponent = \"plain\"\n";
    let deployment = world.deploy(source, &[("plain", guests::HANDLER.component())]);
    world.until(|world| world.client.has_retiring());
    assert!(!counter.has_ended());
    world.client.end(open);
    assert_eq!(world.over(&deployment), Outcome::Done);
    assert_eq!(world.client.answers, [(200, b"\x01".to_vec())]);
    assert!(counter.has_ended() && counter.memory() == 0);
}

#[test]
fn a_refusal_after_state_was_saved_lets_the_old_one_go_on() {
    let mut world = World::new(CALLING, &calling(1));
    world.ask();
    // it takes no state of four bytes
    let broken = guests::counter_with(1, "unreachable");
    let deployment = world.deploy(CALLING, &[("asking", guests::asking()), ("counter", broken)]);
    let Outcome::Refused { why } = world.over(&deployment) else { panic!("{:?}", deployment.record()) };
    assert!(why.starts_with("box `counter`: wasm trap"), "{why}");
    assert_eq!(world.ask().1, b"\x02".to_vec());
    assert_eq!(world.running.node.find("counter").unwrap().life().restarts, 0);
}

/// Two instances never have the same sectors at a time: the new one begins when the old one has ended.
#[test]
fn a_disk_goes_from_one_to_the_other() {
    let platform = FakePlatform::leak();
    platform.add_disk(Arc::new(FakeDisk::new(512, 64)));
    let source = format!("{SITE}arrows.\"pearwood:hardware/block\" = {{ device = \"disk0\" }}\n");
    let keeping = |version| [("site", guests::keeping(version))];
    let mut world = World::on(platform, &source, &keeping(b'1'));
    let open = world.client.begin();
    let old = world.running.node.find("site").unwrap();
    let deployment = world.deploy(&source, &keeping(b'2'));
    world.until(|world| world.client.has_retiring());
    let asked = world.client.begin();
    world.client.end(asked);
    world.client.end(open);
    world.until(|world| {
        let new_answers = world.client.answers.iter().any(|(_, body)| body == b"2");
        assert!(!new_answers || old.has_ended(), "the new one waits for the old one's end");
        world.client.open() == 0
    });
    assert!(old.has_ended());
    assert_eq!(world.client.answers, [(200, b"1".to_vec()), (200, b"2".to_vec())]);
    assert_eq!(world.over(&deployment), Outcome::Done);
    assert_eq!(world.client.failures, Vec::<String>::new());
}
