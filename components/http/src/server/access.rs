//! The access log: lines in the formats that every tool reads, those of Apache and nginx.

use super::{Http, Level};
use crate::config::AccessLog;
use crate::exchange::Record;
use core::net::{IpAddr, Ipv6Addr};
use message::{Head, fields};
use std::fmt::Write;

/// What a line has of each part at most, so that all of it has room in a line of the log.
const TARGET: usize = 480;
const HOST: usize = 96;
const FIELD: usize = 120;
const USER: usize = 32;

/// The version that a head of HTTP/1 is of.
pub(super) const fn version(head: &Head<'_>) -> &'static str {
    if head.is_11 { "HTTP/1.1" } else { "HTTP/1.0" }
}

/// Notes what is known of a request when it comes: its head, and the version of HTTP. Without them it is none.
#[cold]
#[inline(never)]
pub(super) fn note(
    record: &mut Record,
    format: AccessLog,
    remote: Ipv6Addr,
    user: &str,
    time: &str,
    request: Option<(&Head<'_>, &str)>,
) {
    let head = request.map(|(head, _)| head);
    let line = &mut record.line;
    line.clear();
    if format == AccessLog::VhostCombined {
        quote(line, head.map(|head| head.authority.as_bytes()), HOST);
        line.push(' ');
    }
    let _ = write!(line, "{} - ", IpAddr::V6(remote).to_canonical());
    quote(line, Some(user.as_bytes()), USER);
    let _ = write!(line, " [{time}] \"");
    match request {
        Some((head, version)) => {
            let _ = write!(line, "{} ", head.method);
            quote(line, Some(head.target.as_str().as_bytes()), TARGET);
            let _ = write!(line, " {version}");
        }
        None => line.push('-'),
    }
    line.push('"');
    record.split = line.len();
    if format >= AccessLog::Combined {
        for name in ["referer", "user-agent"] {
            line.push_str(" \"");
            quote(line, head.and_then(|head| fields::value_of(head.headers, name)), FIELD);
            line.push('"');
        }
    }
}

impl Http {
    /// The response to a request is on its way.
    #[cold]
    #[inline(never)]
    pub(super) fn log_access(&mut self, id: u32) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        let Record { line, split, status, body_bytes, .. } = &exchange.record;
        let (start, end) = line.split_at_checked(*split).unwrap_or_default();
        let line = format!("{start} {status} {body_bytes}{end}");
        self.say(Level::Info, line);
    }
}

/// Adds what a client has sent, as Apache does: quotes and what cannot be seen are escaped. `-`: there is nothing.
fn quote(line: &mut String, text: Option<&[u8]>, most: usize) {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return line.push('-') };
    let end = line.len() + most;
    for &byte in text {
        let is_plain = matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
        let length = if is_plain { 1 } else { 4 };
        if line.len() + length > end {
            return;
        }
        if is_plain {
            line.push(byte.into());
        } else {
            let _ = write!(line, "\\x{byte:02x}");
        }
    }
}
