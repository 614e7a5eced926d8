//! A disk does what it is told in any order.

mod common;

use common::Random;
use pearwood_store::UnderWay;

const SECTORS: u64 = 40;

/// Writes that were not waited for are done in any order: of those that overlap, the last has to be there in the end.
#[test]
fn what_is_written_twice_is_as_it_was_written_last() {
    let mut random = Random(6);
    let (mut disk, mut model) = ([0; SECTORS as usize], [0; SECTORS as usize]);
    let (mut under_way, mut pending) = (UnderWay::default(), Vec::new());
    let mut together = 0;
    for ticket in 1..2_000_u32 {
        let first = random.below(SECTORS as usize) as u64;
        let count = 1 + random.below(4).min((SECTORS - first - 1) as usize) as u64;
        while under_way.overlaps(first, count) {
            let (done, range): (u32, std::ops::Range<u64>) = pending.swap_remove(random.below(pending.len()));
            range.for_each(|sector| disk[sector as usize] = done);
            assert!(under_way.end(done) && !under_way.end(done));
        }
        for sector in first..first + count {
            assert!(disk[sector as usize] == model[sector as usize], "it can be read before it is written again");
            model[sector as usize] = ticket;
        }
        under_way.begin(ticket, first, count);
        pending.push((ticket, first..first + count));
        together = together.max(pending.len());
    }
    assert!(together > 5, "others do not wait");
    while !pending.is_empty() {
        let (done, range) = pending.swap_remove(random.below(pending.len()));
        range.for_each(|sector| disk[sector as usize] = done);
        assert!(under_way.end(done));
    }
    assert!(under_way.is_empty());
    assert_eq!(disk, model);
}
