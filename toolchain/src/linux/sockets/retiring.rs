//! Clients whose place others take.

use super::outbox::Outbox;
use std::sync::Arc;
use wasm_host::arrows::channel::Port;
use wit::Peer;

#[derive(Default)]
pub struct Retiring(Vec<u32>);

impl Retiring {
    pub fn add(&mut self, peer: u32) {
        if !self.has(peer) {
            self.0.push(peer);
        }
    }

    pub fn remove(&mut self, peer: u32) {
        self.0.retain(|known| *known != peer);
    }

    /// Whether others may take what the peer holds.
    pub fn has(&self, peer: u32) -> bool {
        self.0.contains(&peer)
    }

    /// Lets go of those that nothing is left of: `holds` says whether a peer has something.
    pub fn release(&mut self, port: &Arc<Port>, outbox: &Outbox, holds: impl Fn(u32) -> bool) {
        self.0.retain(|&peer| {
            let keep = holds(peer) || !outbox.is_empty(peer);
            if !keep {
                // one that is refused is gone already
                let _ = port.send(peer, Peer::release(peer).as_bytes());
            }
            keep
        });
    }
}
