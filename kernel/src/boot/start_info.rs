//! PVH's start info (Xen: `xen/include/public/arch-x86/hvm/start_info.h`).

use super::{Boot, COMMAND_LINE, Kind, REGIONS, Region};

const MAGIC: u32 = 0x336e_c578;

#[repr(C)]
struct StartInfo {
    magic: u32,
    version: u32,
    flags: u32,
    module_count: u32,
    modules: u64,
    command_line: u64,
    rsdp: u64,
    /// from version 1 on
    memory_map: u64,
    memory_map_count: u32,
    reserved: u32,
}

#[repr(C)]
struct Module {
    start: u64,
    size: u64,
    command_line: u64,
    reserved: u64,
}

#[repr(C)]
struct MemoryMapEntry {
    start: u64,
    size: u64,
    kind: u32,
    reserved: u32,
}

/// Copies what the start info at that address says.
///
/// # Panics
/// If it is none, or is too old to have a memory map: nothing can be started without.
///
/// # Safety
/// The address is what a PVH boot loader left in `ebx`, and what it points to is untouched and mapped.
#[allow(unsafe_code)]
pub unsafe fn read(address: usize, tsc: u64) -> Boot {
    // SAFETY: the caller vouches for the address, and so for the tables that it leads to.
    let (info, modules, memory_map) = unsafe {
        let info = &*core::ptr::with_exposed_provenance::<StartInfo>(address);
        assert!(info.magic == MAGIC, "the boot loader left no PVH start info (found {:#x})", info.magic);
        assert!(info.version >= 1, "the boot loader's PVH start info has no memory map");
        (
            info,
            table::<Module>(info.modules, info.module_count),
            table::<MemoryMapEntry>(info.memory_map, info.memory_map_count),
        )
    };
    let mut boot = Boot {
        regions: [Region { start: 0, end: 0, kind: Kind::Reserved }; REGIONS],
        region_count: memory_map.len().min(REGIONS),
        image: modules
            .first()
            .filter(|module| module.size > 0)
            .map(|module| module.start as usize..(module.start + module.size) as usize),
        rsdp: Some(info.rsdp).filter(|&address| address != 0),
        command_line: [0; COMMAND_LINE],
        command_line_length: 0,
        tsc,
    };
    for (region, entry) in boot.regions.iter_mut().zip(memory_map) {
        let kind = match entry.kind {
            1 => Kind::Ram,
            2 => Kind::Reserved,
            3 => Kind::AcpiTables,
            other => Kind::Other(other),
        };
        *region = Region { start: entry.start, end: entry.start.saturating_add(entry.size), kind };
    }
    if info.command_line != 0 {
        // SAFETY: a PVH boot loader ends the command line with a zero; the copy stops at it, or at its own end.
        let bytes = (0..COMMAND_LINE)
            .map(|at| unsafe { core::ptr::with_exposed_provenance::<u8>(info.command_line as usize + at).read() });
        for (to, byte) in boot.command_line.iter_mut().zip(bytes.take_while(|&byte| byte != 0)) {
            *to = byte;
            boot.command_line_length += 1;
        }
    }
    boot
}

/// # Safety
/// Either is 0, or there are `count` values of that type at `address`.
#[allow(unsafe_code)]
unsafe fn table<'a, T>(address: u64, count: u32) -> &'a [T] {
    if address == 0 || count == 0 {
        return &[];
    }
    // SAFETY: passed on to the caller.
    unsafe { core::slice::from_raw_parts(core::ptr::with_exposed_provenance(address as usize), count as usize) }
}
