//! Buffer memory of all TCP connections together.
//!
//! smoltcp's rings cannot grow, so a connection gets its size when it opens: as large as configured while few are
//! open, smaller as they become many, and never less than the floor, which is kept back for every connection that may
//! still come. If the box turns out to have less than is configured, new connections get the floor.

use crate::memory;
use std::collections::VecDeque;

/// The least that a connection gets: two full segments to receive, and a window to send that is worth having.
pub const FLOOR: Rings = Rings { receive: 3 << 10, send: 4 << 10 };

/// The most that a connection gets as long as it is not known that the box has the memory that is configured.
const USUAL: Rings = Rings { receive: 32 << 10, send: 64 << 10 };

/// A new connection gets at most this part of what is free.
const SHARE: usize = 16;

/// Bytes that a connection takes beside its buffers: itself, its socket, its places in the table and among the timers.
const OVERHEAD: usize = 2 << 10;

/// Bytes that every box has, so that nobody need ask for them.
const PRESUMED: usize = 1 << 19;

/// Sizes of a connection's rings in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rings {
    pub receive: usize,
    pub send: usize,
}

impl Rings {
    /// Bytes that a connection with these takes in all.
    pub fn total(&self) -> usize {
        self.receive + self.send + OVERHEAD
    }
}

#[derive(Debug)]
pub struct Pool {
    budget: usize,
    /// what the box has shown to have, if less than the budget
    found: usize,
    used: usize,
    largest: Rings,
}

impl Pool {
    pub fn new(budget: usize, largest: Rings) -> Self {
        Pool { budget, found: budget, used: 0, largest }
    }

    /// Rings for a new connection, of which `more` may still follow. `None`: there is not even room for small ones.
    pub fn open(&mut self, more: usize, small: bool) -> Option<Rings> {
        let free = self.found.saturating_sub(self.used);
        let spare = free.saturating_sub(FLOOR.total().saturating_mul(more + 1));
        let share = if small { 0 } else { spare / SHARE };
        let total = self.largest.receive + self.largest.send;
        let part = |floor: usize, largest: usize| {
            let size = floor + (share as u64 * largest as u64 / total as u64) as usize;
            size.min(largest).max(floor.min(largest))
        };
        let rings =
            Rings { receive: part(FLOOR.receive, self.largest.receive), send: part(FLOOR.send, self.largest.send) };
        let sure = Rings { receive: rings.receive.min(USUAL.receive), send: rings.send.min(USUAL.send) };
        let is_sure = rings == sure || memory::there_is(SHARE * rings.total());
        [if is_sure { rings } else { sure }, FLOOR].into_iter().find(|rings| self.take(rings.total()))
    }

    /// Takes memory, if the budget and the box have it.
    fn take(&mut self, bytes: usize) -> bool {
        let used = self.used.saturating_add(bytes);
        if used > self.budget {
            return false;
        }
        if used > PRESUMED && !memory::there_is(bytes) {
            self.found = self.used;
            return false;
        }
        self.used = used;
        self.found = self.found.max(used);
        true
    }

    /// Adds data that waits for room in a ring. False if there is no memory for it.
    pub fn keep(&mut self, waiting: &mut VecDeque<u8>, data: &[u8]) -> bool {
        let before = waiting.capacity();
        let more = (waiting.len() + data.len()).saturating_sub(before);
        if more > 0 {
            if !self.take(more) {
                return false;
            }
            waiting.reserve_exact(data.len());
            // It may have taken more than that, but never for long.
            self.used += (waiting.capacity() - before).saturating_sub(more);
        }
        waiting.extend(data);
        true
    }

    pub fn give_back(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.used);
        self.used = self.used.saturating_sub(bytes);
    }

    pub fn used(&self) -> usize {
        self.used
    }

    /// What there is to share.
    pub fn total(&self) -> usize {
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGEST: Rings = Rings { receive: 32 << 10, send: 64 << 10 };

    #[test]
    fn few_connections_get_all_and_a_thousand_still_fit() {
        let mut pool = Pool::new(12 << 20, LARGEST);
        let rings: Vec<Rings> = (0..1024).rev().map(|more| pool.open(more, false).expect("room")).collect();
        assert_eq!(rings[0], LARGEST);
        assert!(rings[1023].total() >= FLOOR.total());
        assert!(rings.windows(2).all(|w| w[0].total() >= w[1].total()));
        assert!(pool.used() <= 12 << 20);
        for ring in rings {
            pool.give_back(ring.total());
        }
        assert_eq!(pool.used(), 0);
    }

    #[test]
    fn nothing_is_given_beyond_the_budget() {
        let mut pool = Pool::new(20 << 10, LARGEST);
        assert!(pool.open(1000, false).is_some());
        assert!(pool.open(1000, false).is_some());
        assert!(pool.open(1000, false).is_none());
        assert!(!pool.keep(&mut VecDeque::new(), &[0; 16 << 10]));
    }

    #[test]
    fn what_waits_is_counted_with_its_capacity() {
        let mut pool = Pool::new(1 << 20, LARGEST);
        let mut waiting = VecDeque::new();
        for _ in 0..100 {
            assert!(pool.keep(&mut waiting, &[1; 77]));
            assert_eq!(pool.used(), waiting.capacity());
        }
    }
}
