//! Power fails at every moment, in every way: the table of before is there, or the new one, and what is in the volumes stays.

use super::*;

/// What is on a disk: nothing, or volumes by their sizes.
fn found(disk: &Arc<FakeDisk>) -> Volumes {
    match block_on(Parted::open(disk.clone())).unwrap() {
        Found::Table(table) => Some(list(&table)),
        Found::Blank => None,
        Found::Slots(_) => panic!("slots"),
        Found::Other(what) => panic!("{what}"),
    }
}

/// What is on a disk, if it has a table.
type Volumes = Option<Vec<(Kind, String, u64)>>;

type Act<'a> = &'a dyn Fn(&Arc<FakeDisk>) -> Result<(), String>;

/// Lets power fail at each write and flush of `act`, with several outcomes each. What is found must be one of `may`, volume `a` full of
/// ones if it was, and `act` must be able to do its work then.
fn at_every_cut(prepared: &FakeDisk, act: Act<'_>, may: &[Volumes]) {
    let (mut cut, last) = (0, may.last().expect("an outcome"));
    loop {
        let disk = copy(prepared);
        disk.power_fails_after(cut);
        let done = act(&disk).is_ok();
        for seed in 0..10 {
            let disk = Arc::new(disk.after_power_cut(seed));
            let after = found(&disk);
            assert!(may.contains(&after), "cut {cut}, seed {seed}: {after:?}");
            assert!(!done || after == *last, "cut {cut}, seed {seed}: it was done");
            act(&disk).unwrap_or_else(|why| panic!("cut {cut}, seed {seed}: {why}"));
            assert_eq!(found(&disk), *last, "cut {cut}, seed {seed}");
            let table = open(&disk);
            if table.find(Kind::Volume, "a", true).is_some() {
                let first = block_on(extent(&table, "a").read(0, 1)).unwrap()[0];
                assert!(first == 1 || prepared.operations() == 0 && first == 0, "cut {cut}, seed {seed}: {first}");
            }
        }
        if disk.operations() <= cut {
            assert!(done, "it ends when power does not fail");
            return;
        }
        cut += 1;
        assert!(cut < 100);
    }
}

fn volumes(all: &[(&str, u64)]) -> Volumes {
    Some(all.iter().map(|(name, mib)| (Kind::Volume, (*name).into(), *mib)).collect())
}

/// Opens a disk, or makes its table, and has these volumes on it.
fn has(disk: &Arc<FakeDisk>, wants: &[Want<'_>]) -> Result<(), String> {
    let table = match block_on(Parted::open(disk.clone())).map_err(|error| error.to_string())? {
        Found::Table(table) => table,
        Found::Blank => {
            let formatted = block_on(Parted::format(disk.clone(), Guid::from_random_bytes([9; 16])));
            formatted.map_err(|error| error.to_string())?
        }
        Found::Slots(_) | Found::Other(_) => return Err("something else".into()),
    };
    block_on(table.settle()).map_err(|error| error.to_string())?;
    provide(&table, wants).map(drop)
}

fn with_a(sector_size: u32) -> FakeDisk {
    let disk = blank(sector_size, 6);
    has(&disk, &[volume("a", 1), volume("b", 1)]).unwrap();
    fill(&open(&disk), "a", 1);
    fill(&open(&disk), "b", 2);
    disk.after_power_cut(0)
}

#[test]
fn while_a_table_and_volumes_are_made() {
    for sector_size in [512, 4_096] {
        let act = |disk: &Arc<FakeDisk>| has(disk, &[volume("a", 1), volume("b", 2)]);
        let may = [None, volumes(&[]), volumes(&[("a", 1), ("b", 2)])];
        at_every_cut(&blank(sector_size, 6), &act, &may);
        let act = |disk: &Arc<FakeDisk>| has(disk, &[volume("c", 1)]);
        let may = [volumes(&[("a", 1), ("b", 1)]), volumes(&[("a", 1), ("b", 1), ("c", 1)])];
        at_every_cut(&with_a(sector_size), &act, &may);
    }
}

#[test]
fn while_one_grows() {
    let act = |disk: &Arc<FakeDisk>| has(disk, &[volume("a", 3)]);
    let may = [volumes(&[("a", 1), ("b", 1)]), volumes(&[("a", 3), ("b", 1)])];
    at_every_cut(&with_a(512), &act, &may);
    // and its disk with it
    let disk = larger(&with_a(512), 8);
    let act = |disk: &Arc<FakeDisk>| has(disk, &[volume("a", 4)]);
    let may = [volumes(&[("a", 1), ("b", 1)]), volumes(&[("a", 4), ("b", 1)])];
    at_every_cut(&disk, &act, &may);
}

#[test]
fn while_one_is_deleted_and_erased() {
    let act = |disk: &Arc<FakeDisk>| {
        let table = open(disk);
        match table.find(Kind::Volume, "b", true) {
            Some(_) => delete(&table, "b"),
            None => Ok(()),
        }
    };
    let erased = Some(vec![(Kind::Volume, "a".into(), 1), (Kind::Erased, "b".into(), 1)]);
    at_every_cut(&with_a(512), &act, &[volumes(&[("a", 1), ("b", 1)]), erased.clone()]);

    for can_zero in [false, true] {
        erased_at_every_cut(&act, can_zero);
    }
}

fn erased_at_every_cut(act: Act<'_>, can_zero: bool) {
    let erased = Some(vec![(Kind::Volume, "a".into(), 1), (Kind::Erased, "b".into(), 1)]);
    let disk = copy(&with_a(512));
    if can_zero {
        disk.can_zero();
    }
    act(&disk).unwrap();
    // at no moment does anybody get what was there
    let act = |disk: &Arc<FakeDisk>| {
        let table = open(disk);
        block_on(table.settle()).map_err(|error| error.to_string())?;
        while block_on(table.erase(MIB, async || ())).map_err(|error| error.to_string())? {}
        provide(&table, &[volume("c", 3)])?;
        assert!(is_full_of(&table, "c", 0));
        Ok(())
    };
    let may = [erased, volumes(&[("a", 1)]), volumes(&[("a", 1), ("c", 3)])];
    at_every_cut(&disk.after_power_cut(0), &act, &may);
}
