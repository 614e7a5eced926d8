//! Bits flip and disks fail: nothing runs that was not written so.

use super::*;

#[test]
fn no_flipped_bit_is_ever_run() {
    let prepared = with(Some(1), Some(2), 512);
    let mut random = Random(11);
    let slot = |slot: SlotName| SLOTS as usize + slot as usize * open(&prepared).slot_bytes() as usize;
    let places = [
        (COPIES[0] as usize, 400),
        (COPIES[1] as usize, 400),
        (slot(SlotName::A), image(1).len()),
        (slot(SlotName::B), image(2).len()),
    ];
    for _ in 0..600 {
        let disk = copy(&prepared);
        let mut hit = [false; 4];
        disk.damage(|bytes| {
            for _ in 0..1 + random.below(4) {
                let which = random.below(4);
                let (start, length) = places[which];
                bytes[start + random.below(length)] ^= 1 << random.below(8);
                hit[which] = true;
            }
        });
        // `choose` itself makes sure that what it finds is whole
        let found = block_on(Store::open(disk.clone())).ok().flatten().and_then(|store| choose(&store));
        let expected: &[Option<u8>] = match hit {
            // two flips can be of one bit
            [true, true, ..] => &[None, Some(1), Some(2)],
            [.., false] => &[Some(2)],
            [.., false, true] => &[Some(1), Some(2)],
            [.., true, true] => &[None, Some(1), Some(2)],
        };
        assert!(expected.contains(&found), "{hit:?} {found:?}");
    }
}

#[test]
fn either_copy_of_the_table_is_enough_and_is_mended() {
    for damaged in COPIES {
        let disk = with(Some(1), Some(2), 512);
        disk.damage(|bytes| bytes[damaged as usize..][..COPY].fill(0xff));
        let store = open(&disk);
        assert_eq!(choose(&store), Some(2));
        write(&store, 3).unwrap();
        assert_eq!(boot(&disk), Some(3));
        // by now the other one would do as well
        let other = COPIES[0] + COPIES[1] - damaged;
        disk.damage(|bytes| bytes[other as usize..][..COPY].fill(0xff));
        assert_eq!(boot(&disk), Some(3));
    }
    let disk = with(Some(1), Some(2), 512);
    disk.damage(|bytes| COPIES.iter().for_each(|at| bytes[*at as usize + 100] ^= 1));
    assert_eq!(block_on(Store::open(disk.clone())).err(), Some(SlotError::NoTable));
    block_on(Store::format(disk, RESERVE)).unwrap();
}

#[test]
fn a_disk_that_fails_is_an_error_and_no_more() {
    let disk = with(None, Some(1), 512);
    let store = open(&disk);
    choose(&store);
    disk.fail(DiskError::Io);
    assert_eq!(write(&store, 2), Err(SlotError::Disk(DiskError::Io)));
    assert_eq!(block_on(Store::open(disk.clone())).err(), Some(SlotError::Disk(DiskError::Io)));
    let mut told = Vec::new();
    assert_eq!(block_on(store.choose(0, |_| Ok(()), |line| told.push(line))), None);
    assert_eq!(told, ["slot A, deploy 1: it cannot be read: the disk reports an error"]);
}

/// A trial that cannot be counted would never end: what is good goes before it.
#[test]
fn a_disk_that_cannot_be_written_starts_what_is_good() {
    let disk = with(None, Some(1), 512);
    write(&open(&disk), 2).unwrap();
    disk.fail_writes();
    let mut told = Vec::new();
    let chosen = block_on(open(&disk).choose(0, |_| Ok(()), |line| told.push(line))).unwrap();
    assert_eq!((chosen.image.bytes[0], chosen.attempt), (1, None));
    assert!(told[0].contains("that it is tried cannot be written down"), "{told:?}");
    // and what else is there, if nothing is
    disk.damage(|bytes| bytes[SLOTS as usize] ^= 1);
    let chosen = block_on(open(&disk).choose(0, |_| Ok(()), |_| ())).unwrap();
    assert_eq!((chosen.image.bytes[0], chosen.attempt), (2, Some(1)));
}

#[test]
fn no_bytes_make_the_table_panic() {
    let disk = with(Some(1), Some(2), 512);
    let good = block_on(disk.read(COPIES[0] / 512, (COPY / 512) as u32)).unwrap();
    let table = Table::decode(&good, DISK).unwrap();
    assert_eq!(table.encode().unwrap(), good);
    assert_eq!(Table::decode(&good, RESERVE - 1), Err(SlotError::NoTable), "it does not fit the disk");
    for length in 0..200 {
        assert!(Table::decode(&good[..length], DISK).is_err());
    }
    let mut random = Random(5);
    for _ in 0..3_000 {
        let mut bytes = good.clone();
        for _ in 0..1 + random.below(4) {
            bytes[random.below(300)] = random.below(256) as u8;
        }
        assert!(bytes == good || Table::decode(&bytes, DISK).is_err());
    }
    // with a right checksum, but of nonsense
    let changes: [fn(&mut Table); 5] = [
        |table| table.slot_bytes = u64::MAX / 2,
        |table| table.slot_bytes += 512,
        |table| table.sequence = u64::MAX,
        |table| table.slots = vec![None; 3],
        |table| table.slots[0].as_mut().unwrap().length = 3 << 20,
    ];
    for change in changes {
        let mut table = table.clone();
        change(&mut table);
        assert_eq!(Table::decode(&table.encode().unwrap(), DISK), Err(SlotError::NoTable), "{table:?}");
    }
}
