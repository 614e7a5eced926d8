//! Disks that are blank, foreign, damaged, hostile, too small, or lose their power: volumes are found again, and nothing else is touched.

mod faults;
mod foreign;
mod hostile;
mod power;
mod registry;

use super::table::{Copy, Layout, Part, Table};
use super::*;
use crate::platform::{
    Disk, DiskError,
    fake::{FakeDisk, Random, block_on},
};
use alloc::{string::ToString, sync::Arc, vec, vec::Vec};
use gpt_disk_types::Guid;

fn blank(sector_size: u32, mib: u64) -> Arc<FakeDisk> {
    Arc::new(FakeDisk::new(sector_size, mib * MIB / u64::from(sector_size)))
}

fn copy(disk: &FakeDisk) -> Arc<FakeDisk> {
    Arc::new(disk.after_power_cut(0))
}

/// The same content on a larger disk.
fn larger(disk: &FakeDisk, mib: u64) -> Arc<FakeDisk> {
    let geometry = disk.geometry();
    let mut bytes = block_on(disk.read(0, geometry.sectors as u32)).unwrap();
    bytes.resize((mib * MIB) as usize, 0);
    Arc::new(FakeDisk::of(bytes, geometry.sector_size))
}

/// Others each time.
fn guids() -> impl FnMut() -> Guid + Send {
    let mut next = 0_u8;
    move || {
        next = next.wrapping_add(1);
        Guid::from_random_bytes([next; 16])
    }
}

fn open(disk: &Arc<FakeDisk>) -> Parted {
    match block_on(Parted::open(disk.clone())).unwrap() {
        Found::Table(table) => table,
        Found::Blank => panic!("blank"),
        Found::Slots(_) => panic!("slots"),
        Found::Other(what) => panic!("{what}"),
    }
}

/// What is said of a disk without a table that can be used.
fn other(disk: &Arc<FakeDisk>) -> String {
    match block_on(Parted::open(disk.clone())).unwrap() {
        Found::Other(what) => what,
        Found::Table(_) => panic!("a table"),
        Found::Blank => panic!("blank"),
        Found::Slots(_) => panic!("slots"),
    }
}

fn format(disk: &Arc<FakeDisk>) -> Parted {
    block_on(Parted::format(disk.clone(), Guid::from_random_bytes([9; 16]))).unwrap()
}

fn volume(name: &str, mib: u64) -> Want<'_> {
    Want { kind: Kind::Volume, name, bytes: mib * MIB }
}

fn provide(table: &Parted, wants: &[Want<'_>]) -> Result<Vec<String>, String> {
    let made = block_on(table.provide(wants, true, &mut guids()))?;
    Ok(made.iter().map(ToString::to_string).collect())
}

fn delete(table: &Parted, name: &str) -> Result<(), String> {
    block_on(table.delete(name, &|| Ok(())))
}

fn list(table: &Parted) -> Vec<(Kind, String, u64)> {
    table.list().into_iter().map(|(kind, name, bytes)| (kind, name, bytes / MIB)).collect()
}

fn extent(table: &Parted, name: &str) -> crate::platform::Extent {
    table.find(Kind::Volume, name, false).unwrap_or_else(|| panic!("no {name}")).extent
}

/// Fills a volume, durably.
fn fill(table: &Parted, name: &str, byte: u8) {
    let extent = extent(table, name);
    let bytes = extent.geometry().bytes() as usize;
    block_on(extent.write(0, vec![byte; bytes])).unwrap();
    block_on(extent.flush()).unwrap();
}

fn is_full_of(table: &Parted, name: &str, byte: u8) -> bool {
    let extent = extent(table, name);
    let all = block_on(extent.read(0, extent.geometry().sectors as u32)).unwrap();
    all.iter().all(|found| *found == byte)
}

fn erase(table: &Parted) {
    while block_on(table.erase(MIB, async || ())).unwrap() {}
}

#[test]
fn volumes_are_made_found_again_and_grow() {
    for sector_size in [512, 4_096] {
        let disk = blank(sector_size, 16);
        assert!(matches!(block_on(Parted::open(disk.clone())).unwrap(), Found::Blank));
        let table = format(&disk);
        assert_eq!(table.room(), 14 * MIB);
        let made = provide(&table, &[volume("a", 3), volume("b", 2)]).unwrap();
        assert_eq!(made, ["volume `a`: made, 3 MiB", "volume `b`: made, 2 MiB"]);
        fill(&table, "a", 1);
        fill(&table, "b", 2);
        let table = open(&disk);
        assert_eq!(list(&table), [(Kind::Volume, "a".into(), 3), (Kind::Volume, "b".into(), 2)]);
        // as large as it is, or smaller: nothing is done
        let before = disk.operations();
        assert_eq!(provide(&table, &[volume("a", 3), volume("b", 1)]), Ok(vec![]));
        assert_eq!(disk.operations(), before);
        // one grows at its end, the other in another place
        let grown = provide(&table, &[volume("b", 4), volume("a", 5)]).unwrap();
        assert_eq!(grown, ["volume `b`: grown from 2 MiB to 4 MiB", "volume `a`: grown from 3 MiB to 5 MiB"]);
        let table = open(&disk);
        assert_eq!(table.list().len(), 2);
        assert_eq!(block_on(table.find(Kind::Volume, "a", true).unwrap().extent.read(0, 1)).unwrap()[0], 1);
        let (a, mib) = (extent(&table, "a"), (MIB / u64::from(sector_size)) as u32);
        let read = block_on(a.read(0, 5 * mib)).unwrap();
        assert!(read[..3 << 20].iter().all(|it| *it == 1) && read[3 << 20..].iter().all(|it| *it == 0));
        fill(&table, "a", 3);
        let b = block_on(extent(&table, "b").read(0, 4 * mib)).unwrap();
        assert!(b[..2 << 20].iter().all(|it| *it == 2) && b[2 << 20..].iter().all(|it| *it == 0));
        assert!(is_full_of(&table, "a", 3));
        // all or nothing, and what is free is said
        let why = provide(&table, &[volume("c", 1), volume("d", 5)]).unwrap_err();
        assert_eq!(why, "volume `d` needs 5 MiB; 4 MiB are free");
        let why = provide(&table, &[volume("a", 11)]).unwrap_err();
        assert_eq!(why, "volume `a` needs 6 MiB more: it has 5 MiB; 5 MiB are free");
        assert_eq!(open(&disk).list().len(), 2);
    }
}

#[test]
fn what_is_deleted_is_erased_before_anybody_gets_its_room() {
    let disk = blank(512, 8);
    let table = format(&disk);
    provide(&table, &[volume("a", 2), volume("b", 4)]).unwrap();
    fill(&table, "a", 1);
    fill(&table, "b", 2);
    assert_eq!(delete(&table, "c"), Err("there is no volume `c`".into()));
    assert_eq!(block_on(table.delete("b", &|| Err("it is used".into()))), Err("it is used".into()));
    delete(&table, "b").unwrap();
    assert!(table.find(Kind::Volume, "b", true).is_none());
    let why = provide(&table, &[volume("b", 3)]).unwrap_err();
    assert_eq!(why, "volume `b` needs 3 MiB; 0 B are free, and 4 MiB are still being erased");
    // some of it, and the rest after a start
    assert!(block_on(table.erase(MIB, async || ())).unwrap());
    assert_eq!(list(&table), [(Kind::Volume, "a".into(), 2), (Kind::Erased, "b".into(), 3)]);
    let table = open(&disk);
    assert_eq!(table.room(), MIB);
    erase(&table);
    assert_eq!(list(&table), [(Kind::Volume, "a".into(), 2)]);
    provide(&table, &[volume("b", 4)]).unwrap();
    assert!(is_full_of(&table, "b", 0) && is_full_of(&table, "a", 1));
}

#[test]
fn a_disk_has_so_many_partitions() {
    let disk = blank(512, 140);
    let table = format(&disk);
    let mut names: Vec<String> = (0..MAX_PARTS).map(|number| format!("v{number}")).collect();
    // as long as a name can be
    names[7] = "x".repeat(MAX_NAME);
    let wants: Vec<Want<'_>> = names.iter().map(|name| volume(name, 1)).collect();
    provide(&table, &wants).unwrap();
    let why = provide(&table, &[volume("more", 1)]).unwrap_err();
    assert_eq!(why, "volume `more` would be one partition more than the 128 that a disk can have");
    let listed: Vec<String> = open(&disk).list().into_iter().map(|(_, name, _)| name).collect();
    assert_eq!(listed, names);
}

#[test]
fn a_disk_that_has_grown_has_more_room() {
    for sector_size in [512, 4_096] {
        let disk = blank(sector_size, 4);
        let table = format(&disk);
        provide(&table, &[volume("a", 2)]).unwrap();
        fill(&table, "a", 1);
        let disk = larger(&disk, 9);
        let table = open(&disk);
        provide(&table, &[volume("a", 7)]).unwrap();
        let (a, mib) = (extent(&table, "a"), (MIB / u64::from(sector_size)) as u32);
        // where the second copy was, too
        let read = block_on(a.read(0, 7 * mib)).unwrap();
        assert!(read[..2 << 20].iter().all(|it| *it == 1) && read[2 << 20..].iter().all(|it| *it == 0));
        // the second copy is where it belongs
        disk.damage(|bytes| bytes[sector_size as usize..][..512].fill(7));
        assert_eq!(list(&open(&disk)), [(Kind::Volume, "a".into(), 7)]);
        // by less than a copy
        block_on(open(&disk).settle()).unwrap();
        let disk = larger(&copy(&disk), 9);
        let more = Arc::new(FakeDisk::of(
            [&block_on(disk.read(0, disk.geometry().sectors as u32)).unwrap()[..], &[0; 8_192]].concat(),
            sector_size,
        ));
        block_on(open(&more).settle()).unwrap();
        assert_eq!(list(&open(&more)), [(Kind::Volume, "a".into(), 7)]);
        more.damage(|bytes| bytes[sector_size as usize..][..512].fill(7));
        assert_eq!(list(&open(&more)), [(Kind::Volume, "a".into(), 7)]);
    }
}

/// Either copy is enough, and is written anew.
#[test]
fn a_copy_that_is_damaged_is_made_good() {
    let disk = blank(512, 8);
    provide(&format(&disk), &[volume("a", 2)]).unwrap();
    let end = 8 << 20;
    for at in [512, 600, 1_024, 1_100, end - 512, end - 512 - 128 * 128] {
        for byte in [0, 0xff] {
            let disk = copy(&disk);
            disk.damage(|bytes| bytes[at..at + 20].iter_mut().for_each(|it| *it = it.wrapping_add(17) ^ byte));
            let table = open(&disk);
            assert_eq!(list(&table), [(Kind::Volume, "a".into(), 2)], "{at}");
            block_on(table.settle()).unwrap();
            let before = disk.operations();
            block_on(open(&disk).settle()).unwrap();
            assert_eq!(disk.operations(), before, "{at}: both are whole");
        }
    }
    disk.damage(|bytes| {
        bytes[600] ^= 1;
        bytes[end - 500] ^= 1;
    });
    assert_eq!(other(&disk), "a partition table (GPT) of which neither copy is whole");
}

/// A program that reads such tables every day finds in ours what we have written.
#[test]
fn other_systems_see_what_is_where() {
    for sector_size in [512_u32, 4_096] {
        let disk = blank(sector_size, 8);
        let table = format(&disk);
        provide(&table, &[volume("a", 1), volume("guestbook", 1)]).unwrap();
        provide(&table, &[volume("a", 2)]).unwrap();
        let path = std::env::temp_dir().join(format!("pearwood-table-{}-{sector_size}", std::process::id()));
        std::fs::write(&path, block_on(disk.read(0, disk.geometry().sectors as u32)).unwrap()).unwrap();
        let output = std::process::Command::new("partx")
            .args([
                "--raw",
                "--noheadings",
                "--output",
                "START,SECTORS,NAME,TYPE",
                "--sector-size",
                &sector_size.to_string(),
            ])
            .arg(&path)
            .output();
        std::fs::remove_file(&path).unwrap();
        let output = output.expect("partx, of util-linux");
        let mib = 2_048;
        let kind = "6c0e9f5a-3b1d-4f7e-9a52-70656172776f";
        let lines = [(mib, "a"), (2 * mib, "guestbook"), (3 * mib, "a")];
        let expected: Vec<String> = lines.iter().map(|(at, name)| format!("{at} {mib} {name} {kind}\n")).collect();
        assert_eq!(std::string::String::from_utf8_lossy(&output.stdout), expected.concat(), "{output:?}");
    }
}
