//! One instance of the stack takes over from another, which goes on with what it has open, on the same card.

use super::Stack;
use crate::datagrams::DHCP_CLIENT;
use crate::heritage::Heritage;

impl Stack {
    /// Takes over from another instance, before anything else.
    pub fn inherit(&mut self, now: u64, heritage: &Heritage) {
        let Stack { link, addresses, datagrams, tcp, udp, neighbours, random, .. } = self;
        addresses.inherit(now, heritage, link);
        neighbours.inherit(now, &heritage.neighbours, link);
        tcp.inherit(now, heritage);
        udp.inherit(now, &heritage.bound, datagrams);
        random.avoid(heritage.ports.iter().copied());
    }

    /// Another instance takes over. This one finishes what is open, and nothing else.
    pub fn leave(&mut self, now: u64) -> Heritage {
        let Stack { link: _, addresses, datagrams, tcp, udp, neighbours, .. } = self;
        let mut heritage = Heritage { neighbours: neighbours.all().to_vec(), ..Heritage::default() };
        tcp.leave(now, &mut heritage);
        heritage.bound = udp.leave(datagrams);
        addresses.leave(&mut heritage, datagrams);
        datagrams.close(DHCP_CLIENT);
        heritage.ports.extend(datagrams.ports());
        self.left = true;
        self.others_at = 0;
        heritage
    }

    /// Another instance has taken over, and nothing is open any more.
    pub fn is_done(&self) -> bool {
        self.left && ![&self.tcp.peers, &self.udp.peers, &self.names.peers].iter().any(|peers| peers.any_attached())
    }

    /// Whether another instance has connections that this one does not know.
    pub(super) fn share(&mut self, now: u64, shared: bool) {
        self.shared = shared;
        self.tcp.shares(now, shared);
        if !shared {
            self.random.avoid([]);
        }
    }
}
