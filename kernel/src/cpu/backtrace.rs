//! Backtraces by frame pointers, as addresses: `addr2line -e kernel` or the symbols of the build tell what they are.

use core::fmt::Write;

use crate::memory::setup;

const DEEPEST: usize = 32;

/// Writes the return addresses that lead to `ip`, whose frame pointer is `fp`.
///
/// Whatever the stack holds, this ends and does not fault: it follows at most [`DEEPEST`] frame pointers, upwards only, and
/// reads nothing but mapped words of stacks.
pub fn write(out: &mut impl Write, ip: usize, fp: usize) {
    let text = setup::text();
    let (mut ip, mut fp) = (ip, fp);
    let _ = writeln!(out, "  backtrace (kernel text is {:x}-{:x}):", text.start, text.end);
    for _ in 0..DEEPEST {
        let place = if text.contains(&ip) { "kernel" } else { "wasm or data" };
        let _ = writeln!(out, "    {ip:016x} {place}");
        // a frame: the caller's frame pointer, and the return address above it
        let Some((caller_fp, caller_ip)) = read(fp).zip(fp.checked_add(8).and_then(read)) else { break };
        if caller_ip == 0 || caller_fp <= fp && caller_fp != 0 {
            break;
        }
        (ip, fp) = (caller_ip, caller_fp);
    }
}

/// A word of a stack.
#[allow(unsafe_code)]
fn read(address: usize) -> Option<usize> {
    if !address.is_multiple_of(8) || !setup::is_stack(address) {
        return None;
    }
    // SAFETY: the word is aligned and its page mapped; that of a stack, so that reading it has no effects.
    Some(unsafe { core::ptr::with_exposed_provenance::<usize>(address).read_volatile() })
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
