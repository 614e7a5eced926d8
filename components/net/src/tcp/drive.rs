//! What is done for a connection that something has happened to: it reports, and transmits.

use super::connection::{Connection, Origin};
use super::start::SlowStart;
use super::{NOBODY, Tcp, reply};
use crate::link::Link;
use crate::timers::NEVER;
use smoltcp::socket::tcp::State;

/// Nanoseconds until a connection is tried again that wants to send and cannot.
const RETRY: u64 = 10_000_000;

impl Tcp {
    #[inline]
    pub(super) fn drive(&mut self, slot: u16, now: u64, link: &mut Link) {
        let Tcp { table, peers, pool, timers, .. } = self;
        let Some(connection) = table.get(slot) else { return };
        connection.marks.touched = false;
        connection.tick(now);
        connection.feed(pool);
        let mut reported = true;
        let mut announced = false;
        if connection.peer != NOBODY && (connection.is_announced() || !connection.is_half_open()) {
            match peers.room(connection.peer) {
                Some(out) => announced = connection.report(out.batch()),
                None => reported = false,
            }
        }
        let (at, sent) = transmit(connection, now, link);
        timers.set(slot.into(), &mut connection.deadline, at);
        let over = connection.over();
        if announced || !reported || !sent || over.is_some() {
            self.follow_up(slot, now, announced, reported, sent, over);
        }
    }

    /// What is seldom to be done after a connection was driven.
    #[cold]
    #[inline(never)]
    fn follow_up(
        &mut self,
        slot: u16,
        now: u64,
        announced: bool,
        reported: bool,
        sent: bool,
        over: Option<&'static str>,
    ) {
        let Tcp { table, peers, listeners, held, stalled, .. } = self;
        let slots = table.slots();
        let Some(connection) = table.get(slot) else { return };
        if announced
            && let Origin::Listener(port) = connection.origin
            && let Some(listener) = listeners.get(port)
        {
            listener.settled();
        }
        if !sent && !core::mem::replace(&mut connection.marks.stalled, true) {
            push(stalled, slot, slots);
        }
        let mut hold = !reported;
        if let Some(why) = over {
            let somebody = connection.is_known() && peers.is_attached(connection.peer);
            match peers.room(connection.peer) {
                Some(out) => connection.conclude(why, out.batch()),
                None if !somebody => {}
                None => hold = true,
            }
            if !hold || !somebody {
                return self.remove(slot, now);
            }
        }
        if hold && !core::mem::replace(&mut connection.marks.held, true) {
            push(held, slot, slots);
        }
    }
}

/// Sends what a connection has to send. When to look at it next, and whether it could send all it wanted to.
#[inline(never)]
pub(super) fn transmit(connection: &mut Connection, now: u64, link: &mut Link) -> (u64, bool) {
    let state = connection.state();
    if connection.is_frozen(state) {
        return (NEVER, true);
    }
    link.sent.limit = connection.path.limit;
    if connection.outbound.may_repeat(now) {
        repeat(connection, now, now, link);
    }
    let filled = connection.outbound.was_filled();
    if connection.marks.calm && !filled {
        link.sent.limit = usize::MAX;
        // smoltcp acknowledges after as long.
        return (now + RETRY, true);
    }
    let before = link.outgoing.len();
    let mut idle = 0;
    let mut ready = filled;
    let at = loop {
        if !ready {
            let at = link.poll_at(now, &connection.sockets);
            if at > now {
                break at;
            }
        }
        ready = false;
        if !link.has_room() {
            break now;
        }
        if idle == 2 {
            break now + RETRY;
        }
        link.sent.segment = None;
        link.sent.highest = connection.highest();
        if !link.egress(now, &mut connection.sockets) {
            idle += 1;
            continue;
        }
        connection.sent(now, link.sent.segment);
        if link.sent.segment.is_some_and(|segment| connection.outbound.ends_with(&segment)) {
            // smoltcp's timers are no shorter than this. Mostly something happens before, and they are never asked.
            break now + RETRY;
        }
    };
    (link.sent.highest, link.sent.limit) = (None, usize::MAX);
    if state == State::SynSent
        && let Some(size) = connection.path.size()
    {
        reply::limit(link.outgoing.beyond(before), size);
    }
    if state != State::Closed && connection.state() == State::Closed {
        lost(connection, link);
    }
    (at, idle == 0)
}

/// Lets smoltcp send again what was lost, if it is time to by a clock that says `as_if`.
///
/// It begins with all that is in the ring, as far as a congestion window does not forbid, and may be (RFC 5681 section
/// 3.1: one segment). Before the first loss there is none. So there is one from before smoltcp looks at its timer.
#[cold]
#[inline(never)]
fn repeat(connection: &mut Connection, now: u64, as_if: u64, link: &mut Link) {
    if !connection.outbound.has_lost() {
        connection.socket().set_congestion_control(SlowStart::AFTER_LOSS);
    }
    link.sent.segment = None;
    link.sent.highest = connection.highest();
    link.egress(as_if, &mut connection.sockets);
    connection.sent(now, link.sent.segment);
    if !connection.outbound.has_lost() {
        connection.socket().set_congestion_control(SlowStart::CONGESTION_CONTROL);
    }
}

/// Sends again at once what has not been acknowledged, since it cannot have arrived.
///
/// smoltcp does so when its timer says, so it is told that it is that late.
pub(super) fn hasten(connection: &mut Connection, now: u64, link: &mut Link) {
    /// An acknowledgement that is delayed comes before.
    const ATTEMPTS: usize = 2;
    let timeout = connection.socket().timeout();
    connection.socket().set_timeout(None);
    link.sent.limit = connection.path.limit;
    for _ in 0..ATTEMPTS {
        let at = link.poll_at(now, &connection.sockets);
        if at == NEVER || !link.has_room() {
            break;
        }
        repeat(connection, now, at.max(now), link);
        if link.sent.segment.is_some_and(|segment| segment.sequence != segment.next) {
            break;
        }
    }
    (link.sent.highest, link.sent.limit) = (None, usize::MAX);
    connection.socket().set_timeout(timeout);
}

/// smoltcp has closed the connection when it was polled.
#[cold]
#[inline(never)]
fn lost(connection: &mut Connection, link: &Link) {
    connection.lost(if link.owns(connection.flow.local) { "timed out" } else { "this machine's address changed" });
}

/// Adds a slot to a list that slots do not leave when their connection ends. It may be in it, but not for ever more times.
fn push(list: &mut Vec<u16>, slot: u16, slots: usize) {
    if list.len() > 2 * slots {
        list.sort_unstable();
        list.dedup();
    }
    list.push(slot);
}
