//! Who calls, as the callee may ask.

use alloc::{string::String, sync::Arc, vec::Vec};

/// A box that calls over an arrow.
#[derive(Debug, PartialEq, Eq)]
pub struct Caller {
    pub name: Arc<str>,
    /// What the arrow says, beside whom it leads to.
    pub words: Vec<(String, String)>,
}
