//! Requests while boxes are replaced.

use super::{
    SITE, World,
    guests::{HANDLER, Handler},
    options,
};
use crate::deploy::Outcome;
use alloc::{format, string::String, vec, vec::Vec};

fn version(version: u8) -> Vec<u8> {
    Handler { version, ..HANDLER }.component()
}

fn site(version: u8) -> [(&'static str, Vec<u8>); 1] {
    [("site", self::version(version))]
}

#[test]
fn what_is_open_is_finished_by_the_old_and_the_rest_goes_to_the_new() {
    let mut world = World::new(SITE, &site(b'1'));
    assert_eq!(world.ask(), (200, b"1".to_vec()));
    let open = world.client.begin();
    let old = world.running.node.find("site").unwrap();
    let deployment = world.deploy(SITE, &site(b'2'));
    world.until(|world| world.client.has_retiring());
    let new = world.client.begin();
    world.client.end(new);
    world.until(|world| world.client.open() == 1);
    assert_eq!(world.client.answers.last().unwrap().1, b"2");
    assert!(!old.has_ended(), "it has a request");
    world.client.end(open);
    world.until(|world| world.client.open() == 0);
    assert_eq!(world.client.answers.last().unwrap().1, b"1");
    assert_eq!(world.over(&deployment), Outcome::Done);
    assert!(old.has_ended());
    assert_eq!((old.life().reason.as_deref(), old.memory()), (Some("returned"), 0));
    assert_eq!(world.ask(), (200, b"2".to_vec()));
    assert_eq!(world.client.failures, Vec::<String>::new());
    let history = world.running.node.history();
    assert_eq!((&*history[0].by, &history[0].changes), ("a test", &vec![String::from("site: another component")]));
}

#[test]
fn many_swaps_under_traffic_lose_nothing() {
    let mut world = World::new(SITE, &site(b'1'));
    let (mut asked, mut swaps) = (0, 0);
    let mut open: Vec<u32> = Vec::new();
    while swaps < 20 {
        let deployment = world.deploy_with(SITE, &site(b'a' + swaps), crate::deploy::Options { trial: 0, ..options() });
        world.until(|world| {
            asked += 1;
            open.push(world.client.begin());
            if open.len() > 3 {
                let first = open.remove(0);
                world.client.end(first);
            }
            deployment.outcome().is_some()
        });
        assert_eq!(deployment.outcome(), Some(Outcome::Done));
        swaps += 1;
    }
    for request in open {
        world.client.end(request);
    }
    world.until(|world| world.client.open() == 0);
    assert_eq!((world.client.answers.len(), &world.client.failures), (asked, &Vec::<String>::new()));
    assert!(world.client.answers.iter().all(|(status, _)| *status == 200));
}

#[test]
fn what_does_not_finish_in_time_is_ended() {
    let mut world = World::new(SITE, &site(b'1'));
    world.client.begin();
    let old = world.running.node.find("site").unwrap();
    let deployment = world.deploy(SITE, &site(b'2'));
    assert_eq!(world.over(&deployment), Outcome::Done);
    assert_eq!(world.client.failures, ["restarted: it did not finish in time, and another has its place"]);
    assert!(old.has_ended() && old.memory() == 0);
    assert_eq!(world.client.open(), 0);
}

#[test]
fn a_client_that_knows_no_retire_still_works() {
    let mut world = World::new(SITE, &site(b'1'));
    world.client.obeys_retire = false;
    let deployment = world.deploy(SITE, &site(b'2'));
    assert_eq!(world.over(&deployment), Outcome::Done);
    assert_eq!(world.ask(), (200, b"2".to_vec()));
}

#[test]
fn boxes_that_did_not_change_are_not_touched() {
    let source = format!("{SITE}[box.other]\ncomponent = \"other\"\n");
    let mut world = World::new(&source, &[("site", version(b'1')), ("other", version(b'o'))]);
    let other = world.running.node.find("other").unwrap();
    let deployment = world.deploy(&source, &[("site", version(b'2')), ("other", version(b'o'))]);
    assert_eq!(world.over(&deployment), Outcome::Done);
    assert!(alloc::sync::Arc::ptr_eq(&other, &world.running.node.find("other").unwrap()));
    assert_eq!((other.life().restarts, other.is_retiring()), (0, false));
}

#[test]
fn boxes_and_arrows_come_and_go() {
    let with = |target: &str| {
        format!(
            "[system]\nname = \"test\"\n\
             [box.client]\ncomponent = \"client\"\narrows.\"pearwood:http/handler\" = {{ box = \"{target}\" }}\n\
             [box.{target}]\ncomponent = \"site\"\n"
        )
    };
    let mut world = World::new(&with("one"), &site(b'1'));
    let one = world.running.node.find("one").unwrap();
    let open = world.client.begin();
    let deployment = world.deploy(&with("two"), &site(b'1'));
    world.until(|world| world.client.has_retiring());
    let asked = world.client.begin();
    world.client.end(asked);
    world.client.end(open);
    assert_eq!(world.over(&deployment), Outcome::Done);
    assert_eq!((world.client.answers.len(), world.client.failures.len()), (2, 0));
    assert!(one.has_ended() && world.running.node.find("one").is_none());
    assert_eq!(world.running.node.history()[0].changes, ["two: added", "one: removed"]);
    assert_eq!(world.ask().0, 200);
}

/// An arrow between two boxes that stay is led elsewhere.
#[test]
fn an_arrow_moves_between_boxes_that_stay() {
    let with = |target: &str| {
        format!(
            "[system]\nname = \"test\"\n\
             [box.client]\ncomponent = \"client\"\narrows.\"pearwood:http/handler\" = {{ box = \"{target}\" }}\n\
             [box.a]\ncomponent = \"a\"\n[box.b]\ncomponent = \"b\"\n"
        )
    };
    let boxes = [("a", version(b'a')), ("b", version(b'b'))];
    let mut world = World::new(&with("a"), &boxes);
    let open = world.client.begin();
    let deployment = world.deploy(&with("b"), &boxes);
    world.until(|world| world.client.has_retiring());
    assert_eq!(world.running.node.history()[0].changes, Vec::<String>::new());
    world.client.end(open);
    assert_eq!(world.over(&deployment), Outcome::Done);
    assert_eq!(world.client.answers, [(200, b"a".to_vec())]);
    assert_eq!(world.ask(), (200, b"b".to_vec()));
    assert_eq!(world.running.node.find("a").unwrap().life().restarts, 0);
}

#[test]
fn one_deployment_at_a_time() {
    let mut world = World::new(SITE, &site(b'1'));
    let first = world.deploy(SITE, &site(b'2'));
    let image = crate::node::fixture::image(SITE, &super::with_client(&site(b'3')));
    let busy = world.running.node.deploy(image, options()).err().unwrap();
    assert_eq!(format!("{busy}"), "deployment 1 is under way");
    assert_eq!(world.over(&first), Outcome::Done);
    assert_eq!(world.ask(), (200, b"2".to_vec()));
}
