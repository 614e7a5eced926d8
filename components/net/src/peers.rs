//! The client boxes of one channel, and the events that wait for each.

use wit::Batch;

/// Peer numbers from here on are not served: the node numbers them from 0.
const MAX_PEERS: u32 = 256;
/// Bytes of events from which nothing more is drained for a peer until some are taken. With all that one connection or
/// port may add, a batch stays below the node's limit of 131,072.
const ROOM: usize = 48 << 10;
/// Bytes of events at which a peer that never reads gets no more answers to its commands.
const LIMIT: usize = 120 << 10;
/// Peers whose buffers may all be full at a time; with more of them, those that have events wait for each other.
const CROWD: usize = 4;
/// Bytes of a buffer that is kept for the next events in a crowd.
const KEPT: usize = 16 << 10;

#[derive(Debug, Default)]
struct Peer {
    attached: bool,
    /// the last `send` was refused
    full: bool,
    /// it is in the list of those with events
    pending: bool,
    /// another takes its place, or has
    retiring: bool,
    events: Batch,
}

#[derive(Debug, Default)]
pub struct Peers {
    peers: Vec<Peer>,
    /// peers with events, each once
    pending: Vec<u32>,
    /// peers that retire, until they are let go
    retiring: Vec<u32>,
    /// peers to let go
    released: Vec<u32>,
    /// a peer has no room since others have events
    crowded: bool,
}

impl Peers {
    pub fn attach(&mut self, peer: u32) {
        if peer < MAX_PEERS {
            if self.peers.len() <= peer as usize {
                self.peers.resize_with(peer as usize + 1, Peer::default);
            }
            self.forget(peer);
            self.peers[peer as usize].attached = true;
        }
    }

    pub fn detach(&mut self, peer: u32) {
        if let Some(peer_) = self.peers.get_mut(peer as usize) {
            peer_.attached = false;
            self.forget(peer);
        }
    }

    fn forget(&mut self, peer: u32) {
        for list in [&mut self.pending, &mut self.retiring, &mut self.released] {
            list.retain(|&p| p != peer);
        }
        let peer = &mut self.peers[peer as usize];
        peer.full = false;
        peer.pending = false;
        peer.retiring = false;
        peer.events = Batch::new();
    }

    /// What the peer has is finished, and what it holds others may take.
    pub fn retire(&mut self, peer: u32) {
        if self.is_attached(peer) && !core::mem::replace(&mut self.peers[peer as usize].retiring, true) {
            self.retiring.push(peer);
        }
    }

    pub fn is_retiring(&self, peer: u32) -> bool {
        self.peers.get(peer as usize).is_some_and(|p| p.retiring)
    }

    pub fn any_retiring(&self) -> bool {
        !self.retiring.is_empty()
    }

    /// Lets go of peers that retire and that nothing is left of: `has` says whether a peer has something.
    pub fn release(&mut self, has: impl Fn(u32) -> bool) {
        let (peers, released) = (&self.peers, &mut self.released);
        self.retiring.retain(|&peer| {
            let keep = !peers[peer as usize].events.is_empty() || has(peer);
            if !keep {
                released.push(peer);
            }
            keep
        });
    }

    pub fn any_attached(&self) -> bool {
        self.peers.iter().any(|p| p.attached)
    }

    pub fn is_attached(&self, peer: u32) -> bool {
        self.peers.get(peer as usize).is_some_and(|p| p.attached)
    }

    /// Where to write events for a peer, if it takes any now.
    #[inline]
    pub fn room(&mut self, peer: u32) -> Option<&mut Batch> {
        let crowded = self.pending.len() >= CROWD && self.is_crowded(peer);
        let p = self.peers.get_mut(peer as usize)?;
        if p.full || !p.attached || p.events.len() >= ROOM || crowded {
            return None;
        }
        if !core::mem::replace(&mut p.pending, true) {
            self.pending.push(peer);
        }
        Some(&mut p.events)
    }

    /// Whether so many peers have events that a further one has to wait until some have taken theirs.
    #[cold]
    fn is_crowded(&mut self, peer: u32) -> bool {
        let waiting = |peer: &u32| self.peers[*peer as usize].events.len();
        let crowded = !self.pending.contains(&peer) && self.pending.iter().map(waiting).sum::<usize>() > CROWD * ROOM;
        self.crowded |= crowded;
        crowded
    }

    /// How many peers are attached.
    pub fn attached(&self) -> usize {
        self.peers.iter().filter(|p| p.attached).count()
    }

    /// Whether a peer may have one more of so many things, where `owners` names the owner of each that is taken. Half of
    /// them are for whoever comes first, and of the other half each peer has a share that no other can take.
    pub fn may_have(&self, peer: u32, limit: usize, owners: impl Iterator<Item = u32>) -> bool {
        let mut held = [0; MAX_PEERS as usize];
        let mut taken = 0;
        for owner in owners {
            taken += 1;
            if let Some(held) = held.get_mut(owner as usize) {
                *held += 1;
            }
        }
        let share = limit / (2 * self.attached().max(1));
        let others = self.peers.iter().zip(0..).filter(|&(p, number)| p.attached && number != peer);
        let owed: usize = others.map(|(_, number)| share.saturating_sub(held[number as usize])).sum();
        let own = held.get(peer as usize).copied().unwrap_or_default();
        taken < limit && (own < share || taken + owed < limit)
    }

    /// Whether a peer has so many answers to read that it gets no more, and so need not be served.
    pub fn is_deaf(&self, peer: u32) -> bool {
        self.peers.get(peer as usize).is_none_or(|p| p.events.len() >= LIMIT)
    }

    /// Where to write the answer to a peer's command: room or not, unless the peer does not read its answers at all.
    pub fn answer(&mut self, peer: u32) -> Option<&mut Batch> {
        let p = self.peers.get_mut(peer as usize)?;
        if !p.attached || p.events.len() >= LIMIT {
            return None;
        }
        if !core::mem::replace(&mut p.pending, true) {
            self.pending.push(peer);
        }
        Some(&mut p.events)
    }

    /// How many peers the next `deliver` offers events; none if more is to be done for one of them after it.
    pub fn waiting(&self) -> Option<usize> {
        if self.crowded {
            return None;
        }
        let mut count = self.released.len();
        for &peer in &self.pending {
            let p = &self.peers[peer as usize];
            if p.events.len() >= ROOM {
                return None;
            }
            count += usize::from(!p.full && !p.events.is_empty());
        }
        Some(count)
    }

    /// Offers each peer its events. `send` says whether it took them. True if some peer has room that had none.
    pub fn deliver(&mut self, mut send: impl FnMut(u32, &[u8]) -> bool) -> bool {
        let mut room = false;
        let few = self.pending.len() < CROWD;
        let (peers, crowded) = (&mut self.peers, &mut self.crowded);
        self.pending.retain(|&peer| {
            let p = &mut peers[peer as usize];
            if p.full {
                return true;
            }
            let before = p.events.len();
            if p.events.flush(|events| send(peer, events)) {
                room |= before >= ROOM || core::mem::take(crowded);
                if before > if few { 2 * ROOM } else { KEPT } {
                    p.events = Batch::new();
                }
                p.pending = false;
                return false;
            }
            p.full = true;
            true
        });
        for peer in self.released.drain(..) {
            send(peer, wit::Peer::release(peer).as_bytes());
        }
        room
    }

    /// The node says that a peer which had no room has some again. True if a peer was waiting for it.
    pub fn retry(&mut self) -> bool {
        let mut any = false;
        for peer in &mut self.peers {
            any |= core::mem::take(&mut peer.full);
        }
        any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_peer_keeps_its_events() {
        let mut peers = Peers::default();
        assert!(peers.room(1).is_none());
        peers.attach(1);
        peers.room(1).unwrap().push(1, 2, b"x");
        peers.deliver(|_, _| false);
        assert!(peers.room(1).is_none());
        peers.deliver(|_, _| panic!("offered again before there is room"));
        assert!(peers.retry());
        let mut got = Vec::new();
        peers.deliver(|peer, batch| {
            got.push((peer, batch.to_vec()));
            true
        });
        assert_eq!(got.len(), 1);
        assert!(peers.room(1).is_some());
    }

    #[test]
    fn only_events_that_there_are_wait() {
        let mut peers = Peers::default();
        peers.attach(0);
        peers.attach(1);
        assert!(peers.room(0).is_some());
        assert_eq!(peers.waiting(), Some(0), "there was room, and nothing was written");
        peers.room(1).unwrap().push(1, 2, b"x");
        assert_eq!(peers.waiting(), Some(1));
        peers.deliver(|_, _| false);
        assert_eq!(peers.waiting(), Some(0), "it has no room");
    }

    #[test]
    fn a_peer_that_retires_is_let_go_when_nothing_is_left() {
        let mut peers = Peers::default();
        peers.attach(0);
        peers.attach(1);
        peers.answer(1).unwrap().push(1, 2, b"x");
        peers.retire(1);
        peers.retire(1);
        peers.release(|_| true);
        peers.release(|_| false);
        let mut sent = Vec::new();
        let mut deliver = |peers: &mut Peers| {
            peers.deliver(|peer, batch| {
                sent.push((peer, batch[3]));
                true
            })
        };
        deliver(&mut peers);
        peers.release(|_| false);
        assert!(!peers.any_retiring());
        deliver(&mut peers);
        deliver(&mut peers);
        assert_eq!(sent, [(1, 1), (1, wit::Peer::RELEASE)]);
    }

    #[test]
    fn a_successor_gets_nothing_of_its_predecessor() {
        let mut peers = Peers::default();
        peers.attach(0);
        peers.answer(0).unwrap().push(1, 2, b"x");
        peers.attach(0);
        peers.deliver(|_, _| panic!("nothing is left to send"));
    }
}
