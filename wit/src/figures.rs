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

    /// What the node would cut is cut: so two of them are seen to be the same.
    #[must_use]
    pub fn of(mut self, label: &'static str, value: impl Into<String>) -> Self {
        let mut value = value.into();
        let end = (0..=TEXT.min(value.len())).rev().find(|end| value.is_char_boundary(*end)).unwrap_or(0);
        value.truncate(end);
        self.labels.push((label, value));
        self
    }
}

/// The most figures of a report, bytes of them as JSON, and bytes that are left of a text.
const MOST: usize = 512;
const MOST_BYTES: usize = 32 << 10;
const TEXT: usize = 256;

impl Figure {
    /// The most bytes that it takes as JSON, with the comma before it. A number counts as the longest, so that one which grows needs no
    /// more.
    fn size(&self) -> usize {
        const AROUND: usize = r#",{"name":"","labels":{},"kind":"counter","value":18446744073709551615}"#.len();
        let labels = self.labels.iter().map(|(name, value)| r#","":"""#.len() + name.len() + escaped(value));
        let text = if let Value::Text(text) = &self.value { escaped(text) } else { 0 };
        AROUND + self.name.len() + labels.sum::<usize>() + text
    }
}

/// The most bytes of a text in JSON, cut.
fn escaped(text: &str) -> usize {
    // where it is cut there may be a sign of that
    text.bytes()
        .take(TEXT + 3)
        .map(|byte| {
            if byte < b' ' {
                6
            } else if matches!(byte, b'"' | b'\\') {
                2
            } else {
                1
            }
        })
        .sum()
}

/// A report that fits: without it, the node takes none of the figures of a box that has too much to tell.
#[derive(Debug)]
pub struct Report {
    figures: Vec<Figure>,
    figures_left: usize,
    bytes_left: usize,
}

impl Report {
    /// With figures that are told whatever else is.
    pub fn of(figures: Vec<Figure>) -> Self {
        // the brackets
        let mut report = Report { figures: Vec::new(), figures_left: MOST, bytes_left: MOST_BYTES - 2 };
        report.add(figures);
        report
    }

    /// Adds figures that belong together, if there is room for all of them.
    pub fn add(&mut self, figures: Vec<Figure>) -> bool {
        let size = figures.iter().map(Figure::size).sum();
        let (Some(figures_left), Some(bytes_left)) =
            (self.figures_left.checked_sub(figures.len()), self.bytes_left.checked_sub(size))
        else {
            return false;
        };
        (self.figures_left, self.bytes_left) = (figures_left, bytes_left);
        self.figures.extend(figures);
        true
    }

    /// Adds groups of figures, those that matter most first, and under a name how many groups there is no room for.
    #[must_use]
    pub fn with(mut self, groups: impl IntoIterator<Item = Vec<Figure>>, left_out: &'static str) -> Vec<Figure> {
        self.keep_room(&[Figure::gauge(left_out, 0)]);
        let count = groups.into_iter().map(|group| self.add(group)).filter(|is_told| !is_told).count();
        self.finish((count > 0).then(|| Figure::gauge(left_out, count)))
    }

    /// These, with whatever values, are what the report ends with.
    pub fn keep_room(&mut self, last: &[Figure]) {
        self.bytes_left = self.bytes_left.saturating_sub(last.iter().map(Figure::size).sum());
        self.figures_left = self.figures_left.saturating_sub(last.len());
    }

    /// `last`: for which room was kept.
    #[must_use]
    pub fn finish(mut self, last: impl IntoIterator<Item = Figure>) -> Vec<Figure> {
        self.figures.extend(last);
        self.figures
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
    use alloc::vec;

    /// As the node writes them.
    #[test]
    fn sizes_are_those_of_json() {
        let json = r#",{"name":"a","labels":{"b":"x\"\\","c":"\u0000"},"kind":"text","value":"\n"}"#;
        let size = Figure::text("a", "\n").of("b", "x\"\\").of("c", "\0").size();
        assert!((json.len()..json.len() + 40).contains(&size), "{size} {}", json.len());
        let json = r#",{"name":"a","labels":{},"kind":"counter","value":18446744073709551615}"#;
        assert_eq!(Figure::counter("a", 1).size(), json.len());
        assert!(Figure::text("a", "x".repeat(9_000)).size() < 400);
    }

    #[test]
    fn what_does_not_fit_is_left_out_by_groups_and_counted() {
        let group = |n: usize| vec![Figure::text("a", "x".repeat(200)).of("n", alloc::format!("{n}")); 2];
        let told = Report::of(vec![Figure::gauge("own", 1)]).with((0..100).map(group), "more");
        let bytes: usize = told.iter().map(Figure::size).sum();
        assert!(bytes <= MOST_BYTES - 2 && bytes > MOST_BYTES - 2_000, "{bytes}");
        assert_eq!(told.last(), Some(&Figure::gauge("more", 100 - (told.len() - 2) / 2)));
        let told = Report::of(Vec::new()).with((0..1_000).map(|_| vec![Figure::gauge("a", 1)]), "more");
        assert!(told.len() <= MOST && told.len() > 300);
        assert_eq!(Report::of(Vec::new()).with([group(1)], "more"), group(1));
    }

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
