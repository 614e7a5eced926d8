//! The third step: coordinates, such that lines are straight where they can be.

use super::layers::{Layers, What};
use alloc::{vec, vec::Vec};

/// Between items of one rank.
const GAP: i64 = 28;
/// Between two ranks, at least and at most: lines that go far to the side need room to bend.
const RISE: (i64, i64) = (20, 60);
const ROUNDS: usize = 480;
/// Rounds at first that look to one side only, which moves things far.
const COARSE: usize = 12;

pub(super) struct Places {
    /// The centre of each item.
    pub x: Vec<i64>,
    pub y: Vec<i64>,
    pub width: i64,
    pub height: i64,
}

impl Layers {
    pub fn places(&self) -> Places {
        let mut x = vec![0; self.items.len()];
        for rank in &self.ranks {
            let mut left = 0;
            for item in rank {
                x[*item] = left + self.items[*item].width / 2;
                left += self.items[*item].width + GAP;
            }
        }
        for round in 0..=ROUNDS {
            let down = round % 2 == 0;
            // the last one, downwards, takes what hangs on a long line to where the line begins
            let both = (COARSE..ROUNDS).contains(&round);
            for step in 0..self.ranks.len() {
                let rank = if down { step } else { self.ranks.len() - 1 - step };
                self.align(rank, down || both, !down || both, &mut x);
            }
        }
        let left = (0..x.len()).map(|item| x[item] - self.items[item].width / 2).min().unwrap_or(0);
        x.iter_mut().for_each(|x| *x -= left);
        let width = (0..x.len()).map(|item| x[item] + self.items[item].width / 2).max().unwrap_or(0);
        self.straighten(&mut x);
        let mut y = vec![0; self.items.len()];
        let mut top = 0;
        let mut height = 0;
        for rank in &self.ranks {
            let tallest = rank.iter().map(|item| self.items[*item].height).max().unwrap_or(0);
            rank.iter().for_each(|item| y[*item] = top + tallest / 2);
            height = top + tallest;
            let aside = |item: &usize| self.items[*item].below.iter().map(|other| (x[*item] - x[*other]).abs()).max();
            let widest = rank.iter().filter_map(aside).max().unwrap_or(0);
            top = height + (widest / 8).clamp(RISE.0, RISE.1);
        }
        Places { x, y, width, height }
    }

    /// Moves a rank's items to where their neighbours want them, as near as the order and the gaps allow.
    fn align(&self, rank: usize, above: bool, below: bool, x: &mut [i64]) {
        let rank = &self.ranks[rank];
        // Without the gaps, positions only have to rise: least squares by pooling neighbours that do not
        // (pool adjacent violators).
        let mut pools: Vec<Pool> = Vec::with_capacity(rank.len());
        let mut offset = 0;
        let mut offsets = Vec::with_capacity(rank.len());
        for (i, item) in rank.iter().enumerate() {
            if i > 0 {
                offset += (self.items[rank[i - 1]].width + self.items[*item].width) / 2 + GAP;
            }
            offsets.push(offset);
            let (mut sum, mut weight) = (0, 0);
            let sides = [(above, &self.items[*item].above), (below, &self.items[*item].below)];
            for other in sides.iter().filter(|(counts, _)| *counts).flat_map(|(_, others)| others.iter()) {
                let w = self.straightness(*item, *other);
                sum += x[*other] * w;
                weight += w;
            }
            if weight == 0 {
                (sum, weight) = (x[*item], 1);
            }
            pools.push(Pool { sum: sum - offset * weight, weight, items: 1 });
            while let [.., before, last] = &pools[..] {
                if before.mean() <= last.mean() {
                    break;
                }
                let merged = Pool {
                    sum: before.sum + last.sum,
                    weight: before.weight + last.weight,
                    items: before.items + last.items,
                };
                pools.truncate(pools.len() - 2);
                pools.push(merged);
            }
        }
        let means = pools.iter().flat_map(|pool| core::iter::repeat_n(pool.mean(), pool.items));
        for ((item, offset), mean) in rank.iter().zip(offsets).zip(means) {
            x[*item] = mean + offset;
        }
    }

    /// Takes small bends out of lines, from their labels outwards. Half a gap is always free.
    fn straighten(&self, x: &mut [i64]) {
        for way in &self.ways {
            let Some(label) = way.iter().position(|item| self.items[*item].what == What::Label) else { continue };
            let (above, below) = way.split_at(label);
            for side in [&mut above.iter().rev() as &mut dyn Iterator<Item = &usize>, &mut below.iter().skip(1)] {
                let mut line = x[way[label]];
                for item in side.filter(|item| self.items[**item].what == What::Point) {
                    if (x[*item] - line).abs() < GAP / 2 {
                        x[*item] = line;
                    }
                    line = x[*item];
                }
            }
        }
    }

    /// How much a line's two ends want to be above each other: a long line's inner parts most of all.
    fn straightness(&self, a: usize, b: usize) -> i64 {
        let node = |item: usize| matches!(self.items[item].what, What::Node(_));
        match (node(a), node(b)) {
            (true, true) => 1,
            (false, false) => 64,
            _ => 2,
        }
    }
}

struct Pool {
    sum: i64,
    weight: i64,
    items: usize,
}

impl Pool {
    fn mean(&self) -> i64 {
        self.sum.div_euclid(self.weight)
    }
}
