//! Buffer memory of all TCP connections together.
//!
//! smoltcp's rings cannot grow, so a connection gets its size when it opens: as large as configured while few are
//! open, smaller as they become many, and never less than the floor, which is kept back for every connection that may
//! still come.

/// The least that a connection gets: two full segments to receive, and a window to send that is worth having.
const FLOOR: Rings = Rings { receive: 3 << 10, send: 4 << 10 };

/// A new connection gets at most this part of what is free.
const SHARE: usize = 16;

/// Sizes of a connection's rings in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rings {
    pub receive: usize,
    pub send: usize,
}

impl Rings {
    pub fn total(&self) -> usize {
        self.receive + self.send
    }
}

#[derive(Debug)]
pub struct Memory {
    budget: usize,
    used: usize,
    largest: Rings,
}

impl Memory {
    pub fn new(budget: usize, largest: Rings) -> Self {
        Memory { budget, used: 0, largest }
    }

    /// Rings for a new connection, of which `more` may still follow. `None`: there is not even room for small ones.
    pub fn open(&mut self, more: usize, small: bool) -> Option<Rings> {
        let free = self.budget - self.used;
        let spare = free.saturating_sub(FLOOR.total().saturating_mul(more + 1));
        let share = if small { 0 } else { spare / SHARE };
        let total = self.largest.total();
        let part = |floor: usize, largest: usize| {
            let size = floor + (share as u64 * largest as u64 / total as u64) as usize;
            size.min(largest).max(floor.min(largest))
        };
        let rings =
            Rings { receive: part(FLOOR.receive, self.largest.receive), send: part(FLOOR.send, self.largest.send) };
        self.take(rings.total()).then_some(rings)
    }

    /// Takes memory for data that waits for room in a ring.
    pub fn take(&mut self, bytes: usize) -> bool {
        let fits = bytes <= self.budget - self.used;
        if fits {
            self.used += bytes;
        }
        fits
    }

    pub fn give_back(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.used);
        self.used = self.used.saturating_sub(bytes);
    }

    pub fn used(&self) -> usize {
        self.used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGEST: Rings = Rings { receive: 32 << 10, send: 64 << 10 };

    #[test]
    fn few_connections_get_all_and_a_thousand_still_fit() {
        let mut memory = Memory::new(10 << 20, LARGEST);
        let rings: Vec<Rings> = (0..1024).rev().map(|more| memory.open(more, false).expect("room")).collect();
        assert_eq!(rings[0], LARGEST);
        assert!(rings[1023].total() >= FLOOR.total());
        assert!(rings.windows(2).all(|w| w[0].total() >= w[1].total()));
        assert!(memory.used() <= 10 << 20);
        for ring in rings {
            memory.give_back(ring.total());
        }
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn nothing_is_given_beyond_the_budget() {
        let mut memory = Memory::new(16 << 10, LARGEST);
        assert!(memory.open(1000, false).is_some());
        assert!(memory.open(1000, false).is_some());
        assert!(memory.open(1000, false).is_none());
        assert!(!memory.take(16 << 10));
    }
}
