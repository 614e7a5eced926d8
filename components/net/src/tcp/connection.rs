//! One connection: a smoltcp socket in a set of its own, and what is between it and its client box.
//!
//! smoltcp looks at every socket of a set for each packet and each poll, so a set of one is what makes the work per
//! segment independent of how many connections there are.

use super::outbound::{Outbound, PATIENCE};
use super::path::Path;
use super::pool::{Pool, Rings};
use super::start::SlowStart;
use crate::link::SentSegment;
use crate::packet::{Flow, Segment};
use crate::paths::Paths;
use crate::timers::{Deadline, NEVER};
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Duration;
use wit::tcp::Event;
use wit::{Batch, INITIAL_CREDIT};

/// How long a handshake may take.
const OPENING: Duration = Duration::from_secs(20);
/// Unanswered keep-alive probes that end a connection.
const PROBES: u64 = 5;
/// Bytes in either direction that count as progress: less than that at a time is a side that wants to be slow.
const PORTION: usize = 536;

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
    /// when its SYN came, if it did
    pub began: u64,
    /// When it last got on, or never if that is now; and the bytes since then, which are too few.
    progress: (u64, usize),
    /// the sequence number of the remote side's first byte, once its SYN has been taken
    first: Option<u32>,
    /// bytes that the client has been given, modulo 2^32
    taken: u32,
    /// The remote side has taken data.
    proven: bool,
    rings: Option<Rings>,
    keep_alive: u64,
    pub deadline: Deadline,
    pub marks: Marks,
    /// `accepted` or `connected` has been sent
    announced: bool,
    /// `finished` has been sent
    remote_finished: bool,
    /// why it ended other than by both sides finishing
    ended: Option<&'static str>,
    pub outbound: Outbound,
    /// bytes of data that the client takes
    receive_credit: u32,
    /// the acknowledgement number that covers the remote side's FIN
    fin_acknowledgement: Option<u32>,
    last_sent: Option<SentSegment>,
    pub path: Path,
}

/// What is to be done with a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    Take,
    /// To be taken as if it acknowledged this.
    Acknowledging(u32),
    /// To be answered with an acknowledgement of what has been received, if there was none of these within a second:
    /// whoever sent it may not be the remote side. smoltcp says so to an empty segment of these numbers.
    Challenge {
        sequence: u32,
        acknowledged: u32,
    },
    Drop,
}

/// Which of the table's lists a connection is in, and why.
#[derive(Debug, Default, Clone, Copy)]
pub struct Marks {
    pub touched: bool,
    /// nothing has happened but that data came, which is to be acknowledged within the usual delay
    pub calm: bool,
    pub held: bool,
    pub stalled: bool,
}

impl Connection {
    pub fn new(number: u32, flow: Flow, peer: u32, origin: Origin, rings: Rings, keep_alive: u64, now: u64) -> Self {
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
            began: 0,
            progress: (now, 0),
            first: None,
            taken: 0,
            proven: false,
            rings: Some(rings),
            keep_alive,
            deadline: Deadline::default(),
            marks: Marks::default(),
            announced: false,
            remote_finished: false,
            ended: None,
            outbound: Outbound::new(),
            receive_credit: INITIAL_CREDIT,
            fin_acknowledgement: None,
            last_sent: None,
            path: Path::new(&flow),
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

    /// Bytes of memory to give back when this is dropped.
    pub fn memory(&self) -> usize {
        self.rings.map_or(0, |rings| rings.total()) + self.outbound.memory()
    }

    /// Gives up all that takes memory and is not needed to tell the client of the end, which has come. How many bytes.
    pub fn shed(&mut self) -> usize {
        let freed = self.memory();
        self.rings = None;
        self.outbound.discard();
        self.sockets = SocketSet::new(Vec::with_capacity(1));
        let nothing = || SocketBuffer::new(Vec::new());
        self.handle = self.sockets.add(Socket::new(nothing(), nothing()));
        freed
    }

    /// Whether the remote side has ever taken data.
    pub fn is_proven(&self) -> bool {
        self.proven
    }

    /// Whether this has buffers.
    pub fn has_memory(&self) -> bool {
        self.rings.is_some()
    }

    /// This is the time, if something has begun to wait for the remote side just now.
    #[inline]
    pub fn tick(&mut self, now: u64) {
        self.progress.0 = self.progress.0.min(now);
    }

    /// Nanoseconds since this connection last got on, and whether it waits for the remote side.
    pub fn quiet(&self, now: u64) -> (u64, bool) {
        (now.saturating_sub(self.progress.0), self.outbound.is_pending() || self.is_half_open())
    }

    /// Takes data from the client. Ends the connection if it cannot be sent. What is left there is no memory for.
    pub fn send<'a>(&mut self, data: &'a [u8], pool: &mut Pool) -> &'a [u8] {
        if self.ended.is_some() {
            return &[];
        }
        if !self.outbound.is_pending() {
            self.progress = (NEVER, 0);
        }
        match self.outbound.send(data, self.sockets.get_mut::<Socket>(self.handle), pool) {
            Ok(taken) => &data[taken..],
            Err(why) => {
                self.abort(why);
                &[]
            }
        }
    }

    /// Sees to it that what waits is sent, as far as it can be.
    #[inline]
    pub fn feed(&mut self, pool: &mut Pool) {
        self.outbound.feed(self.sockets.get_mut::<Socket>(self.handle), pool);
    }

    /// The client has used that many received bytes. More than were outstanding count as all of them.
    pub fn credit(&mut self, bytes: u32) {
        self.receive_credit = self.receive_credit.saturating_add(bytes).min(INITIAL_CREDIT);
    }

    pub fn finish(&mut self) {
        self.outbound.finish();
    }

    pub fn abort(&mut self, why: &'static str) {
        if self.ended.is_none() {
            self.ended = Some(why);
            self.socket().abort();
        }
    }

    /// The remote side's SYN had this sequence number.
    pub fn synchronized(&mut self, sequence: u32) {
        self.first = Some(sequence.wrapping_add(1));
    }

    /// What to do with a segment (RFC 9293 section 3.10.7.4, RFC 5961 sections 3 to 5): smoltcp takes any reset within
    /// the window, ignores a SYN, and drops data with an acknowledgement that is old.
    #[inline]
    pub fn judge(&mut self, segment: &Segment) -> Judgement {
        let acknowledged = segment.acknowledged.wrapping_sub(self.outbound.unacknowledged());
        let sent = self.last_sent.map_or(0, |last| last.next.wrapping_sub(self.outbound.unacknowledged()));
        if segment.is_acknowledgement() && acknowledged <= sent && !self.outbound.is_finishing() {
            return Judgement::Take;
        }
        self.judge_closely(segment)
    }

    #[cold]
    #[inline(never)]
    fn judge_closely(&mut self, segment: &Segment) -> Judgement {
        /// How old an acknowledgement may be: as much as a window may be here (RFC 5961 section 5.2).
        const WINDOW: u32 = 1 << 20;
        let state = self.state();
        let Some(sent) = self.highest().filter(|_| state != State::Closed) else { return Judgement::Take };
        let Some(first) = self.first else {
            // smoltcp takes a SYN for an answer if it acknowledges nothing, or this one's.
            if segment.opens() || segment.is_syn() && !segment.is_rst() && segment.acknowledged == sent {
                self.synchronized(segment.sequence);
            }
            return Judgement::Take;
        };
        let socket = self.sockets.get::<Socket>(self.handle);
        let (received, window) = (socket.recv_queue(), socket.recv_capacity() - socket.recv_queue());
        let finished = u32::from(self.fin_acknowledgement.is_some());
        let next = first.wrapping_add(self.taken).wrapping_add(received as u32).wrapping_add(finished);
        let fin_is_acknowledged = matches!(state, State::FinWait2 | State::TimeWait);
        let least = match self.announced {
            true => self.outbound.unacknowledged().wrapping_add(fin_is_acknowledged.into()),
            false => sent,
        };
        let challenge = Judgement::Challenge { sequence: next.wrapping_sub(1), acknowledged: least };
        if segment.is_rst() {
            return match segment.sequence.wrapping_sub(next) as usize {
                0 => Judgement::Take,
                ahead if ahead < window => challenge,
                _ => Judgement::Drop,
            };
        }
        if segment.is_syn() {
            // The first one may come twice while it is being answered.
            let again = !self.announced && segment.opens() && segment.sequence.wrapping_add(1) == first;
            return if again { Judgement::Drop } else { challenge };
        }
        if !segment.is_acknowledgement() {
            return Judgement::Drop;
        }
        let says_nothing = segment.payload() == 0 && !segment.is_fin();
        // Of these, smoltcp counts the third, stops its timer and sends data again, of which there is none: the FIN never is.
        let only_the_fin_is_left =
            matches!(state, State::FinWait1 | State::Closing | State::LastAck) && !self.outbound.is_in_flight();
        let (new, old) = (segment.acknowledged.wrapping_sub(least), least.wrapping_sub(segment.acknowledged));
        match () {
            () if only_the_fin_is_left && new == 0 && says_nothing => Judgement::Drop,
            // Whoever is not through with the handshake is reset by smoltcp.
            () if !self.announced || new <= sent.wrapping_sub(least) => Judgement::Take,
            () if old > WINDOW => challenge,
            () if says_nothing => Judgement::Drop,
            () => Judgement::Acknowledging(least),
        }
    }

    /// What a received segment has changed. True if there is nothing to transmit for it now.
    pub fn received(&mut self, now: u64, segment: &Segment, answered: Option<SentSegment>, paths: &mut Paths) -> bool {
        if segment.is_fin()
            && self.fin_acknowledgement.is_none()
            && matches!(self.state(), State::CloseWait | State::Closing | State::LastAck | State::TimeWait)
        {
            self.fin_acknowledgement = Some(segment.next());
        }
        let acknowledged = self.outbound.observe(self.sockets.get::<Socket>(self.handle));
        self.proven |= acknowledged > 0;
        if acknowledged > 0
            && let Some(mtu) = self.path.acknowledged(self.outbound.unacknowledged())
        {
            paths.learn(now, self.flow.remote, mtu);
        }
        self.progress.1 += acknowledged + segment.payload();
        if self.progress.1 >= PORTION || acknowledged > 0 && !self.outbound.is_pending() {
            self.progress = (now, 0);
        }
        self.sent(now, answered);
        self.is_calm(segment)
    }

    /// Whether smoltcp has nothing to do after a segment but to acknowledge it, later.
    #[inline]
    fn is_calm(&self, segment: &Segment) -> bool {
        // It does not wait with more than a segment of the least size that the other side may name.
        const LEAST: u32 = 536;
        self.announced
            && segment.is_plain_data()
            && self.state() == State::Established
            && self.last_sent.is_some_and(|last| {
                segment.next().wrapping_sub(last.acknowledged) <= LEAST && self.outbound.is_sent(last.next)
            })
    }

    /// What has been transmitted.
    pub fn sent(&mut self, now: u64, segment: Option<SentSegment>) {
        let Some(segment) = segment else { return };
        let again = self.last_sent.is_some_and(|last| (segment.next.wrapping_sub(last.next) as i32) <= 0);
        if segment.sequence != segment.next {
            match again {
                true => self.sent_again(now, &segment),
                false => self.path.sent(&segment),
            }
        }
        match &mut self.last_sent {
            Some(last) if again => last.acknowledged = segment.acknowledged,
            last => *last = Some(segment),
        }
    }

    #[cold]
    #[inline(never)]
    fn sent_again(&mut self, now: u64, segment: &SentSegment) {
        // A keep-alive probe says nothing.
        if !self.outbound.is_in_flight() {
            return;
        }
        let waited = now.saturating_sub(self.progress.0) >= PATIENCE;
        self.path.sent_again(segment, self.outbound.unacknowledged(), waited);
        let first = self.outbound.lost();
        let socket = self.socket();
        // It may have one already, which knows of the loss.
        if first && socket.congestion_control() == SlowStart::CONGESTION_CONTROL {
            socket.set_congestion_control(SlowStart::AFTER_LOSS);
        }
    }

    /// Whether the byte of this sequence number has been sent and not acknowledged.
    pub fn has_in_flight(&self, sequence: u32) -> bool {
        let unacknowledged = self.outbound.unacknowledged();
        let sent = self.highest().map_or(0, |highest| highest.wrapping_sub(unacknowledged));
        self.announced && self.outbound.is_in_flight() && sequence.wrapping_sub(unacknowledged) < sent
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
    #[inline(never)]
    pub fn report(&mut self, events: &mut Batch) -> bool {
        let announced = !self.announced && self.announce(events);
        if !self.announced {
            return false;
        }
        self.deliver(events);
        if let Some(bytes) = self.outbound.credit_due() {
            Event::Sent { connection: self.number, bytes }.encode(events);
        }
        if !self.remote_finished && self.fin_acknowledgement.is_some() && self.socket().recv_queue() == 0 {
            self.remote_finished = true;
            Event::Finished { connection: self.number }.encode(events);
        }
        announced
    }

    #[cold]
    #[inline(never)]
    fn announce(&mut self, events: &mut Batch) -> bool {
        if !self.socket().may_send() {
            return false;
        }
        self.announced = true;
        // So far nothing but a SYN has been sent.
        self.outbound.begin(self.highest().unwrap_or_default());
        let timeout = Duration::from_secs(self.keep_alive * (PROBES + 1));
        self.socket().set_timeout(Some(timeout));
        let connection = self.number;
        match self.origin {
            Origin::Listener(port) => {
                let remote = wit::tcp::Endpoint { address: self.flow.remote, port: self.flow.remote_port };
                Event::Accepted { connection, remote, port, secured: None }.encode(events);
            }
            Origin::Ticket(ticket) => Event::Connected { connection, ticket }.encode(events),
        }
        true
    }

    /// Received data, as far as there is credit.
    fn deliver(&mut self, events: &mut Batch) {
        let Connection { sockets, handle, receive_credit, number, taken: total, .. } = self;
        let socket = sockets.get_mut::<Socket>(*handle);
        while *receive_credit > 0 && socket.can_recv() {
            let taken = socket.recv(|data| {
                let data = &data[..data.len().min(*receive_credit as usize)];
                Event::Data { connection: *number, data }.encode(events);
                (data.len(), data.len())
            });
            match taken {
                Ok(taken) if taken > 0 => {
                    *receive_credit -= taken as u32;
                    *total = total.wrapping_add(taken as u32);
                }
                _ => break,
            }
        }
    }

    /// Why the connection is over, if it is; empty if both sides finished.
    pub fn over(&mut self) -> Option<&'static str> {
        if self.ended.is_some() {
            return self.ended;
        }
        let finished = self.outbound.is_finishing() && self.fin_acknowledgement.is_some();
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
            _ if self.announced => Event::Closed { connection: self.number, why }.encode(events),
            Origin::Ticket(ticket) => Event::Refused { id: ticket, why }.encode(events),
            Origin::Listener(_) => {}
        }
    }
}
