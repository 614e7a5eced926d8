//! Initial sequence numbers that nobody can foresee (RFC 6528), and those that stand for a half-open connection, so that
//! it need not be kept (SYN cookies, RFC 4987 section 3.6).
//!
//! A cookie is what RFC 6528 adds to the time, plus the remote side's number, plus: five bits that count time, three that
//! stand for the maximum segment size, and 24 of a keyed hash over both and the flow. What a SYN offers beside (window
//! scale, selective acknowledgements) is lost with it, so cookies are for when there is no room for half-open
//! connections.

use crate::packet::{Flow, Segment};
use crate::random::Random;
use core::hash::Hasher;
use siphasher::sip::SipHasher24;

const SECOND: u64 = 1_000_000_000;
/// How long the count of time stays the same. A cookie is good for one to two of it.
const PERIOD: u64 = 64 * SECOND;
/// RFC 6528 section 3: a clock of 4 microseconds.
const TICK: u64 = 4_000;
/// Maximum segment sizes that a cookie can say: without the option, and with what there is between.
const SIZES: [u16; 8] = [536, 1_024, 1_220, 1_360, 1_400, 1_440, 1_460, 8_940];

/// What a hash is for.
#[derive(Clone, Copy)]
enum Use {
    Number = 0,
    Cookie = 1,
}

pub struct Cookies {
    keys: [u64; 2],
    /// until when one that was given is good
    good_until: u64,
}

impl Cookies {
    pub fn new(random: &mut Random) -> Self {
        Cookies { keys: [random.u64(), random.u64()], good_until: 0 }
    }

    fn hash(&self, of: Use, flow: &Flow, more: u64) -> u32 {
        let mut hasher = SipHasher24::new_with_keys(self.keys[0], self.keys[1]);
        hasher.write(&flow.remote.octets());
        hasher.write(&flow.local.octets());
        hasher.write_u64(u64::from(flow.remote_port) << 32 | u64::from(flow.local_port) << 16 | of as u64);
        hasher.write_u64(more);
        hasher.finish() as u32
    }

    /// The initial sequence number for a connection that begins now.
    pub fn number(&self, now: u64, flow: &Flow) -> u32 {
        self.hash(Use::Number, flow, 0).wrapping_add((now / TICK) as u32)
    }

    fn cookie(&self, period: u64, size: usize, flow: &Flow, theirs: u32) -> u32 {
        let head = ((period as u32) << 3 | size as u32) & 0xff;
        let more = period << 40 | (size as u64) << 32 | u64::from(theirs);
        let sum = self.hash(Use::Number, flow, 0).wrapping_add(theirs);
        sum.wrapping_add(head << 24 | self.hash(Use::Cookie, flow, more) >> 8)
    }

    /// A cookie for a SYN that says this maximum segment size.
    pub fn give(&mut self, now: u64, syn: &Segment, size: Option<u16>) -> u32 {
        self.good_until = now.saturating_add(2 * PERIOD);
        let size = SIZES.iter().rposition(|known| Some(*known) <= size).unwrap_or(0);
        self.cookie(now / PERIOD, size, &syn.flow, syn.sequence)
    }

    /// The maximum segment size that a cookie says, if the first segment after a handshake has one.
    pub fn take(&self, now: u64, segment: &Segment) -> Option<u16> {
        if now >= self.good_until {
            return None;
        }
        let (theirs, given) = (segment.sequence.wrapping_sub(1), segment.acknowledged.wrapping_sub(1));
        let flow = &segment.flow;
        let head = given.wrapping_sub(self.hash(Use::Number, flow, 0)).wrapping_sub(theirs) >> 24;
        let (period, size) = (now / PERIOD, (head & 7) as usize);
        let mut periods = [period, period.saturating_sub(1)].into_iter();
        periods.any(|period| self.cookie(period, size, flow, theirs) == given).then_some(SIZES[size])
    }
}
