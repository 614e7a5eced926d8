//! The http box.
