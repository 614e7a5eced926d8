//! The least rate of a body.

/// What has to come, or go, within the time that is set.
const PART: u64 = 16 << 10;

/// A clock that runs while one side waits for the other. What comes buys time, and no more than has passed: whoever is slower than the
/// rate falls behind, however steadily something comes.
#[derive(Debug, Default)]
pub struct Pace {
    runs: bool,
    since: u64,
}

impl Pace {
    /// So many bytes have come, at a rate of 16 KiB in `time`.
    pub fn earn(&mut self, now: u64, bytes: usize, time: u64) {
        let bought = (bytes as u64).saturating_mul(time) / PART;
        self.since = self.since.saturating_add(bought).min(now);
    }

    /// When it is too late, if it `runs` from now on.
    pub fn due(&mut self, now: u64, runs: bool, time: u64) -> u64 {
        if !self.runs {
            self.since = now;
        }
        self.runs = runs;
        if runs { self.since.saturating_add(time) } else { u64::MAX }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_buys_time() {
        let mut pace = Pace::default();
        assert_eq!(pace.due(10, true, 160), 170);
        pace.earn(100, (PART / 2) as usize, 160);
        assert_eq!(pace.due(100, true, 160), 250);
        pace.earn(100, (10 * PART) as usize, 160);
        assert_eq!(pace.due(100, true, 160), 260, "none is saved");
        assert_eq!((pace.due(200, false, 160), pace.due(300, true, 160)), (u64::MAX, 460));
    }
}
