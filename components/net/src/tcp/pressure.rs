//! What is given up when there is no memory, or no place in the table, for what somebody else needs.
//!
//! First those go that do not get on: they leave data unacknowledged, or a handshake unfinished. Then those that have
//! been silent for long. Among equals, the longer the sooner, and the sooner the more of them come from one place. Who
//! has just got on stays, however many there are behind its address.
//!
//! Each client box has a share, and what others leave unused; when it wants its share, the connections of a box that
//! has more are given up for it.

use super::Tcp;
use super::connection::Connection;
use super::drive::transmit;
use crate::link::Link;
use crate::packet::Flow;
use std::collections::BTreeMap;

const SECOND: u64 = 1_000_000_000;
/// The unit in which patience is counted: more than a round trip takes, and be it of a telephone.
const MOMENT: u64 = 2 * SECOND;
/// How long a search's result holds.
const SEARCH: u64 = SECOND / 4;
/// How long a connection that waits for nothing is left alone.
const IDLE: u64 = 10 * SECOND;
/// Connections of one address that are no more suspicious than one: there are proxies.
const CROWD: u64 = 128;

/// What is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    Slot,
    Memory,
}

impl Need {
    /// How much of it a connection has.
    fn amount(self, connection: &Connection) -> usize {
        match self {
            Need::Slot => 1,
            Need::Memory => connection.memory(),
        }
    }
}

impl Tcp {
    /// Gives up connections for something that `peer` needs, but not `own`. False if there is none to give up.
    #[cold]
    #[inline(never)]
    pub(super) fn reclaim(&mut self, now: u64, need: Need, peer: u32, own: Option<u16>, link: &mut Link) -> bool {
        const WHY: &str = "too slow, and others need the memory";
        let proven = own.and_then(|slot| self.table.get(slot)).is_some_and(|connection| connection.is_proven());
        if self.searched(now, (peer, proven)) == Some(false) {
            return false;
        }
        // So many that there is not one search for each connection that needs some.
        let enough = match need {
            Need::Slot => 1 + self.table.limit() / 64,
            Need::Memory => (self.pool.total() / 64).max(64 << 10),
        };
        let mut freed = 0;
        for slot in self.expendable(now, need, peer, proven) {
            let Some(connection) = self.table.get(slot).filter(|_| freed < enough && own != Some(slot)) else {
                continue;
            };
            freed += need.amount(connection);
            connection.abort(WHY);
            // Its reset, if there is room for it.
            transmit(connection, now, link);
            self.pool.give_back(connection.shed());
            let known = connection.is_known() && self.peers.is_attached(connection.peer);
            match self.peers.answer(connection.peer) {
                Some(out) => connection.conclude(WHY, out.batch()),
                None if known => {
                    self.touch(slot);
                    continue;
                }
                None => {}
            }
            self.remove(slot, now);
            self.counters.reclaimed += 1;
        }
        if freed == 0 {
            self.searches.insert((peer, proven), (now, false));
        }
        freed > 0
    }

    /// Whether [`Tcp::reclaim`] would find something. Anybody can ask that at any time, so an answer holds for a while.
    pub(super) fn may_reclaim(&mut self, now: u64, need: Need, peer: u32) -> bool {
        self.searched(now, (peer, false)).unwrap_or_else(|| {
            let any = !self.expendable(now, need, peer, false).is_empty();
            self.searches.insert((peer, false), (now, any));
            any
        })
    }

    /// What the last search for a peer found, if that still holds.
    fn searched(&self, now: u64, search: (u32, bool)) -> Option<bool> {
        self.searches.get(&search).filter(|(at, _)| now < at + SEARCH).map(|(_, found)| *found)
    }

    /// Sends what a box has sent and there was no memory for, or ends that connection.
    #[cold]
    #[inline(never)]
    pub(super) fn send_short(&mut self, now: u64, slot: u16, data: &[u8], link: &mut Link) {
        let Some(peer) = self.table.get(slot).map(|connection| connection.peer) else { return };
        let mut rest = data;
        while !rest.is_empty() {
            let found = self.reclaim(now, Need::Memory, peer, Some(slot), link);
            let Tcp { table, pool, .. } = self;
            let Some(connection) = table.get(slot) else { return };
            rest = connection.send(rest, pool);
            if !found && !rest.is_empty() {
                return connection.abort("out of buffer memory");
            }
        }
    }

    /// The connections that may be given up for `peer`, the first first. For a connection of it whose remote side takes
    /// data, also those whose remote side has not taken any so far.
    fn expendable(&self, now: u64, need: Need, peer: u32, proven: bool) -> Vec<u16> {
        let total = match need {
            Need::Slot => self.table.limit(),
            Need::Memory => self.pool.total(),
        };
        let share = total / self.peers.attached().max(1);
        let mut places: BTreeMap<u64, u64> = BTreeMap::new();
        let mut holders: BTreeMap<u32, usize> = BTreeMap::new();
        for (_, connection) in self.table.all() {
            *holders.entry(connection.peer).or_default() += need.amount(connection);
            if patience(connection, now) > (false, 0) {
                *places.entry(place(&connection.flow)).or_default() += 1;
            }
        }
        let holds = |peer: u32| holders.get(&peer).copied().unwrap_or(0);
        let rank = |connection: &Connection| {
            let (stuck, moments) = patience(connection, now);
            let crowd = 1 + places.get(&place(&connection.flow)).map_or(0, |count| count / CROWD);
            (connection.peer != peer && holds(peer) < share && holds(connection.peer) > share, stuck, moments * crowd)
        };
        let may = |(over, _, moments): (bool, bool, u64), c: &Connection| {
            let worse = moments > 0 || proven && !c.is_proven() && c.quiet(now).1;
            c.has_memory() && (over || worse && (c.peer == peer || !self.peers.is_attached(c.peer)))
        };
        let all = self.table.all().map(|(slot, c)| (rank(c), slot, c));
        let mut ranked: Vec<_> = all.filter(|(rank, _, c)| may(*rank, c)).map(|(rank, slot, _)| (rank, slot)).collect();
        ranked.sort_unstable_by_key(|(rank, _)| core::cmp::Reverse(*rank));
        ranked.into_iter().map(|(_, slot)| slot).collect()
    }
}

/// How long a connection has tried the patience of others, and whether it keeps data waiting.
fn patience(connection: &Connection, now: u64) -> (bool, u64) {
    match connection.quiet(now) {
        (quiet, true) => (quiet >= MOMENT, quiet / MOMENT),
        (quiet, false) if quiet >= IDLE => (false, quiet / MOMENT),
        _ => (false, 0),
    }
}

/// The network that a remote machine's owner can choose addresses from: one of IPv4, 2^64 of IPv6.
fn place(flow: &Flow) -> u64 {
    match flow.remote.to_ipv4_mapped() {
        Some(address) => u64::from(address.to_bits()),
        None => (flow.remote.to_bits() >> 64) as u64,
    }
}
