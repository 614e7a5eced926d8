//! A bound on answers that anybody can ask for (RFC 4443 section 2.4 (f), RFC 1812 section 4.3.2.8): a token bucket.

const SECOND: u64 = 1_000_000_000;
/// As BSD's.
const PER_SECOND: u64 = 200;
/// Tokens that can be saved up.
const MOST: u64 = 200;

#[derive(Debug, Default)]
pub struct Restraint {
    /// when the bucket would have been empty, had it filled ever since
    empty_at: u64,
}

impl Restraint {
    /// Whether one more may be sent now.
    pub fn allows(&mut self, now: u64) -> bool {
        const EACH: u64 = SECOND / PER_SECOND;
        let empty_at = self.empty_at.max(now.saturating_sub(MOST * EACH)) + EACH;
        let allowed = empty_at <= now;
        if allowed {
            self.empty_at = empty_at;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_at_once_and_so_many_per_second_after_that() {
        let mut restraint = Restraint::default();
        let mut count = |now, asked| (0..asked).filter(|_| restraint.allows(now)).count() as u64;
        assert_eq!(count(100 * SECOND, 1000), MOST);
        assert_eq!(count(101 * SECOND, 1000), PER_SECOND);
        let spread: u64 = (0..1000).map(|n| count(101 * SECOND + n * SECOND / 1000, 1)).sum();
        assert!((PER_SECOND - 1..=PER_SECOND).contains(&spread), "{spread}");
        assert_eq!(count(500 * SECOND, 1000), MOST);
    }
}
