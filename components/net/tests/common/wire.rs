//! A wire with delay, loss, duplication and reordering, the same every time for the same seed.

use std::collections::BTreeMap;

pub const MILLISECOND: u64 = 1_000_000;
pub const SECOND: u64 = 1_000 * MILLISECOND;

/// xorshift64*: enough to vary tests.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        (0..8).for_each(|_| _ = dice.next());
        dice
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    pub fn percent(&mut self, chance: u32) -> bool {
        self.below(100) < chance as usize
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Quality {
    /// nanoseconds in each direction
    pub delay: u64,
    /// in percent of frames
    pub loss: u32,
    pub duplication: u32,
    pub reordering: u32,
}

impl Quality {
    pub const CLEAN: Quality = Quality { delay: MILLISECOND, loss: 0, duplication: 0, reordering: 0 };
    pub const BAD: Quality = Quality { delay: 5 * MILLISECOND, loss: 5, duplication: 5, reordering: 10 };
}

/// One direction.
#[derive(Debug)]
pub struct Wire {
    pub quality: Quality,
    /// bytes of the largest frame that it carries; others vanish
    pub largest: usize,
    dice: Dice,
    count: u64,
    frames: BTreeMap<(u64, u64), Vec<u8>>,
}

impl Wire {
    pub fn new(quality: Quality, seed: u64) -> Self {
        Wire { quality, largest: usize::MAX, dice: Dice::new(seed), count: 0, frames: BTreeMap::new() }
    }

    pub fn send(&mut self, now: u64, frame: &[u8]) {
        if frame.len() > self.largest || self.dice.percent(self.quality.loss) {
            return;
        }
        let copies = 1 + u32::from(self.dice.percent(self.quality.duplication));
        for _ in 0..copies {
            let extra = if self.dice.percent(self.quality.reordering) { self.quality.delay } else { 0 };
            self.count += 1;
            self.frames.insert((now + self.quality.delay + extra, self.count), frame.to_vec());
        }
    }

    /// The frames that have arrived.
    pub fn receive(&mut self, now: u64) -> Vec<Vec<u8>> {
        let later = self.frames.split_off(&(now + 1, 0));
        std::mem::replace(&mut self.frames, later).into_values().collect()
    }

    /// Frames on their way.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    pub fn next(&self) -> u64 {
        self.frames.keys().next().map_or(u64::MAX, |(at, _)| *at)
    }
}
