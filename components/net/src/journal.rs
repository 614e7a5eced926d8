//! Lines for the box's log, kept until the shim writes them.

use core::fmt::Arguments;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

/// At most [`Journal::LIMIT`] lines: what a hostile network can cause must not become unbounded.
#[derive(Debug, Default)]
pub struct Journal {
    lines: Vec<(Level, String)>,
}

impl Journal {
    const LIMIT: usize = 32;

    pub fn write(&mut self, level: Level, line: Arguments<'_>) {
        if self.lines.len() < Self::LIMIT {
            self.lines.push((level, line.to_string()));
        }
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub fn take(&mut self) -> impl Iterator<Item = (Level, String)> + '_ {
        self.lines.drain(..)
    }
}
