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

/// What has come to the ports that are ready, after [`bindings`](crate::bindings)' `wait_and_receive`: the batch of the first
/// is there already.
pub struct Received {
    ready: u64,
    first: Option<Vec<u8>>,
}

impl Received {
    /// `ready`: a bit for each port, as in [`Wake`]; `first`: what has come to the first of them.
    pub const fn new(ready: u64, first: Vec<u8>) -> Self {
        Received { ready, first: Some(first) }
    }

    /// What has come to a port; nothing, if it is not ready.
    #[inline]
    pub fn of(&mut self, port: u32) -> Vec<u8> {
        if self.ready >> port & 1 == 0 {
            return Vec::new();
        }
        let is_first = self.ready.trailing_zeros() == port;
        self.first.take_if(|_| is_first).unwrap_or_else(|| receive(port))
    }
}
