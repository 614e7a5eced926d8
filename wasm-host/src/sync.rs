//! The atomics and locks of what several threads may touch at once: the executor, and what wakes a box. They are named
//! here alone, so that `tests/tests/orderings.rs` can compile the same sources with loom's in their place.

pub use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
pub use spin::{Mutex, MutexGuard};
