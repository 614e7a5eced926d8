//! What a box does as a peer: who is at the other ends of a port, what waits for each, and who is being let go.
//!
//! A turn is: note who has come and gone ([`incoming`](crate::incoming)), write to outboxes, [`Peers::flush`]. Writing costs the
//! same however many peers there are. What looks at all that have something waiting says so; what is done when a peer comes,
//! goes, or asks for one thing more ([`Peers::may_have`]) looks at all peers.

use crate::{MAX_BATCH, Outbox, Peer};
use alloc::{vec, vec::Vec};
use core::ops::Range;

/// Peers with numbers from here on are not served: the node numbers them from 0 on.
const MAX_PEERS: u32 = 4_096;

/// Bytes by which answers may go beyond what data may take, so that data alone never keeps a peer from being answered: more than
/// is under way of one stream.
const ANSWERS: usize = crate::INITIAL_CREDIT as usize + (8 << 10);

/// The peers of a port, by number; `T` is what the box keeps of each.
///
/// An outbox takes data until it has its share of `total`, and no more than `room` bytes; the last record may go beyond that. So
/// a peer that takes nothing costs its share and a record, and leaves others theirs. Answers to commands go further, but not
/// without end: see [`Peers::answer`]. What must be said in any case ([`Peers::out`]) the box bounds itself.
#[derive(Debug)]
pub struct Peers<T = ()> {
    peers: Vec<Option<Entry<T>>>,
    /// those that are there
    attached: usize,
    /// those with something in their outbox, each once
    pending: Vec<u32>,
    /// those that are to be let go when nothing is open with them
    retiring: Vec<u32>,
    /// those that nothing is open with, until that is sent
    released: Vec<u32>,
    room: usize,
    total: usize,
    /// bytes from which an outbox takes no more data
    share: usize,
    /// Data was not taken, and may be after a flush.
    refused: bool,
}

#[derive(Debug)]
struct Entry<T> {
    out: Outbox,
    pending: bool,
    retiring: bool,
    data: T,
}

impl<T> Entry<T> {
    /// To be written to: `pending` gets its number.
    #[inline]
    fn open(&mut self, number: u32, pending: &mut Vec<u32>) -> (&mut T, &mut Outbox) {
        if !core::mem::replace(&mut self.pending, true) {
            pending.push(number);
        }
        (&mut self.data, &mut self.out)
    }
}

impl<T> Default for Peers<T> {
    /// 48 KiB for each of up to four, and their share for each of more: for a box with little memory.
    fn default() -> Self {
        Peers::new(48 << 10, 192 << 10)
    }
}

impl<T> Peers<T> {
    /// No outbox is to hold more than `room` bytes of data, and all together no more than `total`, and a record for each.
    pub const fn new(room: usize, total: usize) -> Self {
        Peers {
            peers: Vec::new(),
            attached: 0,
            pending: Vec::new(),
            retiring: Vec::new(),
            released: Vec::new(),
            room,
            total,
            share: room,
            refused: false,
        }
    }

    /// The peer is there, and gets nothing of what was for one that had its number. False: the number is too high.
    pub fn attach(&mut self, number: u32, data: T) -> bool {
        if number >= MAX_PEERS {
            return false;
        }
        self.detach(number);
        let place = number as usize;
        if self.peers.len() <= place {
            self.peers.resize_with(place + 1, || None);
        }
        self.peers[place] = Some(Entry { out: Outbox::new(), pending: false, retiring: false, data });
        self.attached += 1;
        self.divide();
        true
    }

    /// The peer is gone. What the box kept of it, if it was there.
    pub fn detach(&mut self, number: u32) -> Option<T> {
        let entry = self.peers.get_mut(number as usize)?.take()?;
        for list in [&mut self.pending, &mut self.retiring, &mut self.released] {
            list.retain(|&other| other != number);
        }
        self.attached -= 1;
        self.divide();
        Some(entry.data)
    }

    fn divide(&mut self) {
        self.share = (self.total / self.attached.max(1)).clamp(1, self.room);
    }

    /// Nothing new is begun with the peer, and what it holds others may take: [`Peers::release`] lets go of it in the end.
    pub fn retire(&mut self, number: u32) {
        if let Some(entry) = self.entry(number)
            && !core::mem::replace(&mut entry.retiring, true)
        {
            self.retiring.push(number);
        }
    }

    /// Lets go of peers that retire and that nothing waits for, unless the box `holds` something open with them. The next
    /// flush tells them. The box calls this again while there are such ([`Peers::any_retiring`]).
    pub fn release(&mut self, mut holds: impl FnMut(u32) -> bool) {
        let Peers { peers, retiring, released, .. } = self;
        retiring.retain(|&number| {
            let quiet = peers[number as usize].as_ref().is_none_or(|entry| entry.out.is_empty());
            let keep = !quiet || holds(number);
            if !keep {
                released.push(number);
            }
            keep
        });
    }

    pub fn is_attached(&self, number: u32) -> bool {
        self.get(number).is_some()
    }

    pub fn is_retiring(&self, number: u32) -> bool {
        self.peers.get(number as usize).is_some_and(|entry| entry.as_ref().is_some_and(|entry| entry.retiring))
    }

    /// How many are there.
    pub fn attached(&self) -> usize {
        self.attached
    }

    pub fn any_attached(&self) -> bool {
        self.attached > 0
    }

    /// Whether one retires that has not been let go.
    pub fn any_retiring(&self) -> bool {
        !self.retiring.is_empty()
    }

    #[inline]
    fn entry(&mut self, number: u32) -> Option<&mut Entry<T>> {
        self.peers.get_mut(number as usize)?.as_mut()
    }

    /// What the box keeps of a peer that is there.
    #[inline]
    pub fn get(&self, number: u32) -> Option<&T> {
        self.peers.get(number as usize)?.as_ref().map(|entry| &entry.data)
    }

    #[inline]
    pub fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.entry(number).map(|entry| &mut entry.data)
    }

    /// All numbers that are in use, and perhaps others.
    pub fn numbers(&self) -> Range<u32> {
        0..self.peers.len() as u32
    }

    /// All that are there, with what waits for them.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T, &Outbox)> {
        (0..).zip(&self.peers).filter_map(|(number, entry)| entry.as_ref().map(|it| (number, &it.data, &it.out)))
    }

    /// What the box keeps of a peer, and where to write what it must know in any case.
    #[inline]
    pub fn both(&mut self, number: u32) -> Option<(&mut T, &mut Outbox)> {
        let Peers { peers, pending, .. } = self;
        Some(peers.get_mut(number as usize)?.as_mut()?.open(number, pending))
    }

    /// Where to write what a peer must know in any case, if it is there.
    #[inline]
    pub fn out(&mut self, number: u32) -> Option<&mut Outbox> {
        self.both(number).map(|(_, out)| out)
    }

    /// Where to write what can wait, if the peer has taken all that it was sent.
    #[inline]
    pub fn out_unless_full(&mut self, number: u32) -> Option<&mut Outbox> {
        self.out(number).filter(|out| !out.is_full())
    }

    /// Where to write data, if the peer takes more of it now. If not, [`Peers::flush`] or [`Peers::retry`] says when.
    #[inline]
    pub fn room(&mut self, number: u32) -> Option<&mut Outbox> {
        let Peers { peers, pending, share, refused, .. } = self;
        let entry = peers.get_mut(number as usize)?.as_mut()?;
        if entry.out.is_full() {
            return None;
        }
        if entry.out.len() >= *share {
            *refused = true;
            return None;
        }
        Some(entry.open(number, pending).1)
    }

    /// Where to write the answer to a peer's command: room or not, unless the peer does not take its answers at all. Commands
    /// that need one are then passed over ([`Peers::is_deaf`]).
    #[inline]
    pub fn answer(&mut self, number: u32) -> Option<&mut Outbox> {
        if self.is_deaf(number) { None } else { self.out(number) }
    }

    /// Whether so many answers wait for a peer that it gets no more, and so need not be served.
    pub fn is_deaf(&self, number: u32) -> bool {
        self.waiting_for(number).is_none_or(|bytes| bytes >= self.share + ANSWERS)
    }

    /// Bytes that wait for a peer, if it is there.
    #[inline]
    pub fn waiting_for(&self, number: u32) -> Option<usize> {
        self.peers.get(number as usize)?.as_ref().map(|entry| entry.out.len())
    }

    /// Whether anything waits for anybody. Looks at all that have something waiting.
    pub fn any_waiting(&self) -> bool {
        self.waiting_bytes().0 > 0
    }

    /// Bytes that wait for all, and for whom most of them do. Looks at all that have something waiting.
    pub fn waiting_bytes(&self) -> (usize, Option<u32>) {
        let bytes = |&number: &u32| self.waiting_for(number).unwrap_or_default();
        (self.pending.iter().map(bytes).sum(), self.pending.iter().copied().max_by_key(bytes))
    }

    /// Drops what waits for a peer.
    pub fn clear(&mut self, number: u32) {
        if let Some(entry) = self.entry(number) {
            entry.out.clear();
            // as when it had been sent
            self.refused = true;
        }
    }

    /// How many batches the next flush sends; what is too long for one counts for as many as it may take. Looks at all that have
    /// something waiting.
    pub fn waiting(&self) -> usize {
        let entries = self.pending.iter().filter_map(|&number| self.peers[number as usize].as_ref());
        let open = entries.filter(|entry| !entry.out.is_full() && !entry.out.is_empty());
        // two pieces that follow each other are more than a batch
        open.map(|entry| 1 + 2 * ((entry.out.len() - 1) / MAX_BATCH)).sum::<usize>() + self.released.len()
    }

    /// Whether data was not taken that may be after the next flush.
    pub fn any_refused(&self) -> bool {
        self.refused
    }

    /// Offers each peer what waits for it; `send` says whether it took it, and one that did not is not asked again before
    /// [`Peers::retry`]. True: data that was not taken before may be now.
    pub fn flush(&mut self, mut send: impl FnMut(u32, &[u8]) -> bool) -> bool {
        let Peers { peers, pending, released, share, refused, .. } = self;
        let (mut sent, mut kept) = (false, 0);
        for index in 0..pending.len() {
            let number = pending[index];
            let Some(Some(entry)) = peers.get_mut(number as usize) else { continue };
            if !entry.out.is_full() {
                entry.out.flush(|batch| send(number, batch));
            }
            if entry.out.is_empty() {
                sent = true;
                entry.pending = false;
                entry.out.keep(2 * *share);
            } else {
                pending[kept] = number;
                kept += 1;
            }
        }
        pending.truncate(kept);
        if !released.is_empty() {
            released.retain(|&number| !send(number, Peer::release(number).as_bytes()));
        }
        core::mem::take(refused) && sent
    }

    /// A peer that had no room may have some again, the node says. True if one was waited for. Looks at all that have
    /// something waiting.
    pub fn retry(&mut self) -> bool {
        let mut any = false;
        for &number in &self.pending {
            if let Some(Some(entry)) = self.peers.get_mut(number as usize) {
                any |= entry.out.reopen();
            }
        }
        self.refused |= any;
        any
    }

    /// Whether a peer may have one more of `limit` things, where `owners` names the owner of each that is taken. Half of them are for
    /// whoever comes first, and of the other half each peer has a share that no other can take.
    pub fn may_have(&self, number: u32, limit: usize, owners: impl Iterator<Item = u32>) -> bool {
        let mut held = vec![0; self.peers.len()];
        let mut taken = 0;
        for owner in owners {
            taken += 1;
            if let Some(held) = held.get_mut(owner as usize) {
                *held += 1;
            }
        }
        let share = limit / (2 * self.attached.max(1));
        let others = self.iter().filter(|(other, ..)| *other != number);
        let owed: usize = others.map(|(other, ..)| share.saturating_sub(held[other as usize])).sum();
        let own = held.get(number as usize).copied().unwrap_or_default();
        taken < limit && (own < share || taken + owed < limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::iter;

    fn peers(numbers: impl IntoIterator<Item = u32>, room: usize, total: usize) -> Peers {
        let mut peers = Peers::new(room, total);
        numbers.into_iter().for_each(|number| assert!(peers.attach(number, ())));
        peers
    }

    /// Sends all that waits: to whom, and how many bytes.
    fn taken(peers: &mut Peers) -> Vec<(u32, usize)> {
        let mut sent = Vec::new();
        peers.flush(|peer, batch| {
            sent.push((peer, batch.len()));
            true
        });
        sent
    }

    #[test]
    fn a_full_peer_keeps_what_is_for_it() {
        let mut peers = peers([1], 100, 100);
        assert!(peers.room(0).is_none() && peers.room(7).is_none());
        peers.room(1).unwrap().batch().push(1, 2, b"x");
        peers.flush(|_, _| false);
        assert!(peers.room(1).is_none() && peers.out_unless_full(1).is_none());
        peers.flush(|_, _| panic!("offered again before there is room"));
        assert!(peers.retry() && !peers.retry());
        assert!(peers.flush(|peer, batch| (peer, batch.len()) == (1, 9)), "data that waited may be taken");
        assert!(peers.room(1).is_some() && !peers.retry());
    }

    #[test]
    fn data_waits_for_a_flush_when_the_share_is_used() {
        let mut peers = peers([0, 1], 1 << 20, 200);
        peers.room(0).unwrap().batch().push(1, 2, &[0; 80]);
        assert!(peers.room(0).is_some() && !peers.any_refused());
        peers.room(0).unwrap().batch().push(1, 2, &[0; 80]);
        assert!(peers.room(0).is_none() && peers.any_refused(), "half of the total");
        assert!(peers.room(1).is_some(), "another has its share");
        assert!(peers.flush(|_, _| true) && !peers.any_refused());
        assert!(peers.room(0).is_some());
        assert!(!peers.flush(|_, _| true), "nothing has waited");
        peers.detach(1);
        peers.out(0).unwrap().batch().push(1, 2, &[0; 150]);
        assert!(peers.room(0).is_some(), "nobody else is there");
    }

    #[test]
    fn those_who_take_nothing_leave_others_their_share() {
        let mut peers = peers(0..100, 10_000, 100_000);
        let fill = |peers: &mut Peers, number| {
            while let Some(out) = peers.room(number) {
                out.batch().push(1, 2, &[0; 100]);
            }
        };
        (0..99).for_each(|number| fill(&mut peers, number));
        peers.flush(|_, _| false);
        peers.retry();
        (0..99).for_each(|number| fill(&mut peers, number));
        assert!(peers.waiting_bytes().0 <= 100_000 + 100 * 108);
        fill(&mut peers, 99);
        assert!(peers.waiting_for(99) >= Some(1_000));
    }

    #[test]
    fn answers_end_when_none_are_taken() {
        let mut peers = peers([0], 1_000, 1_000);
        while let Some(out) = peers.room(0) {
            out.batch().push(1, 2, &[0; 64 << 10]);
        }
        assert!(!peers.is_deaf(0), "data alone makes no peer deaf");
        let count = iter::from_fn(|| peers.answer(0).map(|out| out.batch().push(1, 2, &[0; 92]))).count();
        assert!(peers.is_deaf(0) && peers.is_deaf(1) && count < 100);
        taken(&mut peers);
        assert!(!peers.is_deaf(0));
    }

    #[test]
    fn the_last_batch_is_known_as_such() {
        let mut peers = peers([0, 1], MAX_BATCH, 8 * MAX_BATCH);
        assert!(peers.room(0).is_some());
        assert_eq!(peers.waiting(), 0, "there was room, and nothing was written");
        peers.room(1).unwrap().batch().push(1, 2, b"x");
        assert_eq!(peers.waiting(), 1);
        peers.flush(|_, _| false);
        assert_eq!(peers.waiting(), 0, "it has no room");
        peers.retry();
        taken(&mut peers);
        (0..2).for_each(|_| peers.out(0).unwrap().batch().push(1, 2, &[0; MAX_BATCH - 8]));
        assert_eq!((peers.waiting(), taken(&mut peers).len()), (3, 2), "it goes in pieces");
        peers.retire(1);
        peers.release(|_| false);
        assert_eq!((peers.waiting(), taken(&mut peers).len(), peers.waiting()), (1, 1, 0));
    }

    #[test]
    fn a_peer_that_retires_is_let_go_when_nothing_is_left() {
        let mut peers = peers([0, 1], 100, 100);
        peers.answer(1).unwrap().batch().push(1, 2, b"x");
        peers.retire(1);
        peers.retire(1);
        peers.retire(9);
        peers.release(|peer| peer == 1);
        peers.release(|_| false);
        assert!(peers.any_retiring(), "it has not taken what is for it");
        assert_eq!(taken(&mut peers), [(1, 9)]);
        peers.release(|_| false);
        assert!(!peers.any_retiring() && peers.is_retiring(1) && peers.is_attached(1));
        peers.flush(|_, _| false);
        let mut sent = Vec::new();
        peers.flush(|peer, batch| {
            sent.push((peer, batch.to_vec()));
            true
        });
        assert_eq!(sent, [(1, Peer::release(1).into_bytes())], "once it is taken, and alone in its batch");
        peers.flush(|_, _| panic!("said twice"));
        peers.detach(1);
        assert!(!peers.is_attached(1) && !peers.is_retiring(1) && peers.attached() == 1);
    }

    #[test]
    fn a_successor_gets_nothing_of_its_predecessor() {
        let mut peers = Peers::new(100, 100);
        assert!(peers.attach(0, "old"));
        peers.answer(0).unwrap().batch().push(1, 2, b"x");
        peers.retire(0);
        assert!(peers.attach(0, "new"));
        assert_eq!((peers.get(0), peers.attached()), (Some(&"new"), 1));
        peers.release(|_| false);
        peers.flush(|_, _| panic!("nothing is left to send"));
        assert_eq!((peers.detach(0), peers.detach(0)), (Some("new"), None));
        assert!(peers.out(0).is_none() && !peers.any_attached());
    }

    #[test]
    fn a_number_that_no_peer_has_costs_nothing() {
        let mut peers = Peers::new(100, 100);
        assert!(!peers.attach(u32::MAX, ()) && peers.out(u32::MAX).is_none() && peers.is_deaf(u32::MAX));
        peers.retire(u32::MAX);
        peers.clear(u32::MAX);
        assert!(!peers.any_attached() && !peers.any_retiring() && peers.peers.is_empty());
    }

    #[test]
    fn what_was_cleared_is_not_sent() {
        let mut peers = peers([0], 10, 10);
        peers.out(0).unwrap().batch().push(1, 2, &[0; 99]);
        assert_eq!(peers.waiting_bytes(), (107, Some(0)));
        peers.clear(0);
        assert_eq!(peers.waiting_bytes().0, 0);
        assert!(peers.flush(|_, _| panic!("sent")) && peers.room(0).is_some());
    }

    #[test]
    fn each_has_a_share_that_no_other_can_take() {
        let peers = peers(0..3, 100, 100);
        let greedy = (0..).take_while(|&taken| peers.may_have(0, 64, iter::repeat_n(0, taken))).count();
        assert!((32..=64 - 2 * 10).contains(&greedy), "{greedy}");
        let owners = |own| iter::repeat_n(0, greedy).chain(iter::repeat_n(1, own));
        assert!((0..10).all(|own| peers.may_have(1, 64, owners(own))));
        assert!(!peers.may_have(1, 64, owners(30)));
    }
}
