//! What waits for a box.

use alloc::vec::Vec;
use wit::Peer;

#[derive(Default)]
pub(super) struct Inbox {
    pub waiting: Vec<u8>,
    /// the peer named by the last `peer` record in `waiting`
    pub last: Option<u32>,
    /// how often it has been emptied
    pub taken: u64,
}

impl Inbox {
    pub fn clear(&mut self) {
        (self.waiting, self.last) = (Vec::new(), None);
    }

    #[inline]
    pub fn append(&mut self, peer: u32, batch: &[u8]) {
        if self.last != Some(peer) {
            let head = u64::from(Peer::IS) << 24 | u64::from(peer) << 32;
            self.waiting.extend_from_slice(&head.to_le_bytes());
            self.last = Some(peer);
        }
        self.waiting.extend_from_slice(batch);
    }
}
