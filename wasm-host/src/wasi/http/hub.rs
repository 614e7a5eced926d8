//! The port of `pearwood:http/handler` that the node holds for a box: its exchanges, and what waits to be sent.
//!
//! All that waits is charged to the box. For each exchange there is put aside what its end takes, so that it can always
//! be said. Requests that are refused are kept by their numbers alone; a client that sends ever more and takes none of
//! the answers is cut off.

use super::exchange::{Exchange, Fault};
use crate::{
    arrows::{
        Bytes,
        channel::{Port, Refused},
    },
    boxes::{Budget, Charge},
};
use alloc::{collections::BTreeMap, string::String, sync::Arc, vec::Vec};
use core::{
    fmt,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};
use spin::Mutex;
use wit::{Batch, Outbox, Peers, http::Event};

/// Bytes that may wait for one peer before no more of bodies is taken, and the most that one write takes, whatever
/// credit there is.
pub const WINDOW: usize = 64 << 10;

/// What a record takes beside what is in it.
const RECORD: usize = 16;

/// What each line has for records that are small.
const BASE: usize = 4 << 10;

/// What is put aside for the end of an exchange: twice its records, of which [`REASON`] is the longest part.
const LAST: usize = 2 * (REASON + 64);

/// The most bytes of a reason that is passed on.
pub const REASON: usize = 256;

/// Requests of one client that may be refused before it has heard of any.
const REFUSED: usize = 4_096;

pub struct Hub {
    port: Arc<Port>,
    budget: Arc<Budget>,
    lines: Mutex<Peers<Line>>,
    /// by peer and number
    exchanges: Mutex<BTreeMap<(u32, u32), Arc<Exchange>>>,
    /// A client was cut off.
    has_cut_off: AtomicBool,
}

/// What is kept of a peer beside what waits for it, and what pays for that.
struct Line {
    /// for the ends of its exchanges
    aside: usize,
    refusals: Vec<Refusal>,
    charge: Charge,
    /// A body or a credit waits for room.
    is_waited_for: bool,
    /// It has been offered something that it had not taken when this was last looked at.
    is_offered: bool,
    /// It is sent nothing more, and not heard, until it attaches again.
    is_cut_off: bool,
}

/// A request that is refused.
#[derive(Debug, Clone, Copy)]
pub struct Refusal {
    pub request: u32,
    pub why: Why,
    /// To a request of method HEAD no body is sent (RFC 9110, section 9.3.2).
    pub is_head: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    Busy,
    TooLarge,
    Malformed,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("interface", &self.port.interface()).finish_non_exhaustive()
    }
}

impl Hub {
    pub fn new(port: &Arc<Port>, budget: &Arc<Budget>) -> Arc<Self> {
        Arc::new(Hub {
            port: port.clone(),
            budget: budget.clone(),
            lines: Mutex::new(Peers::new(WINDOW, usize::MAX)),
            exchanges: Mutex::default(),
            has_cut_off: AtomicBool::new(false),
        })
    }

    pub fn receive(&self) -> Bytes {
        self.port.receive()
    }

    /// The peer is there, and knows nothing of what was before.
    pub fn attach(&self, peer: u32) {
        self.lose(peer, "it was replaced");
        self.lines.lock().attach(peer, Line::new(&self.budget, false));
    }

    /// The peer is gone: so are its exchanges, and what waits for it.
    pub fn detach(&self, peer: u32, why: &[u8]) {
        self.lose(peer, &String::from_utf8_lossy(&why[..why.len().min(2 * REASON)]));
        self.lines.lock().detach(peer);
    }

    fn lose(&self, peer: u32, why: &str) {
        let fault = Fault::Gone(cut(why).into());
        self.of(peer).iter().for_each(|exchange| exchange.broken(fault.clone()));
    }

    /// Nothing new is begun with the peer: it is let go when nothing is open.
    pub fn retire(&self, peer: u32) {
        self.lines.lock().retire(peer);
    }

    pub fn is_attached(&self, peer: u32) -> bool {
        self.lines.lock().is_attached(peer)
    }

    pub fn any_attached(&self) -> bool {
        self.lines.lock().any_attached()
    }

    /// Lets a record of so many bytes be said to a peer. [`Hub::flush`] sends it. False: the box has no memory for it.
    pub fn put(&self, peer: u32, bytes: usize, say: impl FnOnce(&mut Batch)) -> bool {
        let mut lines = self.lines.lock();
        // What is said to one that is gone, or cut off, is not kept.
        let Some((line, out)) = lines.both(peer).filter(|(line, _)| !line.is_cut_off) else { return true };
        let fits = line.covers(out.len() + bytes + RECORD, 0, 0);
        if fits {
            say(out.batch());
        }
        fits
    }

    /// Says what ends an exchange that is there, or its part of it: this is paid for.
    pub fn put_last(&self, peer: u32, say: impl FnOnce(&mut Batch)) {
        if let Some((_, out)) = self.lines.lock().both(peer).filter(|(line, _)| !line.is_cut_off) {
            say(out.batch());
        }
    }

    /// Gives credit for a body. False: there is no room for the record, or no memory; its exchange is told when there is.
    pub fn put_credit(&self, peer: u32, request: u32, bytes: u32) -> bool {
        let has_room = self.room(peer) > 0;
        // The same record in both directions. There is memory for it unless something else waits, which will be sent.
        let given =
            has_room && self.put(peer, size_of::<u32>(), |batch| Event::Credit { request, bytes }.encode(batch));
        if !given && let Some(line) = self.lines.lock().get_mut(peer) {
            line.is_waited_for = true;
        }
        given
    }

    /// Refuses a request. A client that has not heard of too many is cut off.
    pub fn refuse(&self, peer: u32, refusal: Refusal) {
        let kept = self.lines.lock().both(peer).is_none_or(|(line, out)| {
            let kept = line.refusals.len() < REFUSED && line.covers(out.len(), 0, 1);
            if kept {
                line.refusals.push(refusal);
            }
            kept
        });
        if !kept {
            self.lose(peer, "it takes none of the answers to its requests");
            self.lines.lock().attach(peer, Line::new(&self.budget, true));
            self.has_cut_off.store(true, Relaxed);
        }
    }

    pub fn is_cut_off(&self, peer: u32) -> bool {
        self.lines.lock().get(peer).is_some_and(|line| line.is_cut_off)
    }

    /// Whether a client was cut off since this was last asked.
    pub fn take_cut_off(&self) -> bool {
        self.has_cut_off.swap(false, Relaxed)
    }

    /// Bytes of bodies that may be said to a peer now.
    pub fn room(&self, peer: u32) -> usize {
        let mut lines = self.lines.lock();
        let room = WINDOW.saturating_sub(lines.waiting_for(peer).unwrap_or_default());
        if room == 0
            && let Some(line) = lines.get_mut(peer)
        {
            line.is_waited_for = true;
        }
        room
    }

    /// Sends what peers have room for, wakes those who waited for it, and lets go of peers that retire and that nothing is
    /// open with.
    pub fn flush(&self) -> Result<(), Refused> {
        loop {
            let relieved = self.send()?;
            if relieved.is_empty() {
                return Ok(());
            }
            // What they could not say before is sent as well: nobody else may come to do it. It comes to an end, as only what
            // was sent relieves anybody.
            for peer in relieved {
                self.of(peer).iter().for_each(|exchange| exchange.has_room());
            }
        }
    }

    /// Sends what peers have room for. Those with whom something else waited for it.
    fn send(&self) -> Result<Vec<u32>, Refused> {
        let mut refused = Ok(());
        let mut relieved: Vec<u32> = Vec::new();
        let mut lines = self.lines.lock();
        let mut send = |peer, batch: &[u8]| {
            self.port.send(peer, batch).unwrap_or_else(|error| {
                refused = Err(error);
                false
            })
        };
        lines.retry();
        let mut more = true;
        while more {
            more = false;
            for peer in lines.numbers() {
                // looked at first: what is opened counts as having something to send
                let waits = lines.waiting_for(peer) > Some(0);
                if (waits || lines.get(peer).is_some_and(|line| !line.refusals.is_empty()))
                    && let Some((line, out)) = lines.both(peer)
                {
                    line.offer(out);
                }
            }
            lines.flush(&mut send);
            for peer in lines.numbers() {
                if lines.waiting_for(peer) != Some(0) || !lines.get(peer).is_some_and(|line| line.is_offered) {
                    continue;
                }
                let Some((line, out)) = lines.both(peer) else { continue };
                line.taken(out);
                more |= !line.refusals.is_empty();
                if core::mem::take(&mut line.is_waited_for) {
                    relieved.push(peer);
                }
            }
        }
        if lines.any_retiring() {
            let exchanges = self.exchanges.lock();
            lines.release(|peer| exchanges.range((peer, 0)..=(peer, u32::MAX)).next().is_some());
            lines.flush(&mut send);
        }
        refused.map(|()| relieved)
    }

    /// False: the box has no memory for another exchange.
    pub fn insert(&self, exchange: &Arc<Exchange>) -> bool {
        let paid = self.lines.lock().both(exchange.peer).is_some_and(|(line, out)| {
            let paid = line.covers(out.len(), LAST, 0);
            line.aside += if paid { LAST } else { 0 };
            paid
        });
        if paid {
            self.exchanges.lock().insert((exchange.peer, exchange.id), exchange.clone());
        }
        paid
    }

    pub fn get(&self, peer: u32, id: u32) -> Option<Arc<Exchange>> {
        self.exchanges.lock().get(&(peer, id)).cloned()
    }

    fn of(&self, peer: u32) -> Vec<Arc<Exchange>> {
        self.exchanges.lock().range((peer, 0)..=(peer, u32::MAX)).map(|(_, exchange)| exchange.clone()).collect()
    }

    /// Nothing more is to be heard of an exchange.
    pub fn remove(&self, peer: u32, id: u32) {
        if self.exchanges.lock().remove(&(peer, id)).is_some()
            && let Some(line) = self.lines.lock().get_mut(peer)
        {
            line.aside = line.aside.saturating_sub(LAST);
        }
    }

    /// The box has ended.
    pub fn close(&self) {
        self.exchanges.lock().clear();
    }
}

impl Line {
    fn new(budget: &Arc<Budget>, is_cut_off: bool) -> Self {
        let charge = Charge::none(budget);
        Line { aside: 0, refusals: Vec::new(), charge, is_waited_for: false, is_offered: false, is_cut_off }
    }

    /// Whether there is memory for an outbox of so many bytes, and for so much more. Buffers grow to twice of what they hold.
    fn covers(&mut self, said: usize, aside: usize, refusals: usize) -> bool {
        let refusals = 2 * (self.refusals.len() + refusals) * size_of::<Refusal>();
        self.charge.cover((2 * said).max(BASE) + self.aside + aside + refusals)
    }

    /// Says some of the refusals if nothing else waits.
    fn offer(&mut self, out: &mut Outbox) {
        while out.len() < BASE / 4
            && let Some(refusal) = self.refusals.pop()
        {
            refusal.encode(out.batch());
        }
        self.is_offered |= !out.is_empty();
    }

    /// The peer has taken all that was offered: memory is given back, as more is not always needed.
    fn taken(&mut self, out: &mut Outbox) {
        self.is_offered = false;
        out.keep(2 * BASE);
        if self.refusals.is_empty() {
            self.refusals = Vec::new();
        }
        let refusals = 2 * self.refusals.capacity() * size_of::<Refusal>();
        self.charge.resize(out.capacity().max(BASE) + self.aside + refusals);
    }
}

impl Refusal {
    fn encode(self, batch: &mut Batch) {
        let Refusal { request, why, is_head } = self;
        let (status, headers, text) = match why {
            Why::Busy => (503, "retry-after: 1\r\n", BUSY),
            Why::TooLarge => (431, "", "the header is too large\n"),
            Why::Malformed => {
                return Event::Failed { request, why: "the request's header is malformed" }.encode(batch);
            }
        };
        let headers = whole(headers, text);
        Event::Response { request, status, headers: headers.as_bytes() }.encode(batch);
        if !is_head {
            Event::Body { request, data: text.as_bytes() }.encode(batch);
        }
        Event::End { request }.encode(batch);
    }
}

/// Too many requests are there already.
pub const BUSY: &str = "too many requests at once\n";

/// The header of a response that is this text.
pub fn whole(headers: &str, text: &str) -> alloc::string::String {
    alloc::format!("content-type: text/plain\r\ncontent-length: {}\r\n{headers}", text.len())
}

/// What is passed on of a reason.
pub fn cut(why: &str) -> &str {
    &why[..why.floor_char_boundary(REASON)]
}
