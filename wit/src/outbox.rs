//! What a box has to say to one of its peers.

use crate::{Batch, MAX_BATCH, Open};

/// A batch for one peer while it is written, and while the peer has no room for it. Its buffer is kept from wake
/// to wake.
#[derive(Debug, Default)]
pub struct Outbox {
    batch: Batch,
    /// The last record, if `stream` wrote it: kind, id and where.
    last: Option<(u8, u32, Open)>,
    full: bool,
}

/// A buffer that grew beyond this is given back when it has been sent.
const KEEP: usize = MAX_BATCH;

/// A stream goes on in another record when one is as long as this, so that each fits in a batch.
const LONG: usize = MAX_BATCH / 2;

impl Outbox {
    pub const fn new() -> Self {
        Outbox { batch: Batch::new(), last: None, full: false }
    }

    /// For whole records.
    #[inline]
    pub fn batch(&mut self) -> &mut Batch {
        self.last = None;
        &mut self.batch
    }

    /// Adds bytes of a stream, in parts: to the last record if it is of the same stream, else as a new record, which is an
    /// id and a list of bytes.
    #[inline]
    pub fn stream<const PARTS: usize>(&mut self, kind: u8, id: u32, parts: [&[u8]; PARTS]) {
        let open = match self.last {
            Some((last_kind, last_id, open))
                if last_kind == kind && last_id == id && self.batch.len() - open.record < LONG =>
            {
                open
            }
            _ => {
                let open = self.batch.open_list(kind, id);
                self.last = Some((kind, id, open));
                open
            }
        };
        self.batch.extend(open, parts);
    }

    /// Sends what there is. What `send` refuses is kept, and `is_full` until a later flush succeeds.
    #[inline]
    pub fn flush(&mut self, send: impl FnMut(&[u8]) -> bool) {
        if self.batch.is_empty() {
            return;
        }
        self.full = !self.batch.flush(send);
        self.last = None;
        self.keep(KEEP);
    }

    /// Gives back the buffer of what has been sent if it is larger than this.
    #[inline]
    pub fn keep(&mut self, bytes: usize) {
        if self.batch.is_empty() && self.batch.capacity() > bytes {
            self.batch = Batch::new();
        }
    }

    /// The peer may have room again. True if it had none.
    pub(crate) fn reopen(&mut self) -> bool {
        core::mem::take(&mut self.full)
    }

    /// The peer had no room at the last flush.
    pub fn is_full(&self) -> bool {
        self.full
    }

    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    pub fn len(&self) -> usize {
        self.batch.len()
    }

    /// Bytes of memory that it has.
    pub fn capacity(&self) -> usize {
        self.batch.capacity()
    }

    /// Forgets what was to be sent: the peer is gone.
    pub fn clear(&mut self) {
        *self = Outbox::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Records;
    use alloc::vec::Vec;

    #[test]
    fn pieces_of_one_stream_become_one_record() {
        let mut out = Outbox::new();
        out.stream(4, 1, [b"ab"]);
        out.stream(4, 1, [b"cd"]);
        out.stream(4, 2, [b"ef"]);
        out.batch().push(6, 2, b"");
        out.stream(4, 2, [b"gh"]);
        let mut sent = Vec::new();
        out.flush(|batch| {
            sent.extend(Records::new(batch).map(Result::unwrap).map(|r| (r.kind, r.id, r.bytes.to_vec())));
            true
        });
        let expected = [(4, 1, &b"\x04\0\0\0abcd"[..]), (4, 2, b"\x02\0\0\0ef"), (6, 2, b""), (4, 2, b"\x02\0\0\0gh")];
        assert_eq!(sent, expected.map(|(kind, id, bytes)| (kind, id, bytes.to_vec())));
        assert!(out.is_empty());
    }

    #[test]
    fn what_was_refused_is_sent_with_what_came_after() {
        let mut out = Outbox::new();
        out.stream(4, 1, [b"ab"]);
        out.flush(|_| false);
        assert!(out.is_full());
        out.stream(4, 1, [b"cd"]);
        let mut sent = Vec::new();
        out.flush(|batch| {
            sent.extend_from_slice(batch);
            true
        });
        assert!(!out.is_full());
        let records: Vec<_> = Records::new(&sent).map(|r| r.unwrap().bytes).collect();
        assert_eq!(records, [b"\x02\0\0\0ab", b"\x02\0\0\0cd"]);
    }

    #[test]
    fn nothing_is_not_sent() {
        Outbox::new().flush(|_| panic!("sent"));
    }
}
