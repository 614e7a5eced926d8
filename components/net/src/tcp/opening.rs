//! How connections come and go.

use super::connection::{Connection, Origin};
use super::pressure::Need;
use super::{Tcp, pool, reply};
use crate::link::{Link, from_mapped, to_mapped};
use crate::packet::{Flow, Segment};
use crate::random::Random;
use wit::tcp::Endpoint;

/// Half-open connections of a listener from which new ones get small rings.
const CROWD: usize = 128;

impl Tcp {
    /// Takes a SYN to a port that is listened on. One that nothing can be kept of is answered with a cookie.
    pub(super) fn accept(&mut self, now: u64, frame: &[u8], syn: &Segment, link: &mut Link) {
        let flow = syn.flow;
        let Some(listener) = self.listeners.get(flow.local_port) else { return };
        let (peer, full) = (listener.peer, listener.is_full());
        let crowded = self.table.is_full();
        if !full && let Some(slot) = self.listen(now, flow) {
            let number = self.cookies.number(now, &flow);
            return self.synchronize(now, slot, number, frame, syn.sequence, link);
        }
        self.counters.overflowed += u64::from(full && !crowded);
        self.counters.exhausted += u64::from(full && crowded);
        // If there is nothing to give up for it, whoever comes back with the cookie would find no place.
        let need = if crowded { Need::Slot } else { Need::Memory };
        if link.has_room() && (full && !crowded || self.may_reclaim(now, need, peer)) {
            let number = self.cookies.give(now, syn, reply::size(frame, syn));
            reply::synchronize(frame, syn, number, pool::FLOOR.receive as u16, link);
        }
    }

    /// Takes the first segment after a handshake of which nothing is remembered. False if it is not one.
    pub(super) fn admit(&mut self, now: u64, frame: &[u8], segment: &Segment, link: &mut Link) -> bool {
        let flow = segment.flow;
        let Some(size) = self.cookies.take(now, segment) else { return false };
        let Some(peer) = self.listeners.get(flow.local_port).map(|listener| listener.peer) else { return false };
        while self.listeners.get(flow.local_port).is_some_and(|listener| listener.is_full()) {
            if self.give_up_oldest(flow.local_port).is_none() {
                // The box has not taken those before it. The remote side sends again.
                return true;
            }
        }
        if self.table.is_full() && !self.reclaim(now, Need::Slot, peer, None, link) {
            return false;
        }
        let mut slot = self.listen(now, flow);
        if slot.is_none() && self.reclaim(now, Need::Memory, peer, None, link) {
            slot = self.listen(now, flow);
        }
        let Some(slot) = slot else { return false };
        let number = segment.acknowledged.wrapping_sub(1);
        let sequence = segment.sequence.wrapping_sub(1);
        let Some(syn) = reply::opening(frame, &flow, sequence, size) else { return false };
        self.synchronize(now, slot, number, &syn, sequence, link);
        let Some(connection) = self.table.get(slot) else { return true };
        // smoltcp must have answered the SYN to take what comes next; the remote side has that answer.
        let before = link.outgoing.len();
        link.sent.segment = None;
        if link.egress(now, &mut connection.sockets) && link.sent.segment.is_some() {
            connection.sent(now, link.sent.segment);
            link.outgoing.truncate(before);
        }
        self.receive_known(now, slot, frame, segment, link);
        true
    }

    fn synchronize(&mut self, now: u64, slot: u16, number: u32, frame: &[u8], sequence: u32, link: &mut Link) {
        let Some(connection) = self.table.get(slot) else { return };
        connection.synchronized(sequence);
        let limited = connection.path.size().and_then(|size| reply::limited(frame, &connection.flow, size));
        link.synchronize(now, number, limited.as_deref().unwrap_or(frame), &mut connection.sockets);
        self.touch(slot);
    }

    /// A connection that waits for a SYN, if there is room for one more.
    fn listen(&mut self, now: u64, flow: Flow) -> Option<u16> {
        let listener = self.listeners.get(flow.local_port)?;
        let (peer, small) = (listener.peer, listener.waiting() >= CROWD);
        let slot = self.open(now, flow, peer, Origin::Listener(flow.local_port), small)?;
        let connection = self.table.get(slot)?;
        connection.began = now;
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

    fn open(&mut self, now: u64, flow: Flow, peer: u32, origin: Origin, small: bool) -> Option<u16> {
        let more = self.table.remaining().checked_sub(1);
        let rings = more.and_then(|more| self.pool.open(more, small));
        let keep_alive = self.keep_alive;
        let slot = rings.and_then(|rings| {
            let make = |number| {
                let mut connection = Connection::new(number, flow, peer, origin, rings, keep_alive, now);
                self.paths.get(now, &flow.remote).map(|mtu| connection.path.lower(mtu));
                connection
            };
            let slot = self.timers.room_for(more?).then(|| self.table.insert(make)).flatten();
            if slot.is_none() {
                self.pool.give_back(rings.total());
            }
            slot
        });
        match slot {
            Some(_) => self.counters.opened += 1,
            None => self.counters.exhausted += 1,
        }
        slot
    }

    pub(super) fn remove(&mut self, slot: u16, now: u64) {
        let Some(connection) = self.table.remove(slot) else { return };
        self.pool.give_back(connection.memory());
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
    pub(super) fn connect(
        &mut self,
        now: u64,
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
        if self.table.is_full() {
            self.reclaim(now, Need::Slot, peer, None, link);
        }
        let mut slot = self.open(now, flow, peer, Origin::Ticket(ticket), false);
        if slot.is_none() && !self.table.is_full() && self.reclaim(now, Need::Memory, peer, None, link) {
            slot = self.open(now, flow, peer, Origin::Ticket(ticket), false);
        }
        let slot = slot.ok_or("too many connections")?;
        let connection = self.table.get(slot).ok_or("too many connections")?;
        let mut opener = link.opener(now, self.cookies.number(now, &flow));
        let connected =
            connection.socket().connect(opener.context(), (remote, to.port), (from_mapped(local), flow.local_port));
        if connected.is_err() {
            self.remove(slot, 0);
            return Err("not an address to connect to");
        }
        self.touch(slot);
        Ok(())
    }
}
