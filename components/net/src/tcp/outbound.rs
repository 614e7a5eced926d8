//! Data on its way from the client to the remote side: what waits, what is in the send ring, and the client's credit.

use super::pool::Pool;
use super::start::SlowStart;
use crate::link::SentSegment;
use smoltcp::socket::tcp::Socket;
use std::collections::VecDeque;
use wit::INITIAL_CREDIT;

/// Credit is given back in portions, so that a connection does not cost an event per segment.
const PORTION: u32 = INITIAL_CREDIT / 4;

/// Nanoseconds; smoltcp waits for an acknowledgement no shorter than a second.
pub const PATIENCE: u64 = 990_000_000;

pub struct Outbound {
    /// what the ring has no room for
    waiting: VecDeque<u8>,
    start: SlowStart,
    /// bytes in the ring when last looked at
    in_ring: usize,
    /// the sequence number after the last byte that was put into the ring
    end: u32,
    /// something has been put into the ring since this was last asked
    filled: bool,
    /// smoltcp's retransmission timer has begun anew since [`Outbound::may_repeat`] was asked
    fresh: bool,
    /// and when, no later
    since: u64,
    /// bytes that the client may send
    credit: u32,
    /// bytes of credit to be given back
    used: u32,
    /// the client sends no more
    finishing: bool,
}

impl Outbound {
    pub fn new() -> Self {
        Outbound {
            waiting: VecDeque::new(),
            start: SlowStart::new(),
            in_ring: 0,
            end: 0,
            filled: false,
            fresh: false,
            since: 0,
            credit: INITIAL_CREDIT,
            used: 0,
            finishing: false,
        }
    }

    /// The handshake is done, and the first byte will have this sequence number.
    pub fn begin(&mut self, sequence: u32) {
        self.end = sequence;
    }

    /// The sequence number of the first byte that has not been acknowledged.
    #[inline]
    pub fn unacknowledged(&self) -> u32 {
        self.end.wrapping_sub(self.in_ring as u32)
    }

    /// Takes data from the client, and says how much: what is left there is no memory for. The error is why the
    /// connection cannot go on.
    #[inline(never)]
    pub fn send(&mut self, data: &[u8], socket: &mut Socket<'_>, pool: &mut Pool) -> Result<usize, &'static str> {
        if self.finishing {
            return Ok(data.len());
        }
        if data.len() as u64 > u64::from(self.credit) {
            return Err("the box sent more than its credit");
        }
        let taken = if self.waiting.is_empty() { self.put(data, socket) } else { 0 };
        let rest = &data[taken..];
        let kept = if rest.is_empty() || pool.keep(&mut self.waiting, rest) { data.len() } else { taken };
        self.credit -= kept as u32;
        Ok(kept)
    }

    /// Copies as much into the ring as it and the congestion window take.
    fn put(&mut self, data: &[u8], socket: &mut Socket<'_>) -> usize {
        self.observe(socket);
        let window = self.start.window().saturating_sub(self.in_ring);
        let taken = socket.send_slice(&data[..data.len().min(window)]).unwrap_or(0);
        self.fresh |= self.in_ring == 0;
        self.in_ring += taken;
        self.end = self.end.wrapping_add(taken as u32);
        self.used += taken as u32;
        self.filled |= taken > 0;
        taken
    }

    /// Looks at what the remote side has acknowledged, and says how many bytes that is.
    #[inline]
    pub fn observe(&mut self, socket: &Socket<'_>) -> usize {
        let in_ring = socket.send_queue();
        let acknowledged = self.in_ring.saturating_sub(in_ring);
        self.start.acknowledged(acknowledged);
        self.fresh |= acknowledged > 0;
        self.in_ring = in_ring;
        acknowledged
    }

    /// Moves what waits into the ring, and closes this side after the last of it.
    #[inline]
    pub fn feed(&mut self, socket: &mut Socket<'_>, pool: &mut Pool) {
        if !self.waiting.is_empty() {
            self.feed_waiting(socket, pool);
        }
        if self.finishing && self.waiting.is_empty() {
            socket.close();
        }
    }

    #[cold]
    #[inline(never)]
    fn feed_waiting(&mut self, socket: &mut Socket<'_>, pool: &mut Pool) {
        let mut waiting = core::mem::take(&mut self.waiting);
        while !waiting.is_empty() {
            let taken = self.put(waiting.as_slices().0, socket);
            if taken == 0 {
                self.waiting = waiting;
                return;
            }
            waiting.drain(..taken);
        }
        pool.give_back(waiting.capacity());
    }

    pub fn finish(&mut self) {
        self.finishing = true;
    }

    pub fn is_finishing(&self) -> bool {
        self.finishing
    }

    /// Credit to give back to the client, when it is enough to tell it.
    #[inline]
    pub fn credit_due(&mut self) -> Option<u32> {
        if self.used < PORTION {
            return None;
        }
        let due = core::mem::take(&mut self.used);
        self.credit += due;
        Some(due)
    }

    /// Whether something has been put into the ring since the last call.
    pub fn was_filled(&mut self) -> bool {
        core::mem::take(&mut self.filled)
    }

    /// Whether nothing follows this segment.
    pub fn ends_with(&self, segment: &SentSegment) -> bool {
        self.is_sent(segment.next)
    }

    /// Whether there is nothing to send from this sequence number on.
    #[inline]
    pub fn is_sent(&self, next: u32) -> bool {
        !self.finishing && next == self.end
    }

    /// A segment has been lost. True if that is the first one.
    pub fn lost(&mut self) -> bool {
        self.start.lost()
    }

    /// Whether there is something that may have been sent and was not acknowledged.
    pub fn is_in_flight(&self) -> bool {
        self.in_ring > 0
    }

    /// Whether smoltcp may be about to send everything again, after the first loss.
    #[inline]
    pub fn may_repeat(&mut self, now: u64) -> bool {
        if core::mem::take(&mut self.fresh) {
            self.since = now;
        }
        self.in_ring > 0 && now.saturating_sub(self.since) >= PATIENCE && !self.start.is_over()
    }

    /// Whether there has been a loss.
    pub fn has_lost(&self) -> bool {
        self.start.is_over()
    }

    /// Bytes of memory for what waits.
    pub fn memory(&self) -> usize {
        self.waiting.capacity()
    }

    /// Whether there is something that the remote side has not acknowledged.
    pub fn is_pending(&self) -> bool {
        self.in_ring > 0 || !self.waiting.is_empty()
    }

    /// Forgets all that is to be sent.
    pub fn discard(&mut self) {
        self.waiting = VecDeque::new();
    }
}
