//! The one address space, by range. Everything runs in ring 0; what isolates boxes is wasm, not page tables.
//!
//! Physical memory is mapped where it is (virtual = physical), so a frame's address is a pointer and a driver's buffer
//! needs no translation. Holes in that map: page 0, and the image, which is visible only through [`IMAGE`].
//!
//! Each range but the first owns whole entries of the top-level table (512 GiB each), see [`super::paging::Arena`].

use core::ops::Range;

pub const PAGE: usize = 4096;
pub const LARGE_PAGE: usize = 2 << 20;
pub const HUGE_PAGE: usize = 1 << 30;

/// What one entry of the top-level page table covers.
const TOP: usize = 512 << 30;

/// RAM, at its physical address.
pub const DIRECT: Range<usize> = 0..64 * TOP;
/// Device registers and firmware tables, mapped on demand.
pub const DEVICES: Range<usize> = 64 * TOP..65 * TOP;
/// The image that the boot loader left in memory: read-only, its code executable once published.
pub const IMAGE: Range<usize> = 65 * TOP..66 * TOP;
/// The kernel heap.
pub const HEAP: Range<usize> = 66 * TOP..67 * TOP;
/// Stacks of the kernel and of fibers, with guard pages between them.
pub const STACKS: Range<usize> = 67 * TOP..68 * TOP;
/// Mappings of wasmtime smaller than 512 MiB: code, small memories.
pub const SMALL_MAPPINGS: Range<usize> = 68 * TOP..70 * TOP;
/// Mappings of wasmtime from there on: memories with their 4 GiB reservation and guards.
pub const LARGE_MAPPINGS: Range<usize> = 128 * TOP..255 * TOP;

pub const fn pages(bytes: usize) -> usize {
    bytes.div_ceil(PAGE)
}

pub const fn page_up(bytes: usize) -> usize {
    (bytes + PAGE - 1) & !(PAGE - 1)
}
