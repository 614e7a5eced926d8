//! The disk as redb sees it: pages of 4,096 bytes, each with a checksum.
//!
//! ```text
//!   sector 0    what the disk is; sector 1: the same again
//!   sector 8    page 0: sectors of 4,096 bytes together, and one for their checksum; then page 1, and so on
//! ```
//!
//! Sectors 0 and 1, all numbers little endian:
//!
//! ```text
//!   0    8    magic
//!   8    4    version
//!  12    4    1: being made; 2: in use
//!  16    8    pages that redb's file has
//!  24    4    CRC-32 of what is before
//! ```
//!
//! The checksum of a page is the CRC-32 of its number and its bytes, 4 bytes little endian; zeros were never written. Page 0 is redb's head,
//! which is written over in place: it fits in one sector, which a disk writes as a whole or not at all, with its checksum at the end of it.
//!
//! redb has its own checksums, and looks at them when it repairs. These are looked at when a page is read, so that what the disk has damaged
//! is an error and never an answer.

use redb::StorageBackend;
use std::fmt;
use std::io;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// The disk. Errors are in words.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// Bytes of a sector: a power of two from 512 to 4,096.
    fn sector_size(&self) -> usize;
    fn sectors(&self) -> u64;
    /// What was written before is read, durable or not.
    ///
    /// # Errors
    /// The disk fails.
    fn read(&self, first: u64, count: u64) -> Result<Vec<u8>, String>;
    /// Whole sectors. It may be under way when this returns: then an error is [`Disk::flush`]'s.
    ///
    /// # Errors
    /// The disk fails.
    fn write(&self, first: u64, data: Vec<u8>) -> Result<(), String>;
    /// Returns when all that was written is durable.
    ///
    /// # Errors
    /// The disk fails: any of it may not be.
    fn flush(&self) -> Result<(), String>;
}

const PAGE: usize = 4_096;
const MAGIC: &[u8; 8] = b"PEARSTOR";
const VERSION: u32 = 1;
/// Bytes of the head that are not its checksum.
const HEAD: usize = 28;
/// The sector of page 0.
const FIRST: u64 = 8;
/// Bytes of a checksum.
const SUM: usize = 4;
/// What redb has to have, to lay out a file.
const LEAST_PAGES: u64 = 512;

/// What the disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Made = 1,
    Used = 2,
}

/// A disk with a file of pages on it.
#[derive(Debug)]
pub struct Pages<D> {
    disk: Arc<D>,
    /// that the disk has room for, and the box's memory
    capacity: u64,
    /// It is the memory that there is less of.
    small: bool,
    /// that the file has
    pages: AtomicU64,
}

impl<D: Disk> Pages<D> {
    /// What is on a disk. True: a file is to be made there, and [`Pages::made`] to be said when it is. `whole`: the file takes all of the
    /// disk from now on; else it grows as redb says, which is to twice its size. `most`: the pages that the box has memory for.
    ///
    /// # Errors
    /// There is something else, or the disk fails.
    pub fn open(disk: &Arc<D>, whole: bool, most: u64) -> Result<(Self, bool), String> {
        let size = disk.sector_size();
        let stride = (PAGE / size + 1) as u64;
        let capacity = disk.sectors().saturating_sub(FIRST) / stride;
        if capacity < LEAST_PAGES {
            let (has, needs) = (disk.sectors() * size as u64, (LEAST_PAGES * stride + FIRST) * size as u64);
            return Err(format!("the disk has {} KiB, and a store needs {} KiB", has >> 10, needs.div_ceil(1024)));
        }
        let (room, small) = (capacity, most < capacity);
        let capacity = capacity.min(most);
        let pages = Pages { disk: disk.clone(), capacity, small, pages: AtomicU64::new(0) };
        let heads = disk.read(0, FIRST)?;
        let copies: Vec<_> = heads.chunks(size).take(2).map(head).collect();
        let newest = copies.iter().filter_map(|copy| copy.as_ref().ok()).max();
        let Some(&(phase, count)) = newest else {
            if heads.iter().any(|byte| *byte != 0) {
                let why = copies.into_iter().find_map(Result::err).unwrap_or_default();
                return Err(format!(
                    "the disk holds something that is no store, and is left as it is: {why}. A backup of the disk can be put back; to \
                     have a new store there, write zeros over its first {} KiB",
                    (FIRST * size as u64).div_ceil(1024)
                ));
            }
            pages.label(Phase::Made, 0)?;
            pages.disk.flush()?;
            return Ok((pages, true));
        };
        if count > room {
            return Err(format!("the disk has room for {room} pages, and the store that it holds has {count}"));
        }
        if count > capacity {
            let (has, serves) = (count >> 8, capacity >> 8);
            return Err(format!(
                "the store on the disk has {has} MiB, and the box's memory serves {serves} MiB: give it {} times the `memory`",
                count.div_ceil(capacity)
            ));
        }
        if phase == Phase::Made {
            return Ok((pages, true));
        }
        let count = if whole && count < capacity {
            // the head that redb writes next says so as well
            pages.label(Phase::Used, capacity)?;
            disk.flush()?;
            capacity
        } else {
            count
        };
        pages.pages.store(count, Relaxed);
        Ok((pages, false))
    }

    /// The file that was to be made is there.
    ///
    /// # Errors
    /// The disk fails.
    pub fn made(disk: &Arc<D>) -> Result<(), String> {
        let size = disk.sector_size();
        let heads = disk.read(0, 1)?;
        let (_, count) = head(&heads[..size])?;
        let stub = Pages { disk: disk.clone(), capacity: count, small: false, pages: AtomicU64::new(count) };
        stub.label(Phase::Used, count)?;
        disk.flush()
    }

    /// Pages that the file can have.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Whether it has them.
    pub fn is_whole(&self) -> bool {
        self.pages.load(Relaxed) == self.capacity
    }

    fn label(&self, phase: Phase, pages: u64) -> Result<(), String> {
        let mut sector = vec![0; self.disk.sector_size()];
        sector[..8].copy_from_slice(MAGIC);
        sector[8..12].copy_from_slice(&VERSION.to_le_bytes());
        sector[12..16].copy_from_slice(&(phase as u32).to_le_bytes());
        sector[16..24].copy_from_slice(&pages.to_le_bytes());
        let sum = crc32fast::hash(&sector[..24]);
        sector[24..HEAD].copy_from_slice(&sum.to_le_bytes());
        self.disk.write(0, sector.clone())?;
        self.disk.write(1, sector)
    }

    /// Sectors of a page with its checksum.
    fn stride(&self) -> u64 {
        (PAGE / self.disk.sector_size() + 1) as u64
    }

    fn place(&self, page: u64) -> u64 {
        FIRST + page * self.stride()
    }

    /// Bytes of page 0 that there are.
    fn head_size(&self) -> usize {
        self.disk.sector_size() - SUM
    }

    fn within(&self, offset: u64, length: usize) -> io::Result<()> {
        let end = offset.checked_add(length as u64);
        match end.is_some_and(|end| end <= self.pages.load(Relaxed) * PAGE as u64) {
            true => Ok(()),
            false => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "beyond the end of the store")),
        }
    }
}

/// What a sector says that the disk is.
fn head(sector: &[u8]) -> Result<(Phase, u64), String> {
    let word = |at: usize| u32::from_le_bytes(core::array::from_fn(|byte| sector[at + byte]));
    if !sector.starts_with(MAGIC) {
        return Err("it does not begin as one".into());
    }
    if crc32fast::hash(&sector[..24]) != word(24) {
        return Err("its first sectors are damaged".into());
    }
    if word(8) != VERSION {
        return Err(format!("it is of version {}: a newer box `store` has written it", word(8)));
    }
    let pages = u64::from_le_bytes(core::array::from_fn(|byte| sector[16 + byte]));
    match word(12) {
        1 => Ok((Phase::Made, pages)),
        2 => Ok((Phase::Used, pages)),
        _ => Err("its first sectors make no sense".into()),
    }
}

fn sum(page: u64, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&page.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

fn failed(why: String) -> io::Error {
    io::Error::other(why)
}

fn damaged(sector: u64) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("sector {sector} and those after it are damaged"))
}

impl<D: Disk> StorageBackend for Pages<D> {
    fn len(&self) -> io::Result<u64> {
        Ok(self.pages.load(Relaxed) * PAGE as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.within(offset, out.len())?;
        let (page, size) = (offset / PAGE as u64, self.disk.sector_size());
        if offset == 0 && out.len() <= self.head_size() {
            let sector = self.disk.read(FIRST, 1).map_err(failed)?;
            let (head, checksum) = sector.split_at(self.head_size());
            if checksum != sum(0, head).to_le_bytes() && sector.iter().any(|byte| *byte != 0) {
                return Err(damaged(FIRST));
            }
            out.copy_from_slice(&head[..out.len()]);
            return Ok(());
        }
        if !offset.is_multiple_of(PAGE as u64) || page == 0 {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "a read that begins within a page"));
        }
        let count = out.len().div_ceil(PAGE) as u64;
        let first = self.place(page);
        let sectors = self.disk.read(first, count * self.stride()).map_err(failed)?;
        let whole = self.stride() as usize * size;
        for ((number, piece), out) in (page..).zip(sectors.chunks(whole)).zip(out.chunks_mut(PAGE)) {
            let (bytes, checksum) = piece.split_at(PAGE);
            let checksum = &checksum[..SUM];
            // never written, or what was: a checksum of zero for other bytes is one in four thousand million, and is good as well
            let blank = || checksum == [0; SUM] && bytes.iter().all(|byte| *byte == 0);
            if checksum != sum(number, bytes).to_le_bytes() && !blank() {
                return Err(damaged(self.place(number)));
            }
            out.copy_from_slice(&bytes[..out.len()]);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let pages = len.div_ceil(PAGE as u64);
        if pages > self.capacity {
            let why = match self.small {
                true => "the store has all that the box's memory serves: give it more `memory`",
                false => "the disk is full",
            };
            return Err(io::Error::new(io::ErrorKind::StorageFull, why));
        }
        let made = self.pages.swap(pages, Relaxed) == 0;
        self.label(if made { Phase::Made } else { Phase::Used }, pages).map_err(failed)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.flush().map_err(failed)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.within(offset, data.len())?;
        let (page, size) = (offset / PAGE as u64, self.disk.sector_size());
        if offset == 0 && data.len() <= self.head_size() {
            let mut sector = vec![0; size];
            sector[..data.len()].copy_from_slice(data);
            let checksum = sum(0, &sector[..self.head_size()]);
            let at = self.head_size();
            sector[at..].copy_from_slice(&checksum.to_le_bytes());
            return self.disk.write(FIRST, sector).map_err(failed);
        }
        if !offset.is_multiple_of(PAGE as u64) || !data.len().is_multiple_of(PAGE) || page == 0 {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "a write of a part of a page"));
        }
        let mut sectors = Vec::with_capacity(data.len() / PAGE * self.stride() as usize * size);
        for (number, bytes) in (page..).zip(data.chunks(PAGE)) {
            sectors.extend_from_slice(bytes);
            sectors.extend_from_slice(&sum(number, bytes).to_le_bytes());
            sectors.resize(sectors.len() + size - SUM, 0);
        }
        self.disk.write(self.place(page), sectors).map_err(failed)
    }
}
