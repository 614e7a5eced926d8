//! The end of a handler channel that the node holds for a box: its exchanges, and what waits to be sent.

use super::exchange::{Exchange, Fault};
use crate::arrows::{
    Bytes,
    channel::{Port, Refused},
};
use alloc::{collections::BTreeMap, sync::Arc, vec::Vec};
use core::fmt;
use spin::Mutex;
use wit::{Batch, Peer};

/// Bytes that may wait for one peer before no more of bodies is taken.
const BACKLOG: usize = 64 << 10;

pub struct Hub {
    port: Arc<Port>,
    /// by peer
    lines: Mutex<Vec<Batch>>,
    /// by peer and number
    exchanges: Mutex<BTreeMap<(u32, u32), Arc<Exchange>>>,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("interface", &self.port.interface()).finish_non_exhaustive()
    }
}

impl Hub {
    pub fn new(port: &Arc<Port>) -> Arc<Self> {
        Arc::new(Hub { port: port.clone(), lines: Mutex::default(), exchanges: Mutex::default() })
    }

    pub fn receive(&self) -> Bytes {
        self.port.receive()
    }

    /// Lets something be said to a peer. [`Hub::flush`] sends it.
    pub fn put(&self, peer: u32, say: impl FnOnce(&mut Batch)) {
        let mut lines = self.lines.lock();
        let index = peer as usize;
        if lines.len() <= index {
            lines.resize_with(index + 1, Batch::new);
        }
        say(&mut lines[index]);
    }

    /// Bytes of bodies that may be said to a peer now.
    pub fn room(&self, peer: u32) -> usize {
        BACKLOG - self.lines.lock().get(peer as usize).map_or(0, Batch::len).min(BACKLOG)
    }

    /// Sends what peers have room for, and wakes those who waited for it.
    pub fn flush(&self) -> Result<(), Refused> {
        let mut lines = self.lines.lock();
        let mut relieved = false;
        for (peer, line) in lines.iter_mut().enumerate().filter(|(_, line)| !line.is_empty()) {
            if self.port.send(peer as u32, line.as_bytes())? {
                relieved |= line.len() >= BACKLOG / 2;
                line.clear();
            }
        }
        drop(lines);
        if relieved {
            self.exchanges.lock().values().for_each(|exchange| exchange.wake_writer());
        }
        Ok(())
    }

    /// Whether nothing is open with a peer, and nothing waits to be said to it.
    pub fn is_quiet(&self, peer: u32) -> bool {
        let said = self.lines.lock().get(peer as usize).is_none_or(Batch::is_empty);
        said && self.exchanges.lock().range((peer, 0)..=(peer, u32::MAX)).next().is_none()
    }

    /// Lets go of a peer that retires.
    pub fn release(&self, peer: u32) -> Result<(), Refused> {
        self.port.send(peer, Peer::release(peer).as_bytes()).map(drop)
    }

    pub fn insert(&self, exchange: &Arc<Exchange>) {
        self.exchanges.lock().insert((exchange.peer, exchange.id), exchange.clone());
    }

    pub fn get(&self, peer: u32, id: u32) -> Option<Arc<Exchange>> {
        self.exchanges.lock().get(&(peer, id)).cloned()
    }

    /// Nothing more is to be heard of an exchange.
    pub fn remove(&self, peer: u32, id: u32) {
        self.exchanges.lock().remove(&(peer, id));
    }

    /// The peer is gone: so are its exchanges, and what waits for it.
    pub fn lose(&self, peer: u32, why: &str) {
        if let Some(line) = self.lines.lock().get_mut(peer as usize) {
            *line = Batch::new();
        }
        let lost: Vec<_> = self.exchanges.lock().range((peer, 0)..=(peer, u32::MAX)).map(|(_, e)| e.clone()).collect();
        for exchange in lost {
            exchange.broken(Fault::Gone(why.into()));
        }
    }

    /// The box has ended.
    pub fn close(&self) {
        self.exchanges.lock().clear();
    }
}
