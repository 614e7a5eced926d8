//! What waits for a box.

use super::Refused;
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

    /// Whether a batch may be appended: an empty inbox takes one, whatever the limit.
    #[inline]
    pub fn has_room(&self, batch: usize, limit: usize) -> bool {
        self.waiting.is_empty() || self.waiting.len() + batch <= limit
    }

    #[inline]
    pub fn append(&mut self, peer: u32, batch: &[u8]) -> Result<(), Refused> {
        self.waiting.try_reserve(wit::batch::HEADER + batch.len()).map_err(|_| Refused::NoMemory)?;
        if self.last != Some(peer) {
            let head = u64::from(Peer::IS) << 24 | u64::from(peer) << 32;
            self.waiting.extend_from_slice(&head.to_le_bytes());
            self.last = Some(peer);
        }
        self.waiting.extend_from_slice(batch);
        Ok(())
    }
}
