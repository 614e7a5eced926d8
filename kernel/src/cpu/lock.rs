//! The kernel's lock: spins, and keeps interrupts off while it is held.
//!
//! Order, where one is taken under another: address space, heap, frames. Code that runs under one must not touch memory
//! that is committed lazily, since the page fault takes the first of them.

use core::sync::atomic::{AtomicBool, Ordering};

use lock_api::{GuardNoSend, Mutex, RawMutex};
use x86_64::instructions::interrupts;

pub type Lock<T> = Mutex<RawLock, T>;

pub struct RawLock {
    held: AtomicBool,
    /// whether the holder had interrupts on; written and read by the holder only
    interrupts: AtomicBool,
}

// SAFETY: `held` goes from false to true in one atomic step and only its holder sets it back.
#[allow(unsafe_code)]
unsafe impl RawMutex for RawLock {
    #[allow(clippy::declare_interior_mutable_const)]
    const INIT: RawLock = RawLock { held: AtomicBool::new(false), interrupts: AtomicBool::new(false) };

    /// The interrupt state belongs to the CPU that took the lock.
    type GuardMarker = GuardNoSend;

    fn lock(&self) {
        while !self.try_lock() {
            // On one CPU the holder is the code that this interrupted or that called it: it will never let go.
            assert!(super::count() > 1, "a kernel lock was taken twice by one CPU");
            core::hint::spin_loop();
        }
    }

    fn try_lock(&self) -> bool {
        let enabled = interrupts::are_enabled();
        interrupts::disable();
        if self.held.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok() {
            self.interrupts.store(enabled, Ordering::Relaxed);
            return true;
        }
        if enabled {
            interrupts::enable();
        }
        false
    }

    unsafe fn unlock(&self) {
        let enabled = self.interrupts.load(Ordering::Relaxed);
        self.held.store(false, Ordering::Release);
        if enabled {
            interrupts::enable();
        }
    }
}
