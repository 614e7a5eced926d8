//! Page tables (Intel SDM volume 3, 4.5: four levels, 4 KiB, 2 MiB and 1 GiB pages).
//!
//! There is one set, for the one address space. It is divided into [`Arena`]s, each owning a range of top-level entries
//! and everything below them, so whoever holds `&mut Arena` may change its mappings without asking anybody.
//!
//! One CPU runs the node; a changed or removed entry is forgotten there by `invlpg`. A second CPU would need to be told.

use core::ops::Range;

use x86_64::{PhysAddr, registers::control::Cr3, structures::paging::PhysFrame};

use super::{
    OutOfMemory,
    frames::{self, Frame, Owner},
    layout::{HUGE_PAGE, LARGE_PAGE, PAGE},
};

/// An entry of a page table. If it is not present, the CPU ignores all other bits and they are the kernel's.
///
/// Only unsafe code makes one that is present, or changes what it allows; and there are no copies. So safe code can take
/// mappings away, but can neither make nor widen one.
#[derive(Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Entry(u64);

impl Entry {
    pub const EMPTY: Entry = Entry(0);
    pub const PRESENT: u64 = 1 << 0;
    pub const WRITE: u64 = 1 << 1;
    /// The CPU has written to the page since this was cleared; it may remember that it is set until the page is invalidated.
    pub const DIRTY: u64 = 1 << 6;
    /// no caching, for device registers
    pub const UNCACHED: u64 = 1 << 4 | 1 << 3;
    /// of an entry above the level of pages: a page of that size (of a page's own entry, bit 7 is another's: never set)
    const LARGE: u64 = 1 << 7;
    pub const NO_EXECUTE: u64 = 1 << 63;
    const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

    /// One that shows the memory at a physical address.
    ///
    /// # Safety
    /// Once it is in a table, that memory can be reached at the place's address, as the flags allow. Whoever puts it there
    /// owns the memory or may share it like that, and what is executable anywhere is not writable through it.
    #[allow(unsafe_code)]
    pub const unsafe fn present(address: usize, flags: u64) -> Entry {
        Entry(address as u64 & Self::ADDRESS | flags | Self::PRESENT)
    }

    /// One that is not present, with flags that are the kernel's own.
    pub const fn absent(flags: u64) -> Entry {
        Entry(flags & !(Self::ADDRESS | Self::PRESENT))
    }

    /// Changes what the entry of a page, which is present, allows.
    ///
    /// # Safety
    /// As for [`Entry::present`].
    #[allow(unsafe_code)]
    pub unsafe fn allow(&mut self, flags: u64) {
        self.0 = self.0 & Self::ADDRESS | flags | Self::PRESENT;
    }

    pub fn frame(&self) -> Frame {
        Frame::containing((self.0 & Self::ADDRESS) as usize)
    }

    pub fn is_empty(&self) -> bool {
        self.0 == 0
    }

    pub fn is_present(&self) -> bool {
        self.has(Self::PRESENT)
    }

    pub fn has(&self, flag: u64) -> bool {
        self.0 & flag != 0
    }

    /// Forgets that the page was written.
    pub fn clean(&mut self) {
        self.0 &= !Self::DIRTY;
    }

    pub fn flags(&self) -> u64 {
        self.0 & !Self::ADDRESS
    }
}

/// Access to pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read,
    ReadWrite,
    ReadExecute,
}

impl Access {
    /// Without [`Entry::PRESENT`].
    pub fn flags(self) -> u64 {
        match self {
            Access::Read => Entry::NO_EXECUTE,
            Access::ReadWrite => Entry::NO_EXECUTE | Entry::WRITE,
            Access::ReadExecute => 0,
        }
    }
}

type Table = [Entry; 512];

/// A range of addresses whose page tables have one owner.
///
/// Invariant: top-level entries of the range are reached through this value alone.
pub struct Arena {
    root: Frame,
    range: Range<usize>,
}

/// The bit where the index of a level starts: 39 for the top, 12 for pages.
const LEVELS: [u32; 3] = [39, 30, 21];

fn index(address: usize, shift: u32) -> usize {
    address >> shift & 511
}

impl Arena {
    /// # Safety
    /// `root` is a top-level table that will outlive this, `range` covers whole top-level entries of it, and no other
    /// arena covers any of them.
    #[allow(unsafe_code)]
    pub const unsafe fn new(root: Frame, range: Range<usize>) -> Arena {
        Arena { root, range }
    }

    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// Maps consecutive physical memory, in the largest pages that fit. If tables run out, the first pages may be mapped.
    ///
    /// # Safety
    /// As for [`Entry::present`]; and nobody uses what was mapped there before.
    #[allow(unsafe_code)]
    pub unsafe fn map(&mut self, address: usize, physical: Range<usize>, flags: u64) -> Result<(), OutOfMemory> {
        let (mut address, mut from) = (address, physical.start);
        while from < physical.end {
            let fits = |page: usize| (address | from).is_multiple_of(page) && physical.end - from >= page;
            let (shift, page) = if fits(HUGE_PAGE) && crate::cpu::features::has_huge_pages() {
                (30, HUGE_PAGE)
            } else if fits(LARGE_PAGE) {
                (21, LARGE_PAGE)
            } else {
                (12, PAGE)
            };
            let large = if shift == 12 { 0 } else { Entry::LARGE };
            // SAFETY: passed on to the caller.
            self.table(address, shift)?[index(address, shift)] = unsafe { Entry::present(from, flags | large) };
            address += page;
            from += page;
        }
        Ok(())
    }

    /// The entries of the pages in `range` up to the end of their table (2 MiB), which is made if it does not exist.
    pub fn make_entries(&mut self, range: Range<usize>) -> Result<&mut [Entry], OutOfMemory> {
        Ok(&mut self.table(range.start, 12)?[in_table(&range)])
    }

    /// The same, if their table exists.
    pub fn entries(&mut self, range: Range<usize>) -> Option<&mut [Entry]> {
        Some(&mut self.find(range.start)?[in_table(&range)])
    }

    /// The entry of one page, if its table exists.
    pub fn entry(&mut self, address: usize) -> Option<&mut Entry> {
        Some(&mut self.find(address)?[index(address, 12)])
    }

    /// The entry of one page, if it is mapped; a larger page is divided for that, which changes nothing else.
    pub fn divide(&mut self, address: usize) -> Result<Option<&mut Entry>, OutOfMemory> {
        self.check(&(address..address + 1));
        let mut table = self.root;
        for (level, part) in LEVELS.into_iter().zip([HUGE_PAGE, LARGE_PAGE, PAGE]) {
            let entry = &mut table_at(table)[index(address, level)];
            if !entry.is_present() {
                return Ok(None);
            }
            if entry.has(Entry::LARGE) {
                let parts = frames::allocate(Owner::Tables).ok_or(OutOfMemory)?;
                let flags = if part == PAGE { entry.flags() & !Entry::LARGE } else { entry.flags() };
                for (place, start) in table_at(parts).iter_mut().zip((entry.frame().address()..).step_by(part)) {
                    // SAFETY: together they show what the entry shows, as it does; and the table is the arena's.
                    #[allow(unsafe_code)]
                    let part = unsafe { Entry::present(start, flags) };
                    *place = part;
                }
                // SAFETY: as above.
                #[allow(unsafe_code)]
                let above = unsafe { Entry::present(parts.address(), Entry::WRITE) };
                *entry = above;
                invalidate(address);
            }
            table = entry.frame();
        }
        Ok(Some(&mut table_at(table)[index(address, 12)]))
    }

    /// Frees the tables of the pages in `range`, all of which are unmapped, as must be their neighbours within 2 MiB.
    pub fn free_page_tables(&mut self, range: Range<usize>) {
        self.free_tables(range, 21, LARGE_PAGE);
    }

    /// Frees the tables of the gigabytes that `range` is in, after [`Arena::free_page_tables`] for all of them.
    pub fn free_directories(&mut self, range: Range<usize>) {
        self.free_tables(range, 30, HUGE_PAGE);
    }

    fn free_tables(&mut self, range: Range<usize>, shift: u32, extent: usize) {
        for address in (range.start & !(extent - 1)..range.end).step_by(extent) {
            if let Some(entry) = self.walk(address, shift) {
                let table = core::mem::replace(entry, Entry::EMPTY).frame();
                free_table(table);
            }
        }
        // the CPU caches entries of the upper levels; any invalidation forgets them all
        invalidate(range.start);
    }

    /// The table that holds the entry for `address` at the level of `shift`, made along with those above it.
    fn table(&mut self, address: usize, shift: u32) -> Result<&mut Table, OutOfMemory> {
        self.check(&(address..address + 1));
        let mut table = self.root;
        for level in LEVELS {
            if level == shift {
                break;
            }
            let entry = &mut table_at(table)[index(address, level)];
            if !entry.is_present() {
                let made = frames::allocate_zeroed(Owner::Tables).ok_or(OutOfMemory)?;
                // SAFETY: the table is empty, and the arena's.
                #[allow(unsafe_code)]
                let above = unsafe { Entry::present(made.address(), Entry::WRITE) };
                *entry = above;
            }
            debug_assert!(!entry.has(Entry::LARGE), "no page of {address:#x} is part of a larger one");
            table = entry.frame();
        }
        Ok(table_at(table))
    }

    fn find(&mut self, address: usize) -> Option<&mut Table> {
        self.walk(address, 21).filter(|entry| !entry.has(Entry::LARGE)).map(|entry| table_at(entry.frame()))
    }

    /// The entry for `address` at the level of `shift`, if it is present and those above it are.
    fn walk(&mut self, address: usize, shift: u32) -> Option<&mut Entry> {
        self.check(&(address..address + 1));
        let mut table = self.root;
        for level in LEVELS {
            let entry = &mut table_at(table)[index(address, level)];
            if !entry.is_present() {
                return None;
            }
            if level == shift {
                return Some(entry);
            }
            table = entry.frame();
        }
        None
    }

    fn check(&self, range: &Range<usize>) {
        assert!(
            self.range.start <= range.start && range.end <= self.range.end,
            "{range:#x?} is not in the arena {:#x?}",
            self.range
        );
    }
}

/// The indices of the pages in `range` within the table of its start.
fn in_table(range: &Range<usize>) -> Range<usize> {
    let first = index(range.start, 12);
    first..(first + (range.end - range.start).div_ceil(PAGE)).min(512)
}

/// The start of the next table's range after `address`: what the slices of [`Arena::entries`] end at.
pub fn next_table(address: usize) -> usize {
    (address & !(LARGE_PAGE - 1)) + LARGE_PAGE
}

#[allow(unsafe_code)]
fn table_at<'a>(frame: Frame) -> &'a mut Table {
    // SAFETY: only called with the arena borrowed mutably, on frames that are or become tables of that arena (or the root,
    // of which the arena owns the entries it touches), and the results are not used after the next call for that frame.
    // The self-test's walk changes nothing, and calls nothing that does while it looks at a table.
    unsafe { &mut *frame.pointer().cast::<Table>() }
}

#[allow(unsafe_code)]
fn free_table(frame: Frame) {
    // SAFETY: its only reference, the entry above it, has been or is about to be cleared by the arena's owner.
    unsafe { frames::free(frame, Owner::Tables) };
}

/// Whether the page at `address` is mapped, according to the tables that the CPU uses. Takes no lock and changes nothing, so
/// that reports of the kernel's own failures may ask.
pub fn is_mapped(address: usize) -> bool {
    // the CPU ignores tables' entries above bit 47, and addresses there are no addresses
    if address >> 47 != 0 {
        return false;
    }
    let mut table = Cr3::read().0.start_address().as_u64() as usize;
    for level in [39, 30, 21, 12] {
        let place = core::ptr::with_exposed_provenance::<Entry>(table).wrapping_add(index(address, level));
        // SAFETY: tables are page frames, which are mapped where they are, by the boot tables and by those of `setup`.
        // Another reference to the entry may exist further up the stack; the read is of one aligned word.
        #[allow(unsafe_code)]
        let entry = unsafe { place.read_volatile() };
        if !entry.is_present() {
            return false;
        }
        if entry.has(Entry::LARGE) {
            return true;
        }
        table = entry.frame().address();
    }
    true
}

/// Calls `f` with all that is mapped: the physical addresses, and the entry that shows them.
#[cfg(feature = "selftest")]
pub fn for_each_mapping(f: &mut impl FnMut(Range<usize>, &Entry)) {
    fn visit(table: Frame, shift: u32, f: &mut impl FnMut(Range<usize>, &Entry)) {
        for entry in table_at(table).iter().filter(|entry| entry.is_present()) {
            if shift == 12 || entry.has(Entry::LARGE) {
                let start = entry.frame().address();
                f(start..start + (1 << shift), entry);
            } else {
                visit(entry.frame(), shift - 9, f);
            }
        }
    }
    visit(Frame::containing(Cr3::read().0.start_address().as_u64() as usize), 39, f);
}

/// Makes the CPU forget what it cached of the page at `address`.
pub fn invalidate(address: usize) {
    x86_64::instructions::tlb::flush(x86_64::VirtAddr::new_truncate(address as u64));
}

/// Makes `root` the page tables in use.
///
/// # Safety
/// It maps whatever this CPU is executing, its stack and its data.
#[allow(unsafe_code)]
pub unsafe fn switch(root: Frame) {
    let frame = PhysFrame::containing_address(PhysAddr::new_truncate(root.address() as u64));
    // SAFETY: passed on to the caller.
    unsafe { Cr3::write(frame, x86_64::registers::control::Cr3Flags::empty()) };
}
