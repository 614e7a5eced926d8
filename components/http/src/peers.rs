//! The peers of one of the box's channels.

use wit::Outbox;

/// Peers are numbered by the node, from 0 in the order of their arrows; there are no more than this.
const MAX_PEERS: usize = 1024;

/// A batch with this much in it takes no more data until it is sent.
const MUCH: usize = 256 << 10;

#[derive(Debug, Default)]
pub struct Peers {
    peers: Vec<Peer>,
    /// bytes that the batches for all of them may be
    most: usize,
    /// as [`MUCH`], but for as many peers as there are no more than `most`
    much: usize,
}

#[derive(Debug, Default)]
struct Peer {
    attached: bool,
    /// since when nothing new is to be begun with it
    retires_at: Option<u64>,
    /// ... and it is to be let go
    retiring: bool,
    out: Outbox,
    /// Data waits because there is much in `out`.
    refused: bool,
}

impl Peers {
    /// Batches for all of them are to be no larger than `most` bytes.
    pub fn new(most: usize) -> Self {
        Peers { peers: Vec::new(), most, much: most.min(MUCH) }
    }

    /// The peer is there, and knows nothing of what was before.
    pub fn attach(&mut self, number: u32) {
        let place = number as usize;
        if place >= self.peers.len() && place < MAX_PEERS {
            self.peers.resize_with(place + 1, Peer::default);
            self.much = (self.most / self.peers.len()).min(MUCH);
        }
        if let Some(peer) = self.peers.get_mut(place) {
            *peer = Peer { attached: true, ..Peer::default() };
        }
    }

    pub fn detach(&mut self, number: u32) {
        if let Some(peer) = self.peers.get_mut(number as usize) {
            *peer = Peer::default();
        }
    }

    /// Forgets what is to be sent to a peer.
    pub fn clear(&mut self, number: u32) {
        if let Some(peer) = self.peers.get_mut(number as usize) {
            peer.out = Outbox::new();
            peer.refused = true;
        }
    }

    /// Bytes in all batches, and the peer with the largest.
    pub fn waiting_bytes(&self) -> (usize, Option<u32>) {
        let largest = self.peers.iter().zip(0..).max_by_key(|(peer, _)| peer.out.len()).map(|(_, number)| number);
        (self.peers.iter().map(|peer| peer.out.len()).sum(), largest)
    }

    pub fn retire(&mut self, number: u32, now: u64) {
        if let Some(peer) = self.peers.get_mut(number as usize).filter(|peer| peer.attached) {
            peer.retires_at.get_or_insert(now);
            peer.retiring = true;
        }
    }

    /// Since when a peer retires, if it does.
    #[inline]
    pub fn retires_at(&self, number: u32) -> Option<u64> {
        self.peers.get(number as usize)?.retires_at
    }

    /// Peers that retire and that there is nothing left to send to.
    pub fn retiring(&self) -> Vec<u32> {
        let quiet = self.peers.iter().zip(0..).filter(|(peer, _)| peer.retiring && peer.out.is_empty());
        quiet.map(|(_, number)| number).collect()
    }

    pub fn any_retiring(&self) -> bool {
        self.peers.iter().any(|peer| peer.retiring)
    }

    pub fn any_attached(&self) -> bool {
        self.peers.iter().any(|peer| peer.attached)
    }

    /// Nothing more is said to a peer that was let go.
    pub fn released(&mut self, number: u32) {
        if let Some(peer) = self.peers.get_mut(number as usize) {
            peer.retiring = false;
        }
    }

    pub fn is_attached(&self, number: u32) -> bool {
        self.peers.get(number as usize).is_some_and(|peer| peer.attached)
    }

    /// Where to write what a peer must know in any case, if it is there.
    #[inline]
    pub fn out(&mut self, number: u32) -> Option<&mut Outbox> {
        self.peers.get_mut(number as usize).filter(|peer| peer.attached).map(|peer| &mut peer.out)
    }

    /// Where to write what can wait, if the peer takes anything now.
    #[inline]
    pub fn out_unless_full(&mut self, number: u32) -> Option<&mut Outbox> {
        self.out(number).filter(|out| !out.is_full())
    }

    /// Where to write data, if the peer takes more of it now.
    #[inline]
    pub fn out_for_data(&mut self, number: u32) -> Option<&mut Outbox> {
        let much = self.much;
        let peer = self.peers.get_mut(number as usize).filter(|peer| peer.attached)?;
        let takes = !peer.out.is_full() && peer.out.len() < much;
        peer.refused |= !takes;
        takes.then_some(&mut peer.out)
    }

    /// Data waits for a batch to be sent, and the next `flush` sends it.
    pub fn any_refused(&self) -> bool {
        self.peers.iter().any(|peer| peer.refused && !peer.out.is_full() && !peer.out.is_empty())
    }

    /// How many peers the next `flush` without `room` sends to.
    pub fn waiting(&self) -> usize {
        self.peers.iter().filter(|peer| !peer.out.is_empty() && !peer.out.is_full()).count()
    }

    /// Sends what there is, to peers that had no room only if `room`. True: one that data has waited for takes more.
    pub fn flush(&mut self, room: bool, mut send: impl FnMut(u32, &[u8]) -> bool) -> bool {
        let mut freed = false;
        let keep = self.peers.len() * MUCH <= self.most;
        for (number, peer) in self.peers.iter_mut().enumerate() {
            if peer.out.is_empty() {
                continue;
            }
            let was_full = peer.out.is_full();
            if !was_full || room {
                peer.out.flush(|batch| send(number as u32, batch));
                if peer.out.is_empty() {
                    freed |= was_full || core::mem::take(&mut peer.refused);
                    if !keep {
                        peer.out = Outbox::new();
                    }
                }
            }
        }
        freed
    }
}
