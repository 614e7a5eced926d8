//! One disk with a partition table, and how that is changed.
//!
//! A change is written to the copy at the disk's end, flushed, and then to the one at its beginning: whenever power fails, the table
//! of before is whole, or the new one is. Which of the two counts is seen when the disk is looked at next: the first copy, if
//! it is whole, and else the second.

use super::beginning;
use super::table::{Copy, Kind, Layout, Mbr, Table};
use super::{MIB, Made, Want, size};
use crate::{
    executor::Bell,
    platform::{Disk, DiskError, Extent},
    slots::Store,
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
    /// rings when somebody has changed the table
    bell: Bell,
}

struct State {
    table: Table,
    /// the first sector
    mbr: Vec<u8>,
    /// where the header of the second copy is, if it is anywhere
    backup: Option<u64>,
    /// The copies are not the same, or not where they belong.
    stale: bool,
    busy: bool,
}

/// The right to change the table. There is one at a time.
struct Turn<'a>(&'a Parted);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.state.lock().busy = false;
        self.0.bell.ring();
    }
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
        let start = read(&*disk, 0, 2 + layout.entries).await?;
        let (mbr, entries) = (start[..sector].to_vec(), &start[2 * sector..]);
        let first = Table::decode(&layout, 1, &start[sector..2 * sector], entries);
        let end = geometry.sectors - 1;
        // of a disk that has grown, the second copy is where the end was
        let at = match first {
            Copy::Whole { other, .. } if (layout.entries..end).contains(&other) => other,
            _ => end,
        };
        let copy = read(&*disk, at - layout.entries, layout.entries + 1).await?;
        let (entries, header) = copy.split_at(layout.entries as usize * sector);
        let second = Table::decode(&layout, at, header, entries);
        let other = |what: String| Ok(Found::Other(what));
        let backup = matches!(second, Copy::Whole { .. }).then_some(at);
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
            (Copy::Absent, Copy::Absent) => return Self::without(disk, &layout).await,
            _ => return other("a partition table (GPT) of which neither copy is whole".into()),
        };
        if Mbr::of(&mbr) == Mbr::Other {
            return other(format!("a partition table (GPT) and {} beside it", beginning::MBR));
        }
        if stale {
            let begins = read(&*disk, 0, layout.mib()).await?;
            if let Some(what) = beginning::known(&begins) {
                return other(format!("{what}, which has been written over a partition table"));
            }
        }
        let state = State { table, mbr, backup, stale, busy: false };
        Ok(Found::Table(Parted { disk, layout, state: Mutex::new(state), bell: Bell::default() }))
    }

    /// A disk without a table.
    async fn without(disk: Arc<dyn Disk>, layout: &Layout) -> Result<Found, DiskError> {
        match Store::open(disk.clone()).await {
            Ok(Some(store)) => return Ok(Found::Slots(store)),
            Ok(None) => {}
            Err(error) => return Ok(Found::Other(format!("slots for systems: {error}"))),
        }
        let begins = read(&*disk, 0, layout.mib()).await?;
        let ends = read(&*disk, disk.geometry().sectors - layout.mib(), layout.mib()).await?;
        Ok(beginning::other(&begins, &ends).map_or(Found::Blank, |what| Found::Other(what.into())))
    }

    /// Makes a table on a blank disk. What else there is on it stays.
    ///
    /// An empty one is two sectors that are not zeroes: there is no moment at which what power has left is taken for something else.
    pub async fn format(disk: Arc<dyn Disk>, guid: Guid) -> Result<Parted, DiskError> {
        let layout = Layout::of(disk.geometry()).ok_or(DiskError::OutOfRange)?;
        let mbr = vec![0; layout.geometry.sector_size as usize];
        let state = State { table: Table::empty(guid), mbr, backup: None, stale: true, busy: false };
        let parted = Parted { disk, layout, state: Mutex::new(state), bell: Bell::default() };
        parted.settle().await?;
        Ok(parted)
    }

    async fn turn(&self) -> Turn<'_> {
        let take = || (!core::mem::replace(&mut self.state.lock().busy, true)).then(|| Turn(self));
        self.bell.until(take).await
    }

    /// Writes both copies where they belong, if they are not there.
    pub async fn settle(&self) -> Result<(), DiskError> {
        let turn = self.turn().await;
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
    /// # Errors
    /// Why not, naming what is wanted.
    pub async fn provide(
        &self,
        wants: &[Want<'_>],
        really: bool,
        guid: &mut (dyn FnMut() -> Guid + Send),
    ) -> Result<Vec<Made>, String> {
        let turn = self.turn().await;
        let mut table = self.state.lock().table.clone();
        let mut made = Vec::new();
        for want in wants {
            made.extend(table.provide(&self.layout, want, guid)?);
        }
        if let (Some(first), Some(why)) = (made.first(), self.is_fixed()) {
            return Err(format!("{} cannot be made: the disk {why}", first.what()));
        }
        if really && !made.is_empty() {
            self.write(&turn, table).await.map_err(|error| error.to_string())?;
        }
        Ok(made)
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
        let turn = self.turn().await;
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
    pub async fn erase(&self, most: u64, mut pause: impl AsyncFnMut()) -> Result<bool, DiskError> {
        let found = self.state.lock().table.parts.iter().find(|part| part.kind == Kind::Erased).cloned();
        let Some(part) = found.filter(|_| self.is_fixed().is_none()) else { return Ok(false) };
        let sector = u64::from(self.layout.geometry.sector_size);
        let sectors = part.sectors().min(most.max(MIB) / sector);
        let written = match self.disk.zero(part.first, sectors).await {
            Ok(()) => sectors,
            Err(DiskError::Unsupported) => 0,
            Err(error) => return Err(error),
        };
        pause().await;
        for at in (written..sectors).step_by((PART / sector) as usize) {
            let bytes = (sectors - at).min(PART / sector) * sector;
            let mut zeroes = Vec::new();
            zeroes.try_reserve_exact(bytes as usize).map_err(|_| DiskError::NoMemory)?;
            zeroes.resize(bytes as usize, 0);
            self.disk.write(part.first + at, zeroes).await?;
            pause().await;
        }
        let turn = self.turn().await;
        let mut table = self.state.lock().table.clone();
        table.erased(part.guid, sectors);
        self.write(&turn, table).await?;
        Ok(true)
    }

    /// Rings when the table was changed.
    pub fn bell(&self) -> &Bell {
        &self.bell
    }
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
