//! wasmtime's traps, thread-local storage and locks, by the names it links to
//! (`wasmtime/src/runtime/vm/sys/custom/capi.rs`). The rest of them is in `memory/wasm.rs`.

use core::{
    mem::offset_of,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::Cpu;

type TrapHandler = extern "C" fn(ip: usize, fp: usize, has_address: bool, address: usize);

/// wasmtime's [`TrapHandler`], or 0.
static TRAP_HANDLER: AtomicUsize = AtomicUsize::new(0);

/// Asks wasmtime whether the fault at `ip` is a trap of wasm. Returns only if it is not.
///
/// Called on the stack of the code that faulted, outside of the exception.
pub fn trap(ip: usize, fp: usize, has_address: bool, address: usize) {
    let handler = TRAP_HANDLER.load(Ordering::Acquire);
    if handler != 0 {
        // SAFETY: `wasmtime_init_traps` stores nothing else.
        let handler = unsafe { core::mem::transmute::<usize, TrapHandler>(handler) };
        handler(ip, fp, has_address, address);
    }
}

#[unsafe(no_mangle)]
extern "C" fn wasmtime_init_traps(handler: TrapHandler) -> i32 {
    TRAP_HANDLER.store(handler as usize, Ordering::Release);
    0
}

#[unsafe(no_mangle)]
extern "C" fn wasmtime_tls_get(slot: usize) -> *mut u8 {
    let value;
    // SAFETY: `gs` points at this CPU's `Cpu`, whose field has two slots; wasmtime asks for 0 and 1.
    unsafe {
        core::arch::asm!(
            "mov {}, gs:[{} * 8 + {}]",
            out(reg) value,
            in(reg) slot,
            const offset_of!(Cpu, wasmtime),
            options(nostack, readonly, preserves_flags)
        );
    }
    value
}

#[unsafe(no_mangle)]
extern "C" fn wasmtime_tls_set(slot: usize, value: *mut u8) {
    // SAFETY: as above.
    unsafe {
        core::arch::asm!(
            "mov gs:[{} * 8 + {}], {}",
            in(reg) slot,
            const offset_of!(Cpu, wasmtime),
            in(reg) value,
            options(nostack, preserves_flags)
        );
    }
}

/// The word of a lock: 0 is free, so that wasmtime's zeroed locks need no initialisation.
///
/// # Safety
/// `word` is a lock of wasmtime's, valid during the call, and accessed through these functions alone.
unsafe fn lock<'a>(word: *mut usize) -> &'a AtomicUsize {
    // SAFETY: passed on to the caller.
    unsafe { AtomicUsize::from_ptr(word) }
}

const WRITER: usize = usize::MAX;

/// Waits until `attempt` succeeds. wasmtime holds its locks briefly and never while it yields, so on one CPU there is
/// nobody to wait for.
fn acquire(attempt: impl Fn() -> bool) {
    while !attempt() {
        assert!(super::count() > 1, "a lock of wasmtime was taken twice by one CPU");
        core::hint::spin_loop();
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasmtime_sync_lock_acquire(word: *mut usize) {
    // SAFETY: wasmtime's contract.
    let word = unsafe { lock(word) };
    acquire(|| word.compare_exchange_weak(0, WRITER, Ordering::Acquire, Ordering::Relaxed).is_ok());
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasmtime_sync_lock_release(word: *mut usize) {
    // SAFETY: wasmtime's contract.
    unsafe { lock(word) }.store(0, Ordering::Release);
}

#[unsafe(no_mangle)]
extern "C" fn wasmtime_sync_lock_free(_word: *mut usize) {}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasmtime_sync_rwlock_read(word: *mut usize) {
    // SAFETY: wasmtime's contract.
    let word = unsafe { lock(word) };
    acquire(|| {
        let readers = word.load(Ordering::Relaxed);
        readers < WRITER - 1
            && word.compare_exchange_weak(readers, readers + 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
    });
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasmtime_sync_rwlock_read_release(word: *mut usize) {
    // SAFETY: wasmtime's contract.
    unsafe { lock(word) }.fetch_sub(1, Ordering::Release);
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasmtime_sync_rwlock_write(word: *mut usize) {
    // SAFETY: wasmtime's contract.
    unsafe { wasmtime_sync_lock_acquire(word) };
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasmtime_sync_rwlock_write_release(word: *mut usize) {
    // SAFETY: wasmtime's contract.
    unsafe { wasmtime_sync_lock_release(word) };
}

#[unsafe(no_mangle)]
extern "C" fn wasmtime_sync_rwlock_free(_word: *mut usize) {}
