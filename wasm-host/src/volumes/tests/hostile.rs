//! Tables that somebody has made to do harm.

use super::foreign::crc;
use super::*;

/// What may be believed of a table: checked in another way than the reader does.
fn is_sound(table: &Table, layout: &Layout) {
    let sectors = layout.geometry.sectors;
    let mut taken = vec![false; sectors as usize];
    for part in &table.parts {
        assert!(part.first >= 34 && part.last < sectors - 33 && part.first <= part.last, "{part:?}");
        for sector in part.first..=part.last {
            assert!(!core::mem::replace(&mut taken[sector as usize], true), "{part:?}");
        }
        if part.kind == Kind::Volume {
            assert!(is_name(&part.name));
        }
    }
}

#[test]
fn whatever_a_table_says_it_is_refused_or_sound() {
    let disk = blank(512, 4);
    let layout = Layout::of(disk.geometry()).unwrap();
    let mut table = Table::empty(Guid::from_random_bytes([9; 16]));
    let mut guid = guids();
    for name in ["a", "b"] {
        table.provide(&layout, &volume(name, 1), &mut guid).unwrap();
    }
    let (entries, header) = table.encode(&layout, 1, disk.geometry().sectors - 1);
    let mut random = Random(20_261_130);
    let (mut whole, mut unfit, mut damaged) = (0, 0, 0);
    const TIMES: usize = 100_000;
    for _ in 0..TIMES {
        let (mut entries, mut header) = (entries.clone(), header.clone());
        for _ in 0..1 + random.below(4) {
            let value = match random.below(4) {
                0 => 0,
                1 => 0xff,
                2 => 1 << random.below(8),
                _ => random.below(256) as u8,
            };
            match random.below(4) {
                0 => header[random.below(96)] = value,
                // the numbers of sectors of an entry, or any of its bytes
                1 => entries[128 * random.below(4) + 32 + random.below(16)] = value,
                2 => entries[128 * random.below(3) + random.below(128)] = value,
                _ => {
                    let (from, to) = (128 * random.below(3), 128 * random.below(4));
                    let entry = entries[from..from + 128].to_vec();
                    entries[to..to + 128].copy_from_slice(&entry);
                }
            }
        }
        // or else the checksum refuses it
        if random.below(8) > 0 {
            let sum = table_crc(&entries);
            header[88..92].copy_from_slice(&sum.to_le_bytes());
            header[16..20].fill(0);
            let sum = crc(&header[..92]);
            header[16..20].copy_from_slice(&sum.to_le_bytes());
        }
        match Table::decode(&layout, 1, &header, &entries) {
            Copy::Whole { mut table, .. } => {
                whole += 1;
                is_sound(&table, &layout);
                // and stays so
                let _ = table.provide(&layout, &volume("a", 2), &mut guid);
                let _ = table.provide(&layout, &volume("new", 1), &mut guid);
                is_sound(&table, &layout);
                table.delete("a");
                for part in table.parts.clone() {
                    table.erased(part.guid, 1_024);
                }
                is_sound(&table, &layout);
                if table.foreign().is_none() {
                    let (entries, header) = table.encode(&layout, 1, layout.geometry.sectors - 1);
                    let read = Table::decode(&layout, 1, &header, &entries);
                    assert!(matches!(&read, Copy::Whole { table: same, .. } if *same == table), "{read:?}");
                }
            }
            Copy::Unfit(_) => unfit += 1,
            Copy::Damaged => damaged += 1,
            Copy::Absent => {}
        }
    }
    assert!(whole > TIMES / 20 && unfit > TIMES / 20 && damaged > TIMES / 20, "{whole} {unfit} {damaged}");
}

/// The checksum of entries of which the most are zeroes: what 96 of them do to one is always the same.
fn table_crc(entries: &[u8]) -> u32 {
    crc_fast(entries)
}

fn crc_fast(bytes: &[u8]) -> u32 {
    static TABLE: std::sync::OnceLock<[u32; 256]> = std::sync::OnceLock::new();
    let table = TABLE.get_or_init(|| {
        core::array::from_fn(|byte| {
            (0..8).fold(byte as u32, |sum, _| (sum >> 1) ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 })
        })
    });
    !bytes.iter().fold(u32::MAX, |sum, byte| (sum >> 8) ^ table[((sum ^ u32::from(*byte)) & 0xff) as usize])
}

/// The same of whole disks: both copies, and what is around them.
#[test]
fn whatever_a_disk_holds_nothing_breaks() {
    let disk = blank(512, 4);
    provide(&format(&disk), &[volume("a", 1)]).unwrap();
    let mut random = Random(7);
    for _ in 0..300 {
        let disk = copy(&disk);
        disk.damage(|bytes| {
            for _ in 0..1 + random.below(6) {
                let places = [random.below(2_048), bytes.len() - 1 - random.below(17_000)];
                bytes[places[random.below(2)]] = random.below(256) as u8;
            }
        });
        if let Found::Table(table) = block_on(Parted::open(disk.clone())).unwrap() {
            let _ = provide(&table, &[volume("b", 1)]);
            open(&disk);
        }
    }
}
