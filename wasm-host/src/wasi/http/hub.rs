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
use alloc::{collections::BTreeMap, sync::Arc, vec::Vec};
use core::{
    fmt,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};
use spin::Mutex;
use wit::{Batch, Peer, Records, batch::HEADER, http::Event};

/// Bytes that may wait for one peer before no more of bodies is taken, and the most that one write takes, whatever
/// credit there is.
pub const WINDOW: usize = 64 << 10;

/// The most bytes that are sent at once, unless a single record is longer.
const PIECE: usize = WINDOW;

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
    /// by peer
    lines: Mutex<Vec<Line>>,
    /// by peer and number
    exchanges: Mutex<BTreeMap<(u32, u32), Arc<Exchange>>>,
    /// A client was cut off.
    has_cut_off: AtomicBool,
}

/// What waits for one peer.
struct Line {
    batch: Batch,
    /// how much of it is sent
    start: usize,
    /// for the ends of its exchanges
    aside: usize,
    refusals: Vec<Refusal>,
    charge: Charge,
    /// A body or a credit waits for room.
    is_waited_for: bool,
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
            lines: Mutex::default(),
            exchanges: Mutex::default(),
            has_cut_off: AtomicBool::new(false),
        })
    }

    pub fn receive(&self) -> Bytes {
        self.port.receive()
    }

    fn line<R>(&self, peer: u32, act: impl FnOnce(&mut Line) -> R) -> R {
        let mut lines = self.lines.lock();
        let index = peer as usize;
        if lines.len() <= index {
            lines.resize_with(index + 1, || Line::new(&self.budget));
        }
        act(&mut lines[index])
    }

    /// Lets a record of so many bytes be said to a peer. [`Hub::flush`] sends it. False: the box has no memory for it.
    pub fn put(&self, peer: u32, bytes: usize, say: impl FnOnce(&mut Batch)) -> bool {
        self.line(peer, |line| {
            let fits = line.is_cut_off || line.covers(bytes + RECORD, 0, 0);
            if fits && !line.is_cut_off {
                say(&mut line.batch);
            }
            fits
        })
    }

    /// Says what ends an exchange that is there, or its part of it: this is paid for.
    pub fn put_last(&self, peer: u32, say: impl FnOnce(&mut Batch)) {
        self.line(peer, |line| {
            if !line.is_cut_off {
                say(&mut line.batch);
            }
        });
    }

    /// Gives credit for a body. False: there is no room for the record; its exchange is woken when there is.
    pub fn put_credit(&self, peer: u32, request: u32, bytes: u32) -> bool {
        let has_room = self.room(peer) > 0;
        // the same record in both directions
        let given =
            has_room && self.put(peer, size_of::<u32>(), |batch| Event::Credit { request, bytes }.encode(batch));
        if !given {
            self.line(peer, |line| line.is_waited_for = true);
        }
        given
    }

    /// Refuses a request. A client that has not heard of too many is cut off.
    pub fn refuse(&self, peer: u32, refusal: Refusal) {
        let kept = self.line(peer, |line| {
            let kept = line.refusals.len() < REFUSED && line.covers(0, 0, 1);
            if kept {
                line.refusals.push(refusal);
            }
            kept
        });
        if !kept {
            self.lose(peer, "it takes none of the answers to its requests");
            self.line(peer, |line| line.is_cut_off = true);
            self.has_cut_off.store(true, Relaxed);
        }
    }

    pub fn is_cut_off(&self, peer: u32) -> bool {
        self.lines.lock().get(peer as usize).is_some_and(|line| line.is_cut_off)
    }

    /// Whether a client was cut off since this was last asked.
    pub fn take_cut_off(&self) -> bool {
        self.has_cut_off.swap(false, Relaxed)
    }

    /// Bytes of bodies that may be said to a peer now.
    pub fn room(&self, peer: u32) -> usize {
        let mut lines = self.lines.lock();
        let Some(line) = lines.get_mut(peer as usize) else { return WINDOW };
        let room = WINDOW - (line.batch.len() - line.start).min(WINDOW);
        line.is_waited_for |= room == 0;
        room
    }

    /// Sends what peers have room for, and wakes those who waited for it.
    pub fn flush(&self) -> Result<(), Refused> {
        let mut relieved: Vec<u32> = Vec::new();
        let mut lines = self.lines.lock();
        for (line, peer) in lines.iter_mut().zip(0..) {
            while line.refill() {
                let piece = line.piece();
                let length = piece.len();
                if !self.port.send(peer, piece)? {
                    break;
                }
                line.sent(length);
                if core::mem::take(&mut line.is_waited_for) {
                    relieved.push(peer);
                }
            }
        }
        drop(lines);
        for peer in relieved {
            self.of(peer).iter().for_each(|exchange| exchange.has_room());
        }
        Ok(())
    }

    /// Whether nothing is open with a peer, and nothing waits to be said to it.
    pub fn is_quiet(&self, peer: u32) -> bool {
        let said = self.lines.lock().get(peer as usize).is_none_or(|line| line.batch.is_empty());
        said && self.exchanges.lock().range((peer, 0)..=(peer, u32::MAX)).next().is_none()
    }

    /// Lets go of a peer that retires.
    pub fn release(&self, peer: u32) -> Result<(), Refused> {
        self.port.send(peer, Peer::release(peer).as_bytes()).map(drop)
    }

    /// False: the box has no memory for another exchange.
    pub fn insert(&self, exchange: &Arc<Exchange>) -> bool {
        let paid = self.line(exchange.peer, |line| line.covers(0, LAST, 0));
        if paid {
            self.exchanges.lock().insert((exchange.peer, exchange.id), exchange.clone());
            self.line(exchange.peer, |line| line.aside += LAST);
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
        if self.exchanges.lock().remove(&(peer, id)).is_some() {
            self.line(peer, |line| line.aside = line.aside.saturating_sub(LAST));
        }
    }

    /// The peer is gone: so are its exchanges, and what waits for it.
    pub fn lose(&self, peer: u32, why: &str) {
        let fault = Fault::Gone(cut(why).into());
        self.of(peer).iter().for_each(|exchange| exchange.broken(fault.clone()));
        if let Some(line) = self.lines.lock().get_mut(peer as usize) {
            *line = Line::new(&self.budget);
        }
    }

    /// The box has ended.
    pub fn close(&self) {
        self.exchanges.lock().clear();
    }
}

impl Line {
    fn new(budget: &Arc<Budget>) -> Self {
        let charge = Charge::none(budget);
        Line {
            batch: Batch::new(),
            start: 0,
            aside: 0,
            refusals: Vec::new(),
            charge,
            is_waited_for: false,
            is_cut_off: false,
        }
    }

    /// Whether there is memory for so much more. Buffers grow to twice of what they hold.
    fn covers(&mut self, said: usize, aside: usize, refusals: usize) -> bool {
        let said = (2 * (self.batch.len() + said)).max(BASE);
        let refusals = 2 * (self.refusals.len() + refusals) * size_of::<Refusal>();
        self.charge.cover(said + self.aside + aside + refusals)
    }

    /// Says some of the refusals if nothing else waits. Whether anything is to be sent.
    fn refill(&mut self) -> bool {
        while self.batch.len() < BASE / 4
            && let Some(refusal) = self.refusals.pop()
        {
            refusal.encode(&mut self.batch);
        }
        !self.batch.is_empty()
    }

    /// The records that are sent next.
    fn piece(&self) -> &[u8] {
        let rest = &self.batch.as_bytes()[self.start..];
        if rest.len() <= PIECE {
            return rest;
        }
        let mut length = 0;
        for record in Records::new(rest).flatten() {
            let next = length + record.bytes.len() + HEADER;
            if length > 0 && next > PIECE {
                break;
            }
            length = next;
        }
        &rest[..length]
    }

    fn sent(&mut self, length: usize) {
        self.start += length;
        if self.start < self.batch.len() {
            return;
        }
        self.start = 0;
        if self.batch.len() <= BASE {
            self.batch.clear();
            return;
        }
        // memory is given back, as more is not always needed
        self.batch = Batch::new();
        if self.refusals.is_empty() {
            self.refusals = Vec::new();
        }
        self.charge.resize(BASE + self.aside + 2 * self.refusals.capacity() * size_of::<Refusal>());
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
