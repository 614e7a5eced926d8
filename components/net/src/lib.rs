//! The net box.
