//! What is not Pearwood's.

use super::*;

fn holds(at: usize, bytes: &[u8]) -> String {
    let disk = blank(512, 8);
    disk.damage(|all| all[at..at + bytes.len()].copy_from_slice(bytes));
    let before = block_on(disk.read(0, 16_384)).unwrap();
    let what = other(&disk);
    assert!(block_on(disk.read(0, 16_384)).unwrap() == before && disk.operations() == 0);
    what
}

#[test]
fn what_a_disk_holds_is_seen() {
    for (at, bytes, what) in [
        (0, &b"XFSB"[..], "an XFS file system"),
        (1_080, b"\x53\xef", "an ext2, ext3 or ext4 file system"),
        (65_600, b"_BHRfS_M", "a btrfs file system"),
        (0, b"LUKS\xba\xbe\0\x02", "a LUKS volume"),
        (54, b"FAT16   ", "a FAT file system"),
        (510, b"\x55\xaa", "a master boot record"),
        (0, b"PEARKEYS", "keys of a box"),
        (4_096, b"EFI PART", "a partition table (GPT) for sectors of another size"),
        (900_000, b"1", "something else than zeroes"),
        ((8 << 20) - 1, b"1", "something else than zeroes"),
    ] {
        assert_eq!(holds(at, bytes), what);
    }
    let small = Arc::new(FakeDisk::new(512, 100));
    assert_eq!(other(&small), "50 KiB, and a partition table with a volume needs 3 MiB");
}

/// Changes entry 0 of both copies, and their checksums.
fn with_entry(disk: &Arc<FakeDisk>, change: impl Fn(&mut Part)) -> Arc<FakeDisk> {
    let geometry = disk.geometry();
    let layout = Layout::of(geometry).unwrap();
    let (disk, sector) = (copy(disk), geometry.sector_size as usize);
    let start = block_on(disk.read(0, 34)).unwrap();
    let Copy::Whole { mut table, .. } = Table::decode(&layout, 1, &start[sector..2 * sector], &start[2 * sector..])
    else {
        panic!("it is whole");
    };
    change(&mut table.parts[0]);
    let end = geometry.sectors - 1;
    let (entries, header) = table.encode(&layout, 1, end);
    block_on(disk.write(1, [header, entries].concat())).unwrap();
    let (entries, header) = table.encode(&layout, end, 1);
    block_on(disk.write(layout.backup(), [entries, header].concat())).unwrap();
    block_on(disk.flush()).unwrap();
    copy(&disk)
}

#[test]
fn a_table_with_somebody_elses_partition_is_not_changed() {
    let disk = blank(512, 8);
    provide(&format(&disk), &[volume("a", 1), volume("b", 1)]).unwrap();
    let disk = with_entry(&disk, |part| part.kind = Kind::Foreign);
    // an entry without a type is none: it needs one
    disk.damage(|bytes| {
        assert_eq!(bytes[1_024..1_040], [0; 16]);
    });
    let table = open(&disk);
    assert_eq!(list(&table), [(Kind::Volume, "b".into(), 1)]);

    let entry = |bytes: &mut [u8], at: usize| bytes[at..at + 16].copy_from_slice(&[0xaf; 16]);
    let foreign = copy(&disk);
    foreign.damage(|bytes| {
        entry(bytes, 1_024);
        let sum = crc(&bytes[1_024..1_024 + 128 * 128]);
        bytes[512 + 88..512 + 92].copy_from_slice(&sum.to_le_bytes());
        bytes[512 + 16..512 + 20].fill(0);
        let sum = crc(&bytes[512..512 + 92]);
        bytes[512 + 16..512 + 20].copy_from_slice(&sum.to_le_bytes());
    });
    let table = open(&foreign);
    assert_eq!(list(&table), [(Kind::Foreign, "a".into(), 1), (Kind::Volume, "b".into(), 1)]);
    // what is there can be used
    fill(&table, "b", 2);
    let before = block_on(foreign.read(0, 2_048)).unwrap();
    let why = provide(&table, &[volume("c", 1)]).unwrap_err();
    assert_eq!(
        why,
        "volume `c` cannot be made: the disk holds `a`, a partition that is not Pearwood's; nothing is changed on such a disk"
    );
    assert!(delete(&table, "b").unwrap_err().contains("not Pearwood's"));
    block_on(table.settle()).unwrap();
    assert!(!block_on(table.erase(MIB, async || ())).unwrap());
    assert!(block_on(foreign.read(0, 2_048)).unwrap() == before);
}

pub fn crc(bytes: &[u8]) -> u32 {
    let step = |sum: u32, byte: &u8| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 })
    };
    !bytes.iter().fold(u32::MAX, step)
}

/// Somebody has made a file system where the table was; its second copy is still there.
#[test]
fn what_was_written_over_a_table_stays() {
    let disk = blank(512, 8);
    provide(&format(&disk), &[volume("a", 1)]).unwrap();
    disk.damage(|bytes| {
        bytes[1_024..4_096].fill(3);
        bytes[1_080..1_082].copy_from_slice(b"\x53\xef");
    });
    assert_eq!(other(&disk), "an ext2, ext3 or ext4 file system, which has been written over a partition table");
    let disk = blank(512, 8);
    provide(&format(&disk), &[volume("a", 1)]).unwrap();
    disk.damage(|bytes| bytes[470] = 1);
    assert_eq!(other(&disk), "a partition table (GPT) and a master boot record beside it");
}

#[test]
fn impossible_tables_are_refused_with_a_reason() {
    let disk = blank(512, 8);
    provide(&format(&disk), &[volume("a", 1), volume("b", 1)]).unwrap();
    let refused = |change: &dyn Fn(&mut Part)| other(&with_entry(&disk, change));
    let lies = "overlaps another or lies where none may";
    assert!(refused(&|part| part.last += 1).contains(lies));
    assert!(refused(&|part| part.first = 3).contains(lies));
    assert!(refused(&|part| part.last = u64::MAX).contains(lies));
    assert!(refused(&|part| part.first = part.last + 1).contains(lies));
    assert!(refused(&|part| part.name = "b".into()).contains("the partition `b` twice"));
    assert!(refused(&|part| part.name = "B b".into()).contains("a volume of an impossible name, `B b`"));
    assert!(refused(&|part| part.piece = 1).contains("piece 1 of a without the one before it"));
    assert!(refused(&|part| part.guid = Guid::from_random_bytes([2; 16])).contains("two partitions of one GUID"));
    let header = |at: usize, value: u32| {
        let disk = copy(&disk);
        for start in [512, (8 << 20) - 512] {
            disk.damage(|bytes| {
                let header = &mut bytes[start..start + 92];
                header[at..at + 4].copy_from_slice(&value.to_le_bytes());
                header[16..20].fill(0);
                let sum = crc(header);
                header[16..20].copy_from_slice(&sum.to_le_bytes());
            });
        }
        other(&disk)
    };
    assert!(header(80, u32::MAX).contains("4294967295 entries of 128 bytes, in place of 128 of 128"));
    assert!(header(84, 1 << 30).contains("128 entries of 1073741824 bytes"));
    assert_eq!(header(12, 512), "a partition table (GPT) of which neither copy is whole");
    assert!(header(48, u32::MAX).contains("partitions from sector 34 to 4294967295"));
    assert!(header(72, 1_000).contains("its entries at sector 1000, in place of 2"));
    // a disk that has become smaller
    let bytes = block_on(disk.read(0, 6 << 11)).unwrap();
    let why = other(&Arc::new(FakeDisk::of(bytes, 512)));
    assert!(why.contains("and this disk has room for them from 34 to 12254"), "{why}");
}
