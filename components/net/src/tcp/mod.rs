//! TCP for the clients of `pearwood:net/tcp`.

mod commands;
mod connection;
mod listeners;
mod memory;
mod reply;
mod start;
mod table;
mod time_wait;

use crate::checksum;
use crate::link::{Link, from_mapped, to_mapped};
use crate::packet::{Flow, Segment};
use crate::peers::Peers;
use crate::random::Random;
use crate::settings::Settings;
use crate::timers::{NEVER, Timers};
use connection::{Connection, Origin};
use listeners::Listeners;
use memory::{Memory, Rings};
use smoltcp::iface::SocketSet;
use smoltcp::socket::tcp::State;
use table::Table;
use time_wait::{TimeWait, Verdict};
use wit::tcp::Endpoint;

/// Half-open connections of a listener from which new ones get small rings.
const CROWD: usize = 128;
/// The peer of connections whose box is gone.
const NOBODY: u32 = u32::MAX;
/// Nanoseconds until a connection is tried again that wants to send and cannot.
const RETRY: u64 = 10_000_000;

pub struct Tcp {
    pub peers: Peers,
    pub counters: Counters,
    table: Table,
    listeners: Listeners,
    memory: Memory,
    timers: Timers,
    time_wait: TimeWait,
    /// connections that something has happened to, each once
    touched: Vec<u16>,
    /// connections whose peer had no room for their events
    held: Vec<u16>,
    /// connections that could not send, perhaps for want of a neighbour's address
    stalled: Vec<u16>,
    /// for segments that belong to no connection
    nobody: SocketSet<'static>,
    keep_alive: u64,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    pub opened: u64,
    /// segments with a wrong checksum
    pub corrupt: u64,
    /// connections not taken for want of memory or for being too many
    pub exhausted: u64,
    /// connections not taken, or given up half open, for a full backlog
    pub overflowed: u64,
    /// commands that made no sense
    pub malformed: u64,
}

impl Tcp {
    pub fn new(settings: &Settings, random: &mut Random) -> Self {
        let rings = Rings { receive: settings.receive_buffer, send: settings.send_buffer };
        Tcp {
            peers: Peers::default(),
            counters: Counters::default(),
            table: Table::new(settings.connections, random.hasher()),
            listeners: Listeners::default(),
            memory: Memory::new(settings.buffers, rings),
            timers: Timers::default(),
            time_wait: TimeWait::new(random.hasher()),
            touched: Vec::new(),
            held: Vec::new(),
            stalled: Vec::new(),
            nobody: SocketSet::new(Vec::new()),
            keep_alive: settings.keep_alive,
        }
    }

    /// Open connections.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Bytes of buffers in use.
    pub fn memory(&self) -> usize {
        self.memory.used()
    }

    #[inline]
    pub fn receive(&mut self, now: u64, frame: &[u8], segment: &Segment, link: &mut Link) {
        if !checksum::verify(frame, segment) {
            self.counters.corrupt += 1;
            return;
        }
        let Some(slot) = self.table.find(&segment.flow) else {
            return self.receive_unknown(now, frame, segment, link);
        };
        let Some(connection) = self.table.get(slot) else { return };
        link.sent.segment = None;
        link.sent.highest = connection.highest();
        link.ingress(now, frame, &mut connection.sockets);
        link.sent.highest = None;
        connection.received(segment, link.sent.segment);
        self.touch(slot);
    }

    fn receive_unknown(&mut self, now: u64, frame: &[u8], segment: &Segment, link: &mut Link) {
        let flow = &segment.flow;
        if !link.owns(flow.local) || link.owns(flow.remote) {
            return;
        }
        match self.time_wait.judge(now, segment) {
            Verdict::Free => {}
            Verdict::Ignore => return,
            Verdict::Repeat(sequence, acknowledged) => {
                return reply::acknowledge(frame, segment, sequence, acknowledged, link);
            }
        }
        if !segment.opens() || self.listeners.get(flow.local_port).is_none() {
            // smoltcp answers with a reset.
            return link.ingress(now, frame, &mut self.nobody);
        }
        let Some(slot) = self.accept(*flow) else { return };
        let Some(connection) = self.table.get(slot) else { return };
        link.ingress(now, frame, &mut connection.sockets);
        self.touch(slot);
    }

    /// A connection for a SYN, if there is room for one more.
    fn accept(&mut self, flow: Flow) -> Option<u16> {
        while self.listeners.get(flow.local_port)?.is_full() {
            self.counters.overflowed += 1;
            self.give_up_oldest(flow.local_port)?;
        }
        let listener = self.listeners.get(flow.local_port)?;
        let (peer, small) = (listener.peer, listener.waiting() >= CROWD);
        let slot = self.open(flow, peer, Origin::Listener(flow.local_port), small)?;
        let connection = self.table.get(slot)?;
        let number = connection.number;
        let local = (from_mapped(flow.local), flow.local_port);
        if connection.socket().listen(local).is_err() {
            self.remove(slot, 0);
            return None;
        }
        let Tcp { listeners, table, .. } = self;
        let table = core::cell::RefCell::new(table);
        listeners.get(flow.local_port)?.opened(slot, number, |slot, number| {
            table.borrow_mut().get(slot).is_some_and(|c| c.number == number && !c.is_announced())
        });
        Some(slot)
    }

    /// Ends the oldest half-open connection of a port, as a flood of SYNs leaves many. `None`: there is none.
    fn give_up_oldest(&mut self, port: u16) -> Option<()> {
        while let Some((slot, number)) = self.listeners.get(port)?.oldest() {
            if let Some(connection) = self.table.get(slot)
                && connection.number == number
                && connection.is_half_open()
            {
                self.remove(slot, 0);
                return Some(());
            }
        }
        None
    }

    fn open(&mut self, flow: Flow, peer: u32, origin: Origin, small: bool) -> Option<u16> {
        let more = self.table.remaining().checked_sub(1);
        let Some(rings) = more.and_then(|more| self.memory.open(more, small)) else {
            self.counters.exhausted += 1;
            return None;
        };
        let keep_alive = self.keep_alive;
        self.counters.opened += 1;
        self.table.insert(|number| Connection::new(number, flow, peer, origin, rings, keep_alive))
    }

    fn remove(&mut self, slot: u16, now: u64) {
        let Some(connection) = self.table.remove(slot) else { return };
        self.memory.give_back(connection.memory());
        if let (Origin::Listener(port), false) = (connection.origin, connection.is_announced())
            && let Some(listener) = self.listeners.get(port)
            && listener.peer == connection.peer
        {
            listener.settled();
        }
        if let Some((sequence, acknowledged)) = connection.time_wait() {
            self.time_wait.insert(now, connection.flow, sequence, acknowledged);
        }
    }

    /// Begins a connection for a peer. The error is for the peer to read.
    fn connect(
        &mut self,
        peer: u32,
        ticket: u32,
        to: Endpoint,
        link: &mut Link,
        random: &mut Random,
    ) -> Result<(), &'static str> {
        const ATTEMPTS: usize = 64;
        let remote = from_mapped(to.address);
        if to.port == 0 || remote.is_unspecified() || remote.is_multicast() || remote.is_broadcast() {
            return Err("not an address to connect to");
        }
        if link.owns(to.address) {
            return Err("the address is this machine's own");
        }
        let local = to_mapped(link.source_for(&remote).ok_or("no route to the address")?);
        let free = (0..ATTEMPTS).find_map(|_| {
            let port = random.ephemeral_port();
            let flow = Flow { remote: to.address, local, remote_port: to.port, local_port: port };
            (!self.table.contains(&flow) && self.listeners.get(port).is_none()).then_some(flow)
        });
        let flow = free.ok_or("no local port is free")?;
        let slot = self.open(flow, peer, Origin::Ticket(ticket), false).ok_or("too many connections")?;
        let connection = self.table.get(slot).ok_or("too many connections")?;
        let connected =
            connection.socket().connect(link.context(), (remote, to.port), (from_mapped(local), flow.local_port));
        if connected.is_err() {
            self.remove(slot, 0);
            return Err("not an address to connect to");
        }
        self.touch(slot);
        Ok(())
    }

    #[inline]
    fn touch(&mut self, slot: u16) {
        if let Some(connection) = self.table.get(slot)
            && !core::mem::replace(&mut connection.marks.touched, true)
        {
            self.touched.push(slot);
        }
    }

    /// Aborts connections that nobody is to hear of any more.
    fn disown(&mut self, why: &'static str, which: impl Fn(&Connection) -> bool) {
        for slot in self.table.select(which) {
            if let Some(connection) = self.table.get(slot) {
                connection.peer = NOBODY;
                connection.abort(why);
                self.touch(slot);
            }
        }
    }

    /// Aborts all connections that `which` holds for.
    fn abort(&mut self, why: &'static str, which: impl Fn(&Connection) -> bool) {
        for slot in self.table.select(which) {
            if let Some(connection) = self.table.get(slot) {
                connection.abort(why);
                self.touch(slot);
            }
        }
    }

    /// A neighbour's address may have become known: connections that could not send may go on.
    pub fn neighbour_found(&mut self) {
        for slot in core::mem::take(&mut self.stalled) {
            if let Some(connection) = self.table.get(slot)
                && core::mem::take(&mut connection.marks.stalled)
            {
                self.touch(slot);
            }
        }
    }

    /// This machine's addresses have changed: connections from those that are gone cannot go on.
    pub fn network_changed(&mut self, link: &Link) {
        self.abort("this machine's address changed", |connection| !link.owns(connection.flow.local));
    }

    /// Peers have room for events again.
    pub fn room_found(&mut self) {
        for slot in core::mem::take(&mut self.held) {
            if let Some(connection) = self.table.get(slot)
                && core::mem::take(&mut connection.marks.held)
            {
                self.touch(slot);
            }
        }
    }

    /// Lets every connection that something has happened to report, and transmit.
    pub fn step(&mut self, now: u64, link: &mut Link) {
        self.expire(now);
        let mut touched = core::mem::take(&mut self.touched);
        let mut done = 0;
        while done < touched.len() && link.has_room() {
            self.drive(touched[done], now, link);
            done += 1;
        }
        touched.drain(..done);
        if touched.is_empty() && self.touched.is_empty() {
            self.touched = touched;
        } else {
            self.touched.append(&mut touched);
        }
    }

    fn expire(&mut self, now: u64) {
        let Tcp { timers, table, touched, .. } = self;
        let count = table.len();
        timers.compact(table, count, |table, owner| table.deadline(owner));
        timers.expire(
            now,
            table,
            |table, owner| table.deadline(owner),
            |table, owner| {
                if let Some(connection) = table.get(owner as u16)
                    && !core::mem::replace(&mut connection.marks.touched, true)
                {
                    touched.push(owner as u16);
                }
            },
        );
    }

    fn drive(&mut self, slot: u16, now: u64, link: &mut Link) {
        let Tcp { table, peers, memory, listeners, timers, stalled, .. } = self;
        let Some(connection) = table.get(slot) else { return };
        connection.marks.touched = false;
        connection.feed(memory);
        let mut hold = false;
        if connection.peer != NOBODY && !connection.is_half_open() {
            match peers.room(connection.peer) {
                Some(events) => {
                    if connection.report(events)
                        && let Origin::Listener(port) = connection.origin
                        && let Some(listener) = listeners.get(port)
                    {
                        listener.settled();
                    }
                }
                None => hold = true,
            }
        }
        let (at, is_stalled) = transmit(connection, now, link);
        timers.set(slot.into(), &mut connection.deadline, at);
        if is_stalled && !core::mem::replace(&mut connection.marks.stalled, true) {
            push(stalled, slot);
        }
        if let Some(why) = connection.over() {
            let somebody = connection.is_known() && peers.is_attached(connection.peer);
            match peers.room(connection.peer) {
                Some(events) => connection.conclude(why, events),
                None if !somebody => {}
                None => return self.hold(slot),
            }
            return self.remove(slot, now);
        }
        if hold {
            self.hold(slot);
        }
    }

    fn hold(&mut self, slot: u16) {
        if let Some(connection) = self.table.get(slot)
            && !core::mem::replace(&mut connection.marks.held, true)
        {
            push(&mut self.held, slot);
        }
    }

    /// When `step` must be called next, if nothing else happens.
    pub fn deadline(&self) -> u64 {
        if self.touched.is_empty() { self.timers.next() } else { 0 }
    }
}

/// Sends what a connection has to send. When to look at it next, and whether it wants to send and cannot.
fn transmit(connection: &mut Connection, now: u64, link: &mut Link) -> (u64, bool) {
    let state = connection.state();
    if connection.is_frozen(state) {
        return (NEVER, false);
    }
    let mut idle = 0;
    let mut ready = core::mem::take(&mut connection.filled);
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
        connection.sent(link.sent.segment);
        if connection.ends_with(link.sent.segment) {
            // smoltcp's timers are no shorter than this. Mostly something happens before, and they are never asked.
            break now + RETRY;
        }
    };
    link.sent.highest = None;
    if state != State::Closed && connection.state() == State::Closed {
        connection.lost(if link.owns(connection.flow.local) { "timed out" } else { "this machine's address changed" });
    }
    (at, idle > 0)
}

/// Adds a slot to a list that slots do not leave when their connection ends. It may be in it, but not for ever more times.
fn push(list: &mut Vec<u16>, slot: u16) {
    if list.len() > 2 * usize::from(u16::MAX) {
        list.sort_unstable();
        list.dedup();
    }
    list.push(slot);
}
