//! What a node writes to its console, line by line.

use anyhow::{Result, bail};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How many lines are remembered.
const REMEMBERED: usize = 20_000;

/// The longest line; more of one is another.
const LONGEST: usize = 64 << 10;

/// How many lines an error shows.
const SHOWN: usize = 40;

/// Shared between the thread that reads the console and those that wait for what it says.
#[derive(Clone, Default)]
pub struct Console {
    shared: Arc<(Mutex<Lines>, Condvar)>,
}

#[derive(Default)]
struct Lines {
    lines: VecDeque<String>,
    /// The number of lines that are no longer remembered.
    forgotten: usize,
    unfinished: Vec<u8>,
    closed: bool,
}

impl Console {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what the node has written.
    pub(super) fn write(&self, bytes: &[u8]) {
        let mut lines = self.lock();
        for byte in bytes {
            match byte {
                b'\n' => lines.finish_line(),
                b'\r' => {}
                byte => lines.unfinished.push(*byte),
            }
            if lines.unfinished.len() >= LONGEST {
                lines.finish_line();
            }
        }
        self.shared.1.notify_all();
    }

    /// The node writes no more.
    pub(super) fn close(&self) {
        let mut lines = self.lock();
        if !lines.unfinished.is_empty() {
            lines.finish_line();
        }
        lines.closed = true;
        self.shared.1.notify_all();
    }

    /// The number of lines so far: a place to wait from.
    pub fn position(&self) -> usize {
        let lines = self.lock();
        lines.forgotten + lines.lines.len()
    }

    /// The lines from a position on.
    pub fn lines_from(&self, position: usize) -> Vec<String> {
        let lines = self.lock();
        lines.lines.iter().skip(position.saturating_sub(lines.forgotten)).cloned().collect()
    }

    /// Waits for a line that contains `text`, said before or not.
    pub fn wait_for(&self, text: &str, patience: Duration) -> Result<String> {
        self.wait_from(0, &format!("`{text}`"), |line| line.contains(text), patience)
    }

    /// Waits for a line after a position that fits; `what` says in errors what was waited for.
    pub fn wait_from(
        &self,
        position: usize,
        what: &str,
        fits: impl Fn(&str) -> bool,
        patience: Duration,
    ) -> Result<String> {
        let end = Instant::now() + patience;
        let mut next = position;
        let mut lines = self.lock();
        loop {
            let start = next.saturating_sub(lines.forgotten);
            if let Some(line) = lines.lines.iter().skip(start).find(|line| fits(line)) {
                return Ok(line.clone());
            }
            next = lines.forgotten + lines.lines.len();
            let left = end.saturating_duration_since(Instant::now());
            if lines.closed || left.is_zero() {
                let why = if lines.closed { "the node ended" } else { "nothing came in time" };
                bail!("waited for {what} on the console, but {why}; it ends with:\n{}", lines.end());
            }
            lines = self.shared.1.wait_timeout(lines, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The last lines, for errors.
    pub fn end(&self) -> String {
        self.lock().end()
    }
}

impl Lines {
    fn finish_line(&mut self) {
        let line = String::from_utf8_lossy(&self.unfinished).into_owned();
        self.unfinished.clear();
        self.lines.push_back(line);
        if self.lines.len() > REMEMBERED {
            self.lines.pop_front();
            self.forgotten += 1;
        }
    }

    fn end(&self) -> String {
        let skipped = self.lines.len().saturating_sub(SHOWN);
        let shown: Vec<String> = self.lines.iter().skip(skipped).map(|line| format!("    {line}")).collect();
        if shown.is_empty() { "    (nothing)".into() } else { shown.join("\n") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_line_is_waited_for() {
        let console = Console::default();
        let writer = console.clone();
        let thread = thread::spawn(move || {
            writer.write(b"[ 0.1] he");
            writer.write(b"llo\r\n");
        });
        assert_eq!(console.wait_for("hello", LONG).unwrap(), "[ 0.1] hello");
        thread.join().unwrap();
    }

    #[test]
    fn a_position_leaves_out_what_was_said_before() {
        let console = Console::default();
        console.write(b"ready\n");
        let position = console.position();
        assert!(console.wait_from(position, "it", |line| line == "ready", Duration::ZERO).is_err());
        console.write(b"ready\n");
        assert!(console.wait_from(position, "it", |line| line == "ready", Duration::ZERO).is_ok());
    }

    #[test]
    fn the_end_is_an_error_that_shows_the_console() {
        let console = Console::default();
        console.write(b"going down");
        console.close();
        let error = console.wait_for("up", LONG).unwrap_err().to_string();
        assert!(error.contains("`up`") && error.contains("the node ended") && error.contains("going down"), "{error}");
    }

    #[test]
    fn memory_is_bounded() {
        let console = Console::default();
        for _ in 0..REMEMBERED + 5 {
            console.write(b"x\n");
        }
        console.write(&vec![b'y'; 2 * LONGEST]);
        assert_eq!(console.lock().lines.len(), REMEMBERED);
        assert_eq!(console.position(), REMEMBERED + 7);
        assert_eq!(console.lines_from(REMEMBERED + 5).len(), 2);
    }
}
