//! Physical memory that is not RAM the kernel owns: device registers, firmware tables.

use core::{ops::Range, ptr::NonNull};

use super::{
    OutOfMemory,
    layout::{LARGE_PAGE, PAGE, page_up},
    paging::{Access, Arena, Entry},
};
use crate::cpu::lock::Lock;

/// Where physical addresses end (Intel SDM volume 3, 4.1.4: at most 52 bits).
const PHYSICAL: usize = 1 << 52;

static DEVICES: Lock<Option<Devices>> = Lock::new(None);

struct Devices {
    arena: Arena,
    next: usize,
}

/// How the CPU may treat accesses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caching {
    /// every access reaches the device, in order
    Registers,
    /// read-only tables in memory
    Tables,
}

pub fn init(arena: Arena) {
    let next = arena.range().start;
    *DEVICES.lock() = Some(Devices { arena, next });
}

/// Maps `size` bytes of physical memory from `physical` on, for good. It need not be aligned.
///
/// # Safety
/// What is there belongs to a device, as its registers, or holds tables of the firmware that nobody writes to. It is no RAM
/// that the kernel or the allocator has.
#[allow(unsafe_code)]
pub unsafe fn map(physical: u64, size: usize, caching: Caching) -> Result<NonNull<u8>, OutOfMemory> {
    let mut devices = DEVICES.lock();
    let devices = devices.as_mut().expect("the memory is initialised");
    let physical = physical as usize;
    let offset = physical & (PAGE - 1);
    let end = physical.checked_add(size).filter(|&end| end <= PHYSICAL).ok_or(OutOfMemory)?;
    let frames: Range<usize> = physical - offset..page_up(end);
    // large BARs get large pages: same offset within 2 MiB on both sides
    let align = if frames.len() >= LARGE_PAGE { LARGE_PAGE } else { PAGE };
    let address = devices.next.next_multiple_of(align) + frames.start % align;
    if address + frames.len() > devices.arena.range().end {
        return Err(OutOfMemory);
    }
    let flags = match caching {
        Caching::Registers => Access::ReadWrite.flags() | Entry::UNCACHED,
        Caching::Tables => Access::Read.flags(),
    };
    devices.next = address + frames.len();
    // SAFETY: the place is a new one; for what is shown there the caller answers, and it is not executable.
    unsafe { devices.arena.map(address, frames, flags) }?;
    Ok(NonNull::new(core::ptr::with_exposed_provenance_mut(address + offset)).expect("the range does not start at 0"))
}
