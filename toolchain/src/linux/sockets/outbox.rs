//! Events on their way to clients.

use std::{collections::HashMap, sync::Arc};
use wasm_host::arrows::channel::Port;
use wit::Batch;

/// One batch for each peer. What a peer has no room for is kept.
#[derive(Default)]
pub struct Outbox(HashMap<u32, Batch>);

impl Outbox {
    pub fn to(&mut self, peer: u32) -> &mut Batch {
        self.0.entry(peer).or_default()
    }

    pub fn is_empty(&self, peer: u32) -> bool {
        self.0.get(&peer).is_none_or(Batch::is_empty)
    }

    pub fn forget(&mut self, peer: u32) {
        self.0.remove(&peer);
    }

    /// True if something is left, because a peer had no room.
    pub fn flush(&mut self, port: &Arc<Port>) -> bool {
        let mut left = false;
        for (&peer, batch) in &mut self.0 {
            left |= !batch.flush(|piece| {
                // An error would be a fault of ours: a malformed batch or a peer that never was.
                port.send(peer, piece).unwrap_or_else(|refused| panic!("the stand-in for net {refused}"))
            });
        }
        left
    }

    pub fn is_full(&self, peer: u32) -> bool {
        /// Bytes kept for a peer before its sockets are read no more.
        const FULL: usize = 256 << 10;
        self.0.get(&peer).is_some_and(|batch| batch.len() > FULL)
    }
}
