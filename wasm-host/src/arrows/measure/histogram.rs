//! How long things took: counts in buckets that are about a fifth as wide as what is in them.

use alloc::vec::Vec;
use core::{
    array,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// The narrowest bucket has 2^8 ns.
const FINEST: u32 = 8;
/// Each power of two has 2^2 buckets.
const SUB: u32 = 2;
/// From 256 ns to 137 s; what is longer is in the last.
const BUCKETS: usize = 112;

/// Log-linear: buckets of equal width within a power of two. Counting costs some ten instructions and no memory.
pub struct Histogram {
    counts: [AtomicU64; BUCKETS],
    sum: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { counts: array::from_fn(|_| AtomicU64::new(0)), sum: AtomicU64::new(0) }
    }
}

impl Histogram {
    #[inline]
    pub fn add(&self, nanos: u64) {
        self.counts[bucket(nanos)].fetch_add(1, Relaxed);
        self.sum.fetch_add(nanos, Relaxed);
    }

    /// Nanoseconds of all together.
    pub fn sum(&self) -> u64 {
        self.sum.load(Relaxed)
    }

    /// The buckets that are not empty, shortest first: what all in one are shorter than, in nanoseconds, and how many
    /// they are.
    pub fn buckets(&self) -> Vec<(u64, u64)> {
        let counts = self.counts.iter().map(|count| count.load(Relaxed)).enumerate();
        counts.filter(|(_, count)| *count > 0).map(|(index, count)| (end(index), count)).collect()
    }
}

#[inline]
fn bucket(nanos: u64) -> usize {
    let units = nanos >> FINEST;
    let power = (units | (1 << SUB)).ilog2() - SUB;
    let index = (u64::from(power) << SUB) + (units >> power);
    (index as usize).min(BUCKETS - 1)
}

/// What all in a bucket are shorter than.
const fn end(bucket: usize) -> u64 {
    let (power, place) = ((bucket >> SUB).saturating_sub(1), bucket + 1);
    let units = if bucket < 2 << SUB { place } else { place - (power << SUB) };
    (units as u64) << power << FINEST
}

/// How long `permille` of what is in buckets took at most, in nanoseconds, as if all of one bucket were evenly spread.
/// None if there is nothing.
pub fn quantile(buckets: &[(u64, u64)], permille: u64) -> Option<u64> {
    let all: u64 = buckets.iter().map(|(_, count)| count).sum();
    let mut left = (u128::from(all) * u128::from(permille)).div_ceil(1_000).max(1) as u64;
    for &(end, count) in buckets {
        if left <= count {
            let power = end.saturating_sub(1).max(1 << (FINEST + SUB)).ilog2();
            let width = 1 << (power - SUB);
            let part = u128::from(left) * width / u128::from(count);
            return Some((end - width as u64) + part as u64);
        }
        left -= count;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_within_its_bucket() {
        let mut before = 0;
        for index in 0..BUCKETS - 1 {
            let end = end(index);
            assert!(end > before, "bucket {index}");
            assert_eq!((bucket(before), bucket(end - 1)), (index, index), "{before} to {end}");
            if index >= 4 {
                assert!((end - before) * 4 <= before, "{before} to {end} is too wide");
            }
            before = end;
        }
        assert_eq!((bucket(u64::MAX), bucket(before)), (BUCKETS - 1, BUCKETS - 1));
        assert!(before > 100_000_000_000);
    }

    #[test]
    fn quantiles_are_near_the_truth() {
        let histogram = Histogram::default();
        assert_eq!(quantile(&histogram.buckets(), 500), None);
        (1..=10_000).for_each(|n| histogram.add(n * 1_000));
        let buckets = histogram.buckets();
        assert_eq!(buckets.iter().map(|(_, count)| count).sum::<u64>(), 10_000);
        assert_eq!(histogram.sum(), 50_005_000_000);
        for permille in [1, 10, 500, 900, 990, 999, 1_000] {
            let (told, truth) = (quantile(&buckets, permille).unwrap(), permille * 10_000);
            assert!(told.abs_diff(truth) * 20 <= truth + 20_000, "{permille}: {told} for {truth}");
        }
    }

    #[test]
    fn one_slow_among_many_is_seen() {
        let histogram = Histogram::default();
        (0..95).for_each(|_| histogram.add(20_000));
        (0..5).for_each(|_| histogram.add(3_000_000_000));
        let buckets = histogram.buckets();
        let told = |permille| quantile(&buckets, permille).unwrap();
        assert!((16_000..25_000).contains(&told(500)), "{}", told(500));
        assert!((2_400_000_000..3_800_000_000).contains(&told(990)), "{}", told(990));
    }
}
