//! What of a protocol may pass over an arrow, where the node enforces it.

use wit::{Batch, Malformed, Record};

/// The grant of one arrow. What it has to remember, such as the names that a box has looked up, is bounded.
pub trait Gate: Send + Sync {
    /// The kinds of the client's records that are checked: a bit for each.
    fn checks(&self) -> u64;

    /// Whether the client may send a record. `Ok(Some)` is the refusal that the service would send. It is asked once for
    /// each record that is to be sent, and may take note of those that it admits.
    fn check(&self, record: &Record<'_>) -> Result<Option<Batch>, Malformed>;

    /// A record that it has admitted was not passed on after all, as there was no room for it.
    fn undo(&self, _record: &Record<'_>) {}

    /// The service begins anew: it answers nothing that was asked before.
    fn renew(&self) {}

    /// The kinds of the service's records from which it learns.
    fn learns(&self) -> u64 {
        0
    }

    /// The service has sent a record, and the client gets it.
    fn learn(&self, _record: &Record<'_>) {}
}
