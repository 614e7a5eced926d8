//! The log of a box: its last lines, and how fast it may write.

use crate::{
    platform::{Nanos, Platform},
    stamp::Stamp,
};
use alloc::{collections::VecDeque, string::String};
use core::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// Lines that are kept of each box.
const KEPT: usize = 64;

/// The longest line, in bytes.
pub const MAX_LINE: usize = 1_024;

/// What the lines of a box hold at most, in bytes.
pub const HELD: usize = KEPT * (MAX_LINE + size_of::<Line>());

/// Lines of all boxes so far.
static WRITTEN: AtomicU64 = AtomicU64::new(0);

/// Of the last line that any box has.
pub fn last_order() -> u64 {
    WRITTEN.load(Relaxed)
}

/// Lines a box may write at once, and how long it takes until it may write one more.
const BURST: u64 = 200;
const REFILL: Nanos = 10_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Line {
    /// counts the lines of its box from 0
    pub number: u64,
    /// counts the lines of all boxes from 1
    #[serde(skip)]
    pub order: u64,
    pub at: Nanos,
    /// nanoseconds since 1970, if the node knew it then
    pub time: Option<u64>,
    pub level: Level,
    pub text: String,
}

#[derive(Debug, Default)]
pub struct Log {
    lines: VecDeque<Line>,
    /// the number of the next line
    next: u64,
    /// the time at which all lines written so far are paid for
    paid: Nanos,
    suppressed: u64,
}

impl Log {
    pub fn lines(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter()
    }

    /// Keeps a line that the node writes. What it returns goes to the console.
    pub fn note(&mut self, stamp: Stamp, level: Level, text: &str) -> Line {
        if self.lines.len() == KEPT {
            self.lines.pop_front();
        }
        let order = WRITTEN.fetch_add(1, Relaxed) + 1;
        let Stamp { at, time } = stamp;
        let line = Line { number: self.next, order, at, time, level, text: one_line(text) };
        self.next += 1;
        self.lines.push_back(line.clone());
        line
    }

    /// Keeps a line that the box writes, if it has not written too many.
    pub fn write(&mut self, stamp: Stamp, level: Level, text: &str) -> Option<Line> {
        let at = stamp.at;
        let text = &text[..text.floor_char_boundary(MAX_LINE)];
        let paid = self.paid.max(at) + REFILL;
        if paid > at + BURST * REFILL {
            self.suppressed += 1;
            return None;
        }
        self.paid = paid;
        let suppressed = core::mem::take(&mut self.suppressed);
        Some(if suppressed == 0 {
            self.note(stamp, level, text)
        } else {
            self.note(stamp, level, &alloc::format!("{text} ({suppressed} lines before this one left out)"))
        })
    }
}

/// Cut at [`MAX_LINE`] bytes, and without control characters, so that no box can write another's line.
fn one_line(text: &str) -> String {
    let cut = text.floor_char_boundary(MAX_LINE);
    text[..cut].chars().map(|c| if c.is_control() && c != '\t' { ' ' } else { c }).collect()
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Error => "error: ",
            Level::Warn => "warning: ",
            Level::Info => "",
            Level::Debug => "debug: ",
        })
    }
}

impl Line {
    /// As the console shows it.
    pub fn of(&self, who: &str) -> String {
        console_line(Stamp { at: self.at, time: self.time }, who, self.level, &self.text)
    }
}

/// What the node says of itself goes to its console.
pub fn of_node(platform: &dyn Platform, level: Level, text: &str) {
    platform.write_console(&console_line(Stamp::now(platform), "node", level, text));
}

/// `[2026-11-30 10:32:01.123456] http: text`
fn console_line(stamp: Stamp, who: &str, level: Level, text: &str) -> String {
    alloc::format!("[{stamp}] {who}: {level}{text}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Nanos = 1_000_000_000;

    fn since_boot(at: Nanos) -> Stamp {
        Stamp { at, time: None }
    }

    #[test]
    fn a_flood_is_throttled_and_counted() {
        let mut log = Log::default();
        let at = 100 * SECOND;
        let written = (0..1_000).filter(|_| log.write(since_boot(at), Level::Info, "x").is_some()).count();
        assert_eq!(written as u64, BURST);
        let next = log.write(since_boot(at + SECOND), Level::Info, "y").expect("refilled");
        assert_eq!(next.text, "y (800 lines before this one left out)");
        assert_eq!(log.lines().count(), KEPT);
    }

    #[test]
    fn the_node_has_just_booted_and_a_box_speaks() {
        let mut log = Log::default();
        let written = (0..1_000).filter(|_| log.write(since_boot(5), Level::Info, "x").is_some()).count();
        assert_eq!(written as u64, BURST);
    }

    #[test]
    fn a_line_is_one_line() {
        let mut log = Log::default();
        assert_eq!(log.note(since_boot(0), Level::Info, "a\n[0.0] net: b\r").text, "a [0.0] net: b ");
        assert_eq!(log.note(since_boot(0), Level::Info, &"é".repeat(1_000)).text.len(), MAX_LINE);
    }

    #[test]
    fn console_form() {
        assert_eq!(
            console_line(since_boot(1_234_567_890), "http", Level::Warn, "slow"),
            "[    1.234567] http: warning: slow\n"
        );
    }
}
