//! Batches of packed records between a box and its peers (`wit/box/box.wit`, `wit/README.md`).

use crate::bindings::pearwood::box0_2_0::ports;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

pub use ports::{Notices, Wake, receive, send};

/// It was said that another instance takes this one's place. That is said once, to whoever waits then.
static RETIRING: AtomicBool = AtomicBool::new(false);

/// Sleeps until a port is ready, something is to be noticed, or the deadline (monotonic nanoseconds) has passed; the largest
/// `u64` never expires.
pub fn wait(deadline: u64) -> Wake {
    let wake = ports::wait(deadline);
    if wake.notices.contains(Notices::RETIRE) {
        RETIRING.store(true, Relaxed);
    }
    wake
}

/// Whether another instance takes this one's place: what is open is to be finished, and nothing new comes.
pub fn retiring() -> bool {
    RETIRING.load(Relaxed)
}
