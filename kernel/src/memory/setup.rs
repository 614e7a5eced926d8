//! From the boot loader's memory map to the kernel's own page tables.

use core::ops::Range;

use super::{
    OutOfMemory, devices, direct,
    frames::{self, Frame, Owner},
    heap, image,
    layout::{self, HUGE_PAGE, PAGE, page_up},
    mappings,
    paging::{self, Access, Arena},
    stacks,
};
use crate::boot::{Boot, Kind, Region};

/// What the boot page tables map.
const BOOT_MAPPED: usize = HUGE_PAGE;
/// The first MiB is not given out: firmware and the boot loader leave tables there, and CPUs start there.
const LOW: Range<usize> = 0..1 << 20;

#[allow(unsafe_code)]
mod linker {
    // SAFETY: the linker script defines them; only their addresses are used.
    unsafe extern "C" {
        pub static __text_start: u8;
        pub static __text_end: u8;
        pub static __rodata_start: u8;
        pub static __rodata_end: u8;
        pub static __data_start: u8;
        pub static __data_end: u8;
        pub static __boot_start: u8;
        pub static __boot_end: u8;
    }
}

/// The addresses between two symbols of the linker script.
macro_rules! section {
    ($start:ident, $end:ident) => {
        (&raw const linker::$start).addr()..(&raw const linker::$end).addr()
    };
}

/// The kernel's instructions.
pub fn text() -> Range<usize> {
    section!(__text_start, __text_end)
}

fn rodata() -> Range<usize> {
    section!(__rodata_start, __rodata_end)
}

fn data() -> Range<usize> {
    section!(__data_start, __data_end)
}

/// Whether a word at `address` can be read as a part of some stack: one of [`stacks`], or the boot stack, below which
/// nothing reads but tables. Takes no lock.
pub fn is_stack(address: usize) -> bool {
    let boot = section!(__boot_start, __boot_end);
    (layout::STACKS.contains(&address) || boot.contains(&address)) && paging::is_mapped(address)
}

/// Takes over the memory. Returns the image, if the boot loader brought one.
///
/// # Panics
/// If there is too little RAM for the kernel's tables.
///
/// # Safety
/// Called once, early, on the boot page tables, with the memory map of the machine it runs on.
#[allow(unsafe_code)]
pub unsafe fn init(boot: &Boot) -> Option<&'static [u8]> {
    let kernel = text().start..data().end;
    let image = boot.image.clone().map(|range| range.start & !(PAGE - 1)..page_up(range.end));
    let image_pages = image.clone().unwrap_or(0..0);

    // one byte for each frame of RAM, in the first place that is large enough
    let limit = ram(boot).map(|range| range.end).max().unwrap_or(0);
    let mut place = None;
    for_each_part(boot, &[LOW, kernel.clone(), image_pages.clone()], |part| {
        let end = page_up(part.start + limit / PAGE);
        if place.is_none() && end <= part.end.min(BOOT_MAPPED) {
            place = Some(part.start..end);
        }
    });
    let place = place.expect("there is RAM for the table of page frames");
    // SAFETY: RAM that neither the kernel nor the image occupies, mapped by the boot tables, one byte per frame.
    unsafe {
        let table = core::ptr::with_exposed_provenance_mut(place.start);
        frames::init(core::slice::from_raw_parts_mut(table, limit / PAGE));
    }

    let taken = [LOW, kernel, image_pages.clone(), place];
    let add = |within: Range<usize>| {
        for_each_part(boot, &taken, |part| {
            let (start, end) = (part.start.max(within.start), part.end.min(within.end));
            // SAFETY: the part is RAM and taken by nothing; the two calls cover disjoint halves, each mapped by then.
            unsafe { frames::add(start, end) };
        });
    };
    add(0..BOOT_MAPPED);

    let root = frames::allocate_zeroed(Owner::Tables).expect("there is RAM for page tables");
    let map = map_ram(boot, root, image_pages).expect("there is RAM for page tables");
    // SAFETY: the new tables map all of the kernel where it is, the boot stack included.
    unsafe { paging::switch(root) };
    add(BOOT_MAPPED..usize::MAX);

    // SAFETY: the ranges of `layout` are whole top-level entries and disjoint, and each gets one arena.
    let arena = |range| unsafe { Arena::new(root, range) };
    direct::init(map);
    heap::init(arena(layout::HEAP));
    stacks::init(arena(layout::STACKS));
    devices::init(arena(layout::DEVICES));
    mappings::init(arena(layout::SMALL_MAPPINGS), arena(layout::LARGE_MAPPINGS));
    boot.image.clone().map(|physical| {
        // SAFETY: the image's frames are neither allocatable nor mapped anywhere else.
        unsafe { image::init(arena(layout::IMAGE), physical) }.expect("there is RAM to map the image")
    })
}

/// Gives the boot page tables and stack to the allocator.
///
/// # Safety
/// Called once, when neither is in use.
#[allow(unsafe_code)]
pub unsafe fn free_boot_memory() {
    let range = section!(__boot_start, __boot_end);
    // SAFETY: the caller says that the memory is unused; it is mapped, and below the allocator's limit as the kernel is.
    unsafe { frames::add(range.start, range.end) };
}

/// Maps RAM where it is, the kernel's sections with the access they need, and neither page 0 nor the image.
#[allow(unsafe_code)]
fn map_ram(boot: &Boot, root: Frame, image: Range<usize>) -> Result<Arena, OutOfMemory> {
    // SAFETY: the first arena made, and no other covers this range.
    let mut direct = unsafe { Arena::new(root, layout::DIRECT) };
    for (section, access) in [(text(), Access::ReadExecute), (rodata(), Access::Read), (data(), Access::ReadWrite)] {
        // SAFETY: the table is not in use yet. It shows the kernel's sections where they were linked to be, once each, and
        // only the text executable, which is not writable.
        unsafe { direct.map(section.start, section, access.flags()) }?;
    }
    let mut result = Ok(());
    for_each_part(boot, &[0..PAGE, text(), rodata(), data(), image], |part| {
        if result.is_ok() {
            // SAFETY: as above; this is RAM that is neither of the kernel's sections nor of the image, so not executable.
            result = unsafe { direct.map(part.start, part, Access::ReadWrite.flags()) };
        }
    });
    result.map(|()| direct)
}

/// Ranges of RAM, whole pages of it.
fn ram(boot: &Boot) -> impl Iterator<Item = Range<usize>> + '_ {
    boot.regions().iter().filter_map(|&Region { start, end, kind }| {
        let (start, end) = (page_up(start as usize), end.min(layout::DIRECT.end as u64) as usize & !(PAGE - 1));
        (kind == Kind::Ram && start < end).then_some(start..end)
    })
}

/// Calls `f` with each stretch of RAM that is not in any of the ranges.
fn for_each_part(boot: &Boot, without: &[Range<usize>], mut f: impl FnMut(Range<usize>)) {
    for range in ram(boot) {
        let mut start = range.start;
        while start < range.end {
            let hole = without.iter().filter(|hole| hole.end > start && !hole.is_empty()).min_by_key(|hole| hole.start);
            let end = hole.map_or(range.end, |hole| hole.start.min(range.end));
            if start < end {
                f(start..end);
            }
            start = hole.map_or(range.end, |hole| hole.end.max(end));
        }
    }
}
