//! How connections come and go.

use super::Tcp;
use super::connection::{Connection, Origin};
use crate::link::{Link, from_mapped, to_mapped};
use crate::packet::Flow;
use crate::random::Random;
use wit::tcp::Endpoint;

/// Half-open connections of a listener from which new ones get small rings.
const CROWD: usize = 128;

impl Tcp {
    /// A connection for a SYN, if there is room for one more.
    pub(super) fn accept(&mut self, now: u64, flow: Flow) -> Option<u16> {
        while self.listeners.get(flow.local_port)?.is_full() {
            self.counters.overflowed += 1;
            self.give_up_oldest(flow.local_port)?;
        }
        let listener = self.listeners.get(flow.local_port)?;
        let (peer, small) = (listener.peer, listener.waiting() >= CROWD);
        let slot = self.open(flow, peer, Origin::Listener(flow.local_port), small)?;
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

    pub(super) fn remove(&mut self, slot: u16, now: u64) {
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
    pub(super) fn connect(
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
}
