//! D1: a new system stays only if whoever deployed it comes back over the network as it then is.

use super::{
    SECOND, SITE, World,
    guests::{self, HANDLER, Handler, TAKES},
    options,
};
use crate::deploy::{Comes, Deployment, Options, Outcome, Step};
use alloc::{format, sync::Arc, vec::Vec};

fn site(version: u8) -> [(&'static str, Vec<u8>); 1] {
    [("site", Handler { version, ..HANDLER }.component())]
}

/// One that runs, and waits to be confirmed.
fn waiting(world: &mut World, confirm: u64) -> Arc<Deployment> {
    let asked = Options { trial: 0, confirm, ..options() };
    let deployment = world.deploy_with(SITE, &site(b'2'), asked);
    world.until(|_| deployment.record().awaits.is_some());
    assert_eq!(world.ask(), (200, b"2".to_vec()), "it serves meanwhile");
    assert_eq!(deployment.outcome(), None);
    deployment
}

/// Whoever deploys here, over a connection that was made at `since`.
fn comes(since: u64) -> Comes<'static> {
    Comes { by: "a test", since, now: since, other: false }
}

/// D1: nobody comes back.
#[test]
fn what_nobody_confirms_is_rolled_back() {
    let mut world = World::new(SITE, &site(b'1'));
    let deployment = waiting(&mut world, SECOND);
    let Outcome::RolledBack { why } = world.over(&deployment) else { panic!("{:?}", deployment.record()) };
    assert_eq!(why, "nobody came back over the network to confirm it within 1 s");
    assert_eq!(world.ask(), (200, b"1".to_vec()));
    let why = deployment.confirm(&comes(u64::MAX)).unwrap_err();
    assert_eq!(why, "deployment 1 does not wait for anybody to confirm it");
}

/// D1: a connection that was open before the change says nothing about those to come.
#[test]
fn what_is_confirmed_over_a_connection_made_since_stays() {
    let mut world = World::new(SITE, &site(b'1'));
    let deployment = waiting(&mut world, 600 * SECOND);
    let since = deployment.record().awaits.unwrap().since;
    let why = deployment.confirm(&comes(since - 1)).unwrap_err();
    assert!(why.contains("over a connection that was made since it runs: connect again"), "{why}");
    assert!(deployment.record().awaits.is_some());
    deployment.confirm(&comes(since)).unwrap();
    deployment.confirm(&comes(since)).expect("whoever has not heard the answer asks again");
    assert_eq!(world.over(&deployment), Outcome::Done);
    deployment.confirm(&comes(since)).unwrap();
    assert_eq!(world.ask(), (200, b"2".to_vec()));
}

/// D1: that somebody else can reach the node says nothing about whoever deployed it, unless they mean it.
#[test]
fn what_others_confirm_they_have_to_mean() {
    let mut world = World::new(SITE, &site(b'1'));
    let deployment = waiting(&mut world, 600 * SECOND);
    let since = deployment.record().awaits.unwrap().since;
    let why = deployment.confirm(&Comes { by: "ole", ..comes(since) }).unwrap_err();
    assert!(why.starts_with("deployment 1 was begun by a test, and is not ole's to confirm"), "{why}");
    assert!(deployment.record().awaits.is_some());
    deployment.confirm(&Comes { by: "ole", other: true, ..comes(since) }).unwrap();
    assert_eq!(world.over(&deployment), Outcome::Done);
}

/// D1: what comes when the time is over is told so, and not that all is well.
#[test]
fn what_is_confirmed_too_late_is_not() {
    let mut world = World::new(SITE, &site(b'1'));
    let deployment = waiting(&mut world, 600 * SECOND);
    let until = deployment.record().awaits.unwrap().until;
    let why = deployment.confirm(&comes(until)).unwrap_err();
    assert!(why.starts_with("it is too late to confirm deployment 1"), "{why}");
    deployment.confirm(&comes(until - 1)).unwrap();
    assert_eq!(world.over(&deployment), Outcome::Done);
}

/// D1: the time to confirm begins when the old system has left its place: before, nobody can come back.
#[test]
fn the_time_to_confirm_begins_when_the_handover_is_over() {
    let site = |restored: &str| [("site", guests::giving(restored))];
    let mut world = World::new(SITE, &site(TAKES));
    world.ask();
    let asked = Options { trial: 0, confirm: 600 * SECOND, ..options() };
    let deployment = world.deploy_with(SITE, &site(&format!("{TAKES} (drop (i32.const 1))")), asked);
    world.until(|_| deployment.record().awaits.is_some());
    let record = deployment.record();
    assert_eq!(record.step, Step::Trial);
    let awaits = record.awaits.unwrap();
    assert_eq!(awaits.until - awaits.since, 600 * SECOND);
}
