//! Servers outside the node that stand for one another: which of them gets a request, and which are left out for a while.

use crate::request::Origin;
use wit::figures::{Figure, Report};

const SECOND: u64 = 1_000_000_000;

/// How long one that has failed is left out at first. Each time doubles it.
const FIRST: u64 = SECOND;
const LONGEST: u64 = 60 * SECOND;

/// So many connections in a row that end without an answer leave one out. Any client may bring that about with a request that a server does
/// not survive, so it takes more than one; a connection that is not made is nobody else's doing, and one is enough.
const BROKEN: u32 = 3;

/// So many checks in a row that fail.
const CHECKS: u32 = 2;

/// A request that may be tried again is paid for with this many of what each request brings.
const TRY: u64 = 100;

/// The most upstreams of a box: a request remembers in one number which it has tried.
pub const MOST: usize = 32;

/// How one has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// There was no connection.
    Unreachable,
    /// There was one, and no answer.
    Broken,
}

#[derive(Debug)]
pub struct Upstream {
    pub origin: Origin,
    /// requests that it has
    busy: u32,
    failures: u32,
    /// how often in a row it was left out
    times: u32,
    out_until: u64,
    /// checks in a row that have failed
    bad: u32,
    /// when it is checked next
    pub check_at: u64,
    pub is_checked: bool,
    /// requests that it was given, and those of them that have failed by its fault
    requests: u64,
    errors: u64,
}

/// All of a box.
#[derive(Debug, Default)]
pub struct Upstreams {
    list: Vec<Upstream>,
    /// who is asked first, of those that have equally many requests
    turn: usize,
    /// what there is for further tries, and the most that is kept
    budget: u64,
    most: u64,
    /// what each request brings
    share: u64,
}

impl Upstreams {
    /// `retries`: of a hundred requests, so many may be tried again; of those that are under way at once, `places`, each may.
    pub fn new(origins: &[Origin], retries: u64, places: usize) -> Self {
        let upstream = |origin: &Origin| Upstream {
            origin: origin.clone(),
            busy: 0,
            failures: 0,
            times: 0,
            out_until: 0,
            bad: 0,
            check_at: 0,
            is_checked: false,
            requests: 0,
            errors: 0,
        };
        let most = if retries > 0 { places as u64 * TRY } else { 0 };
        Upstreams { list: origins.iter().map(upstream).collect(), turn: 0, budget: most, most, share: retries }
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn get(&self, at: usize) -> &Upstream {
        &self.list[at]
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Upstream> {
        self.list.iter_mut()
    }

    /// When the first check is due.
    pub fn next_check(&self) -> u64 {
        self.list.iter().map(|upstream| upstream.check_at).min().unwrap_or(u64::MAX)
    }

    /// A request has come.
    pub fn asked(&mut self) {
        self.budget = self.most.min(self.budget + self.share);
    }

    /// Whether a request may be tried once more.
    pub fn may_retry(&mut self) -> bool {
        let left = self.budget.checked_sub(TRY);
        self.budget = left.unwrap_or(self.budget);
        left.is_some()
    }

    fn may_have(&self, at: usize, tried: u32) -> bool {
        tried & (1 << at) == 0 && !self.list[at].is_down()
    }

    /// Whether there is one that is not among the `tried`, and may be chosen.
    pub fn has_other(&self, tried: u32) -> bool {
        (0..self.list.len()).any(|at| self.may_have(at, tried))
    }

    /// One that is not among the `tried`: of those that are well, the one that has the fewest requests; if none is well, the one that
    /// would be let in first. One that does not pass its checks gets nothing.
    pub fn choose(&mut self, now: u64, tried: u32) -> Option<usize> {
        let count = self.list.len();
        let all = (0..count).map(|step| (self.turn + step) % count);
        let rank = |at: &usize| {
            let upstream = &self.list[*at];
            let out_until = if upstream.out_until <= now { 0 } else { upstream.out_until };
            (out_until, upstream.busy)
        };
        let at = all.filter(|at| self.may_have(*at, tried)).min_by_key(rank)?;
        self.turn = (at + 1) % count;
        self.list[at].busy += 1;
        self.list[at].requests += 1;
        Some(at)
    }

    /// It has a request less.
    pub fn leaves(&mut self, at: usize) {
        let busy = &mut self.list[at].busy;
        *busy = busy.saturating_sub(1);
    }

    /// How each fares.
    pub fn figures(&self, now: u64) -> Vec<Figure> {
        let of = |upstream: &Upstream| {
            let state = match upstream {
                _ if upstream.is_down() => "fails its checks",
                _ if upstream.out_until > now => "left out",
                _ => "well",
            };
            let figures = [
                Figure::text("upstream-state", state),
                Figure::counter("upstream-requests", upstream.requests),
                Figure::counter("upstream-errors", upstream.errors),
            ];
            figures.map(|figure| figure.of("upstream", upstream.origin.to_string())).into()
        };
        Report::of(Vec::new()).with(self.list.iter().map(of), "upstreams-left-out")
    }

    /// When the first that is left out is let in again.
    pub fn next_in(&self, now: u64) -> u64 {
        self.list.iter().map(|upstream| upstream.out_until).filter(|until| *until > now).min().unwrap_or(u64::MAX)
    }

    /// It has given an answer.
    pub fn answered(&mut self, at: usize) {
        let upstream = &mut self.list[at];
        (upstream.failures, upstream.times, upstream.out_until) = (0, 0, 0);
    }

    /// It has failed. For how long it is left out, if that begins now.
    pub fn failed(&mut self, now: u64, at: usize, failure: Failure) -> Option<u64> {
        let upstream = &mut self.list[at];
        upstream.errors += 1;
        // what was under way when it failed fails with it, and says nothing new
        if upstream.out_until > now {
            return None;
        }
        upstream.failures += 1;
        if failure == Failure::Broken && upstream.failures < BROKEN {
            return None;
        }
        let time = FIRST.checked_shl(upstream.times.min(16)).unwrap_or(LONGEST).min(LONGEST);
        upstream.failures = 0;
        upstream.times += 1;
        upstream.out_until = now.saturating_add(time);
        Some(time)
    }

    /// A check has come out. Whether that changes what is thought of it.
    pub fn checked(&mut self, at: usize, is_well: bool) -> bool {
        let upstream = &mut self.list[at];
        upstream.is_checked = false;
        let was_down = upstream.is_down();
        upstream.bad = if is_well { 0 } else { upstream.bad.saturating_add(1) };
        let is_down = upstream.is_down();
        if is_well {
            self.answered(at);
        }
        was_down != is_down
    }
}

impl Upstream {
    pub fn is_down(&self) -> bool {
        self.bad >= CHECKS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstreams(count: u16, retries: u64) -> Upstreams {
        let origins: Vec<_> =
            (0..count).map(|port| Origin { is_https: false, host: "a.example".into(), port: port + 1 }).collect();
        Upstreams::new(&origins, retries, 2)
    }

    #[test]
    fn the_least_busy_is_next_and_equals_take_turns() {
        let mut all = upstreams(3, 0);
        let order: Vec<_> = (0..5).map(|_| all.choose(0, 0)).collect();
        assert_eq!(order, [0, 1, 2, 0, 1].map(Some));
        all.leaves(1);
        all.leaves(1);
        assert_eq!((all.choose(0, 0), all.choose(0, 0)), (Some(1), Some(2)));
        assert_eq!((all.choose(0, 0b11), all.choose(0, 0b111)), (Some(2), None));
    }

    #[test]
    fn one_that_fails_is_left_out_for_longer_and_longer() {
        let mut all = upstreams(2, 0);
        assert_eq!(all.failed(0, 0, Failure::Unreachable), Some(FIRST));
        assert_eq!(all.failed(0, 0, Failure::Unreachable), None, "it is out");
        assert_eq!([0; 4].map(|now| all.choose(now, 0)), [Some(1); 4]);
        assert_eq!(all.choose(0, 0b10), Some(0), "better than nobody");
        let mut now = FIRST;
        for expected in [2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(all.failed(now, 0, Failure::Unreachable), Some(expected * SECOND));
            now += expected * SECOND;
        }
        all.answered(0);
        assert_eq!([(); 3].map(|()| all.failed(now, 0, Failure::Broken)), [None, None, Some(FIRST)]);
        // all are out: the first that is let in
        assert_eq!(all.failed(now, 1, Failure::Unreachable), Some(FIRST));
        all.answered(0);
        assert_eq!(all.failed(now + 1, 0, Failure::Unreachable), Some(FIRST));
        assert_eq!(all.choose(now + 2, 0), Some(1));
    }

    #[test]
    fn checks_decide() {
        let mut all = upstreams(1, 0);
        assert_eq!([false, false].map(|is_well| all.checked(0, is_well)), [false, true]);
        assert_eq!(all.choose(0, 0), None);
        assert_eq!((all.checked(0, false), all.checked(0, true), all.choose(0, 0)), (false, true, Some(0)));
    }

    #[test]
    fn tries_have_a_budget() {
        let mut all = upstreams(2, 20);
        assert_eq!([(); 3].map(|()| all.may_retry()), [true, true, false]);
        (0..5).for_each(|_| all.asked());
        assert_eq!([(); 2].map(|()| all.may_retry()), [true, false]);
        (0..500).for_each(|_| all.asked());
        assert_eq!([(); 3].map(|()| all.may_retry()), [true, true, false], "no more is kept than there are places");
        let mut none = upstreams(2, 0);
        none.asked();
        assert!(!none.may_retry());
    }
}
