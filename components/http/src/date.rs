//! The headers that every response has: `Date` (RFC 9110, section 6.6.1) and `Server`.

use core::time::Duration;
use std::time::UNIX_EPOCH;

const SECOND: u64 = 1_000_000_000;

#[derive(Debug, Default)]
pub struct Common {
    /// both, and an empty line
    lines: Vec<u8>,
    /// where `Date` ends and `Server` starts
    split: usize,
    /// `Server` and the empty line
    server: Vec<u8>,
    /// monotonic time from which the lines are out of date
    until: u64,
}

impl Common {
    pub fn new(server: &str) -> Self {
        let name = if server.is_empty() { String::new() } else { format!("Server: {server}\r\n") };
        let server = (name + "\r\n").into_bytes();
        Common { lines: server.clone(), split: 0, server, until: 0 }
    }

    pub fn is_stale(&self, now: u64) -> bool {
        now >= self.until
    }

    /// `wall_clock` is in nanoseconds since 1970; a server that does not know the time sends no `Date`.
    pub fn refresh(&mut self, now: u64, wall_clock: Option<u64>) {
        self.lines.clear();
        let into_second = wall_clock.map_or(0, |time| time % SECOND);
        self.until = now.saturating_add(SECOND - into_second);
        if let Some(time) = wall_clock {
            let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(time / SECOND));
            self.lines.extend_from_slice(b"Date: ");
            self.lines.extend_from_slice(date.as_bytes());
            self.lines.extend_from_slice(b"\r\n");
        }
        self.split = self.lines.len();
        self.lines.extend_from_slice(&self.server);
    }

    /// `06/Nov/1994:08:49:37 +0000`, as access logs have it; `-`: nobody knows.
    pub fn log_time(&self) -> String {
        // `Date: Sun, 06 Nov 1994 08:49:37 GMT`
        let part = |range| self.lines.get(range).and_then(|part| str::from_utf8(part).ok()).unwrap_or_default();
        if self.split == 0 {
            return "-".into();
        }
        format!("{}/{}/{}:{} +0000", part(11..13), part(14..17), part(18..22), part(23..31))
    }

    /// The end of a head: the lines that the handler has not given, and the empty line.
    #[inline]
    pub fn end(&self, has_date: bool, has_server: bool) -> [&[u8]; 2] {
        let (date, rest) = self.lines.split_at(self.split);
        match (has_date, has_server) {
            (false, false) => [&self.lines, b""],
            (true, false) => [rest, b""],
            (false, true) => [date, b"\r\n"],
            (true, true) => [b"", b"\r\n"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_changes_with_the_second() {
        let mut common = Common::new("Pearwood");
        assert!(common.is_stale(5));
        common.refresh(5, Some(784_111_777 * SECOND + SECOND / 4));
        assert_eq!(
            common.end(false, false).concat(),
            b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: Pearwood\r\n\r\n"
        );
        assert_eq!(common.log_time(), "06/Nov/1994:08:49:37 +0000");
        assert_eq!(common.end(true, false).concat(), b"Server: Pearwood\r\n\r\n");
        assert_eq!(common.end(false, true).concat(), b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n");
        assert_eq!(common.end(true, true).concat(), b"\r\n");
        assert!(!common.is_stale(4 + SECOND * 3 / 4));
        assert!(common.is_stale(5 + SECOND * 3 / 4));
    }

    #[test]
    fn without_a_clock_or_a_name() {
        let mut common = Common::new("");
        common.refresh(0, None);
        assert_eq!(common.end(false, false).concat(), b"\r\n");
        assert_eq!(common.log_time(), "-");
        assert!(common.is_stale(SECOND));
    }
}
