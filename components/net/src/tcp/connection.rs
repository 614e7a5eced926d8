//! One connection: a smoltcp socket in a set of its own, and what is between it and its client box.
//!
//! smoltcp looks at every socket of a set for each packet and each poll, so a set of one is what makes the work per
//! segment independent of how many connections there are.

use super::memory::{Memory, Rings};
use super::start::SlowStart;
use crate::link::SentSegment;
use crate::packet::{Flow, Segment};
use crate::timers::Deadline;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Duration;
use std::collections::VecDeque;
use wit::tcp::Event;
use wit::{Batch, INITIAL_CREDIT};

/// Send credit is given back in portions, so that a connection does not cost an event per segment.
const CREDIT_PORTION: u32 = INITIAL_CREDIT / 4;

/// How long a handshake may take.
const OPENING: Duration = Duration::from_secs(20);
/// Unanswered keep-alive probes that end a connection.
const PROBES: u64 = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A remote machine connected to this port.
    Listener(u16),
    /// A client asked for it with this ticket.
    Ticket(u32),
}

pub struct Connection {
    pub sockets: SocketSet<'static>,
    handle: SocketHandle,
    pub flow: Flow,
    /// what the channel calls it
    pub number: u32,
    pub peer: u32,
    pub origin: Origin,
    rings: Rings,
    keep_alive: u64,
    pub deadline: Deadline,
    pub marks: Marks,
    /// `accepted` or `connected` has been sent
    announced: bool,
    /// the client sends no more
    finishing: bool,
    /// `finished` has been sent
    remote_finished: bool,
    /// why it ended other than by both sides finishing
    ended: Option<&'static str>,
    /// data of the client that the ring has no room for
    waiting: VecDeque<u8>,
    start: SlowStart,
    /// bytes in the send ring when last looked at
    in_ring: usize,
    /// the sequence number after the last byte that was put into the ring
    ring_end: u32,
    /// something has been put into the ring since it was last polled
    pub filled: bool,
    /// bytes of data that the client takes
    receive_credit: u32,
    /// bytes that the client may send
    send_credit: u32,
    /// bytes of send credit to be given back
    used_credit: u32,
    /// the acknowledgement number that covers the remote side's FIN
    fin_acknowledgement: Option<u32>,
    last_sent: Option<SentSegment>,
}

/// Which of the table's lists a connection is in.
#[derive(Debug, Default, Clone, Copy)]
pub struct Marks {
    pub touched: bool,
    pub held: bool,
    pub stalled: bool,
}

impl Connection {
    pub fn new(number: u32, flow: Flow, peer: u32, origin: Origin, rings: Rings, keep_alive: u64) -> Self {
        let buffer = |bytes| SocketBuffer::new(vec![0; bytes]);
        let mut socket = Socket::new(buffer(rings.receive), buffer(rings.send));
        socket.set_nagle_enabled(false);
        socket.set_timeout(Some(OPENING));
        socket.set_keep_alive(Some(Duration::from_secs(keep_alive)));
        socket.set_congestion_control(SlowStart::CONGESTION_CONTROL);
        // Room for exactly one: a growing vector would begin with four.
        let mut sockets = SocketSet::new(Vec::with_capacity(1));
        let handle = sockets.add(socket);
        Connection {
            sockets,
            handle,
            flow,
            number,
            peer,
            origin,
            rings,
            keep_alive,
            deadline: Deadline::default(),
            marks: Marks::default(),
            announced: false,
            finishing: false,
            remote_finished: false,
            ended: None,
            waiting: VecDeque::new(),
            start: SlowStart::new(),
            in_ring: 0,
            ring_end: 0,
            filled: false,
            receive_credit: INITIAL_CREDIT,
            send_credit: INITIAL_CREDIT,
            used_credit: 0,
            fin_acknowledgement: None,
            last_sent: None,
        }
    }

    #[inline]
    pub fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    pub fn state(&self) -> State {
        self.sockets.get::<Socket>(self.handle).state()
    }

    pub fn is_announced(&self) -> bool {
        self.announced
    }

    /// Whether the client expects to hear of the end of this.
    pub fn is_known(&self) -> bool {
        self.announced || matches!(self.origin, Origin::Ticket(_))
    }

    /// Whether the handshake with the remote side is not complete.
    pub fn is_half_open(&self) -> bool {
        matches!(self.state(), State::Listen | State::SynReceived | State::SynSent)
    }

    /// Bytes of buffer memory to give back when this is dropped.
    pub fn memory(&self) -> usize {
        self.rings.total() + self.waiting.len()
    }

    /// Takes data from the client. Ends the connection if it is more than its credit allows.
    pub fn send(&mut self, data: &[u8], memory: &mut Memory) {
        if self.finishing || self.ended.is_some() {
            return;
        }
        if data.len() as u64 > u64::from(self.send_credit) {
            return self.abort("the box sent more than its credit");
        }
        self.send_credit -= data.len() as u32;
        let taken = if self.waiting.is_empty() { self.into_ring(data) } else { 0 };
        let rest = &data[taken..];
        if !rest.is_empty() {
            if !memory.take(rest.len()) {
                return self.abort("out of buffer memory");
            }
            self.waiting.extend(rest);
        }
    }

    /// Copies as much into the send ring as it and the congestion window take.
    fn into_ring(&mut self, data: &[u8]) -> usize {
        let window = self.window();
        let taken = self.socket().send_slice(&data[..data.len().min(window)]).unwrap_or(0);
        self.put(taken);
        taken
    }

    fn put(&mut self, bytes: usize) {
        self.in_ring += bytes;
        self.ring_end = self.ring_end.wrapping_add(bytes as u32);
        self.used_credit += bytes as u32;
        self.filled |= bytes > 0;
    }

    /// Whether nothing follows this segment.
    pub fn ends_with(&self, segment: Option<SentSegment>) -> bool {
        !self.finishing && segment.is_some_and(|segment| segment.next == self.ring_end)
    }

    /// Bytes that may go into the ring now.
    fn window(&mut self) -> usize {
        let in_ring = self.socket().send_queue();
        self.start.acknowledged(self.in_ring - in_ring);
        self.in_ring = in_ring;
        self.start.window().saturating_sub(in_ring)
    }

    /// Moves what waits into the ring, and closes this side after the last of it.
    pub fn feed(&mut self, memory: &mut Memory) {
        while !self.waiting.is_empty() {
            let window = self.window();
            let data = self.waiting.as_slices().0;
            let data = &data[..data.len().min(window)];
            let taken = self.sockets.get_mut::<Socket>(self.handle).send_slice(data).unwrap_or(0);
            if taken == 0 {
                break;
            }
            self.put(taken);
            self.waiting.drain(..taken);
            memory.give_back(taken);
            if self.waiting.is_empty() {
                self.waiting = VecDeque::new();
            }
        }
        if self.finishing && self.waiting.is_empty() {
            self.socket().close();
        }
    }

    /// The client has used that many received bytes. More than were outstanding count as all of them.
    pub fn credit(&mut self, bytes: u32) {
        self.receive_credit = self.receive_credit.saturating_add(bytes).min(INITIAL_CREDIT);
    }

    pub fn finish(&mut self) {
        self.finishing = true;
    }

    pub fn abort(&mut self, why: &'static str) {
        if self.ended.is_none() {
            self.ended = Some(why);
            self.socket().abort();
        }
    }

    /// What a received segment has changed.
    pub fn received(&mut self, segment: &Segment, answered: Option<SentSegment>) {
        if segment.is_fin()
            && self.fin_acknowledgement.is_none()
            && matches!(self.state(), State::CloseWait | State::Closing | State::LastAck | State::TimeWait)
        {
            self.fin_acknowledgement = Some(segment.next());
        }
        self.window();
        self.sent(answered);
    }

    /// What has been transmitted. A segment sent again means loss, unless it is a keep-alive probe.
    pub fn sent(&mut self, segment: Option<SentSegment>) {
        let Some(segment) = segment else { return };
        let again = self.last_sent.is_some_and(|last| (segment.next.wrapping_sub(last.next) as i32) <= 0);
        if again && segment.sequence != segment.next && self.in_ring > 0 && self.start.lost() {
            self.socket().set_congestion_control(SlowStart::AFTER_LOSS);
        }
        match &mut self.last_sent {
            Some(last) if again => last.acknowledged = segment.acknowledged,
            last => *last = Some(segment),
        }
    }

    /// The highest sequence number sent so far.
    pub fn highest(&self) -> Option<u32> {
        self.last_sent.map(|last| last.next)
    }

    /// The acknowledgement of the remote side's FIN is out.
    fn fin_is_acknowledged(&self) -> bool {
        self.fin_acknowledgement.is_some_and(|fin| self.last_sent.is_some_and(|sent| sent.acknowledged == fin))
    }

    /// True while smoltcp must not be polled: its TIME-WAIT timer would discard data that the client has not taken.
    pub fn is_frozen(&mut self, state: State) -> bool {
        state == State::TimeWait && self.socket().recv_queue() > 0 && self.fin_is_acknowledged()
    }

    /// Sequence and acknowledgement number to remember when this ends in TIME-WAIT.
    pub fn time_wait(&self) -> Option<(u32, u32)> {
        let sent = self.last_sent?;
        (self.state() == State::TimeWait && self.fin_is_acknowledged()).then_some((sent.next, sent.acknowledged))
    }

    /// Events for the client. True if the connection has just been announced.
    #[inline]
    pub fn report(&mut self, events: &mut Batch) -> bool {
        let announced = !self.announced && self.announce(events);
        if !self.announced {
            return false;
        }
        self.deliver(events);
        if self.used_credit >= CREDIT_PORTION {
            Event::Sent { connection: self.number, bytes: self.used_credit }.encode(events);
            self.send_credit += core::mem::take(&mut self.used_credit);
        }
        if !self.remote_finished && self.fin_acknowledgement.is_some() && self.socket().recv_queue() == 0 {
            self.remote_finished = true;
            Event::Finished { connection: self.number }.encode(events);
        }
        announced
    }

    fn announce(&mut self, events: &mut Batch) -> bool {
        if !self.socket().may_send() {
            return false;
        }
        self.announced = true;
        // So far nothing but a SYN has been sent.
        self.ring_end = self.highest().unwrap_or_default();
        let timeout = Duration::from_secs(self.keep_alive * (PROBES + 1));
        self.socket().set_timeout(Some(timeout));
        let connection = self.number;
        match self.origin {
            Origin::Listener(port) => {
                let remote = wit::tcp::Endpoint { address: self.flow.remote, port: self.flow.remote_port };
                Event::Accepted { connection, remote, port }.encode(events);
            }
            Origin::Ticket(ticket) => Event::Connected { connection, ticket }.encode(events),
        }
        true
    }

    /// Received data, as far as there is credit.
    fn deliver(&mut self, events: &mut Batch) {
        let Connection { sockets, handle, receive_credit, number, .. } = self;
        let socket = sockets.get_mut::<Socket>(*handle);
        while *receive_credit > 0 && socket.can_recv() {
            let taken = socket.recv(|data| {
                let data = &data[..data.len().min(*receive_credit as usize)];
                Event::Data { connection: *number, data }.encode(events);
                (data.len(), data.len())
            });
            match taken {
                Ok(taken) if taken > 0 => *receive_credit -= taken as u32,
                _ => break,
            }
        }
    }

    /// Why the connection is over, if it is; empty if both sides finished.
    pub fn over(&mut self) -> Option<&'static str> {
        if self.ended.is_some() {
            return self.ended;
        }
        let finished = self.finishing && self.fin_acknowledgement.is_some();
        match self.state() {
            State::Established => None,
            State::Closed if finished => (self.socket().recv_queue() == 0).then_some(""),
            State::TimeWait => (self.socket().recv_queue() == 0 && self.fin_is_acknowledged()).then_some(""),
            State::Closed if self.announced => Some("reset by the remote side"),
            State::Closed => Some("refused by the remote side"),
            State::Listen => Some("given up by the remote side"),
            _ => None,
        }
    }

    /// smoltcp closed the connection when it was polled: a timeout, or its address is gone.
    pub fn lost(&mut self, why: &'static str) {
        self.ended.get_or_insert(why);
    }

    /// The last event.
    pub fn conclude(&self, why: &str, events: &mut Batch) {
        match self.origin {
            _ if self.announced => Event::Closed { connection: self.number, why: why.as_bytes() }.encode(events),
            Origin::Ticket(ticket) => Event::Refused { id: ticket, why: why.as_bytes() }.encode(events),
            Origin::Listener(_) => {}
        }
    }
}
