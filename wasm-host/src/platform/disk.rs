//! Disks: numbered sectors that outlast the node.

use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::{fmt, future::Future, pin::Pin};

/// What a disk is doing. Dropping it does not undo what the disk has begun to do.
pub type Pending<T> = Pin<Box<dyn Future<Output = Result<T, DiskError>> + Send>>;

/// A disk. Its futures are woken by `Platform::poll`, or by a thread of the platform's own.
///
/// What a write that has ended has changed, later reads see; it outlasts a loss of power once a flush that began
/// after it has ended. A write that is under way when power is lost may have changed any of its sectors, each as a
/// whole. Of transfers that are under way at once, none waits for another, unless the future of one of them was dropped.
pub trait Disk: Send + Sync {
    fn geometry(&self) -> Geometry;

    /// Reads sectors from `first` on.
    fn read(&self, first: u64, sectors: u32) -> Pending<Vec<u8>>;

    /// Writes sectors from `first` on: `data` is a whole number of them.
    fn write(&self, first: u64, data: Vec<u8>) -> Pending<()>;

    /// Makes all that was written durable.
    fn flush(&self) -> Pending<()>;

    /// Writes zeroes without moving them, to any number of sectors from `first` on. The disk need not keep a place for them. One that
    /// cannot do that says [`DiskError::Unsupported`].
    fn zero(&self, first: u64, sectors: u64) -> Pending<()> {
        refused(self.geometry().check_zero(first, sectors).err().unwrap_or(DiskError::Unsupported))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// bytes: a power of two from 512 to [`MAX_SECTOR`]
    pub sector_size: u32,
    pub sectors: u64,
    pub read_only: bool,
}

/// The largest sector that there is.
pub const MAX_SECTOR: u32 = 4_096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskError {
    /// Some of the sectors are not there, or not granted.
    OutOfRange,
    /// Not a whole number of sectors.
    Unaligned,
    /// More than one call transfers.
    TooLarge,
    ReadOnly,
    /// The disk tried and failed.
    Io,
    /// The disk cannot do that.
    Unsupported,
    /// The node has no memory for the data.
    NoMemory,
    /// The disk is not used any more: it was taken away, or broke the rules.
    Gone,
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DiskError::OutOfRange => "the sectors are out of range",
            DiskError::Unaligned => "not a whole number of sectors",
            DiskError::TooLarge => "more than one call transfers",
            DiskError::ReadOnly => "the disk is read-only",
            DiskError::Io => "the disk reports an error",
            DiskError::Unsupported => "the disk does not support it",
            DiskError::NoMemory => "there is no memory for the data",
            DiskError::Gone => "the disk is gone",
        })
    }
}

impl core::error::Error for DiskError {}

impl Geometry {
    pub fn bytes(&self) -> u64 {
        self.sectors.saturating_mul(self.sector_size.into())
    }

    /// Whether there are these sectors.
    pub fn check(&self, first: u64, sectors: u64) -> Result<(), DiskError> {
        match first.checked_add(sectors) {
            Some(end) if end <= self.sectors => Ok(()),
            _ => Err(DiskError::OutOfRange),
        }
    }

    /// Whether these sectors can be made zeroes.
    pub fn check_zero(&self, first: u64, sectors: u64) -> Result<(), DiskError> {
        if self.read_only { Err(DiskError::ReadOnly) } else { self.check(first, sectors) }
    }

    /// Whether `bytes` can be written from a sector on.
    pub fn check_write(&self, first: u64, bytes: usize) -> Result<(), DiskError> {
        if self.read_only {
            return Err(DiskError::ReadOnly);
        }
        if !bytes.is_multiple_of(self.sector_size as usize) {
            return Err(DiskError::Unaligned);
        }
        self.check(first, bytes as u64 / u64::from(self.sector_size))
    }
}

/// What has failed before it began.
pub fn refused<T: Send + 'static>(error: DiskError) -> Pending<T> {
    Box::pin(core::future::ready(Err(error)))
}

/// Some sectors of a disk, numbered from 0: nothing outside them can be reached.
#[derive(Clone)]
pub struct Extent {
    disk: Arc<dyn Disk>,
    /// runs of the disk's sectors, one behind the other: the first, and how many
    runs: Arc<[(u64, u64)]>,
    geometry: Geometry,
}

impl Extent {
    /// `sectors` from `first` on, or all that follow.
    pub fn new(disk: Arc<dyn Disk>, first: u64, sectors: Option<u64>, read_only: bool) -> Result<Self, DiskError> {
        let sectors = sectors.or(disk.geometry().sectors.checked_sub(first)).ok_or(DiskError::OutOfRange)?;
        Self::of_runs(disk, &[(first, sectors)], read_only)
    }

    /// What lies in several places: the first sector of each, and how many there are.
    pub fn of_runs(disk: Arc<dyn Disk>, runs: &[(u64, u64)], read_only: bool) -> Result<Self, DiskError> {
        let whole = disk.geometry();
        let mut sectors: u64 = 0;
        for (first, count) in runs {
            whole.check(*first, *count)?;
            sectors = sectors.checked_add(*count).ok_or(DiskError::OutOfRange)?;
        }
        let geometry = Geometry { sectors, read_only: whole.read_only || read_only, ..whole };
        Ok(Extent { disk, runs: runs.into(), geometry })
    }

    /// Where on the disk these sectors of the extent are, which lie in it.
    fn places(&self, mut first: u64, mut sectors: u64) -> Vec<(u64, u64)> {
        let mut places = Vec::new();
        for (start, count) in &*self.runs {
            if sectors > 0 && first < *count {
                let here = sectors.min(count - first);
                places.push((start + first, here));
                sectors -= here;
                first = 0;
            } else {
                first = first.saturating_sub(*count);
            }
        }
        places
    }
}

impl Disk for Extent {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn read(&self, first: u64, sectors: u32) -> Pending<Vec<u8>> {
        if let Err(error) = self.geometry.check(first, sectors.into()) {
            return refused(error);
        }
        let places = self.places(first, sectors.into());
        if let [(first, sectors)] = places[..] {
            return self.disk.read(first, sectors as u32);
        }
        let (disk, sector_size) = (self.disk.clone(), self.geometry.sector_size as usize);
        Box::pin(async move {
            let mut read = Vec::new();
            read.try_reserve_exact(sectors as usize * sector_size).map_err(|_| DiskError::NoMemory)?;
            for (first, sectors) in places {
                read.extend_from_slice(&disk.read(first, sectors as u32).await?);
            }
            Ok(read)
        })
    }

    fn write(&self, first: u64, data: Vec<u8>) -> Pending<()> {
        if let Err(error) = self.geometry.check_write(first, data.len()) {
            return refused(error);
        }
        let sector_size = self.geometry.sector_size as usize;
        let places = self.places(first, (data.len() / sector_size) as u64);
        if let [(first, _)] = places[..] {
            return self.disk.write(first, data);
        }
        let disk = self.disk.clone();
        Box::pin(async move {
            let mut rest = &data[..];
            for (first, sectors) in places {
                let (now, later) = rest.split_at(sectors as usize * sector_size);
                let mut part = Vec::new();
                part.try_reserve_exact(now.len()).map_err(|_| DiskError::NoMemory)?;
                part.extend_from_slice(now);
                disk.write(first, part).await?;
                rest = later;
            }
            Ok(())
        })
    }

    fn flush(&self) -> Pending<()> {
        self.disk.flush()
    }

    fn zero(&self, first: u64, sectors: u64) -> Pending<()> {
        if let Err(error) = self.geometry.check_zero(first, sectors) {
            return refused(error);
        }
        let (disk, places) = (self.disk.clone(), self.places(first, sectors));
        Box::pin(async move {
            for (first, sectors) in places {
                disk.zero(first, sectors).await?;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::fake::{FakeDisk, block_on};

    #[test]
    fn an_extent_reaches_nothing_outside_itself() {
        let disk = Arc::new(FakeDisk::new(512, 100));
        block_on(disk.write(0, [7; 51_200].to_vec())).unwrap();
        let extent = Extent::new(disk.clone(), 10, Some(5), false).unwrap();
        assert_eq!(extent.geometry(), Geometry { sector_size: 512, sectors: 5, read_only: false });
        block_on(extent.write(0, [8; 2_560].to_vec())).unwrap();
        for (first, sectors) in [(5, 1), (4, 2), (0, 6), (u64::MAX, 1), (u64::MAX - 9, 20), (1, u32::MAX), (6, 0)] {
            assert_eq!(block_on(extent.read(first, sectors)), Err(DiskError::OutOfRange), "{first} {sectors}");
        }
        for (first, bytes) in [(5, 512), (4, 1_024), (0, 3_072), (u64::MAX, 512), (u64::MAX - 9, 10_240)] {
            let written = block_on(extent.write(first, [9].repeat(bytes)));
            assert_eq!(written, Err(DiskError::OutOfRange), "{first} {bytes}");
        }
        for bytes in [1, 511, 513] {
            assert_eq!(block_on(extent.write(0, [9].repeat(bytes))), Err(DiskError::Unaligned), "{bytes}");
        }
        let all = block_on(disk.read(0, 100)).unwrap();
        let expected: Vec<u8> = (0..100).flat_map(|s| [if (10..15).contains(&s) { 8 } else { 7 }; 512]).collect();
        assert!(all == expected);
    }

    #[test]
    fn an_extent_in_several_places_is_one() {
        let disk = Arc::new(FakeDisk::new(512, 100));
        block_on(disk.write(0, [7; 51_200].to_vec())).unwrap();
        let extent = Extent::of_runs(disk.clone(), &[(50, 2), (10, 1), (90, 3)], false).unwrap();
        assert_eq!(extent.geometry().sectors, 6);
        let content: Vec<u8> = (1..=4).flat_map(|sector| [sector; 512]).collect();
        block_on(extent.write(1, content.clone())).unwrap();
        assert!(block_on(extent.read(1, 4)).unwrap() == content);
        assert!(block_on(extent.read(2, 1)).unwrap() == [2; 512] && block_on(extent.read(6, 0)).unwrap().is_empty());
        block_on(extent.write(6, Vec::new())).unwrap();
        for (first, sectors) in [(6, 1), (0, 7), (u64::MAX, 1), (3, u32::MAX)] {
            assert_eq!(block_on(extent.read(first, sectors)), Err(DiskError::OutOfRange), "{first} {sectors}");
        }
        let all = block_on(disk.read(0, 100)).unwrap();
        let new =
            |sector| [(51, 1), (10, 2), (90, 3), (91, 4)].iter().find(|(at, _)| *at == sector).map_or(7, |it| it.1);
        assert!(all == (0..100).flat_map(|sector| [new(sector); 512]).collect::<Vec<u8>>());
        assert!(Extent::of_runs(disk.clone(), &[(50, 2), (99, 2)], false).is_err());
        assert!(Extent::of_runs(disk, &[(0, u64::MAX), (0, 2)], false).is_err());
    }

    #[test]
    fn extents_are_of_what_there_is() {
        let disk: Arc<dyn Disk> = Arc::new(FakeDisk::new(4_096, 10));
        let extent = |first, sectors| Extent::new(disk.clone(), first, sectors, true).map(|e| e.geometry().sectors);
        assert_eq!(extent(4, None), Ok(6));
        assert_eq!(extent(10, None), Ok(0));
        assert_eq!(extent(11, None), Err(DiskError::OutOfRange));
        assert_eq!(extent(4, Some(7)), Err(DiskError::OutOfRange));
        assert_eq!(extent(u64::MAX, Some(2)), Err(DiskError::OutOfRange));
        let read_only = Extent::new(disk, 0, None, true).unwrap();
        assert_eq!(block_on(read_only.write(0, [0; 4_096].to_vec())), Err(DiskError::ReadOnly));
    }
}
