//! The echo box.
