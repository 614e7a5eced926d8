//! The system image that the boot loader left in memory, as bytes that code can run from.
//!
//! It is mapped once, read-only, in its own range of addresses; its frames are no part of the map of RAM, so nothing
//! can write to it. Compiled code in it need not be copied: wasmtime publishes the pages of its text section, which
//! makes them executable.

use core::ops::Range;

use super::{
    OutOfMemory,
    layout::{IMAGE, LARGE_PAGE, PAGE, page_up},
    paging::{Access, Arena, Entry, invalidate, next_table},
};
use crate::cpu::lock::Lock;

static ARENA: Lock<Option<Arena>> = Lock::new(None);

/// Maps the image, page by page since each may become executable on its own.
///
/// # Safety
/// `physical` is memory that holds the image and that nothing will ever write to.
#[allow(unsafe_code)]
pub unsafe fn init(mut arena: Arena, physical: Range<usize>) -> Result<&'static [u8], OutOfMemory> {
    let offset = physical.start & (PAGE - 1);
    let start = IMAGE.start + LARGE_PAGE;
    let mut frame = physical.start - offset;
    let mut address = start;
    let end = start + page_up(offset + physical.len());
    while address < end {
        for entry in arena.make_entries(address..end)? {
            // SAFETY: the caller says that nobody writes to it.
            *entry = unsafe { Entry::present(frame, Access::Read.flags()) };
            frame += PAGE;
        }
        address = next_table(address);
    }
    *ARENA.lock() = Some(arena);
    // SAFETY: mapped for good and, says the caller, never written to.
    Ok(unsafe { core::slice::from_raw_parts(core::ptr::with_exposed_provenance(start + offset), physical.len()) })
}

/// Makes whole pages of the image executable, or no longer. False if they are not all pages of the image.
pub fn set_executable(range: Range<usize>, executable: bool) -> bool {
    let access = if executable { Access::ReadExecute } else { Access::Read };
    let mut arena = ARENA.lock();
    let Some(arena) = arena.as_mut() else { return false };
    let mut address = range.start;
    while address < range.end {
        let Some(entries) = arena.entries(address..range.end) else { return false };
        for (entry, page) in entries.iter_mut().zip((address..).step_by(PAGE)) {
            if !entry.is_present() {
                return false;
            }
            // SAFETY: the image's frames are mapped nowhere else, and never writable.
            #[allow(unsafe_code)]
            unsafe {
                entry.allow(access.flags());
            }
            invalidate(page);
        }
        address = next_table(address);
    }
    true
}
