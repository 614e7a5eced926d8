//! One disk with a partition table, and how that is changed.
//!
//! A change is written to the copy at the disk's end, flushed, and then to the one at its beginning: whenever power fails, the table
//! of before is whole, or the new one is. Which of the two counts is seen when the disk is looked at next: the first copy, if
//! it is whole, and else the second.

use super::beginning;
use super::table::{Copy, Kind, Layout, Mbr, Part, Table};
use super::turn::{Turn, Turns};
use super::{MIB, Made, Want, size};
use crate::{
    platform::{Disk, DiskError, Extent},
    slots::{SlotError, Store},
};
use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
    vec,
    vec::Vec,
};
use gpt_disk_types::Guid;
use spin::Mutex;

/// The most bytes of one transfer.
const PART: u64 = 256 << 10;

/// Bytes that are made zeroes until the table is written again.
const STEP: u64 = 1 << 30;

/// Bytes of one request to make them zeroes.
const CLEAR: u64 = 64 * MIB;

/// What is read by itself where a disk does not give more at a time, and how many such pieces may be lost.
const PIECE: u64 = 4_096;
const MAX_LOST: usize = 16;

/// What was found on a disk.
pub enum Found {
    Table(Parted),
    /// Zeroes, where a table would be.
    Blank,
    /// Slots for systems at its beginning, as disks without a table have them.
    Slots(Store),
    /// What is left alone: in words.
    Other(String),
}

/// A disk that has a partition table. It is not to be opened twice at a time.
pub struct Parted {
    disk: Arc<dyn Disk>,
    layout: Layout,
    state: Mutex<State>,
    /// to change the table
    turns: Turns,
}

struct State {
    table: Table,
    /// the first sector
    mbr: Vec<u8>,
    /// where the header of the second copy is, if it is anywhere
    backup: Option<u64>,
    /// The copies are not the same, or not where they belong.
    stale: bool,
}

/// Where a volume is.
pub struct Place {
    pub extent: Extent,
    pub bytes: u64,
}

impl Parted {
    /// Looks at a disk.
    pub async fn open(disk: Arc<dyn Disk>) -> Result<Found, DiskError> {
        let geometry = disk.geometry();
        let Some(layout) = Layout::of(geometry) else {
            return Ok(Found::Other(format!(
                "{}, and a partition table with a volume needs 3 MiB",
                size(geometry.bytes())
            )));
        };
        let sector = geometry.sector_size as usize;
        let start = unless_lost(read(&*disk, 0, 2 + layout.entries).await)?;
        let first = start
            .as_ref()
            .map_or(Copy::Damaged, |start| Table::decode(&layout, 1, &start[sector..2 * sector], &start[2 * sector..]));
        let end = geometry.sectors - 1;
        // of a disk that has grown, the second copy is where the end was
        let at = match first {
            Copy::Whole { other, .. } if (layout.entries..end).contains(&other) => other,
            _ => end,
        };
        let copy = unless_lost(read(&*disk, at - layout.entries, layout.entries + 1).await)?;
        let second = copy.as_ref().map_or(Copy::Damaged, |copy| {
            let (entries, header) = copy.split_at(layout.entries as usize * sector);
            Table::decode(&layout, at, header, entries)
        });
        let other = |what: String| Ok(Found::Other(what));
        let backup = matches!(second, Copy::Whole { .. }).then_some(at);
        let is_absent = first == Copy::Absent;
        let (table, stale) = match (first, second) {
            (Copy::Whole { table, other }, Copy::Whole { table: same, .. }) => {
                let stale = table != same || other != end;
                (table, stale)
            }
            (Copy::Whole { table, .. }, _) => (table, true),
            (Copy::Unfit(why), _) | (_, Copy::Unfit(why)) => {
                return other(format!("a partition table (GPT) that has {why}"));
            }
            (_, Copy::Whole { table, .. }) => (table, true),
            // what could not be read may be a table
            _ if start.is_none() || copy.is_none() => return Err(DiskError::Io),
            (Copy::Absent, Copy::Absent) => return Self::without(disk, &layout).await,
            _ => return other("a partition table (GPT) of which neither copy is whole".into()),
        };
        if is_absent && let Some(slots) = slots_of_before(&disk).await? {
            return Ok(slots);
        }
        let begins = if stale { read_most(&*disk, layout.mib()).await? } else { start.unwrap_or_default() };
        let mbr = begins[..sector].to_vec();
        if Mbr::of(&mbr) == Mbr::Other {
            return other(format!("a partition table (GPT) and {} beside it", beginning::MBR));
        }
        if stale && let Some(what) = beginning::known(&begins) {
            return other(format!("{what}, which has been written over a partition table"));
        }
        if is_absent && !is_remainder(&layout, &begins, &table) {
            return other("something else than zeroes, in the place of a partition table's first copy".into());
        }
        let state = State { table, mbr, backup, stale };
        Ok(Found::Table(Parted { disk, layout, state: Mutex::new(state), turns: Turns::default() }))
    }

    /// A disk without a table.
    async fn without(disk: Arc<dyn Disk>, layout: &Layout) -> Result<Found, DiskError> {
        if let Some(slots) = slots_of_before(&disk).await? {
            return Ok(slots);
        }
        let begins = read(&*disk, 0, layout.mib()).await?;
        let ends = read(&*disk, disk.geometry().sectors - layout.mib(), layout.mib()).await?;
        Ok(beginning::other(&begins, &ends).map_or(Found::Blank, |what| Found::Other(what.into())))
    }

    /// Makes a table on a blank disk. What else there is on it stays until its room is somebody's.
    ///
    /// An empty one is two sectors that are not zeroes: there is no moment at which what power has left is taken for something else.
    pub async fn format(disk: Arc<dyn Disk>, guid: Guid) -> Result<Parted, DiskError> {
        let layout = Layout::of(disk.geometry()).ok_or(DiskError::OutOfRange)?;
        let mbr = vec![0; layout.geometry.sector_size as usize];
        let state = State { table: Table::empty(guid), mbr, backup: None, stale: true };
        let parted = Parted { disk, layout, state: Mutex::new(state), turns: Turns::default() };
        parted.settle().await?;
        Ok(parted)
    }

    /// Writes both copies where they belong, if they are not there.
    pub async fn settle(&self) -> Result<(), DiskError> {
        let turn = self.turns.take().await;
        let (table, stale) = {
            let state = self.state.lock();
            (state.table.clone(), state.stale)
        };
        if stale && table.foreign().is_none() { self.write(&turn, table).await } else { Ok(()) }
    }

    /// Writes a table. After an error, the one of before counts here, and on the disk one of the two.
    async fn write(&self, _: &Turn<'_>, table: Table) -> Result<(), DiskError> {
        let (layout, end) = (&self.layout, self.layout.geometry.sectors - 1);
        let (mbr, was) = {
            let state = &mut *self.state.lock();
            state.stale = true;
            (state.mbr.clone(), state.backup)
        };
        let (mut copy, header) = table.encode(layout, end, 1);
        copy.extend(header);
        self.disk.write(layout.backup(), copy).await?;
        self.disk.flush().await?;
        let protected = Mbr::protect(layout, &mbr);
        if protected != mbr {
            self.disk.write(0, protected.clone()).await?;
        }
        let (entries, mut copy) = table.encode(layout, 1, end);
        copy.extend(entries);
        self.disk.write(1, copy).await?;
        self.disk.flush().await?;
        if let Some(was) = was.filter(|was| *was != end) {
            // the end of before belongs to whoever gets it
            let (first, behind) = (was - layout.entries, (was + 1).min(layout.backup()));
            let zeroes = vec![0; behind.saturating_sub(first) as usize * layout.geometry.sector_size as usize];
            self.disk.write(first, zeroes).await?;
            self.disk.flush().await?;
        }
        let state = &mut *self.state.lock();
        (state.table, state.mbr, state.backup, state.stale) = (table, protected, Some(end), false);
        Ok(())
    }

    /// Why nothing may be changed here. None: it may.
    pub fn is_fixed(&self) -> Option<String> {
        let state = self.state.lock();
        match state.table.foreign() {
            Some(part) => {
                Some(format!("holds {part}, a partition that is not Pearwood's; nothing is changed on such a disk"))
            }
            None if self.layout.geometry.read_only => Some("is read-only".into()),
            None => None,
        }
    }

    /// Makes room for all of this, or for nothing. Without `really`, it is only seen whether that would go.
    ///
    /// What is new is zeroes before it is anybody's, whatever had been there. Of what takes long, a part is there after a cut, which
    /// grows when this is done again.
    ///
    /// # Errors
    /// Why not, naming what is wanted.
    pub async fn provide(
        &self,
        wants: &[Want<'_>],
        really: bool,
        guid: &mut (dyn FnMut() -> Guid + Send),
    ) -> Result<Vec<Made>, String> {
        let turn = self.turns.take().await;
        let mut table = self.state.lock().table.clone();
        let mut made = Vec::new();
        for want in wants {
            made.extend(table.provide(&self.layout, want, guid)?);
        }
        if let (Some(first), Some(why)) = (made.first(), self.is_fixed()) {
            return Err(format!("{} cannot be made: the disk {why}", first.what()));
        }
        if !really {
            return Ok(made);
        }
        if !made.is_empty() {
            self.take(&turn, table).await.map_err(|error| error.to_string())?;
        } else if self.state.lock().stale && self.is_fixed().is_none() {
            // a change that failed is on the disk, perhaps: what is said to be there would be gone after the next start
            let table = self.state.lock().table.clone();
            let written = self.write(&turn, table).await;
            written.map_err(|error| format!("its partition table cannot be written: {error}"))?;
        }
        Ok(made)
    }

    /// Writes a table that has more in it than the one of before, when that is zeroes.
    async fn take(&self, turn: &Turn<'_>, table: Table) -> Result<(), DiskError> {
        let most = STEP / u64::from(self.layout.geometry.sector_size);
        let mut now = self.state.lock().table.clone();
        let mut since = 0;
        for part in &table.parts {
            let at = now.parts.iter().position(|it| it.guid == part.guid);
            let mut first = at.map_or(part.first, |at| now.parts[at].last + 1);
            let at = at.unwrap_or(now.parts.len());
            while first <= part.last {
                let sectors = (part.last + 1 - first).min(most - since);
                clear(&*self.disk, first, sectors, async || ()).await?;
                first += sectors;
                since += sectors;
                let taken = Part { last: first - 1, ..part.clone() };
                match now.parts.get_mut(at) {
                    Some(part) => *part = taken,
                    None => now.parts.push(taken),
                }
                if since == most {
                    self.write(turn, now.clone()).await?;
                    since = 0;
                }
            }
        }
        self.write(turn, table).await
    }

    /// What a volume is, or the slots are. None: there is no such thing.
    pub fn find(&self, kind: Kind, name: &str, read_only: bool) -> Option<Place> {
        let state = self.state.lock();
        let runs: Vec<(u64, u64)> =
            state.table.pieces(kind, name).iter().map(|part| (part.first, part.sectors())).collect();
        let bytes = state.table.bytes(&self.layout, kind, name);
        if runs.is_empty() {
            return None;
        }
        Some(Place { extent: Extent::of_runs(self.disk.clone(), &runs, read_only).ok()?, bytes })
    }

    /// What there is: of each the kind, the name, and bytes.
    pub fn list(&self) -> Vec<(Kind, String, u64)> {
        let state = self.state.lock();
        let mut found: Vec<(Kind, String, u64)> = Vec::new();
        for part in &state.table.parts {
            let bytes = part.sectors() * u64::from(self.layout.geometry.sector_size);
            match found.iter_mut().find(|(kind, name, _)| (*kind, &**name) == (part.kind, &*part.name)) {
                Some((.., all)) => *all += bytes,
                None => found.push((part.kind, part.name.clone(), bytes)),
            }
        }
        found
    }

    pub fn room(&self) -> u64 {
        self.state.lock().table.room(&self.layout)
    }

    /// A volume is to be no more. What was in it is erased later.
    pub async fn delete(&self, name: &str, may: &(dyn Fn() -> Result<(), String> + Sync)) -> Result<(), String> {
        let turn = self.turns.take().await;
        may()?;
        if let Some(why) = self.is_fixed() {
            return Err(format!("volume `{name}` cannot be deleted: its disk {why}"));
        }
        let mut table = self.state.lock().table.clone();
        if !table.delete(name) {
            return Err(format!("there is no volume `{name}`"));
        }
        self.write(&turn, table).await.map_err(|error| error.to_string())
    }

    /// Erases some of what was deleted, up to `most` bytes, and gives it back; `pause` is waited for after each part of it. False:
    /// there is nothing to erase.
    ///
    /// What has been erased before power fails need not be erased again; what was not counts as deleted still.
    pub async fn erase(&self, most: u64, pause: impl AsyncFnMut()) -> Result<bool, DiskError> {
        let found = self.state.lock().table.parts.iter().find(|part| part.kind == Kind::Erased).cloned();
        let Some(part) = found.filter(|_| self.is_fixed().is_none()) else { return Ok(false) };
        let sector = u64::from(self.layout.geometry.sector_size);
        let sectors = part.sectors().min(most.max(MIB) / sector);
        clear(&*self.disk, part.first, sectors, pause).await?;
        let turn = self.turns.take().await;
        let mut table = self.state.lock().table.clone();
        table.erased(part.guid, sectors);
        self.write(&turn, table).await?;
        Ok(true)
    }
}

/// Slots at a disk's beginning, as disks without a table have them.
async fn slots_of_before(disk: &Arc<dyn Disk>) -> Result<Option<Found>, DiskError> {
    match Store::open(disk.clone()).await {
        Ok(store) => Ok(store.map(Found::Slots)),
        Err(SlotError::Disk(error)) => Err(error),
        Err(error) => Ok(Some(Found::Other(format!("slots for systems: {error}")))),
    }
}

/// Whether a disk's first MiB is what is left of a table's first copy where its header is none: entries of that table, or zeroes.
fn is_remainder(layout: &Layout, begins: &[u8], table: &Table) -> bool {
    let sector = layout.geometry.sector_size as usize;
    let is_zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    let (start, rest) = begins.split_at((2 + layout.entries as usize) * sector);
    let (header, entries) = start[sector..].split_at(sector);
    let is_same = !table.parts.is_empty() && entries == table.encode(layout, 1, 0).0;
    is_zero(rest) && (is_same || is_zero(header) && is_zero(entries))
}

/// None: the disk could not read it.
fn unless_lost(read: Result<Vec<u8>, DiskError>) -> Result<Option<Vec<u8>>, DiskError> {
    match read {
        Ok(bytes) => Ok(Some(bytes)),
        Err(DiskError::Io) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A disk's first sectors, with zeroes in the place of a few that it cannot read.
async fn read_most(disk: &dyn Disk, sectors: u64) -> Result<Vec<u8>, DiskError> {
    if let Some(bytes) = unless_lost(read(disk, 0, sectors).await)? {
        return Ok(bytes);
    }
    let (sector, mut lost) = (u64::from(disk.geometry().sector_size), 0);
    let mut bytes = Vec::new();
    for first in (0..sectors).step_by((PIECE / sector).max(1) as usize) {
        let count = (sectors - first).min((PIECE / sector).max(1));
        let piece = unless_lost(read(disk, first, count).await)?;
        lost += usize::from(piece.is_none());
        if lost > MAX_LOST {
            return Err(DiskError::Io);
        }
        bytes.extend(piece.unwrap_or_else(|| vec![0; (count * sector) as usize]));
    }
    Ok(bytes)
}

/// Makes sectors zeroes; `pause` is waited for after each part of them.
async fn clear(disk: &dyn Disk, first: u64, sectors: u64, mut pause: impl AsyncFnMut()) -> Result<(), DiskError> {
    let sector = u64::from(disk.geometry().sector_size);
    let end = first + sectors;
    let (mut at, mut can_zero) = (first, true);
    while at < end {
        let count = (end - at).min(if can_zero { CLEAR } else { PART } / sector);
        let done = if can_zero {
            disk.zero(at, count).await
        } else {
            let mut zeroes = Vec::new();
            zeroes.try_reserve_exact((count * sector) as usize).map_err(|_| DiskError::NoMemory)?;
            zeroes.resize((count * sector) as usize, 0);
            disk.write(at, zeroes).await
        };
        match done {
            Ok(()) => at += count,
            Err(error @ (DiskError::Gone | DiskError::ReadOnly)) => return Err(error),
            // some say that they can, and cannot
            Err(_) if can_zero => can_zero = false,
            Err(error) => return Err(error),
        }
        pause().await;
    }
    Ok(())
}

/// Reads sectors, in as many transfers as it takes.
async fn read(disk: &dyn Disk, first: u64, sectors: u64) -> Result<Vec<u8>, DiskError> {
    let sector = u64::from(disk.geometry().sector_size);
    let mut bytes = Vec::new();
    bytes.try_reserve_exact((sectors * sector) as usize).map_err(|_| DiskError::NoMemory)?;
    for at in (0..sectors).step_by((PART / sector) as usize) {
        let wanted = (sectors - at).min(PART / sector);
        let part = disk.read(first + at, wanted as u32).await?;
        // a disk that gives another number is broken
        if part.len() as u64 != wanted * sector {
            return Err(DiskError::Io);
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}
