//! Slow start for the time before the first loss.
//!
//! smoltcp's congestion controllers begin with two kilobytes and grow by half per round trip. Here a connection begins
//! with ten segments (RFC 6928) and counts bytes (RFC 3465), by what is let into the send ring; at the first loss it
//! leaves the window to smoltcp's Reno.

use smoltcp::socket::tcp::CongestionControl;

/// RFC 6928 section 2.
const INITIAL_WINDOW: usize = 10 * 1460;

#[derive(Debug)]
pub struct SlowStart {
    window: usize,
}

impl SlowStart {
    pub const CONGESTION_CONTROL: CongestionControl = CongestionControl::None;
    pub const AFTER_LOSS: CongestionControl = CongestionControl::Reno;

    pub fn new() -> Self {
        SlowStart { window: INITIAL_WINDOW }
    }

    /// Bytes that may be in the ring.
    pub fn window(&self) -> usize {
        self.window
    }

    #[inline]
    pub fn acknowledged(&mut self, bytes: usize) {
        self.window = self.window.saturating_add(bytes);
    }

    /// Whether there has been a loss.
    pub fn is_over(&self) -> bool {
        self.window == usize::MAX
    }

    /// True at the first loss.
    pub fn lost(&mut self) -> bool {
        core::mem::replace(&mut self.window, usize::MAX) != usize::MAX
    }
}
