//! TCP for the clients of `pearwood:net/tcp`.

mod commands;
mod connection;
mod cookies;
mod drive;
mod handover;
mod listeners;
mod opening;
mod outbound;
mod path;
mod pool;
mod pressure;
mod reply;
mod start;
mod table;
mod time_wait;

use crate::checksum;
use crate::link::{Link, from_mapped};
use crate::packet::{Flow, Segment};
use crate::paths::{Paths, TooBig};
use crate::random::Random;
use crate::restraint::Restraint;
use crate::settings::Settings;
use crate::timers::Timers;
use connection::{Connection, Judgement};
use cookies::Cookies;
use listeners::Listeners;
use pool::{Pool, Rings};
use std::collections::{BTreeMap, BTreeSet};
use table::Table;
use time_wait::{TimeWait, Verdict};
use wit::Peers;

/// The peer of connections whose box is gone, and of ports that no box has asked for yet.
const NOBODY: u32 = u32::MAX;

pub struct Tcp {
    pub peers: Peers,
    pub counters: Counters,
    table: Table,
    listeners: Listeners,
    pool: Pool,
    /// When something to reclaim was last searched for, for which peer and what kind of connection, and whether there was
    /// any.
    searches: BTreeMap<(u32, bool), (u64, bool)>,
    cookies: Cookies,
    timers: Timers,
    time_wait: TimeWait,
    pub paths: Paths,
    /// connections that something has happened to, each once
    touched: Vec<u16>,
    /// connections whose peer had no room for their events
    held: Vec<u16>,
    /// connections that could not send, perhaps for want of a neighbour's address
    stalled: Vec<u16>,
    resets: Restraint,
    keep_alive: u64,
    beside: Beside,
    /// until when ports wait for the boxes that listened on them before
    promised_until: u64,
    /// until when the end of a connection may be one of an instance that is gone
    quiet_until: u64,
    /// connections that another instance has opened, of which a SYN may still be on its way
    young: BTreeSet<Flow>,
}

/// Another instance of the box at work on the same card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beside {
    Nobody,
    /// What has no connection here may have one there.
    Other,
    /// What has no connection here is for the other.
    Heir,
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
    /// connections given up for others
    pub reclaimed: u64,
    /// resets not sent, since there were too many
    pub unanswered: u64,
    /// commands that made no sense, or whose answers their box does not read
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
            pool: Pool::new(settings.buffers, rings),
            searches: BTreeMap::new(),
            cookies: Cookies::new(random),
            timers: Timers::default(),
            time_wait: TimeWait::new(random.hasher()),
            paths: Paths::default(),
            touched: Vec::new(),
            held: Vec::new(),
            stalled: Vec::new(),
            resets: Restraint::default(),
            keep_alive: settings.keep_alive,
            beside: Beside::Nobody,
            promised_until: u64::MAX,
            quiet_until: 0,
            young: BTreeSet::new(),
        }
    }

    /// Open connections.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Bytes of memory that connections take.
    pub fn memory(&self) -> usize {
        self.pool.used()
    }

    #[inline(never)]
    pub fn receive(&mut self, now: u64, frame: &[u8], segment: &Segment, link: &mut Link) {
        if !checksum::verify(frame, segment) {
            self.counters.corrupt += 1;
            return;
        }
        let Some(slot) = self.table.find(&segment.flow) else {
            return self.receive_unknown(now, frame, segment, link);
        };
        self.receive_known(now, slot, frame, segment, link);
    }

    #[inline]
    fn receive_known(&mut self, now: u64, slot: u16, frame: &[u8], segment: &Segment, link: &mut Link) {
        let Some(connection) = self.table.get(slot) else { return };
        let judgement = connection.judge(segment);
        link.sent.segment = None;
        link.sent.highest = connection.highest();
        match judgement {
            Judgement::Take => link.ingress(now, frame, &mut connection.sockets),
            Judgement::Acknowledging(number) => {
                link.ingress(now, &acknowledging(frame, segment, number), &mut connection.sockets);
            }
            Judgement::Challenge { sequence, acknowledged } => {
                if let Some(probe) = reply::probe(frame, &segment.flow, sequence, acknowledged) {
                    link.ingress(now, &probe, &mut connection.sockets);
                }
                connection.sent(now, link.sent.segment);
            }
            Judgement::Drop => {}
        }
        link.sent.highest = None;
        if matches!(judgement, Judgement::Challenge { .. } | Judgement::Drop) {
            return;
        }
        let calm = connection.received(now, segment, link.sent.segment, &mut self.paths);
        if !core::mem::replace(&mut connection.marks.touched, true) {
            connection.marks.calm = calm;
            self.touched.push(slot);
        }
        connection.marks.calm &= calm;
    }

    /// A router could not pass on a segment. Whoever only says so does not know which are in flight.
    #[cold]
    #[inline(never)]
    pub fn too_big(&mut self, now: u64, said: &TooBig, link: &mut Link) {
        let slot = self.table.find(&said.flow);
        let Some((slot, connection)) = slot.and_then(|slot| Some((slot, self.table.get(slot)?))) else { return };
        if connection.has_in_flight(said.sequence) && connection.path.lower(said.mtu) {
            self.paths.learn(now, said.flow.remote, said.mtu);
            drive::hasten(connection, now, link);
            self.touch(slot);
        }
    }

    /// Whether an acknowledgement makes the one before it unnecessary.
    pub fn supersedes(&mut self, frame: &[u8], segment: &Segment, earlier: &Segment) -> bool {
        // After a loss the congestion window grows by the number of acknowledgements.
        segment.supersedes(earlier)
            && checksum::verify(frame, segment)
            && self
                .table
                .find(&segment.flow)
                .and_then(|slot| self.table.get(slot))
                .is_some_and(|c| !c.outbound.has_lost())
    }

    #[cold]
    #[inline(never)]
    fn receive_unknown(&mut self, now: u64, frame: &[u8], segment: &Segment, link: &mut Link) {
        let flow = &segment.flow;
        let remote = flow.remote;
        if !link.owns(flow.local)
            || link.owns(remote)
            || link.is_impossible(remote)
            || from_mapped(remote).is_unspecified()
        {
            return;
        }
        match self.time_wait.judge(now, segment) {
            Verdict::Free => {}
            Verdict::Ignore => return,
            Verdict::Repeat(sequence, acknowledged) => {
                return reply::acknowledge(frame, flow, sequence, acknowledged, link);
            }
        }
        if self.young.contains(flow) {
            return;
        }
        if !segment.opens() || self.listeners.get(flow.local_port).is_none() {
            if segment.is_acknowledgement() && self.admit(now, frame, segment, link) {
                return;
            }
            if self.is_for_other(now, segment) {
                return;
            }
            match segment.is_rst() || !self.resets.allows(now) {
                true => self.counters.unanswered += u64::from(!segment.is_rst()),
                false => reply::reset(frame, segment, link),
            }
            return;
        }
        self.accept(now, frame, segment, link);
    }

    #[inline]
    fn touch(&mut self, slot: u16) {
        if let Some(connection) = self.table.get(slot) {
            connection.marks.calm = false;
            if !core::mem::replace(&mut connection.marks.touched, true) {
                self.touched.push(slot);
            }
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
        if self.timers.next() <= now {
            self.expire(now);
        }
        let mut done = 0;
        while done < self.touched.len() && link.has_room() {
            self.drive(self.touched[done], now, link);
            done += 1;
        }
        self.touched.drain(..done);
        if self.peers.any_retiring() {
            self.release();
        }
    }

    /// Lets go of peers that retire when they have no connection left, and their ports are others'.
    #[cold]
    #[inline(never)]
    fn release(&mut self) {
        let Tcp { peers, listeners, table, .. } = self;
        peers.release(|peer| listeners.has(peer) || table.any(|connection| connection.peer == peer));
    }

    #[cold]
    #[inline(never)]
    fn expire(&mut self, now: u64) {
        let Tcp { timers, table, touched, .. } = self;
        let count = table.len();
        timers.compact(table, count, |table, owner| table.deadline(owner));
        timers.expire(
            now,
            table,
            |table, owner| table.deadline(owner),
            |table, owner| {
                if let Some(connection) = table.get(owner as u16) {
                    connection.marks.calm = false;
                    if !core::mem::replace(&mut connection.marks.touched, true) {
                        touched.push(owner as u16);
                    }
                }
            },
        );
    }

    /// When `step` must be called next, if nothing else happens.
    pub fn deadline(&self) -> u64 {
        if self.touched.is_empty() { self.timers.next() } else { 0 }
    }
}

/// A frame whose segment acknowledges something else. Its checksum has been verified, and is not looked at again.
#[cold]
#[inline(never)]
fn acknowledging(frame: &[u8], segment: &Segment, acknowledged: u32) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[segment.start + 8..segment.start + 12].copy_from_slice(&acknowledged.to_be_bytes());
    frame
}
