//! Which slot is written, and what is left to go back to.

use super::*;
use crate::slots::table::OfTwo;

/// D1: however many systems fail their trial, the one that runs and the one before are there.
#[test]
fn a_failed_trial_costs_nothing_that_is_gone_back_to() {
    let disk = with(Some(1), Some(2), 512);
    for system in 3..9 {
        let store = open(&disk);
        assert_eq!(choose(&store), Some(2));
        assert_eq!(write(&store, system), Ok(SlotName::C));
        block_on(store.give_up(SlotName::C, What::Failed, "it does not work")).unwrap();
        assert_eq!(store.previous(), Some(SlotName::A));
    }
    back(&open(&disk), &about()).unwrap();
    assert_eq!(boot(&disk), Some(1));
}

/// What is neither current nor gone back to is written over, the oldest first.
#[test]
fn slots_take_turns() {
    let disk = with(Some(1), Some(2), 512);
    for (system, expected) in [(3, SlotName::C), (4, SlotName::A), (5, SlotName::B), (6, SlotName::C)] {
        let store = open(&disk);
        choose(&store);
        assert_eq!(write(&store, system), Ok(expected));
        let store = open(&disk);
        assert_eq!(choose(&store), Some(system));
        good(&store);
        assert_eq!(block_on(store.image(store.previous().unwrap())).unwrap()[0], system - 1);
    }
    // after going back, the one that was left is gone forth to, and not what was there before
    back(&open(&disk), &about()).unwrap();
    let store = open(&disk);
    assert_eq!(choose(&store), Some(5));
    assert_eq!(write(&store, 7), Ok(SlotName::A));
    back(&open(&disk), &about()).unwrap();
    assert_eq!(boot(&disk), Some(5));
}

/// A disk of two slots, as they were laid out before there were three.
fn of_two(disk: &FakeDisk) {
    let copy = block_on(disk.read(COPIES[0] / 512, (COPY / 512) as u32)).unwrap();
    let table = Table::decode(&copy, DISK).unwrap();
    let Table { sequence, slot_bytes, current, slots, deploys, newest, history, .. } = table;
    let [first, second, None] = &slots[..] else { panic!("{slots:?}") };
    let old = OfTwo {
        sequence: sequence + 1,
        slot_bytes,
        current,
        slots: [first.clone(), second.clone()],
        deploys,
        newest,
        history,
    };
    let bytes = old.encode();
    disk.damage(|all| COPIES.iter().for_each(|at| all[*at as usize..][..COPY].copy_from_slice(&bytes)));
}

#[test]
fn a_disk_with_two_slots_goes_on_with_two() {
    let disk = with(Some(1), Some(2), 512);
    of_two(&disk);
    let store = open(&disk);
    assert_eq!((choose(&store), store.previous()), (Some(2), Some(SlotName::A)));
    assert_eq!((store.names().count(), store.reserve()), (2, SLOTS + 2 * store.slot_bytes()));
    assert_eq!(write(&store, 3), Ok(SlotName::A));
    assert_eq!(boot(&disk), Some(3));
    let store = open(&disk);
    choose(&store);
    good(&store);
    assert_eq!((store.names().count(), store.previous()), (2, Some(SlotName::B)));
    back(&store, &about()).unwrap();
    assert_eq!(boot(&disk), Some(2));
}

/// A node of before there were three slots can still be started from such a disk.
#[test]
fn a_disk_with_two_slots_keeps_its_format() {
    let disk = with(Some(1), Some(2), 512);
    of_two(&disk);
    let formats = || {
        COPIES.map(|at| {
            let copy = block_on(disk.read(at / 512, 1)).unwrap();
            u32::from_le_bytes(copy[8..12].try_into().unwrap())
        })
    };
    let written = formats();
    for system in 3..6 {
        let store = open(&disk);
        choose(&store);
        write(&store, system).unwrap();
        let store = open(&disk);
        assert_eq!(choose(&store), Some(system));
        good(&store);
        back(&store, &about()).unwrap();
        let store = open(&disk);
        assert_eq!(choose(&store), Some(system - 1));
        assert_eq!(formats(), written);
        back(&store, &about()).unwrap();
    }
}

/// Systems that were only ever gone over to while the node ran may all fail to start: the last that has started stays.
#[test]
fn what_has_been_started_from_the_disk_is_kept() {
    let disk = with(None, Some(1), 512);
    let store = open(&disk);
    choose(&store);
    for system in 2..9 {
        trial::gone_over_to(&store, system);
    }
    assert!(store.names().any(|slot| block_on(store.image(slot)).unwrap()[0] == 1), "it is there");
    // those of after it do not start
    for _ in 0..2 * MAX_ATTEMPTS {
        assert_ne!(boot(&disk), Some(1));
    }
    assert_eq!(boot(&disk), Some(1));
}
