//! Power fails at every moment: the old system is there, or the new one, to the last byte.

use super::*;
use crate::{
    deploy::{Comes, tests::SECOND},
    slots::What,
};

/// Lets power fail at each write and flush of `act`, and looks at what is started then.
fn at_every_cut(prepared: &FakeDisk, act: impl Fn(&mut World) -> Option<Lasts>, old: u8, new: u8) {
    let mut operations = 0;
    loop {
        let disk = Arc::new(prepared.after_power_cut(0));
        let mut world = boot(&disk);
        assert_eq!(runs(&mut world), old);
        let before = disk.operations();
        disk.power_fails_after(operations);
        let told = act(&mut world);
        for seed in 0..12 {
            let disk = Arc::new(disk.after_power_cut(seed));
            let store = block_on(Store::open(disk)).unwrap().expect("it has slots");
            // a disk without a system has the boot loader's started, which is version 1
            let found = starts(&store, b"12345").unwrap_or(b'1');
            match told {
                Some(Lasts::Kept { .. }) => assert_eq!(found, new, "after {operations}, seed {seed}"),
                None => assert_eq!(found, old, "after {operations}, seed {seed}: it was refused"),
                Some(_) => assert!(found == old || found == new, "after {operations}, seed {seed}: {found}"),
            }
        }
        // whatever the disk does, people are served
        assert_eq!(runs(&mut world), if told.is_some() { new } else { old });
        if disk.operations() - before <= operations {
            assert!(matches!(told, Some(Lasts::Kept { .. })), "without a power cut it is kept: {told:?}");
            return;
        }
        operations += 1;
        assert!(operations < 60);
    }
}

#[test]
fn power_that_fails_during_a_deploy_leaves_the_old_system_or_the_new() {
    let disk = Arc::new(blank());
    at_every_cut(&disk, |world| deployed(world, b'2'), b'1', b'2');
    deployed(&mut boot(&disk), b'2').unwrap();
    let first = disk.after_power_cut(1);
    at_every_cut(&first, |world| deployed(world, b'3'), b'2', b'3');
    deployed(&mut boot(&disk), b'3').unwrap();
    at_every_cut(&disk.after_power_cut(1), |world| deployed(world, b'4'), b'3', b'4');
}

/// D1: power that fails, or a reboot, while a system waits to be confirmed starts the one of before.
#[test]
fn what_was_not_confirmed_is_not_what_is_started() {
    let disk = Arc::new(blank());
    let mut world = boot(&disk);
    deployed(&mut world, b'2').unwrap();
    let asked = Options { trial: 0, confirm: 600 * SECOND, ..options() };
    let deployment = world.deploy_with(SITE, &site(b'3'), asked);
    world.until(|_| deployment.record().step == Step::Trial);
    assert_eq!(runs(&mut world), b'3');
    assert_eq!(runs(&mut boot(&Arc::new(disk.after_power_cut(1)))), b'2');
    let now = world.running.node.platform.now();
    deployment.confirm(&Comes { by: "a test", since: now, now, other: false }).unwrap();
    assert_eq!(world.over(&deployment), Outcome::Done);
    assert_eq!(runs(&mut boot(&Arc::new(disk.after_power_cut(1)))), b'3');
}

#[test]
fn power_that_fails_when_it_is_gone_back_leaves_the_one_or_the_other() {
    let disk = Arc::new(blank());
    let mut world = boot(&disk);
    deployed(&mut world, b'2').unwrap();
    deployed(&mut world, b'3').unwrap();
    let back = |world: &mut World| match rolls_back(world) {
        Step::Over(Outcome::Done) => world.running.node.history().last().unwrap().lasts.clone(),
        Step::Over(Outcome::Refused { .. }) => None,
        other => panic!("{other:?}"),
    };
    // what is in the slot is read from there
    at_every_cut(&disk.after_power_cut(1), back, b'3', b'2');
    // what ran before a failed trial is in memory only, and is written
    let (_, outcome) = {
        let deployment = world.deploy_with(SITE, &crashing(b'4'), Options { trial: SECOND, ..options() });
        world.until(|_| deployment.record().step == Step::Trial);
        let request = world.client.begin();
        world.client.end(request);
        let outcome = world.over(&deployment);
        world.client.failures.clear();
        (deployment, outcome)
    };
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome:?}");
    assert_eq!(runs(&mut boot(&Arc::new(disk.after_power_cut(1)))), b'3');
    let last = store(&world).history().pop().unwrap();
    assert_eq!(last.what, What::Failed);
    assert!(last.why.contains("box `site` ended"), "{last:?}");
    assert_eq!(rolls_back(&mut world), Step::Over(Outcome::Done));
    assert_eq!(runs(&mut boot(&Arc::new(disk.after_power_cut(1)))), b'2');
}
