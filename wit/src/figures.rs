//! `pearwood:box/figures`: what a box reports of itself, and when.

use alloc::{string::String, vec::Vec};

/// As `wit/box/box.wit` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Counter(u64),
    Gauge(i64),
    /// seconds since 1970
    Moment(u64),
    Text(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    pub name: &'static str,
    pub labels: Vec<(&'static str, String)>,
    pub value: Value,
}

impl Figure {
    pub fn new(name: &'static str, value: Value) -> Self {
        Figure { name, labels: Vec::new(), value }
    }

    pub fn counter(name: &'static str, count: u64) -> Self {
        Self::new(name, Value::Counter(count))
    }

    pub fn gauge(name: &'static str, number: usize) -> Self {
        Self::new(name, Value::Gauge(i64::try_from(number).unwrap_or(i64::MAX)))
    }

    /// `seconds`: since 1970
    pub fn moment(name: &'static str, seconds: u64) -> Self {
        Self::new(name, Value::Moment(seconds))
    }

    pub fn text(name: &'static str, text: impl Into<String>) -> Self {
        Self::new(name, Value::Text(text.into()))
    }

    #[must_use]
    pub fn of(mut self, label: &'static str, value: impl Into<String>) -> Self {
        self.labels.push((label, value.into()));
        self
    }
}

const SECOND: u64 = 1_000_000_000;

/// When to report: soon after something has changed, and no more often than once a second. Times are monotonic nanoseconds.
#[derive(Debug, Clone)]
pub struct Pace {
    is_on: bool,
    due: u64,
    next: u64,
}

/// Nobody is reported to.
impl Default for Pace {
    fn default() -> Self {
        Pace { is_on: false, due: u64::MAX, next: 0 }
    }
}

impl Pace {
    /// Everything is to be reported, at once.
    pub fn start(&mut self) {
        *self = Pace { is_on: true, due: 0, next: 0 };
    }

    /// Something has changed.
    #[inline]
    pub fn changed(&mut self, now: u64) {
        if self.is_on && self.due == u64::MAX {
            self.due = self.next.max(now);
        }
    }

    /// When there is something to report; the largest number: never.
    #[inline]
    pub fn due(&self) -> u64 {
        self.due
    }

    /// Whether to report now, which is then counted as done.
    #[inline]
    pub fn take(&mut self, now: u64) -> bool {
        let is_due = self.due <= now;
        if is_due {
            (self.due, self.next) = (u64::MAX, now.saturating_add(SECOND));
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_soon_and_many_once_a_second() {
        let mut pace = Pace::default();
        pace.changed(4);
        assert!(!pace.take(5) && pace.due() == u64::MAX, "to nobody");
        pace.start();
        assert!(pace.take(5) && !pace.take(5));
        pace.next = 0;
        pace.changed(10);
        assert!(pace.due() == 10 && pace.take(10) && !pace.take(11));
        pace.changed(20);
        pace.changed(30);
        assert!(!pace.take(SECOND) && pace.due() == SECOND + 10 && pace.take(SECOND + 10));
        assert_eq!(pace.due(), u64::MAX, "nothing more is to be told");
    }
}
