//! Disks that fail at times, and what was on a disk before it had a table.

use super::*;
use crate::{
    platform::{Extent, Platform as _, fake::FakePlatform},
    slots::{About, Store},
};

/// What failed may have been done on the disk: whoever is told then that a volume is there must find it after the next start too.
#[test]
fn a_delete_that_failed_is_taken_back_before_the_volume_is_used_again() {
    let prepared = blank(512, 6);
    provide(&format(&prepared), &[volume("a", 1), volume("b", 1)]).unwrap();
    fill(&open(&prepared), "b", 2);
    for cut in 0..4 {
        let disk = copy(&prepared);
        let table = open(&disk);
        disk.power_fails_after(cut);
        delete(&table, "b").unwrap_err();
        disk.recovers();
        assert_eq!(provide(&table, &[volume("b", 1)]), Ok(vec![]), "{cut}");
        for seed in 0..10 {
            let table = open(&Arc::new(disk.after_power_cut(seed)));
            erase(&table);
            assert!(is_full_of(&table, "b", 2), "cut {cut}, seed {seed}");
        }
        // or else it is said
        disk.power_fails_after(cut);
        delete(&table, "b").unwrap_err();
        disk.recovers();
        disk.fail_writes();
        assert!(provide(&table, &[volume("b", 1)]).is_err(), "{cut}");
    }
}

#[test]
fn a_copy_that_cannot_be_read_is_made_good() {
    let prepared = blank(512, 8);
    provide(&format(&prepared), &[volume("a", 2)]).unwrap();
    let end = (8 << 11) - 1;
    for bad in [0..1, 1..2, 2..3, 0..34, 33..34, end - 32..end - 31, end..end + 1] {
        let disk = copy(&prepared);
        disk.loses(bad.clone());
        let table = open(&disk);
        assert_eq!(list(&table), [(Kind::Volume, "a".into(), 2)], "{bad:?}");
        block_on(table.settle()).unwrap();
        block_on(disk.read(0, end as u32 + 1)).unwrap();
        assert_eq!(list(&open(&disk)), [(Kind::Volume, "a".into(), 2)], "{bad:?}");
    }
    // neither, or neither of a disk that may be blank
    for (disk, first) in [(copy(&prepared), 1..2), (blank(512, 8), 0..0)] {
        disk.loses(first);
        disk.loses(end..end + 1);
        assert_eq!(block_on(Parted::open(disk.clone())).err(), Some(DiskError::Io));
        let platform = FakePlatform::leak();
        platform.add_disk(disk);
        let why = block_on(platform.volumes().slots(platform, "disk0", Some(4 * MIB), &mut drop)).err().unwrap();
        assert!(why.contains("cannot be read") && !why.contains("zeroes"), "{why}");
    }
}

/// A disk without a table may begin and end with zeroes, and have been somebody's nevertheless.
#[test]
fn a_new_volume_is_zeroes_whatever_was_there() {
    for can_zero in [false, true] {
        let disk = blank(512, 8);
        if can_zero {
            disk.can_zero();
        }
        disk.damage(|bytes| bytes[1 << 20..7 << 20].fill(7));
        let table = format(&disk);
        provide(&table, &[volume("a", 2), volume("b", 1)]).unwrap();
        assert!(is_full_of(&table, "a", 0) && is_full_of(&table, "b", 0));
        fill(&table, "a", 1);
        fill(&table, "b", 2);
        provide(&table, &[volume("a", 4)]).unwrap();
        let a = block_on(extent(&table, "a").read(0, 4 << 11)).unwrap();
        assert!(a[..2 << 20].iter().all(|byte| *byte == 1) && a[2 << 20..].iter().all(|byte| *byte == 0));
        assert!(is_full_of(&table, "b", 2));
    }
}

#[test]
fn new_slots_are_empty_whatever_was_there() {
    let disk = blank(512, 8);
    let before = Arc::new(Extent::new(disk.clone(), 2_048, Some(4 << 11), false).unwrap());
    let store = block_on(Store::format(before, 4 * MIB)).unwrap();
    block_on(store.write(b"a system", &About::default())).unwrap();
    block_on(disk.flush()).unwrap();
    disk.damage(|bytes| {
        bytes[..1 << 20].fill(0);
        bytes[7 << 20..].fill(0);
    });
    let random = |bytes: &mut [u8]| bytes.fill(5);
    let store = block_on(slots_of(disk.clone(), Some(4 * MIB), &random)).unwrap().unwrap();
    assert_eq!(store.last_deploy(), 0);
    let disk = blank(512, 8);
    disk.damage(|bytes| bytes[1 << 20..7 << 20].fill(7));
    block_on(slots_of(disk, Some(4 * MIB), &random)).unwrap().unwrap();
}

/// Only the second copy is there: somebody may have written something else since, of whatever kind.
#[test]
fn what_was_written_where_a_table_was_is_left_alone() {
    for sector_size in [512, 4_096] {
        let prepared = blank(sector_size, 8);
        provide(&format(&prepared), &[volume("a", 2)]).unwrap();
        for at in [sector_size as usize, 2 * sector_size as usize, 40_000, 300_000, (1 << 20) - 1] {
            let disk = copy(&prepared);
            disk.damage(|bytes| {
                bytes[..1 << 20].fill(0);
                bytes[at] = 7;
            });
            assert_eq!(other(&disk), "something else than zeroes, in the place of a partition table's first copy");
        }
        prepared.damage(|bytes| bytes[..1 << 20].fill(0));
        assert_eq!(list(&open(&prepared)), [(Kind::Volume, "a".into(), 2)]);
    }
}

#[test]
fn slots_of_before_are_found_beside_what_is_left_of_a_table() {
    let disk = blank(512, 16);
    provide(&format(&disk), &[volume("a", 2)]).unwrap();
    disk.damage(|bytes| bytes[..1 << 20].fill(0));
    let store = block_on(Store::format(disk.clone(), 8 * MIB)).unwrap();
    block_on(store.write(b"a system", &About::default())).unwrap();
    assert!(matches!(block_on(Parted::open(disk)).unwrap(), Found::Slots(_)));
}
