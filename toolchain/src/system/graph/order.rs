//! The second step: an order on each rank in which few lines cross.

use super::layers::Layers;
use alloc::{vec, vec::Vec};

const SWEEPS: usize = 24;

impl Layers {
    /// Sorts ranks by the medians of their neighbours (Gansner et al. 1993), and swaps neighbours while that helps.
    pub fn reduce_crossings(&mut self) {
        let mut position = self.positions();
        let mut best = self.ranks.clone();
        let mut fewest = self.crossings(&position);
        for sweep in 0..SWEEPS {
            let down = sweep % 2 == 0;
            let count = self.ranks.len();
            for step in 1..count {
                let rank = if down { step } else { count - 1 - step };
                self.sort_by_median(rank, down, &mut position);
            }
            self.swap_neighbours(&mut position);
            let crossings = self.crossings(&position);
            if crossings < fewest {
                fewest = crossings;
                best = self.ranks.clone();
            }
            if fewest == 0 {
                break;
            }
        }
        self.ranks = best;
    }

    /// Each item's position on its rank.
    fn positions(&self) -> Vec<usize> {
        let mut position = vec![0; self.items.len()];
        for rank in &self.ranks {
            rank.iter().enumerate().for_each(|(i, item)| position[*item] = i);
        }
        position
    }

    fn neighbours(&self, item: usize, above: bool) -> &[usize] {
        if above { &self.items[item].above } else { &self.items[item].below }
    }

    fn sort_by_median(&mut self, rank: usize, above: bool, position: &mut [usize]) {
        let mut keyed: Vec<(usize, usize)> = self.ranks[rank]
            .iter()
            .map(|item| {
                let mut neighbours: Vec<usize> =
                    self.neighbours(*item, above).iter().map(|other| position[*other]).collect();
                neighbours.sort_unstable();
                // twice the median, so that it is whole; without neighbours an item stays about where it is
                let middle = neighbours.len() / 2;
                let key = match neighbours.len() {
                    0 => 2 * position[*item],
                    n if n % 2 == 1 => 2 * neighbours[middle],
                    _ => neighbours[middle - 1] + neighbours[middle],
                };
                (key, *item)
            })
            .collect();
        keyed.sort_by_key(|(key, _)| *key);
        self.ranks[rank] = keyed.into_iter().map(|(_, item)| item).collect();
        self.ranks[rank].iter().enumerate().for_each(|(i, item)| position[*item] = i);
    }

    fn swap_neighbours(&mut self, position: &mut [usize]) {
        let mut improved = true;
        let mut rounds = 0;
        while improved && rounds < 8 {
            improved = false;
            rounds += 1;
            for rank in 0..self.ranks.len() {
                for left in 1..self.ranks[rank].len() {
                    let (a, b) = (self.ranks[rank][left - 1], self.ranks[rank][left]);
                    let cost = |a: usize, b: usize| {
                        [true, false].map(|above| self.pair_crossings(a, b, above, position)).iter().sum::<usize>()
                    };
                    if cost(b, a) < cost(a, b) {
                        self.ranks[rank].swap(left - 1, left);
                        position.swap(a, b);
                        improved = true;
                    }
                }
            }
        }
    }

    /// Crossings between the lines of two items when `a` is left of `b`.
    fn pair_crossings(&self, a: usize, b: usize, above: bool, position: &[usize]) -> usize {
        let (a, b) = (self.neighbours(a, above), self.neighbours(b, above));
        a.iter().map(|from| b.iter().filter(|to| position[**to] < position[*from]).count()).sum()
    }

    fn crossings(&self, position: &[usize]) -> usize {
        let pairs = self.ranks.iter().flat_map(|rank| {
            rank.iter().enumerate().flat_map(move |(i, a)| rank[i + 1..].iter().map(move |b| (*a, *b)))
        });
        pairs.map(|(a, b)| self.pair_crossings(a, b, false, position)).sum()
    }
}
