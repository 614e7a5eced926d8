//! Versions that fail when they run.

use super::{
    SITE, World,
    guests::{HANDLER, Handler},
    options,
};
use crate::deploy::{Options, Outcome, Step};
use alloc::vec::Vec;

fn site(handler: Handler<'_>) -> [(&'static str, Vec<u8>); 1] {
    [("site", handler.component())]
}

#[test]
fn one_that_crashes_is_replaced_by_its_predecessor() {
    let mut world = World::new(SITE, &site(HANDLER));
    let bad = Handler { version: b'2', at_request: "unreachable", ..HANDLER };
    let deployment = world.deploy(SITE, &site(bad));
    world.until(|_| deployment.record().step == Step::Trial);
    let request = world.client.begin();
    world.client.end(request);
    let Outcome::RolledBack { why } = world.over(&deployment) else { panic!("{:?}", deployment.record()) };
    assert!(why.starts_with("box `site` ended: wasm trap: wasm `unreachable`"), "{why}");
    assert_eq!(world.client.failures.len(), 1, "the request that it crashed at");
    world.client.failures.clear();
    assert_eq!(world.ask(), (200, b"1".to_vec()));
    let site = world.running.node.find("site").unwrap();
    assert_eq!((site.life().restarts, site.is_retiring()), (0, false));
    assert_eq!(world.running.node.history().len(), 1);
}

#[test]
fn one_that_answers_with_errors_too() {
    let mut world = World::new(SITE, &site(HANDLER));
    let bad = Handler { version: b'2', status: 500, ..HANDLER };
    let deployment = world.deploy_with(SITE, &site(bad), Options { failures: 3, ..options() });
    world.until(|_| deployment.record().step == Step::Trial);
    let mut open = Vec::new();
    world.until(|world| {
        open.push(world.client.begin());
        let first = open.remove(0);
        world.client.end(first);
        deployment.outcome().is_some()
    });
    let Some(Outcome::RolledBack { why }) = deployment.outcome() else { panic!("{:?}", deployment.record()) };
    assert!(why.starts_with("box `site` failed ") && why.ends_with(" requests"), "{why}");
    assert_eq!(world.client.failures, Vec::<alloc::string::String>::new(), "all were answered, one way or the other");
    world.until(|world| world.client.open() == 0);
    assert_eq!(world.ask(), (200, b"1".to_vec()));
}

#[test]
fn errors_now_and_then_are_no_reason() {
    let mut world = World::new(SITE, &site(HANDLER));
    let good = Handler { version: b'2', ..HANDLER };
    let deployment = world.deploy_with(SITE, &site(good), Options { crashes: 1, ..options() });
    world.until(|_| deployment.record().step == Step::Trial);
    world.running.node.find("site").unwrap().restart("by the test");
    assert_eq!(world.over(&deployment), Outcome::Done, "one crash is forgiven here");
    assert_eq!(world.ask(), (200, b"2".to_vec()));
}

#[test]
fn after_the_trial_a_crash_is_only_a_crash() {
    let mut world = World::new(SITE, &site(HANDLER));
    let deployment = world.deploy(SITE, &site(Handler { version: b'2', ..HANDLER }));
    assert_eq!(world.over(&deployment), Outcome::Done);
    let site = world.running.node.find("site").unwrap();
    site.restart("by the test");
    world.until(|world| site.life().restarts == 1 && world.client.has_peer());
    assert_eq!(world.ask(), (200, b"2".to_vec()));
}
