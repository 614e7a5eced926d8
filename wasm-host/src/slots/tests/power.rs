//! Power fails at every moment, in every way: the old system is there, or the new one.

use super::*;

/// Lets power fail at each write and flush of `act`, with many outcomes each, and hands what is found to `check` with
/// whether `act` had ended well.
fn at_every_cut(
    prepared: &FakeDisk,
    act: impl Fn(&Store) -> Result<(), SlotError>,
    check: impl Fn(Arc<FakeDisk>, bool),
) {
    let mut operations = 0;
    loop {
        let disk = copy(prepared);
        let store = open(&disk);
        disk.power_fails_after(operations);
        let done = act(&store).is_ok();
        for seed in 0..40 {
            check(Arc::new(disk.after_power_cut(seed)), done);
        }
        if disk.operations() <= operations {
            assert!(done, "it ends when power does not fail");
            return;
        }
        operations += 1;
        assert!(operations < 200);
    }
}

#[test]
fn a_cut_during_a_deploy_leaves_the_old_system_or_the_new() {
    for sector_size in [512, 4_096] {
        for (older, old) in [(None, None), (None, Some(1)), (Some(1), Some(2))] {
            let prepared = with(older, old, sector_size);
            let act = |store: &Store| {
                choose(store);
                write(store, 3).map(drop)
            };
            at_every_cut(&prepared, act, |disk, done| {
                let found = boot(&disk);
                assert!(found == Some(3) || (found == old && !done), "{older:?} {old:?} {found:?} {done}");
                // and the next deploy works
                let store = open(&disk);
                write(&store, 4).unwrap();
                assert_eq!(boot(&disk), Some(4));
            });
        }
    }
}

#[test]
fn a_cut_during_a_deploy_over_a_system_on_trial_leaves_the_last_good_one() {
    let prepared = with(None, Some(1), 512);
    write(&open(&prepared), 2).unwrap();
    let prepared = copy(&prepared);
    // the choice itself writes, so it may be what fails
    let act = |store: &Store| {
        choose(store);
        write(store, 3).map(drop)
    };
    at_every_cut(&prepared, act, |disk, done| {
        let found = boot(&disk);
        assert!(found == Some(3) || (matches!(found, Some(1 | 2)) && !done), "{found:?} {done}");
    });
    let store = open(&prepared);
    act(&store).unwrap();
    assert_eq!(store.held(SlotName::A).unwrap().state, State::Good, "the last good one is still there");
}

#[test]
fn a_cut_while_a_system_is_reported_good_or_rolled_back() {
    let prepared = with(Some(0), Some(1), 512);
    let store = open(&prepared);
    choose(&store);
    assert_eq!(write(&store, 2), Ok(SlotName::C));
    boot(&prepared);
    let report = |store: &Store| {
        store.runs(SlotName::C);
        block_on(store.mark_good()).map(drop)
    };
    at_every_cut(&prepared, report, |disk, done| {
        let state = open(&disk).held(SlotName::C).unwrap().state;
        assert!(state == State::Good || (state == State::Trial && !done));
        assert_eq!(boot(&disk), Some(2));
    });
    let back = |store: &Store| super::back(store, &about()).map(drop);
    at_every_cut(&prepared, back, |disk, done| {
        let found = boot(&disk);
        assert!(found == Some(1) || (found == Some(2) && !done));
    });
}

#[test]
fn a_cut_while_slots_are_laid_out() {
    for operations in 0..8 {
        let disk = FakeDisk::new(512, DISK / 512);
        let disk = Arc::new(disk);
        disk.power_fails_after(operations);
        let done = block_on(Store::format(disk.clone(), RESERVE)).is_ok();
        for seed in 0..20 {
            let disk = Arc::new(disk.after_power_cut(seed));
            let opened = block_on(Store::open(disk.clone())).unwrap();
            assert!(opened.is_some() || !done);
            let store = match opened {
                Some(store) => store,
                None => block_on(Store::format(disk.clone(), RESERVE)).unwrap(),
            };
            write(&store, 1).unwrap();
            assert_eq!(boot(&disk), Some(1));
        }
    }
}
