//! The store box: it keeps values under keys, in buckets, on a disk (`pearwood:store/keyvalue`).
//!
//! [`Front`] is what clients see: it holds them to their grants, answers reads from the last durable state, and gathers writes.
//! [`Engine`] makes a group of writes durable, all together. In between is redb, a B-tree that never writes over what is in use, and
//! below it [`Pages`], which finds damage. None of it waits for anything but the disk.
//!
//! The disk is flushed while a group becomes durable. Whoever waits there (`shim.rs`, or a test) goes on with the front: reads never wait
//! for a commit. redb holds none of its locks then, a view that was opened before needs none of those that a commit takes, and what
//! it reads is not written over as long as it is open.
#![cfg_attr(not(target_arch = "wasm32"), forbid(unsafe_code))]

mod engine;
mod front;
mod grant;
mod pages;
#[cfg(target_arch = "wasm32")]
mod shim;
mod under_way;

pub use engine::{Answer, Change, Engine, Op, Outcome, Trouble, View, Write};
pub use front::{Front, Group};
pub use grant::Grant;
pub use pages::{Disk, Pages};
pub use under_way::UnderWay;

/// What the box divides its memory into, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// pages of the disk
    pub cache: usize,
    /// requests that wait
    pub requests: usize,
    /// answers that wait
    pub answers: usize,
    /// answers to what is asked for beyond that
    pub refusals: usize,
    /// writes that become durable together
    pub group: usize,
    /// that the file may have: what is free is in memory, and once more in a commit, in less than a byte for each
    pub pages: u64,
}

/// The least memory that the box can do with: each share has room for the largest request.
pub const LEAST: usize = 8 << 20;

impl Shares {
    /// # Errors
    /// It is less than [`LEAST`].
    pub fn of(memory: usize) -> Result<Self, String> {
        if memory < LEAST {
            return Err(format!("the box has {} KiB of memory, and needs {} KiB", memory >> 10, LEAST >> 10));
        }
        // a group is there again as pages that redb writes
        Ok(Shares {
            cache: memory / 4,
            requests: memory / 8,
            answers: memory / 4,
            refusals: memory / 32,
            group: memory / 16,
            pages: memory as u64 / 8,
        })
    }

    /// How many there is memory for: each may leave its part of the answers untaken, and one of the longest values.
    pub fn clients(&self) -> usize {
        self.answers / (front::ROOM + wit::keyvalue::MAX_VALUE)
    }
}
