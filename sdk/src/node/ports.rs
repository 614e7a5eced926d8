//! Batches of packed records between a box and its peers (`wit/box/box.wit`, `wit/README.md`).

use crate::bindings::pearwood::box0_2_0::ports;
use std::{
    cell::Cell,
    mem,
    ops::Deref,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

pub use ports::{Notices, Wake, receive, send};

/// Batches of no more than this are received without asking the allocator. A box has two such buffers at most: of what was
/// received last, and for what comes next.
const SPACE: usize = 16 << 10;

thread_local! {
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A batch that has come. Its memory is there for others when it is dropped.
#[derive(Debug, Default)]
pub struct Arrived(Vec<u8>);

impl Deref for Arrived {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Arrived {
    #[inline]
    fn drop(&mut self) {
        if self.0.capacity() == SPACE {
            self.0.clear();
            SPARE.set(mem::take(&mut self.0));
        }
    }
}

impl From<Vec<u8>> for Arrived {
    fn from(batch: Vec<u8>) -> Self {
        Arrived(batch)
    }
}

/// As the record of that name in `wit/box/box.wit`.
#[derive(Debug)]
pub struct Turn {
    pub wake: Wake,
    /// what has come to the first of the ports that are ready
    pub received: Arrived,
    pub sent: bool,
}

/// Sleeps as [`wait`] does; what has come to the first port that is ready is received.
#[inline]
pub fn wait_and_receive(deadline: u64) -> Turn {
    exchange(0, 0, &[], deadline)
}

/// [`send`] and then [`wait_and_receive`] in one call: for the last batch of a turn, which often is the only one.
#[inline]
pub fn send_and_wait(port: u32, peer: u32, batch: &[u8], deadline: u64) -> Turn {
    exchange(port, peer, batch, deadline)
}

#[allow(unsafe_code)]
fn exchange(port: u32, peer: u32, batch: &[u8], deadline: u64) -> Turn {
    let mut space = SPARE.take();
    if space.capacity() == 0 {
        space.reserve_exact(SPACE);
    }
    let (start, length) = (space.as_mut_ptr().expose_provenance() as u32, space.capacity() as u32);
    let arrival = ports::exchange(port, peer, batch, deadline, start, length);
    let received = if arrival.rest.is_empty() {
        // SAFETY: so many of the bytes from `start` on, of which there are `length`, the node has written.
        unsafe { space.set_len(arrival.received as usize) };
        space
    } else {
        SPARE.set(space);
        arrival.rest
    };
    Turn { wake: arrival.wake, received: Arrived(received), sent: arrival.sent }
}

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

/// What has come to the ports that are ready, after [`wait_and_receive`]: the batch of the first is there already.
pub struct Received {
    ready: u64,
    first: Option<Arrived>,
}

impl Received {
    /// `ready`: a bit for each port, as in [`Wake`]; `first`: what has come to the first of them.
    pub const fn new(ready: u64, first: Arrived) -> Self {
        Received { ready, first: Some(first) }
    }

    /// What has come to a port; nothing, if it is not ready.
    #[inline]
    pub fn of(&mut self, port: u32) -> Arrived {
        if self.ready >> port & 1 == 0 {
            return Arrived::default();
        }
        let is_first = self.ready.trailing_zeros() == port;
        self.first.take_if(|_| is_first).unwrap_or_else(|| receive(port).into())
    }
}
