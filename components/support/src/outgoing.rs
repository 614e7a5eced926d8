use wit::Batch;

/// A batch for one peer while it is written, and while the peer has no room for it. Its buffer is kept from wake
/// to wake.
#[derive(Debug, Default)]
pub struct Outgoing {
    batch: Batch,
    /// The last record, if `stream` wrote it: kind, id and position.
    last: Option<(u8, u32, usize)>,
    full: bool,
}

/// A buffer that grew beyond this is given back when it has been sent.
const KEEP: usize = 256 * 1024;

impl Outgoing {
    pub const fn new() -> Self {
        Outgoing { batch: Batch::new(), last: None, full: false }
    }

    /// For whole records.
    #[inline]
    pub fn batch(&mut self) -> &mut Batch {
        self.last = None;
        &mut self.batch
    }

    /// Adds bytes of a stream, in parts: to the last record if it is of the same stream, else as a new record.
    #[inline]
    pub fn stream<const PARTS: usize>(&mut self, kind: u8, id: u32, parts: [&[u8]; PARTS]) {
        let position = match self.last {
            Some((last_kind, last_id, position)) if last_kind == kind && last_id == id => position,
            _ => {
                let position = self.batch.open(kind, id);
                self.last = Some((kind, id, position));
                position
            }
        };
        self.batch.extend(position, parts);
    }

    /// Sends what there is. What `send` refuses is kept, and `is_full` until a later flush succeeds.
    #[inline]
    pub fn flush(&mut self, send: impl FnOnce(&[u8]) -> bool) {
        if self.batch.is_empty() {
            return;
        }
        self.full = !send(self.batch.as_bytes());
        if !self.full {
            self.clear();
        }
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

    /// Forgets what was to be sent: the peer is gone.
    pub fn clear(&mut self) {
        self.full = false;
        self.last = None;
        if self.batch.len() > KEEP {
            self.batch = Batch::new();
        } else {
            self.batch.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn pieces_of_one_stream_become_one_record() {
        let mut out = Outgoing::new();
        out.stream(4, 1, [b"ab"]);
        out.stream(4, 1, [b"cd"]);
        out.stream(4, 2, [b"ef"]);
        out.batch().push(6, 2, b"");
        out.stream(4, 2, [b"gh"]);
        let mut sent = Vec::new();
        out.flush(|batch| {
            sent.extend(wit::Records::new(batch).map(Result::unwrap).map(|r| (r.kind, r.id, r.bytes.to_vec())));
            true
        });
        let expected = [(4, 1, &b"abcd"[..]), (4, 2, b"ef"), (6, 2, b""), (4, 2, b"gh")];
        assert_eq!(sent, expected.map(|(kind, id, bytes)| (kind, id, bytes.to_vec())));
        assert!(out.is_empty());
    }

    #[test]
    fn what_was_refused_is_sent_with_what_came_after() {
        let mut out = Outgoing::new();
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
        let records: Vec<_> = wit::Records::new(&sent).map(|r| r.unwrap().bytes).collect();
        assert_eq!(records, [b"abcd"]);
    }

    #[test]
    fn nothing_is_not_sent() {
        Outgoing::new().flush(|_| panic!("sent"));
    }
}
