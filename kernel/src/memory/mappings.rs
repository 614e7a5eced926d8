//! What wasmtime maps: linear memories, the images they start from, code.
//!
//! The page tables are the only record of what a page is. A page that is accessible but was never touched has a
//! non-present entry marked [`LAZY`] that holds its access; a page that still shows the image its memory started from
//! is present, read-only and marked [`SHARED`]. Both stand for a promised frame (see [`frames`]), which the page fault
//! takes. So a fault is one walk and one decision, and needs no other structure.
//!
//! A mapping's tables are made when its pages become accessible, and freed with it.

use alloc::{
    collections::{BTreeMap, btree_map::Entry as Slot},
    sync::Arc,
    vec::Vec,
};
use core::ops::Range;

use super::{
    OutOfMemory, direct,
    frames::{self, Frame, Owner},
    layout::{self, HUGE_PAGE, LARGE_PAGE, PAGE, page_up},
    paging::{Access, Arena, Entry, invalidate, next_table},
};
use crate::cpu::lock::Lock;

/// Of a present entry: its frame belongs to an [`Image`].
const SHARED: u64 = 1 << 9;
/// Of a shared entry: a write gets a copy of the page.
const COPY: u64 = 1 << 11;
/// Of an entry that is not present: accessible, and zero until first written.
const LAZY: u64 = 1 << 10;
/// Pages of a mapping that keep their frames when it is reverted.
const KEPT: usize = 64;
/// Smaller mappings share tables of a gigabyte with others; larger ones have their own.
const SMALL: usize = HUGE_PAGE / 2;

static SPACE: Lock<Option<Space>> = Lock::new(None);

pub fn init(small: Arena, large: Arena) {
    *SPACE.lock() = Some(Space { small: Mappings::new(small, LARGE_PAGE), large: Mappings::new(large, HUGE_PAGE) });
}

/// The contents that memories of one module start with. Its pages are shared by all of them until written.
pub struct Image {
    frames: Vec<Frame>,
}

impl Image {
    /// Copies `contents`, whole pages.
    ///
    /// Called without locks: `contents` may itself be memory that faults.
    pub fn new(contents: &[u8]) -> Result<Arc<Image>, OutOfMemory> {
        let mut image = Image { frames: Vec::new() };
        image.frames.try_reserve_exact(contents.len() / PAGE).map_err(|_| OutOfMemory)?;
        for page in contents.chunks_exact(PAGE) {
            let frame = frames::allocate(Owner::Boxes).ok_or(OutOfMemory)?;
            image.frames.push(frame);
            copy(page, frame);
        }
        Ok(Arc::new(image))
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        for &frame in &self.frames {
            release(frame, Owner::Boxes);
        }
    }
}

/// Reserves `size` bytes of address space, accessible or not. Returns its start.
pub fn map(size: usize, access: Option<Access>) -> Result<usize, OutOfMemory> {
    let mut space = SPACE.lock();
    let space = space.as_mut().expect("the memory is initialised");
    // wasmtime reserves memories and then opens them; what is accessible from the start is code
    let owner = if access.is_some() { Owner::Code } else { Owner::Boxes };
    let mappings = if size < SMALL { &mut space.small } else { &mut space.large };
    let start = mappings.reserve(size, owner)?;
    if access.is_some()
        && let Err(error) = mappings.protect(start..start + page_up(size), access)
    {
        mappings.unmap(start);
        return Err(error);
    }
    Ok(start)
}

// What follows changes mappings that somebody has reserved. It never touches anything else: an address that is in none,
// or beyond the end of one, is an error.

/// Frees a whole mapping. False if there is none at that address.
///
/// # Safety
/// The caller has reserved it, and nobody uses it any more.
#[allow(unsafe_code)]
pub unsafe fn unmap(start: usize) -> bool {
    in_space(start, |mappings| mappings.unmap(start)).unwrap_or(false)
}

/// Changes the access to pages of one mapping; none at all discards their contents. Code is what is in the pages that were
/// written: others do not become executable.
///
/// # Safety
/// The caller has reserved the mapping, and nobody relies on the access that is taken away or runs code that becomes
/// executable without being so.
#[allow(unsafe_code)]
pub unsafe fn protect(range: Range<usize>, access: Option<Access>) -> Result<(), OutOfMemory> {
    in_space(range.start, |mappings| mappings.protect(range, access)).unwrap_or(Err(OutOfMemory))
}

/// Discards the contents of pages and gives them that access.
///
/// # Safety
/// As for [`protect`].
#[allow(unsafe_code)]
pub unsafe fn remap(range: Range<usize>, access: Option<Access>) -> Result<(), OutOfMemory> {
    in_space(range.start, |mappings| {
        mappings.protect(range.clone(), None)?;
        mappings.protect(range, access)
    })
    .unwrap_or(Err(OutOfMemory))
}

/// Shows the image in `range`, privately: what is written stays in the mapping.
///
/// # Safety
/// As for [`protect`].
#[allow(unsafe_code)]
pub unsafe fn map_image(range: Range<usize>, image: &Arc<Image>) -> Result<(), OutOfMemory> {
    in_space(range.start, |mappings| mappings.map_image(range, image)).unwrap_or(Err(OutOfMemory))
}

/// Gives pages the contents that they had before anything was written to them: those of the mapping's image, or zeroes. False,
/// and nothing has changed: that is not known of such a mapping.
///
/// # Safety
/// The caller has reserved the mapping, for data, and nobody reads or writes the pages meanwhile.
#[allow(unsafe_code)]
pub unsafe fn revert(range: Range<usize>) -> bool {
    in_space(range.start, |mappings| mappings.revert(range)).unwrap_or(false)
}

/// What the processor says about a page fault (Intel SDM volume 3, 4.7).
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    pub address: usize,
    pub write: bool,
    pub execute: bool,
}

/// Commits or copies the page if the access was allowed. False: it was not, or it was made by code that holds the lock,
/// which is a mistake of the kernel's own and to be reported as such.
pub fn resolve(fault: Fault) -> bool {
    if !is_mapping(fault.address) {
        return false;
    }
    let Some(mut space) = SPACE.try_lock() else { return false };
    let Some(space) = space.as_mut() else { return false };
    space.of(fault.address).resolve(fault)
}

/// Runs `f` on the mappings that `address` lies among. Takes the lock only if there are such.
fn in_space<R>(address: usize, f: impl FnOnce(&mut Mappings) -> R) -> Option<R> {
    if !is_mapping(address) {
        return None;
    }
    Some(f(SPACE.lock().as_mut()?.of(address)))
}

fn is_mapping(address: usize) -> bool {
    layout::SMALL_MAPPINGS.contains(&address) || layout::LARGE_MAPPINGS.contains(&address)
}

struct Space {
    small: Mappings,
    large: Mappings,
}

impl Space {
    /// The mappings that `address` lies among.
    fn of(&mut self, address: usize) -> &mut Mappings {
        if layout::SMALL_MAPPINGS.contains(&address) { &mut self.small } else { &mut self.large }
    }
}

struct Mappings {
    arena: Arena,
    /// what starts and sizes are multiples of, so that mappings do not share tables of this extent
    granule: usize,
    live: BTreeMap<usize, Mapping>,
    /// starts of address ranges that were used before, by size
    unused: BTreeMap<usize, Vec<usize>>,
    /// addresses from here on were never used
    next: usize,
}

struct Mapping {
    size: usize,
    owner: Owner,
    /// contains all pages that were ever accessible
    touched: Range<usize>,
    /// what its pages may show, and from where on
    images: Vec<(usize, Arc<Image>)>,
}

impl Mappings {
    fn new(arena: Arena, granule: usize) -> Mappings {
        let next = arena.range().start;
        Mappings { arena, granule, live: BTreeMap::new(), unused: BTreeMap::new(), next }
    }

    fn reserve(&mut self, size: usize, owner: Owner) -> Result<usize, OutOfMemory> {
        let size = size.max(1).checked_next_multiple_of(self.granule).ok_or(OutOfMemory)?;
        let start = match self.unused.get_mut(&size).and_then(Vec::pop) {
            Some(start) => start,
            None => {
                let start = self.next;
                let end = start.checked_add(size).filter(|&end| end <= self.arena.range().end).ok_or(OutOfMemory)?;
                self.next = end;
                start
            }
        };
        self.live.insert(start, Mapping { size, owner, touched: start..start, images: Vec::new() });
        Ok(start)
    }

    fn unmap(&mut self, start: usize) -> bool {
        let Slot::Occupied(slot) = self.live.entry(start) else { return false };
        let mapping = slot.remove();
        self.discard(mapping.touched.clone(), mapping.owner);
        self.arena.free_page_tables(mapping.touched.clone());
        if self.granule >= HUGE_PAGE {
            self.arena.free_directories(mapping.touched);
        }
        self.unused.entry(mapping.size).or_default().push(start);
        true
    }

    /// The mapping that contains all of `range`.
    fn mapping(&mut self, range: &Range<usize>) -> Result<&mut Mapping, OutOfMemory> {
        match self.live.range_mut(..=range.start).next_back() {
            Some((&start, mapping)) if range.end <= start + mapping.size => Ok(mapping),
            _ => Err(OutOfMemory),
        }
    }

    fn protect(&mut self, range: Range<usize>, access: Option<Access>) -> Result<(), OutOfMemory> {
        if range.is_empty() {
            return Ok(());
        }
        let owner = self.mapping(&range)?.owner;
        let Some(access) = access else {
            self.discard(range, owner);
            return Ok(());
        };
        // most memories are opened once, when they are made: then nothing of them has to be looked at
        let is_first = self.touch(&range)?;
        let fresh = if is_first { self.make_tables(&range)? } else { self.count_empty(range.clone())? };
        if access == Access::ReadExecute {
            self.prepare_code(range.clone())?;
        }
        if !frames::promise(fresh) {
            return Err(OutOfMemory);
        }
        // what shows an image or is zero yet holds no code
        let otherwise = if access == Access::ReadExecute { Access::Read } else { access };
        self.for_each_table(range, |entries, address| {
            if is_first {
                return entries.fill_with(|| Entry::absent(otherwise.flags() | LAZY));
            }
            for (entry, page) in entries.iter_mut().zip((address..).step_by(PAGE)) {
                if entry.has(SHARED) {
                    // SAFETY: a frame of an image is shown as its others are: not writable, nor executable.
                    #[allow(unsafe_code)]
                    unsafe {
                        entry.allow(shared_flags(otherwise));
                    }
                    invalidate(page);
                } else if entry.is_present() {
                    change(entry, page, access);
                } else {
                    *entry = Entry::absent(otherwise.flags() | LAZY);
                }
            }
        });
        Ok(())
    }

    /// Divides the direct map so that each page of `range` that holds something can become code.
    fn prepare_code(&mut self, range: Range<usize>) -> Result<(), OutOfMemory> {
        let mut result = Ok(());
        self.for_each_table(range, |entries, _| {
            for entry in entries.iter().filter(|entry| entry.is_present() && !entry.has(SHARED)) {
                result = result.and_then(|()| direct::divide(entry.frame()));
            }
        });
        result
    }

    fn map_image(&mut self, range: Range<usize>, image: &Arc<Image>) -> Result<(), OutOfMemory> {
        let owner = self.mapping(&range)?.owner;
        if image.frames.len() * PAGE < range.len() {
            return Err(OutOfMemory);
        }
        self.touch(&range)?;
        self.discard(range.clone(), owner);
        self.count_empty(range.clone())?;
        if !frames::promise(range.len() / PAGE) {
            return Err(OutOfMemory);
        }
        let mapping = self.mapping(&range)?;
        let start = range.start;
        if !mapping.images.iter().any(|(at, known)| *at == start && Arc::ptr_eq(known, image)) {
            mapping.images.push((start, image.clone()));
        }
        self.for_each_table(range, |entries, address| {
            for (entry, frame) in entries.iter_mut().zip(&image.frames[(address - start) / PAGE..]) {
                // SAFETY: the mapping keeps the image, whose frames are shown for reading only.
                #[allow(unsafe_code)]
                let shared = unsafe { Entry::present(frame.address(), shared_flags(Access::ReadWrite)) };
                *entry = shared;
            }
        });
        Ok(())
    }

    /// Notes that pages of `range` become accessible. True: nothing of the mapping ever was.
    fn touch(&mut self, range: &Range<usize>) -> Result<bool, OutOfMemory> {
        let touched = &mut self.mapping(range)?.touched;
        let is_first = Range::is_empty(touched);
        *touched = if is_first { range.clone() } else { touched.start.min(range.start)..touched.end.max(range.end) };
        Ok(is_first)
    }

    /// Makes all tables of `range`, and says how many pages it has.
    fn make_tables(&mut self, range: &Range<usize>) -> Result<usize, OutOfMemory> {
        let mut address = range.start;
        while address < range.end {
            self.arena.make_entries(address..range.end)?;
            address = next_table(address);
        }
        Ok(range.len() / PAGE)
    }

    /// Makes all tables of `range` and counts the pages in it that are nothing yet.
    fn count_empty(&mut self, range: Range<usize>) -> Result<usize, OutOfMemory> {
        let mut empty = 0;
        let mut address = range.start;
        while address < range.end {
            let entries = self.arena.make_entries(address..range.end)?;
            empty += entries.iter().filter(|entry| entry.is_empty()).count();
            address = next_table(address);
        }
        Ok(empty)
    }

    /// Frees the pages of `range` and makes it inaccessible.
    fn discard(&mut self, range: Range<usize>, owner: Owner) {
        let mut promised = 0;
        self.for_each_table(range, |entries, address| {
            for (index, entry) in entries.iter_mut().enumerate() {
                if !entry.is_present() {
                    promised += usize::from(!entry.is_empty());
                    *entry = Entry::EMPTY;
                    continue;
                }
                let page = address + index * PAGE;
                if !entry.has(SHARED) {
                    // code first becomes what can be written again
                    change(entry, page, Access::Read);
                    let frame = core::mem::replace(entry, Entry::EMPTY).frame();
                    invalidate(page);
                    release(frame, owner);
                    continue;
                }
                promised += 1;
                *entry = Entry::EMPTY;
                invalidate(page);
            }
        });
        frames::withdraw(promised);
    }

    /// The first [`KEPT`] pages that were written since the last time keep their frames, as they are written again as a rule; the
    /// others lose theirs.
    fn revert(&mut self, range: Range<usize>) -> bool {
        let Ok(mapping) = self.mapping(&range) else { return false };
        let owner = mapping.owner;
        let image = match &mapping.images[..] {
            [] => None,
            [(start, image)] => Some((*start, image.clone())),
            _ => return false,
        };
        let first = |page: usize| {
            let (start, image) = image.as_ref()?;
            image.frames.get(page.checked_sub(*start)? / PAGE).copied()
        };
        let (mut kept, mut freed) = (0, 0);
        self.for_each_table(range, |entries, address| {
            for (index, entry) in entries.iter_mut().enumerate() {
                if !entry.is_present() || entry.has(SHARED) {
                    continue;
                }
                let page = address + index * PAGE;
                let own = entry.frame();
                if kept < KEPT && entry.has(Entry::DIRTY) {
                    kept += 1;
                    entry.clean();
                    invalidate(page);
                    match first(page) {
                        Some(from) => copy_frame(from, own),
                        // SAFETY: the frame is the mapping's alone, and nobody uses its pages meanwhile.
                        #[allow(unsafe_code)]
                        None => unsafe { frames::zero(own) },
                    }
                    continue;
                }
                *entry = match first(page) {
                    // SAFETY: the mapping keeps the image, whose frames are shown for reading only.
                    #[allow(unsafe_code)]
                    Some(from) => unsafe { Entry::present(from.address(), shared_flags(Access::ReadWrite)) },
                    None => Entry::absent(Access::ReadWrite.flags() | LAZY),
                };
                invalidate(page);
                release(own, owner);
                freed += 1;
            }
        });
        frames::promise_again(freed);
        true
    }

    /// Calls `f` with the entries of `range`, one existing table at a time, and the address of the first.
    fn for_each_table(&mut self, range: Range<usize>, mut f: impl FnMut(&mut [Entry], usize)) {
        let mut address = range.start;
        while address < range.end {
            if let Some(entries) = self.arena.entries(address..range.end) {
                f(entries, address);
            }
            address = next_table(address);
        }
    }

    fn resolve(&mut self, fault: Fault) -> bool {
        let page = fault.address & !(PAGE - 1);
        let owner = match self.mapping(&(page..page + PAGE)) {
            Ok(mapping) => mapping.owner,
            Err(OutOfMemory) => return false,
        };
        let Some(entry) = self.arena.entry(page) else { return false };
        if fault.execute && entry.has(Entry::NO_EXECUTE) {
            return false;
        }
        if entry.is_present() {
            // of the present pages, only those of an image can become writable by a fault
            if !fault.write || !entry.has(COPY) {
                return false;
            }
            let own = frames::allocate_promised(owner);
            copy_frame(entry.frame(), own);
            // SAFETY: the frame was just allocated; the mapping's pages are whoever's reserved it.
            #[allow(unsafe_code)]
            let copied = unsafe { Entry::present(own.address(), Access::ReadWrite.flags()) };
            *entry = copied;
            invalidate(page);
            return true;
        }
        if !entry.has(LAZY) || fault.write && !entry.has(Entry::WRITE) {
            return false;
        }
        let frame = frames::allocate_promised(owner);
        // SAFETY: the frame was just allocated; and what is lazy is not executable.
        #[allow(unsafe_code)]
        let committed = unsafe {
            frames::zero(frame);
            Entry::present(frame.address(), entry.flags() & !LAZY)
        };
        *entry = committed;
        true
    }
}

/// Changes the access to a page that has a frame of its own. Code is not writable in the direct map either.
#[allow(unsafe_code)]
fn change(entry: &mut Entry, page: usize, access: Access) {
    let (was_code, is_code) = (!entry.has(Entry::NO_EXECUTE), access == Access::ReadExecute);
    // SAFETY: the frame is the mapping's alone, and the kernel writes to it through the direct map only to fill it, before
    // it is mapped. `prepare_code` divided the map for what becomes code. It is writable there only when it is not
    // executable here: the order of the three steps.
    unsafe {
        if is_code && !was_code {
            direct::set_writable(entry.frame(), false);
        }
        entry.allow(access.flags());
        invalidate(page);
        if was_code && !is_code {
            direct::set_writable(entry.frame(), true);
        }
    }
}

/// For a page that shows an image and allows `access`.
fn shared_flags(access: Access) -> u64 {
    let copy = if access == Access::ReadWrite { COPY } else { 0 };
    access.flags() & !Entry::WRITE | SHARED | copy
}

#[allow(unsafe_code)]
fn release(frame: Frame, owner: Owner) {
    // SAFETY: whoever calls this removes the only entry that maps it, or drops the image that held it, which outlives
    // the mappings that show it.
    unsafe { frames::free(frame, owner) };
}

#[allow(unsafe_code)]
fn copy(page: &[u8], to: Frame) {
    assert_eq!(page.len(), PAGE);
    // SAFETY: `to` was just allocated; nobody else uses it, so it does not overlap `page`.
    unsafe { core::ptr::copy_nonoverlapping(page.as_ptr(), to.pointer(), PAGE) };
}

#[allow(unsafe_code)]
fn copy_frame(from: Frame, to: Frame) {
    // SAFETY: `from` is a frame of a live image, which nothing writes to; `to` was just allocated.
    unsafe { core::ptr::copy_nonoverlapping(from.pointer().cast_const(), to.pointer(), PAGE) };
}
