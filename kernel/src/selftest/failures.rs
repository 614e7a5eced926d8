//! Failures of the kernel, on purpose: each is to end in one report and a reset.

use core::fmt;

use crate::memory::layout;

/// Fails in the way that `how` names.
pub fn fail(how: &str) {
    match how {
        "panic" => panic!("asked for"),
        "null" => follow_null(),
        "overflow" => log::info!("{}", overflow(0)),
        "report" => panic!("{}", Unspeakable),
        // where frames might be, and are not: no address, no memory, a guard page, a device
        "frames-nowhere" => lose_frames(0x8000_0000_0000_1000),
        "frames-unmapped" => lose_frames(layout::LARGE_MAPPINGS.start + 0x1000),
        "frames-guard" => lose_frames(layout::STACKS.start + 0x800),
        "frames-device" => lose_frames(layout::DEVICES.start),
        "frames-end" => lose_frames(usize::MAX - 7),
        _ => panic!("there is no failure of that name"),
    }
}

/// What panics when it is to be said.
struct Unspeakable;

impl fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("in the report");
    }
}

/// Reads address 8, as through a null pointer.
#[allow(unsafe_code)]
fn follow_null() {
    let pointer = core::hint::black_box(core::ptr::without_provenance::<u64>(8));
    // SAFETY: none: this faults, which is what it is for.
    let value = unsafe { pointer.read_volatile() };
    panic!("page 0 is mapped, and holds {value:#x}");
}

/// Never comes back: each call needs a page of stack.
#[allow(unconditional_recursion)]
fn overflow(depth: u64) -> u64 {
    let page = core::hint::black_box([depth; 512]);
    overflow(depth + 1) + core::hint::black_box(&page)[depth as usize & 511]
}

/// Faults with a frame pointer that leads nowhere.
#[allow(unsafe_code)]
fn lose_frames(frame_pointer: usize) {
    // SAFETY: none: this faults, which is what it is for.
    unsafe { core::arch::asm!("mov rbp, {}", "ud2", in(reg) frame_pointer, options(noreturn)) }
}
