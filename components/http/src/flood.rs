//! What a client of HTTP/2 may say without asking for anything.
//!
//! Every frame costs whoever receives it, and most of them ask for nothing: PING, SETTINGS, PRIORITY, WINDOW_UPDATE, RST_STREAM of a
//! request that was just made (CVE-2023-44487), CONTINUATION (CVE-2024-27316), frames of unknown types. Others make the server say
//! something: the library answers what comes late, or is wrong, with RST_STREAM (CVE-2025-8671). So each of them takes something from a
//! client's allowance, which comes back with time, with responses that the client lets end, and with the data that it takes.
//! [`Frames`] counts them as they come, before anything else sees them, and the answers as they go.

/// Bytes of a frame's head (RFC 9113, section 4.1).
const HEAD: usize = 9;
const PREFACE: u32 = 24;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// What a reset takes: by the time it comes, a request has been to a handler.
const RESET: u32 = 4;
/// What a client gets for a response that it lets end: what it asked for it with, and a reset that may be.
const RESPONSE: u32 = 1 + RESET;
/// ... and for so many bytes of body that it takes: clients tell of them in WINDOW_UPDATE, twice.
const TAKEN: u64 = 1 << 10;
/// The whole allowance comes back in this time.
const WHOLE: u64 = 60_000_000_000;

/// Finds the heads of frames in a stream of bytes.
#[derive(Debug, Default)]
struct Heads {
    /// the start of the next frame's head
    head: [u8; HEAD],
    has: usize,
    /// bytes left of the frame
    left: u32,
}

impl Heads {
    /// The next head, which is taken from `data` with all that comes before it.
    fn next(&mut self, data: &mut &[u8]) -> Option<[u8; HEAD]> {
        let length = data.len().min(self.left as usize);
        self.left -= length as u32;
        *data = &data[length..];
        let length = data.len().min(HEAD - self.has);
        self.head[self.has..][..length].copy_from_slice(&data[..length]);
        self.has += length;
        *data = &data[length..];
        if self.has < HEAD {
            return None;
        }
        self.has = 0;
        let [a, b, c, ..] = self.head;
        self.left = u32::from_be_bytes([0, a, b, c]);
        Some(self.head)
    }
}

#[derive(Debug)]
pub struct Frames {
    came: Heads,
    went: Heads,
    /// The frame is one of a field block, or another that has to be whole before anything else can come.
    holds_up: bool,
    /// A field block has begun, and not ended.
    in_block: bool,
    /// since when a frame that holds up others is under way
    since: Option<u64>,
    allowance: u32,
    most: u32,
    /// until when time has been counted
    at: u64,
    /// bytes that were taken and not counted yet
    taken: u64,
}

/// The client has said too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMuch;

impl Frames {
    /// Of a connection with so many requests at once, each of which the client may reset twice before it is to have some patience.
    pub fn new(streams: usize, now: u64) -> Self {
        let most = u32::try_from(streams).unwrap_or(u32::MAX / 64).saturating_mul(2 * RESPONSE).max(200);
        Frames {
            came: Heads { left: PREFACE, ..Heads::default() },
            went: Heads::default(),
            holds_up: true,
            in_block: false,
            since: Some(now),
            allowance: most,
            most,
            at: now,
            taken: 0,
        }
    }

    /// Counts what has come.
    pub fn count(&mut self, mut data: &[u8], now: u64) -> Result<(), TooMuch> {
        while let Some(head) = self.came.next(&mut data) {
            self.frame(head, now)?;
        }
        let is_partial = self.came.has > 0 || self.in_block || (self.came.left > 0 && self.holds_up);
        self.since = if is_partial { self.since.or(Some(now)) } else { None };
        Ok(())
    }

    /// Counts what goes to the client.
    pub fn count_written(&mut self, mut data: &[u8], now: u64) -> Result<(), TooMuch> {
        while let Some([_, _, _, kind, ..]) = self.went.next(&mut data) {
            self.take(u32::from(kind == RST_STREAM), now)?;
        }
        Ok(())
    }

    fn frame(&mut self, head: [u8; HEAD], now: u64) -> Result<(), TooMuch> {
        let [_, _, _, kind, flags, ..] = head;
        self.holds_up = kind != DATA;
        let cost = match kind {
            // what is too small, or empty, the library counts
            DATA => 0,
            RST_STREAM | SETTINGS => RESET,
            _ => 1,
        };
        if matches!(kind, HEADERS | CONTINUATION) {
            self.in_block = flags & END_HEADERS == 0;
        }
        self.take(cost, now)
    }

    /// Takes something from the allowance.
    pub fn take(&mut self, cost: u32, now: u64) -> Result<(), TooMuch> {
        if self.allowance < cost {
            let passed = u128::from(now.saturating_sub(self.at));
            let back = u32::try_from(passed * u128::from(self.most) / u128::from(WHOLE)).unwrap_or(u32::MAX);
            self.give(back);
            self.at = now;
        }
        self.allowance = self.allowance.checked_sub(cost).ok_or(TooMuch)?;
        Ok(())
    }

    fn give(&mut self, back: u32) {
        self.allowance = self.allowance.saturating_add(back).min(self.most);
    }

    /// The client has let a response end.
    pub fn has_ended(&mut self) {
        self.give(RESPONSE);
    }

    /// The client has room for so much more of a body.
    pub fn has_taken(&mut self, bytes: usize) {
        self.taken += bytes as u64;
        self.give(u32::try_from(self.taken / TAKEN).unwrap_or(u32::MAX));
        self.taken %= TAKEN;
    }

    /// Since when the client has been at a frame without which nothing else can come.
    pub fn is_held_up_since(&self) -> Option<u64> {
        self.since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let mut bytes = (length as u32).to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags, 0, 0, 0, 1]);
        bytes.resize(HEAD + length, 7);
        bytes
    }

    fn begun() -> Frames {
        let mut frames = Frames::new(100, SECOND);
        assert!(frames.is_held_up_since().is_some(), "the preface is awaited");
        frames.count(&[b'x'; PREFACE as usize], SECOND).unwrap();
        assert_eq!(frames.is_held_up_since(), None);
        frames
    }

    #[test]
    fn frames_are_told_apart_however_they_are_cut() {
        let stream = [frame(1, 4, 10), frame(0, 0, 5_000), frame(6, 0, 8), frame(3, 0, 4), frame(0, 1, 0)].concat();
        for cut in [1, 2, 8, 9, 10, 700, stream.len()] {
            let mut frames = begun();
            let before = frames.allowance;
            stream.chunks(cut).for_each(|part| frames.count(part, SECOND).unwrap());
            assert_eq!(
                (before - frames.allowance, frames.came.has, frames.came.left),
                (2 + RESET, 0, 0),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn what_the_server_is_made_to_say_counts() {
        let mut frames = begun();
        let stream = [frame(4, 0, 18), frame(3, 0, 4), frame(0, 0, 5_000), frame(3, 0, 4)].concat();
        let before = frames.allowance;
        stream.chunks(7).for_each(|part| frames.count_written(part, SECOND).unwrap());
        assert_eq!(before - frames.allowance, 2);
        assert!((0..1_000).any(|_| frames.count_written(&frame(3, 0, 4), SECOND).is_err()));
        assert_eq!(frames.is_held_up_since(), None);
    }

    #[test]
    fn an_allowance_ends_and_comes_back() {
        let mut frames = begun();
        let ping = frame(6, 0, 8);
        let count = (0..).take_while(|_| frames.count(&ping, SECOND).is_ok()).count();
        assert_eq!(count, 1_000);
        // nobody reads on in the frame that was too much
        frames.came = Heads::default();
        assert!(frames.count(&ping, 61 * SECOND).is_ok());
        assert_eq!(frames.allowance, 999, "no more than there was");
        frames.allowance = 0;
        frames.at = 61 * SECOND;
        frames.has_taken(10 << 10);
        frames.has_ended();
        assert_eq!(frames.allowance, 15);
        let resets = (0..).take_while(|_| frames.count(&frame(3, 0, 4), 61 * SECOND).is_ok()).count();
        assert_eq!(resets, 3);
    }

    #[test]
    fn what_holds_up_others_is_known() {
        let mut frames = begun();
        frames.count(&frame(0, 0, 100)[..50], 2 * SECOND).unwrap();
        assert_eq!(frames.is_held_up_since(), None, "a body has its own time");
        frames.count(&[7; 59], 2 * SECOND).unwrap();
        frames.count(&frame(1, 0, 10), 3 * SECOND).unwrap();
        assert_eq!(frames.is_held_up_since(), Some(3 * SECOND), "a block without its end");
        frames.count(&frame(9, 0, 10), 4 * SECOND).unwrap();
        assert_eq!(frames.is_held_up_since(), Some(3 * SECOND));
        frames.count(&frame(9, 4, 10), 5 * SECOND).unwrap();
        assert_eq!(frames.is_held_up_since(), None);
        frames.count(&[0], 6 * SECOND).unwrap();
        assert_eq!(frames.is_held_up_since(), Some(6 * SECOND));
    }
}
