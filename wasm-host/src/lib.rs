//! The node without its hardware: boxes, arrows, grants, supervision.
#![no_std]
#![deny(unsafe_code)]

extern crate alloc;

pub mod platform;
