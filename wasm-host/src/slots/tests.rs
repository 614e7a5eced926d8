//! Power fails at every moment, bits flip, disks fail: what is started is a system that was written as a whole.

mod damage;
mod limits;
mod places;
mod power;
mod space;
mod trial;

use super::table::{COPY, Table};
use super::*;
use crate::platform::{
    Disk, DiskError,
    fake::{FakeDisk, Random, block_on},
};
use alloc::{sync::Arc, vec, vec::Vec};

const DISK: u64 = (7 << 20) + (16 << 10);
const RESERVE: u64 = 7 << 20;

fn about() -> About {
    About { time: Some(1_700_000_000), who: "ada@laptop".into(), ..About::default() }
}

/// An image of this system: its first byte tells which, its length is no multiple of anything.
fn image(system: u8) -> Vec<u8> {
    let mut random = Random(system.into());
    let mut image = vec![system];
    image.extend((0..9_000 + 700 * usize::from(system)).map(|_| random.below(256) as u8));
    image
}

fn open(disk: &Arc<FakeDisk>) -> Store {
    block_on(Store::open(disk.clone())).unwrap().expect("it has slots")
}

fn formatted(sector_size: u32) -> Arc<FakeDisk> {
    let disk = Arc::new(FakeDisk::new(sector_size, DISK / u64::from(sector_size)));
    block_on(Store::format(disk.clone(), RESERVE)).unwrap();
    disk
}

/// What is started; it must be one of the images, to the last byte.
fn choose(store: &Store) -> Option<u8> {
    let chosen = block_on(store.choose(0, |_| Ok(()), |_| ()))?.image.bytes;
    assert!(chosen == image(chosen[0]), "the image is whole");
    Some(chosen[0])
}

fn boot(disk: &Arc<FakeDisk>) -> Option<u8> {
    choose(&open(disk))
}

fn write(store: &Store, system: u8) -> Result<SlotName, SlotError> {
    block_on(store.write(&image(system), &about()))
}

/// Makes the system of before the current one.
fn back(store: &Store, about: &About) -> Result<u64, SlotError> {
    let slot = store.inner().table.previous.ok_or(SlotError::NoTable)?;
    block_on(store.verify(slot))?;
    block_on(store.go_back(slot, about))?;
    Ok(store.held(slot).unwrap().deploy)
}

fn good(store: &Store) {
    assert!(block_on(store.mark_good()).unwrap());
}

/// A disk whose system `old` is good, and before it `older` was.
fn with(older: Option<u8>, old: Option<u8>, sector_size: u32) -> Arc<FakeDisk> {
    let disk = formatted(sector_size);
    for system in older.into_iter().chain(old) {
        write(&open(&disk), system).unwrap();
        let store = open(&disk);
        assert_eq!(choose(&store), Some(system));
        good(&store);
    }
    if older.is_some() {
        // a history so long that the table has several sectors, which can be torn apart
        let store = open(&disk);
        for _ in 0..16 {
            back(&store, &About { who: "x".repeat(64), text: "y".repeat(160), ..about() }).unwrap();
        }
    }
    disk
}

fn copy(disk: &FakeDisk) -> Arc<FakeDisk> {
    // nothing is unflushed where this is used, so any seed does
    Arc::new(disk.after_power_cut(0))
}
