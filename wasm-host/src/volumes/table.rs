//! A disk's partition table (UEFI specification 2.10, section 5.3), as far as volumes need one: of 128 entries, with whole MiB for
//! whatever is made here. Nothing that a disk says is believed before it has been checked, nor made room for.

use super::MIB;
use crate::platform::Geometry;
use alloc::{collections::BTreeSet, format, string::String, vec, vec::Vec};
use bytemuck::{bytes_of, try_pod_read_unaligned};
use core::fmt;
use gpt_disk_types::{
    BlockSize, Crc32, GptHeader, GptPartitionAttributes, GptPartitionEntry, GptPartitionEntryArray,
    GptPartitionEntryArrayLayout, GptPartitionEntrySize, GptPartitionName, GptPartitionType, Guid, Lba, LbaLe,
    MasterBootRecord, U16Le, U32Le, guid,
};

/// Partitions of one disk.
pub const MAX_PARTS: usize = 128;
/// UTF-16 units of a partition's name, which has that many characters of a volume's.
pub const MAX_NAME: usize = 36;

const ENTRY: usize = size_of::<GptPartitionEntry>();
const HEADER: usize = size_of::<GptHeader>();

/// What a partition is, which its type says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// of boxes
    Volume,
    /// of the node's own systems
    Slots,
    /// It was a volume, and is free once all of it is zeroes.
    Erased,
    /// somebody else's
    Foreign,
}

const TYPES: [(Kind, GptPartitionType); 3] = [
    (Kind::Volume, GptPartitionType(guid!("6c0e9f5a-3b1d-4f7e-9a52-70656172776f"))),
    (Kind::Slots, GptPartitionType(guid!("b1f4c2d8-5e0a-4d3b-8c61-70656172776f"))),
    (Kind::Erased, GptPartitionType(guid!("e27a90d3-1c4f-4b86-a7d5-70656172776f"))),
];

/// A partition: all of a volume, or a piece of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub kind: Kind,
    pub name: String,
    pub guid: Guid,
    /// sectors, both ends included
    pub first: u64,
    pub last: u64,
    /// which piece of the volume, from 0
    pub piece: u16,
}

impl Part {
    pub fn sectors(&self) -> u64 {
        self.last - self.first + 1
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub guid: Guid,
    /// in the order of the entries
    pub parts: Vec<Part>,
}

/// One of the two copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Copy {
    /// There is none.
    Absent,
    /// It is not what was written.
    Damaged,
    /// It is, and this node cannot work with it.
    Unfit(String),
    Whole {
        table: Table,
        /// where it says that the other copy is
        other: u64,
    },
}

/// Where things are on a disk.
#[derive(Debug, Clone, core::marker::Copy, PartialEq, Eq)]
pub struct Layout {
    pub geometry: Geometry,
    /// sectors of the array of entries
    pub entries: u64,
}

impl Layout {
    /// None: the disk is too small for a table and a MiB.
    pub fn of(geometry: Geometry) -> Option<Self> {
        let entries = (MAX_PARTS * ENTRY) as u64 / u64::from(geometry.sector_size);
        let layout = Layout { geometry, entries };
        (geometry.bytes() >= 3 * MIB).then_some(layout)
    }

    pub fn mib(&self) -> u64 {
        MIB / u64::from(self.geometry.sector_size)
    }

    fn first_usable(&self) -> u64 {
        2 + self.entries
    }

    fn last_usable(&self) -> u64 {
        self.geometry.sectors - self.entries - 2
    }

    /// Where the second copy begins; its header is the disk's last sector.
    pub fn backup(&self) -> u64 {
        self.last_usable() + 1
    }

    /// The whole MiB of the disk that can be partitions: the first, and the one behind the last.
    pub fn usable(&self) -> (u64, u64) {
        (1, (self.last_usable() + 1) / self.mib())
    }
}

impl Table {
    pub fn empty(guid: Guid) -> Self {
        Table { guid, parts: Vec::new() }
    }

    /// Reads a copy: its header, from sector `at`, and the array of entries.
    pub fn decode(layout: &Layout, at: u64, header: &[u8], entries: &[u8]) -> Copy {
        let Ok(header) = try_pod_read_unaligned::<GptHeader>(&header[..HEADER]) else { return Copy::Absent };
        if !header.is_signature_valid() {
            return Copy::Absent;
        }
        let number = |lba: LbaLe| lba.to_u64();
        // one of another length is as good as none: whether it is whole could not be told
        let is_whole =
            header.header_size.to_u32() as usize == HEADER && header.calculate_header_crc32() == header.header_crc32;
        if !is_whole || number(header.my_lba) != at {
            return Copy::Damaged;
        }
        let (count, size) = (header.number_of_partition_entries.to_u32(), header.size_of_partition_entry.to_u32());
        if count as usize != MAX_PARTS || size as usize != ENTRY {
            return Copy::Unfit(format!("{count} entries of {size} bytes, in place of {MAX_PARTS} of {ENTRY}"));
        }
        let (first, last) = (number(header.first_usable_lba), number(header.last_usable_lba));
        let array = number(header.partition_entry_lba);
        let expected = if at == 1 { 2 } else { at.saturating_sub(layout.entries) };
        if array != expected {
            return Copy::Unfit(format!("its entries at sector {array}, in place of {expected}"));
        }
        if first < layout.first_usable() || first > last || last > layout.last_usable() {
            return Copy::Unfit(format!(
                "partitions from sector {first} to {last}, and this disk has room for them from {} to {}",
                layout.first_usable(),
                layout.last_usable()
            ));
        }
        if checksum(layout, entries) != Some(header.partition_entry_array_crc32) {
            return Copy::Damaged;
        }
        let mut table = Table::empty(header.disk_guid);
        for entry in entries.chunks_exact(ENTRY).take(MAX_PARTS) {
            let Ok(entry) = try_pod_read_unaligned::<GptPartitionEntry>(entry) else { continue };
            if { entry.partition_type_guid } != GptPartitionType::UNUSED {
                table.parts.push(part(&entry));
            }
        }
        match table.check(first, last) {
            Ok(()) => Copy::Whole { table, other: number(header.alternate_lba) },
            Err(why) => Copy::Unfit(why),
        }
    }

    /// Whether no two partitions claim the same, and all lie where they may.
    fn check(&self, first: u64, last: u64) -> Result<(), String> {
        let mut sorted: Vec<&Part> = self.parts.iter().collect();
        sorted.sort_by_key(|part| part.first);
        let mut free = first;
        for part in sorted {
            if part.first < free || part.last < part.first || part.last > last {
                return Err(format!(
                    "the partition {part}, from sector {} to {}, overlaps another or lies where none may",
                    part.first, part.last
                ));
            }
            free = part.last + 1;
        }
        let guids: BTreeSet<[u8; 16]> = self.parts.iter().map(|part| part.guid.to_bytes()).collect();
        if guids.len() < self.parts.len() {
            return Err("two partitions of one GUID".into());
        }
        let mut seen = BTreeSet::new();
        let pieces = self.parts.iter().filter(|part| matches!(part.kind, Kind::Volume | Kind::Slots));
        for part in pieces {
            if part.kind == Kind::Volume && !is_name(&part.name) {
                return Err(format!("a volume of an impossible name, {part}"));
            }
            // of slots there is one
            let name = if part.kind == Kind::Slots { "" } else { &part.name };
            if !seen.insert((part.kind, name, part.piece)) {
                return Err(format!("the partition {part} twice"));
            }
        }
        for (kind, name, piece) in &seen {
            if *piece > 0 && !seen.contains(&(*kind, *name, piece - 1)) {
                return Err(format!("piece {piece} of {name} without the one before it"));
            }
        }
        Ok(())
    }

    /// A copy's array of entries, and its header, which belongs at `at` and says that the other one is at `other`.
    pub fn encode(&self, layout: &Layout, at: u64, other: u64) -> (Vec<u8>, Vec<u8>) {
        let mut entries = vec![0; MAX_PARTS * ENTRY];
        for (part, bytes) in self.parts.iter().zip(entries.chunks_exact_mut(ENTRY)) {
            bytes.copy_from_slice(bytes_of(&entry(part)));
        }
        let lba = LbaLe::from_u64;
        let mut header = GptHeader {
            my_lba: lba(at),
            alternate_lba: lba(other),
            first_usable_lba: lba(layout.first_usable()),
            last_usable_lba: lba(layout.last_usable()),
            disk_guid: self.guid,
            partition_entry_lba: lba(if at == 1 { 2 } else { at - layout.entries }),
            number_of_partition_entries: U32Le::from_u32(MAX_PARTS as u32),
            partition_entry_array_crc32: checksum(layout, &entries).unwrap_or_default(),
            ..GptHeader::default()
        };
        header.update_header_crc32();
        let mut sector = bytes_of(&header).to_vec();
        sector.resize(layout.geometry.sector_size as usize, 0);
        (entries, sector)
    }

    /// The pieces of what has this name, in their order.
    pub fn pieces(&self, kind: Kind, name: &str) -> Vec<&Part> {
        let is_it = |part: &&Part| part.kind == kind && (kind == Kind::Slots || part.name == name);
        let mut pieces: Vec<&Part> = self.parts.iter().filter(is_it).collect();
        pieces.sort_by_key(|part| part.piece);
        pieces
    }

    /// A partition that is not Pearwood's.
    pub fn foreign(&self) -> Option<&Part> {
        self.parts.iter().find(|part| part.kind == Kind::Foreign)
    }
}

/// Whether a volume may be called so: a label, as boxes have, that a partition's name has room for.
pub fn is_name(name: &str) -> bool {
    name.len() <= MAX_NAME && crate::plan::label(name).is_ok()
}

fn checksum(layout: &Layout, entries: &[u8]) -> Option<Crc32> {
    let mut storage = entries.to_vec();
    let block = BlockSize::new(layout.geometry.sector_size)?;
    let array = GptPartitionEntryArrayLayout {
        start_lba: Lba(0),
        entry_size: GptPartitionEntrySize::new(ENTRY as u32).ok()?,
        num_entries: MAX_PARTS as u32,
    };
    Some(GptPartitionEntryArray::new(array, block, &mut storage).ok()?.calculate_crc32())
}

fn part(entry: &GptPartitionEntry) -> Part {
    // copied, since the entry is packed
    let (own, name, attributes) = ({ entry.partition_type_guid }, { entry.name }, { entry.attributes });
    let kind = TYPES.iter().find(|(_, it)| *it == own).map_or(Kind::Foreign, |(kind, _)| *kind);
    Part {
        kind,
        // it is shown to people
        name: name.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect(),
        guid: entry.unique_partition_guid,
        first: entry.starting_lba.to_u64(),
        last: entry.ending_lba.to_u64(),
        piece: attributes.type_specific_attributes().to_u16(),
    }
}

fn entry(part: &Part) -> GptPartitionEntry {
    let mut attributes = GptPartitionAttributes::default();
    attributes.update_type_specific_attributes(U16Le::from_u16(part.piece));
    let kind = TYPES.iter().find(|(kind, _)| *kind == part.kind).map(|(_, it)| *it);
    let mut name = GptPartitionName::default();
    for (at, unit) in part.name.chars().take(MAX_NAME).enumerate() {
        // those that were read are such
        let _ = name.set_char(at, unit);
    }
    GptPartitionEntry {
        partition_type_guid: kind.unwrap_or_default(),
        unique_partition_guid: part.guid,
        starting_lba: LbaLe::from_u64(part.first),
        ending_lba: LbaLe::from_u64(part.last),
        attributes,
        name,
    }
}

/// A disk's first sector: it says to whoever knows no such tables that all of it is in use.
#[derive(Debug, Clone, core::marker::Copy, PartialEq, Eq)]
pub enum Mbr {
    /// zeroes
    Absent,
    Protective,
    /// It has partitions of its own, or is something else.
    Other,
}

/// Where the first record is, and its length; the others follow. The last two bytes of 512 are a signature.
const RECORDS: usize = 446;
const RECORD: usize = 16;
const SIGNATURE: usize = 510;

impl Mbr {
    pub fn of(sector: &[u8]) -> Self {
        let records = &sector[RECORDS..SIGNATURE];
        let is_protective = sector[SIGNATURE..SIGNATURE + 2] == [0x55, 0xaa]
            && records[4] == 0xee
            && records[RECORD..].iter().all(|byte| *byte == 0);
        match () {
            () if is_protective => Mbr::Protective,
            () if sector.iter().all(|byte| *byte == 0) => Mbr::Absent,
            () => Mbr::Other,
        }
    }

    /// The sector with a record of the whole disk. What boots from it stays there.
    pub fn protect(layout: &Layout, sector: &[u8]) -> Vec<u8> {
        let mut protected = sector.to_vec();
        let whole = MasterBootRecord::protective_mbr(layout.geometry.sectors);
        protected[RECORDS..SIGNATURE + 2].copy_from_slice(&bytes_of(&whole)[RECORDS..]);
        protected
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.name.escape_debug())
    }
}
