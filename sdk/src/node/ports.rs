//! Batches of packed records between a box and its peers (`wit/box/box.wit`, `wit/README.md`).

use crate::bindings::pearwood::box0_2_0::ports;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use wit::{Incoming, Peers};

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

/// The loop of a box that is a service at one port. `T` is what it keeps of each peer, which is a box that has an arrow to
/// it.
///
/// ```ignore
/// let mut service = Service::<()>::new(handler::service(&[]));
/// while service.turn(u64::MAX, |peers, incoming| …) {}
/// ```
#[derive(Debug)]
pub struct Service<T = ()> {
    port: u32,
    pub peers: Peers<T>,
}

impl<T: Default> Service<T> {
    pub fn new(port: u32) -> Self {
        Service { port, peers: Peers::default() }
    }

    /// Sleeps until there is something to do or the deadline has passed, tells `each` of all that has come, and sends
    /// what is in the peers' outboxes. A peer that comes is in `peers` when `each` is told, and one that goes is not any
    /// more. False: another instance has taken this one's place, and all peers have turned to that; `run` returns.
    pub fn turn(&mut self, deadline: u64, each: impl FnMut(&mut Peers<T>, Incoming<'_>)) -> bool {
        wait(deadline);
        self.receive(each);
        self.flush();
        !self.is_done()
    }

    /// The first half of a turn, for a box that has slept: tells of what has come.
    pub fn receive(&mut self, mut each: impl FnMut(&mut Peers<T>, Incoming<'_>)) {
        let Service { port, peers } = self;
        peers.retry();
        for incoming in wit::incoming(&receive(*port)).flatten() {
            match incoming {
                Incoming::Attach(peer, _) => drop(peers.attach(peer, T::default())),
                Incoming::Detach(peer, _) => drop(peers.detach(peer)),
                Incoming::Retire(peer) => peers.retire(peer),
                Incoming::Record(..) => {}
            }
            each(peers, incoming);
        }
    }

    /// The second half: sends. What a peer has no room for is kept. True: an outbox that took no more data may again.
    pub fn flush(&mut self) -> bool {
        let Service { port, peers } = self;
        peers.flush(|peer, batch| send(*port, peer, batch))
    }

    /// Whether another instance has taken this one's place, and all peers have turned to that.
    pub fn is_done(&self) -> bool {
        retiring() && !self.peers.any_attached()
    }
}
