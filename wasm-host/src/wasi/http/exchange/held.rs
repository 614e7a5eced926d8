//! Bytes of a body that have come and are not read yet.

use alloc::{collections::VecDeque, vec::Vec};

/// The most bytes of one part.
const PART: usize = 16 << 10;

/// Room that a part has at least, as something is kept for each.
const LEAST: usize = 1 << 10;

/// What is kept for each part beside its bytes.
const OWN: usize = 64;

/// A queue in parts: what has been read is given back at once, and nothing is copied when more comes.
#[derive(Debug, Default)]
pub struct Held {
    parts: VecDeque<Vec<u8>>,
    /// how much of the first part has been read
    start: usize,
    /// bytes that are not read yet
    length: usize,
    /// bytes of memory that all parts take
    room: usize,
}

impl Held {
    /// The memory that so many bytes take at most, however they come and are read.
    pub const fn most(length: usize) -> usize {
        length + PART + LEAST + (length / LEAST + 2) * OWN
    }

    /// Bytes that are not read yet.
    pub fn len(&self) -> usize {
        self.length
    }

    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The memory that all takes with so many bytes more.
    pub fn with(&self, more: usize) -> usize {
        let rest = more.saturating_sub(self.spare());
        let parts = rest.div_ceil(PART);
        self.room + if parts == 0 { 0 } else { rest + LEAST + parts * OWN }
    }

    fn spare(&self) -> usize {
        self.parts.back().map_or(0, |part| part.capacity() - part.len())
    }

    /// None: the node has no memory for it.
    pub fn push(&mut self, data: &[u8]) -> Option<()> {
        let (fits, rest) = data.split_at(data.len().min(self.spare()));
        if let Some(last) = self.parts.back_mut() {
            last.extend_from_slice(fits);
        }
        self.length += fits.len();
        for bytes in rest.chunks(PART) {
            let mut part = Vec::new();
            part.try_reserve_exact(bytes.len().max(LEAST)).ok()?;
            self.parts.try_reserve(1).ok()?;
            part.extend_from_slice(bytes);
            self.length += bytes.len();
            self.room += part.capacity() + OWN;
            self.parts.push_back(part);
        }
        Some(())
    }

    /// The first bytes, at most so many: fewer, if they came in parts.
    pub fn take(&mut self, limit: usize) -> Vec<u8> {
        let Some(first) = self.parts.front() else { return Vec::new() };
        let (left, room) = (first.len() - self.start, first.capacity() + OWN);
        let taken = if left > limit {
            let taken = first[self.start..self.start + limit].to_vec();
            self.start += limit;
            taken
        } else {
            let taken = if self.start == 0 { None } else { Some(first[self.start..].to_vec()) };
            let first = self.parts.pop_front().unwrap_or_default();
            self.start = 0;
            self.room -= room;
            taken.unwrap_or(first)
        };
        self.length -= taken.len();
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_is_read_in_order_and_takes_what_it_says() {
        for step in [1, 600, 1_000, 16_384, 40_000] {
            let mut held = Held::default();
            let bytes: Vec<u8> = (0..60_000_u32).map(|n| (n % 251) as u8).collect();
            for data in bytes.chunks(step) {
                let needed = held.with(data.len());
                held.push(data).unwrap();
                assert!(held.room <= needed, "{step}: {} of {needed}", held.room);
                assert!(held.room <= Held::most(held.len()), "{step}: {} for {}", held.room, held.len());
            }
            let mut read = Vec::new();
            while !held.is_empty() {
                read.extend(held.take(7_000));
                assert!(held.room <= Held::most(held.len()), "{step}: {} for {}", held.room, held.len());
            }
            assert!(read == bytes && held.room == 0 && held.take(1).is_empty(), "{step}");
        }
    }
}
