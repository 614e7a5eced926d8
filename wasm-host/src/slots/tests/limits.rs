//! What does not fit is refused.

use super::*;

#[test]
fn images_that_do_not_fit() {
    let disk = formatted(4_096);
    let store = open(&disk);
    let most = store.slot_bytes();
    assert_eq!((most, store.reserve()), (2 << 20, RESERVE));
    assert_eq!(
        block_on(store.begin(most + 1)).err(),
        Some(SlotError::TooLarge { length: most + 1, most }),
        "{}",
        SlotError::TooLarge { length: most + 1, most }
    );
    let full = vec![5; most as usize];
    block_on(store.write(&full, &about())).unwrap();
    assert!(block_on(open(&disk).image(SlotName::A)).unwrap() == full);
    // the others begin where it ends
    block_on(store.write(&full, &about())).unwrap();
    block_on(store.write(&full, &about())).unwrap();
    let all = block_on(disk.read(0, (DISK / 4_096) as u32)).unwrap();
    assert!(all[SLOTS as usize..RESERVE as usize].iter().all(|byte| *byte == 5));
    assert!(all[RESERVE as usize..].iter().all(|byte| *byte == 0));

    let mut writer = block_on(store.begin(10)).unwrap();
    assert_eq!(block_on(store.begin(10)).err(), Some(SlotError::Busy));
    assert_eq!(block_on(store.mark_good()).err(), Some(SlotError::Busy));
    block_on(writer.append(&[1; 6])).unwrap();
    assert_eq!(block_on(writer.append(&[1; 5])), Err(SlotError::WrongLength));
    assert_eq!(block_on(writer.commit(Rank::Next, &about())), Err(SlotError::WrongLength));
    assert!(block_on(store.begin(10)).is_ok(), "the right to write is given back");
}

#[test]
fn what_else_is_on_a_disk_is_not_overwritten() {
    for at in [0, 510, 20_000, 600_000, SLOTS as usize, SLOTS as usize + (2 << 20) + 1_024] {
        let disk = Arc::new(FakeDisk::new(512, DISK / 512));
        disk.damage(|bytes| bytes[at] = 0x55);
        assert!(block_on(Store::open(disk.clone())).unwrap().is_none());
        assert_eq!(block_on(Store::format(disk.clone(), RESERVE)).err(), Some(SlotError::InUse), "{at}");
        assert_eq!(disk.operations(), 0);
    }
    let small = Arc::new(FakeDisk::new(512, 100));
    assert!(block_on(Store::open(small.clone())).unwrap().is_none());
    assert_eq!(block_on(Store::format(small, RESERVE)).err(), Some(SlotError::TooSmall { needs: RESERVE }));
}

#[test]
fn the_history_is_bounded_and_fits_its_copy() {
    let disk = formatted(512);
    let store = open(&disk);
    let about = About { time: Some(u64::MAX), who: "é".repeat(100), text: "é".repeat(200), deploy: 0, version: 0 };
    for round in 0..HISTORY + 10 {
        let slot = block_on(store.write(&image((round % 7) as u8), &about)).unwrap();
        block_on(store.give_up(slot, What::Failed, &"é".repeat(200))).unwrap();
    }
    let history = open(&disk).history();
    assert_eq!(history.len(), HISTORY);
    assert_eq!(history.last().unwrap().deploy, HISTORY as u64 + 10);
    let Record { who, text, why, .. } = &history[0];
    assert_eq!((who, text, why), (&"é".repeat(32), &"é".repeat(80), &"é".repeat(80)));
}
