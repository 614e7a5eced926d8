//! Backtraces by frame pointers, as addresses: `addr2line -e kernel` or the symbols of the build tell what they are.

use core::fmt::Write;

use crate::memory::setup;

const DEEPEST: usize = 32;

/// Writes the return addresses that lead to `ip`, whose frame pointer is `fp`.
///
/// Follows only frame pointers that go up and are aligned. They may still point anywhere if memory was overwritten; the
/// fault that this then takes is reported as such, by a shorter report.
#[allow(unsafe_code)]
pub fn write(out: &mut impl Write, ip: usize, fp: usize) {
    let text = setup::text();
    let (mut ip, mut fp) = (ip, fp);
    let _ = writeln!(out, "  backtrace (kernel text is {:x}-{:x}):", text.start, text.end);
    for _ in 0..DEEPEST {
        let place = if text.contains(&ip) { "kernel" } else { "wasm or data" };
        let _ = writeln!(out, "    {ip:016x} {place}");
        if fp == 0 || !fp.is_multiple_of(8) || !(0x1000..1 << 47).contains(&fp) {
            break;
        }
        // SAFETY: code is compiled with frame pointers, so this is a frame: the caller's frame pointer, the return
        // address. If not, it is a read of some aligned address, which at worst faults while already reporting a fault.
        let [caller_fp, caller_ip] = unsafe { core::ptr::with_exposed_provenance::<[usize; 2]>(fp).read() };
        if caller_ip == 0 || caller_fp <= fp && caller_fp != 0 {
            break;
        }
        (ip, fp) = (caller_ip, caller_fp);
    }
}

/// The frame pointer here.
#[allow(unsafe_code)]
#[inline(always)]
pub fn frame_pointer() -> usize {
    let fp;
    // SAFETY: reads a register.
    unsafe { core::arch::asm!("mov {}, rbp", out(reg) fp, options(nomem, nostack, preserves_flags)) };
    fp
}
