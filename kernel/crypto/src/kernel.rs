//! What the static library gives the kernel, and takes of it.
#![allow(unsafe_code)]

use crypto::Table;

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

/// The one function of libc's that ring calls, by the crate `getrandom` (getrandom(2)).
///
/// # Safety
/// The caller's buffer is so long.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(start: *mut u8, length: usize, _flags: u32) -> isize {
    // SAFETY: passed on to the caller.
    unsafe { pearwood_crypto_random(start, length) };
    length as isize
}

/// What `getrandom` has not set: it does not fail.
#[unsafe(no_mangle)]
extern "C" fn __errno_location() -> *mut i32 {
    static mut ERRNO: i32 = 0;
    &raw mut ERRNO
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: it takes nothing, and does not return.
    unsafe { pearwood_crypto_panic() }
}
