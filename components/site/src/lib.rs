//! The site box.
