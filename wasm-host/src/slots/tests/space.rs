//! Slots that are written in any order, and used where they lie.

use super::*;
use crate::image::hash;
use alloc::string::ToString;

#[test]
fn what_is_written_in_any_order_is_whole() {
    for sector_size in [512, 4_096] {
        let disk = with(Some(1), Some(2), sector_size);
        let store = open(&disk);
        let mut random = Random(5);
        let bytes: Vec<u8> = (0..300_001).map(|_| random.below(256) as u8).collect();
        let space = block_on(store.space(bytes.len() as u64)).unwrap();
        let mut cuts: Vec<usize> = (0..50).map(|_| random.below(bytes.len())).chain([0, bytes.len()]).collect();
        cuts.sort_unstable();
        let mut parts: Vec<_> = cuts.windows(2).map(|cut| cut[0]..cut[1]).collect();
        while !parts.is_empty() {
            let part = parts.swap_remove(random.below(parts.len()));
            block_on(space.write(part.start as u64, &bytes[part])).unwrap();
        }
        assert_eq!(block_on(space.write(300_000, &[0, 0])), Err(SlotError::WrongLength));
        let slot = block_on(store.enter(&space, hash(b"a manifest"), Rank::Next, &about())).unwrap();
        assert!(block_on(store.start(slot, bytes.len() as u64)).unwrap() == bytes);
        let others: Vec<_> = store.names().filter(|other| *other != slot).collect();
        assert!(
            others.into_iter().all(|other| block_on(store.verify(other)).is_ok()),
            "those beside it are as they were"
        );
        assert_eq!(store.current(), Some(slot));
    }
}

#[test]
fn what_is_used_where_it_lies_is_not_written_over() {
    let disk = with(Some(1), Some(2), 512);
    let store = open(&disk);
    assert_eq!(choose(&store), Some(2));
    let free = write(&store, 3).unwrap();
    let used = store.source(free).unwrap();
    let other = write(&store, 4).unwrap();
    assert_ne!(other, free);
    let all: Vec<_> = store.names().map(|slot| store.source(slot).unwrap()).collect();
    assert_eq!(write(&store, 5), Err(SlotError::AllUsed));
    assert!(matches!(block_on(store.space(10)), Err(SlotError::AllUsed)));
    drop((used, all));
    write(&store, 5).unwrap();
    // and what is being written is somebody's, too
    let space = block_on(store.space(10)).unwrap();
    let slot = write(&store, 6).unwrap();
    drop(space);
    assert_eq!(store.held(slot).unwrap().length, image(6).len() as u64);
}

#[test]
fn what_does_not_fit_says_what_would() {
    let store = open(&with(None, None, 512));
    let why = block_on(store.space(100 << 20)).err().unwrap().to_string();
    assert!(why.contains("a slot has room for"), "{why}");
    assert!(why.contains("`[system] disk = { device = \"disk0\", reserve = \"301 MiB\" }` or more"), "{why}");
}
