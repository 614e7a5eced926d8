//! Deadlines of many connections, cheap to move into the future.
//!
//! A heap entry is not touched when its deadline moves later, which is what nearly every segment does. It comes up at
//! the old time, and is put back at the deadline of then.

use core::cmp::Reverse;
use std::collections::BinaryHeap;

/// Nanoseconds since the node's boot; never comes.
pub const NEVER: u64 = u64::MAX;

/// What an owner keeps for its deadline.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    at: u64,
    /// the earliest heap entry for this owner
    queued: u64,
}

impl Default for Deadline {
    fn default() -> Self {
        Deadline { at: NEVER, queued: NEVER }
    }
}

#[derive(Debug, Default)]
pub struct Timers {
    heap: BinaryHeap<Reverse<(u64, u32)>>,
}

impl Timers {
    pub fn set(&mut self, owner: u32, deadline: &mut Deadline, at: u64) {
        deadline.at = at;
        if at < deadline.queued {
            deadline.queued = at;
            self.heap.push(Reverse((at, owner)));
        }
    }

    /// Whether there is memory for the entries of so many owners and one more, before [`Timers::compact`] is to be asked.
    pub fn room_for(&mut self, count: usize) -> bool {
        self.heap.try_reserve((count + 1).saturating_sub(self.heap.len())).is_ok()
    }

    /// When to look at the timers next. May be earlier than any deadline.
    pub fn next(&self) -> u64 {
        self.heap.peek().map_or(NEVER, |Reverse((at, _))| *at)
    }

    /// Calls `expired` for each owner whose deadline has come. `deadline` gives an owner's deadline, if it still exists.
    pub fn expire<T>(
        &mut self,
        now: u64,
        owners: &mut T,
        mut deadline: impl FnMut(&mut T, u32) -> Option<&mut Deadline>,
        mut expired: impl FnMut(&mut T, u32),
    ) {
        while let Some(&Reverse((at, owner))) = self.heap.peek() {
            if at > now {
                break;
            }
            self.heap.pop();
            let Some(deadline) = deadline(owners, owner) else { continue };
            if deadline.queued != at {
                continue;
            }
            deadline.queued = NEVER;
            if deadline.at > now {
                let at = deadline.at;
                self.set(owner, deadline, at);
            } else {
                expired(owners, owner);
            }
        }
    }

    /// Drops the entries of owners that are gone, if there are many more than owners.
    pub fn compact<T>(
        &mut self,
        owners: &mut T,
        count: usize,
        deadline: impl Fn(&mut T, u32) -> Option<&mut Deadline>,
    ) {
        if self.heap.len() > 4 * count + 1024 {
            self.heap.retain(|&Reverse((at, owner))| deadline(owners, owner).is_some_and(|d| d.queued == at));
        }
    }
}
