//! What the static library gives the kernel, and takes of it.
#![allow(unsafe_code)]

use core::alloc::{GlobalAlloc, Layout};
use crypto::Table;

// SAFETY: the kernel has both, with these types (`kernel/src/crypto.rs`).
unsafe extern "C" {
    /// Fills it with strong randomness.
    fn pearwood_crypto_random(start: *mut u8, length: usize);
    /// Ends the node.
    fn pearwood_crypto_panic() -> !;
}

#[unsafe(no_mangle)]
extern "C" fn pearwood_crypto() -> *const Table {
    &raw const crate::TABLE
}

/// The one function of libc's that ring calls, by the crate `getrandom`, and for the one call getrandom(2).
///
/// # Safety
/// The caller's buffer is so long.
#[unsafe(no_mangle)]
unsafe extern "C" fn syscall(number: i64, start: *mut u8, length: usize, _flags: u32) -> i64 {
    /// of Linux on x86-64
    const GETRANDOM: i64 = 318;
    if number != GETRANDOM {
        return -1;
    }
    // SAFETY: passed on to the caller.
    unsafe { pearwood_crypto_random(start, length) };
    length as i64
}

/// What says why `syscall` has failed: nothing.
#[unsafe(no_mangle)]
extern "C" fn __errno_location() -> *mut i32 {
    static mut ERRNO: i32 = 0;
    &raw mut ERRNO
}

/// Has nothing to give: nothing that the table's functions do allocates.
struct Nothing;

#[global_allocator]
static NOTHING: Nothing = Nothing;

// SAFETY: it gives out nothing.
unsafe impl GlobalAlloc for Nothing {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        core::ptr::null_mut()
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: it takes nothing, and does not return.
    unsafe { pearwood_crypto_panic() }
}
