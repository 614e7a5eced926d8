//! What the box says of itself: its certificates, and how handshakes come out.

use crate::session::Session;
use wit::figures::{Figure, Pace, Report};
use wit::tcp::Cause;

/// Why handshakes fail, in classes: an alert of the client's, its certificate, its patience, its end, and all that is against the
/// protocol.
const REASONS: [&str; 5] = ["alert", "certificate", "timeout", "broken-off", "protocol"];
const VERSIONS: [&str; 2] = ["1.2", "1.3"];
const OUTCOMES: [&str; 2] = ["full", "resumed"];

#[derive(Debug, Default)]
pub struct Figures {
    pub pace: Pace,
    /// when certificates are looked at which no client asks for; None: never
    pub look: Option<u64>,
    /// by version and outcome
    handshakes: [[u64; 2]; 2],
    /// by reason
    failed: [u64; REASONS.len()],
}

/// Nanoseconds between two looks at certificates.
const LOOKS: u64 = 60_000_000_000;

impl Figures {
    /// From here on they are reported.
    pub fn start(&mut self) {
        self.pace.start();
        self.look = Some(0);
    }

    pub fn due(&self) -> u64 {
        self.pace.due().min(self.look.unwrap_or(u64::MAX))
    }

    /// Whether to look at certificates now.
    pub fn takes_look(&mut self, now: u64) -> bool {
        let is_due = self.look.is_some_and(|look| look <= now);
        if is_due {
            self.look = Some(now.saturating_add(LOOKS));
        }
        is_due
    }

    /// A client's handshake is over.
    pub fn established(&mut self, session: &Session, now: u64) {
        let (is_13, is_resumed) = session.agreed();
        self.handshakes[usize::from(is_13)][usize::from(is_resumed)] += 1;
        self.pace.changed(now);
    }

    /// A client's handshake has come to nothing.
    pub fn failed(&mut self, cause: Cause, now: u64) {
        let reason = match cause {
            Cause::Alert => 0,
            Cause::Certificate => 1,
            Cause::Timeout => 2,
            Cause::Terminated => 3,
            _ => 4,
        };
        self.failed[reason] += 1;
        self.pace.changed(now);
    }

    /// All of them, with those of the certificates.
    #[cold]
    pub fn all(&self, connections: usize, certificates: Vec<Figure>) -> Vec<Figure> {
        let mut all = vec![Figure::gauge("connections", connections)];
        for (version, outcomes) in VERSIONS.iter().zip(&self.handshakes) {
            for (outcome, count) in OUTCOMES.iter().zip(outcomes) {
                all.push(Figure::counter("handshakes", *count).of("version", *version).of("outcome", *outcome));
            }
        }
        for (reason, count) in REASONS.iter().zip(&self.failed) {
            all.push(Figure::counter("failed-handshakes", *count).of("reason", *reason));
        }
        Report::of(all).with(certificates.into_iter().map(|one| vec![one]), "certificates-left-out")
    }
}
