//! Where on a disk there is room, and what of it is taken for what.

use super::table::{Kind, Layout, MAX_PARTS, Part, Table};
use super::{MIB, Made, Want, size};
use alloc::{format, string::String, vec::Vec};
use gpt_disk_types::Guid;

impl Table {
    /// Free runs of whole MiB: the first, and how many.
    fn free(&self, layout: &Layout) -> Vec<(u64, u64)> {
        let mib = layout.mib();
        let (first, end) = layout.usable();
        let mut taken: Vec<(u64, u64)> =
            self.parts.iter().map(|part| (part.first / mib, part.last / mib + 1)).collect();
        taken.push((end, end));
        taken.sort_unstable();
        let (mut free, mut runs) = (first, Vec::new());
        for (begins, ends) in taken {
            if begins > free {
                runs.push((free, begins - free));
            }
            free = free.max(ends);
        }
        runs
    }

    /// Bytes that are nobody's.
    pub fn room(&self, layout: &Layout) -> u64 {
        self.free(layout).iter().map(|(_, count)| count * MIB).sum()
    }

    /// Bytes that are being erased.
    pub fn erasing(&self, layout: &Layout) -> u64 {
        let erased = self.parts.iter().filter(|part| part.kind == Kind::Erased);
        erased.map(|part| part.sectors()).sum::<u64>() * u64::from(layout.geometry.sector_size)
    }

    pub fn bytes(&self, layout: &Layout, kind: Kind, name: &str) -> u64 {
        let sectors: u64 = self.pieces(kind, name).iter().map(|part| part.sectors()).sum();
        sectors * u64::from(layout.geometry.sector_size)
    }

    /// Makes room for what is wanted: what is not there is made, and what is too small grows, at its end if there is room, or else
    /// in another place. `guid`: another one each time.
    ///
    /// # Errors
    /// Why not, naming the volume. Then nothing is as it was, and the table is to be dropped.
    pub fn provide(
        &mut self,
        layout: &Layout,
        want: &Want<'_>,
        guid: &mut (dyn FnMut() -> Guid + Send),
    ) -> Result<Option<Made>, String> {
        let was = self.bytes(layout, want.kind, want.name);
        let wanted = want.bytes.next_multiple_of(MIB);
        if was >= wanted {
            return Ok(None);
        }
        let (mut lacks, free) = ((wanted - was).div_ceil(MIB), self.room(layout));
        if lacks * MIB > free {
            let more = if was > 0 { format!(" more: it has {}", size(was)) } else { String::new() };
            let erasing = match self.erasing(layout) {
                0 => String::new(),
                bytes => format!(", and {} are still being erased", size(bytes)),
            };
            return Err(format!("{} needs {}{more}; {} are free{erasing}", want, size(lacks * MIB), size(free)));
        }
        let mib = layout.mib();
        let mut piece = self.pieces(want.kind, want.name).len() as u16;
        let is_last = |part: &Part| {
            let is_it = part.kind == want.kind && (want.kind == Kind::Slots || part.name == want.name);
            is_it && part.piece + 1 == piece
        };
        if let Some(last) = self.parts.iter().position(is_last) {
            let behind = self.parts[last].last + 1;
            let end = behind / mib;
            let mut free = self.free(layout).into_iter();
            if let Some((_, count)) = free.find(|(first, _)| *first == end && behind.is_multiple_of(mib)) {
                let taken = count.min(lacks);
                self.parts[last].last = (end + taken) * mib - 1;
                lacks -= taken;
            }
        }
        while lacks > 0 {
            // the smallest that has room for all of it, or else the largest
            let free = self.free(layout);
            let fits = free.iter().filter(|(_, count)| *count >= lacks).min_by_key(|(_, count)| *count);
            let Some((first, count)) = fits.or(free.iter().max_by_key(|(_, count)| *count)).copied() else { break };
            if self.parts.len() >= MAX_PARTS {
                return Err(format!("{want} would be one partition more than the {MAX_PARTS} that a disk can have"));
            }
            let taken = count.min(lacks);
            let (first, last) = (first * mib, (first + taken) * mib - 1);
            let guid = self.unused(guid());
            self.parts.push(Part { kind: want.kind, name: want.name.into(), guid, first, last, piece });
            piece += 1;
            lacks -= taken;
        }
        Ok(Some(Made { name: want.name.into(), kind: want.kind, was, bytes: wanted }))
    }

    /// That GUID, or one beside it if there is a partition of that one.
    fn unused(&self, guid: Guid) -> Guid {
        let mut bytes = guid.to_bytes();
        while self.parts.iter().any(|part| part.guid.to_bytes() == bytes) {
            bytes[0] = bytes[0].wrapping_add(1);
        }
        Guid::from_bytes(bytes)
    }

    /// From now on this volume is no more, and what was in it is to be erased. False: there is none.
    pub fn delete(&mut self, name: &str) -> bool {
        let mut found = false;
        for part in self.parts.iter_mut().filter(|part| part.kind == Kind::Volume && part.name == name) {
            part.kind = Kind::Erased;
            found = true;
        }
        found
    }

    /// The first sectors of something that is being erased are: no longer than `sectors`.
    pub fn erased(&mut self, guid: Guid, sectors: u64) {
        self.parts.retain_mut(|part| {
            if part.kind != Kind::Erased || part.guid != guid {
                return true;
            }
            if part.sectors() <= sectors {
                return false;
            }
            part.first += sectors;
            true
        });
    }
}
