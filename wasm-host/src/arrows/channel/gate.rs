//! What of a protocol may pass over an arrow, where the node enforces it.

use wit::{Batch, Malformed, Record};

/// The grant of one arrow. What it has to remember, such as the names that a box has looked up, is bounded.
pub trait Gate: Send + Sync {
    /// The kinds of the client's records that are checked: a bit for each.
    fn checks(&self) -> u64;

    /// Whether the client may send a record. `Ok(Some)` is the refusal that the service would send.
    fn check(&self, record: &Record<'_>) -> Result<Option<Batch>, Malformed>;

    /// The kinds of the service's records from which it learns.
    fn learns(&self) -> u64 {
        0
    }

    /// The service has sent a record, and the client gets it.
    fn learn(&self, _record: &Record<'_>) {}
}
