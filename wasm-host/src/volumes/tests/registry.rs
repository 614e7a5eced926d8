//! Slots and volumes on one disk, and disks of before there were volumes.

use super::*;
use crate::slots::{About, Store};

fn slots(disk: &Arc<FakeDisk>, reserve: Option<u64>) -> Result<Option<Store>, String> {
    let random = |bytes: &mut [u8]| bytes.fill(5);
    block_on(slots_of(disk.clone(), reserve, &random))
}

#[test]
fn slots_are_a_partition_too() {
    for sector_size in [512, 4_096] {
        let disk = blank(sector_size, 16);
        assert!(slots(&disk, None).unwrap().is_none());
        let store = slots(&disk, Some(5 * MIB)).unwrap().unwrap();
        block_on(store.write(b"a system", &About::default())).unwrap();
        provide(&open(&disk), &[volume("slots", 2)]).unwrap();
        let store = slots(&disk, None).unwrap().unwrap();
        assert_eq!(block_on(store.image(crate::slots::SlotName::A)).unwrap(), b"a system");
        // another size than they have is no reason to make others
        let store = slots(&disk, Some(6 * MIB)).unwrap().unwrap();
        assert_eq!(store.last_deploy(), 1);
        let table = open(&disk);
        assert_eq!(list(&table), [(Kind::Slots, "slots".into(), 5), (Kind::Volume, "slots".into(), 2)]);
        let why = slots(&blank(sector_size, 4), Some(4 * MIB)).err().unwrap();
        assert_eq!(why, "the disk has 4 MiB: the system's slots needs 4 MiB, and 2 MiB are free");
    }
}

#[test]
fn slots_of_before_go_on() {
    let disk = blank(512, 16);
    let store = block_on(Store::format(disk.clone(), 8 * MIB)).unwrap();
    block_on(store.write(b"a system", &About::default())).unwrap();
    assert!(matches!(block_on(Parted::open(disk.clone())).unwrap(), Found::Slots(_)));
    let store = slots(&disk, Some(5 * MIB)).unwrap().unwrap();
    assert_eq!((store.last_deploy(), store.reserve() >> 20), (1, 7));
    let lacks = block_on(on_disk(disk, &[volume("a", 1)])).unwrap();
    assert_eq!(lacks, None);
}

#[test]
fn how_much_larger_a_disk_would_have_to_be() {
    let of = |disk: &Arc<FakeDisk>, wants: &[Want<'_>]| block_on(on_disk(disk.clone(), wants)).unwrap();
    let system = Want { kind: Kind::Slots, name: "slots", bytes: 4 * MIB };
    let disk = blank(512, 8);
    assert_eq!(of(&disk, &[system, volume("a", 2)]), Some((vec![0, 0], 0)));
    assert_eq!(of(&disk, &[system, volume("a", 5)]), Some((vec![0, 0], 3 * MIB)));
    slots(&disk, Some(4 * MIB)).unwrap();
    provide(&open(&disk), &[volume("a", 1)]).unwrap();
    // what has been decided once stays so, and what is kept takes its room
    let more = Want { bytes: 9 * MIB, ..system };
    assert_eq!(of(&disk, &[more, volume("a", 2)]), Some((vec![4 * MIB, MIB], 0)));
    assert_eq!(of(&disk, &[system, volume("a", 3), volume("b", 2)]), Some((vec![4 * MIB, MIB, 0], 3 * MIB)));
}
