//! The peers of one of the box's channels.

use wit::Outbox;

/// Peers are numbered by the node, from 0 in the order of their arrows; there are no more than this.
const MAX_PEERS: usize = 1024;

/// A batch with this much in it takes no more data until it is sent.
const MUCH: usize = 256 << 10;

#[derive(Debug, Default)]
pub struct Peers(Vec<Peer>);

#[derive(Debug, Default)]
struct Peer {
    attached: bool,
    /// since when nothing new is to be begun with it
    retires_at: Option<u64>,
    /// ... and it is to be let go
    retiring: bool,
    out: Outbox,
}

impl Peers {
    /// The peer is there, and knows nothing of what was before.
    pub fn attach(&mut self, number: u32) {
        let place = number as usize;
        if place >= self.0.len() && place < MAX_PEERS {
            self.0.resize_with(place + 1, Peer::default);
        }
        if let Some(peer) = self.0.get_mut(place) {
            peer.attached = true;
            (peer.retires_at, peer.retiring) = (None, false);
            peer.out.clear();
        }
    }

    pub fn detach(&mut self, number: u32) {
        if let Some(peer) = self.0.get_mut(number as usize) {
            peer.attached = false;
            (peer.retires_at, peer.retiring) = (None, false);
            peer.out.clear();
        }
    }

    pub fn retire(&mut self, number: u32, now: u64) {
        if let Some(peer) = self.0.get_mut(number as usize).filter(|peer| peer.attached) {
            peer.retires_at.get_or_insert(now);
            peer.retiring = true;
        }
    }

    /// Since when a peer retires, if it does.
    #[inline]
    pub fn retires_at(&self, number: u32) -> Option<u64> {
        self.0.get(number as usize)?.retires_at
    }

    /// Peers that retire and that there is nothing left to send to.
    pub fn retiring(&self) -> Vec<u32> {
        let quiet = self.0.iter().zip(0..).filter(|(peer, _)| peer.retiring && peer.out.is_empty());
        quiet.map(|(_, number)| number).collect()
    }

    pub fn any_retiring(&self) -> bool {
        self.0.iter().any(|peer| peer.retiring)
    }

    pub fn any_attached(&self) -> bool {
        self.0.iter().any(|peer| peer.attached)
    }

    /// Nothing more is said to a peer that was let go.
    pub fn released(&mut self, number: u32) {
        if let Some(peer) = self.0.get_mut(number as usize) {
            peer.retiring = false;
        }
    }

    pub fn is_attached(&self, number: u32) -> bool {
        self.0.get(number as usize).is_some_and(|peer| peer.attached)
    }

    /// Where to write what a peer must know in any case, if it is there.
    #[inline]
    pub fn out(&mut self, number: u32) -> Option<&mut Outbox> {
        self.0.get_mut(number as usize).filter(|peer| peer.attached).map(|peer| &mut peer.out)
    }

    /// Where to write data, if the peer takes more of it now.
    #[inline]
    pub fn out_for_data(&mut self, number: u32) -> Option<&mut Outbox> {
        self.out(number).filter(|out| !out.is_full() && out.len() < MUCH)
    }

    /// How many peers the next `flush` without `room` sends to.
    pub fn waiting(&self) -> usize {
        self.0.iter().filter(|peer| !peer.out.is_empty() && !peer.out.is_full()).count()
    }

    /// Sends what there is, to peers that had no room only if `room`. True: such a peer has room again.
    pub fn flush(&mut self, room: bool, mut send: impl FnMut(u32, &[u8]) -> bool) -> bool {
        let mut freed = false;
        for (number, peer) in self.0.iter_mut().enumerate() {
            if peer.out.is_empty() {
                continue;
            }
            let was_full = peer.out.is_full();
            if !was_full || room {
                peer.out.flush(|batch| send(number as u32, batch));
                freed |= was_full && !peer.out.is_full();
            }
        }
        freed
    }
}
