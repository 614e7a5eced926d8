//! D1: a new system stays only if whoever deployed it comes back over the network as it then is.

use super::{
    SECOND, SITE, World,
    guests::{HANDLER, Handler},
    options,
};
use crate::deploy::{Deployment, Options, Outcome};
use alloc::{sync::Arc, vec::Vec};

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

/// D1: nobody comes back.
#[test]
fn what_nobody_confirms_is_rolled_back() {
    let mut world = World::new(SITE, &site(b'1'));
    let deployment = waiting(&mut world, SECOND);
    let Outcome::RolledBack { why } = world.over(&deployment) else { panic!("{:?}", deployment.record()) };
    assert_eq!(why, "nobody came back over the network to confirm it within 1 s");
    assert_eq!(world.ask(), (200, b"1".to_vec()));
    let why = deployment.confirm(u64::MAX).unwrap_err();
    assert_eq!(why, "deployment 1 does not wait for anybody to confirm it");
}

/// D1: a connection that was open before the change says nothing about those to come.
#[test]
fn what_is_confirmed_over_a_connection_made_since_stays() {
    let mut world = World::new(SITE, &site(b'1'));
    let deployment = waiting(&mut world, 600 * SECOND);
    let since = deployment.record().awaits.unwrap().since;
    let why = deployment.confirm(since - 1).unwrap_err();
    assert!(why.contains("over a connection that was made since it runs: connect again"), "{why}");
    assert!(deployment.record().awaits.is_some());
    deployment.confirm(since).unwrap();
    assert_eq!(world.over(&deployment), Outcome::Done);
    assert_eq!(world.ask(), (200, b"2".to_vec()));
}
