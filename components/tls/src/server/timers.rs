//! What takes too long, and what is done about it.

use super::{Level, Tls};
use crate::session::Failed;
use core::net::{IpAddr, Ipv6Addr};
use wit::tcp::Cause;

const SECOND: u64 = 1_000_000_000;

/// How long a connection that this side has finished may take to close.
pub(super) const LINGER: u64 = 5 * SECOND;

/// Failures are told of no more often than this.
const INTERVAL: u64 = 60 * SECOND;

/// Handshakes that have failed, of which the log has a line now and then: whoever wants to can make many.
#[derive(Debug, Default)]
pub(super) struct Failures {
    count: usize,
    last: String,
    /// before this nothing is told
    next: u64,
}

impl Failures {
    pub fn add(&mut self, remote: Ipv6Addr, why: &str) {
        self.count += 1;
        if self.count == 1 {
            self.last = format!("{}: {why}", IpAddr::V6(remote).to_canonical());
        }
    }

    pub fn due(&self) -> u64 {
        if self.count > 0 { self.next } else { u64::MAX }
    }
}

fn late() -> Failed {
    Failed { cause: Cause::Timeout, alert: 0, why: "the handshake took too long".into() }
}

impl Tls {
    pub(super) fn timers(&mut self) {
        if self.failures.due() <= self.now {
            let Failures { count, last, .. } = core::mem::take(&mut self.failures);
            self.failures.next = self.now.saturating_add(INTERVAL);
            let others = if count > 1 { format!(", and {} others", count - 1) } else { String::new() };
            self.say(Level::Info, format!("no handshake with {last}{others}"));
        }
        while let Some(step) = self.dials.due(self.now) {
            self.dial_step(step);
        }
        if self.now < self.earliest {
            return;
        }
        let now = self.now;
        for key in self.connections.which(|connection| connection.deadline <= now) {
            let Some(connection) = self.connections.get(key) else { continue };
            if connection.is_open() {
                self.leave_if_idle(key);
                continue;
            }
            if let Some(dialed) = connection.dialed.take() {
                self.dial_failed(&dialed, &late());
            } else if !connection.close_sent {
                self.failures.add(connection.remote.address, "it took too long");
            }
            self.abort(key, "");
        }
        self.earliest = self.connections.iter().map(|(_, connection)| connection.deadline).min().unwrap_or(u64::MAX);
    }
}
