//! Connections that are over but whose last acknowledgement may have been lost (RFC 9293 section 3.3.2, TIME-WAIT).
//!
//! Only what is needed to repeat that acknowledgement is kept, so thousands cost little.

use crate::heritage::Last;
use crate::packet::{Flow, Segment};
use foldhash::fast::FixedState;
use std::collections::{HashMap, VecDeque};

/// Nanoseconds. As smoltcp's own, far less than twice the maximum segment lifetime, as everywhere today.
pub const DURATION: u64 = 10_000_000_000;

pub struct TimeWait {
    flows: HashMap<Flow, Last, FixedState>,
    order: VecDeque<(u64, Flow)>,
}

/// What a segment means for a flow in TIME-WAIT.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The flow is not in TIME-WAIT, or no longer: a SYN may open it again.
    Free,
    /// Answer with this sequence and acknowledgement number.
    Repeat(u32, u32),
    Ignore,
}

impl TimeWait {
    /// The oldest is forgotten when there are more.
    const LIMIT: usize = 4096;

    pub fn new(hasher: FixedState) -> Self {
        TimeWait { flows: HashMap::with_hasher(hasher), order: VecDeque::new() }
    }

    pub fn insert(&mut self, now: u64, flow: Flow, sequence: u32, acknowledged: u32) {
        self.insert_until(now, flow, Last { sequence, acknowledged, expires: now + DURATION });
    }

    fn insert_until(&mut self, now: u64, flow: Flow, last: Last) {
        self.expire(now);
        if self.order.len() >= Self::LIMIT
            && let Some((_, oldest)) = self.order.pop_front()
        {
            self.flows.remove(&oldest);
        }
        self.flows.insert(flow, last);
        self.order.push_back((last.expires, flow));
    }

    /// Leaves all to another, in the order of their end.
    pub fn leave(&mut self) -> Vec<(Flow, Last)> {
        let flows = std::mem::take(&mut self.flows);
        let current =
            |(expires, flow)| flows.get(&flow).filter(|last| last.expires == expires).map(|last| (flow, *last));
        self.order.drain(..).filter_map(current).collect()
    }

    pub fn inherit(&mut self, now: u64, flows: &[(Flow, Last)]) {
        let mut least = now;
        for (flow, last) in flows {
            // in order, whoever wrote them
            let expires = last.expires.clamp(least, now + DURATION);
            least = expires;
            self.insert_until(now, *flow, Last { expires, ..*last });
        }
    }

    fn expire(&mut self, now: u64) {
        while let Some(&(expires, flow)) = self.order.front()
            && expires <= now
        {
            self.order.pop_front();
            if self.flows.get(&flow).is_some_and(|last| last.expires == expires) {
                self.flows.remove(&flow);
            }
        }
    }

    pub fn judge(&mut self, now: u64, segment: &Segment) -> Verdict {
        self.expire(now);
        let Some(last) = self.flows.get(&segment.flow) else { return Verdict::Free };
        if segment.is_rst() {
            // RFC 1337: a reset must not end TIME-WAIT.
            return Verdict::Ignore;
        }
        if segment.opens() {
            // RFC 1122 section 4.2.2.13: a sequence number beyond the last shows that the SYN is new.
            let newer = segment.sequence.wrapping_sub(last.acknowledged) as i32 > 0;
            if newer {
                self.flows.remove(&segment.flow);
                return Verdict::Free;
            }
        }
        if segment.payload() == 0 && !segment.is_fin() && !segment.is_syn() {
            return Verdict::Ignore;
        }
        Verdict::Repeat(last.sequence, last.acknowledged)
    }
}
