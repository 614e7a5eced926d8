//! Ports that accept connections, and the bound on connections that their box has not yet been told of.

use super::NOBODY;
use std::collections::{BTreeMap, VecDeque};
use wit::Peers;

/// Ports that may be listened on at a time, by all boxes together.
const LIMIT: usize = 256;

#[derive(Debug)]
pub struct Listener {
    pub peer: u32,
    backlog: usize,
    /// connections not yet announced
    waiting: usize,
    /// numbers of connections, oldest first; some may be announced or gone by now
    order: VecDeque<(u16, u32)>,
}

#[derive(Debug, Default)]
pub struct Listeners {
    ports: BTreeMap<u16, Listener>,
}

impl Listener {
    pub fn is_full(&self) -> bool {
        self.waiting >= self.backlog
    }

    pub fn waiting(&self) -> usize {
        self.waiting
    }

    pub fn opened(&mut self, slot: u16, number: u32, is_waiting: impl Fn(u16, u32) -> bool) {
        if self.order.len() > 2 * self.backlog {
            self.order.retain(|&(slot, number)| is_waiting(slot, number));
        }
        self.waiting += 1;
        self.order.push_back((slot, number));
    }

    /// A connection has been announced, or has ended before it was.
    pub fn settled(&mut self) {
        self.waiting = self.waiting.saturating_sub(1);
    }

    /// The connections opened, oldest first.
    pub fn oldest(&mut self) -> Option<(u16, u32)> {
        self.order.pop_front()
    }
}

impl Listeners {
    /// Lets `peer` listen on `port`, or changes its backlog. A port of one that retires it takes over, with the
    /// connections that nobody was told of; true then. The error is for the peer to read.
    pub fn listen(&mut self, peer: u32, port: u16, backlog: usize, peers: &Peers) -> Result<bool, &'static str> {
        if port == 0 {
            return Err("port 0 cannot be listened on");
        }
        if let Some(listener) = self.ports.get_mut(&port) {
            let takes_over = listener.peer != peer;
            if takes_over && listener.peer != NOBODY && !peers.is_retiring(listener.peer) {
                return Err("another box listens on this port");
            }
            listener.peer = peer;
            listener.backlog = backlog;
            return Ok(takes_over);
        }
        if !peers.may_have(peer, LIMIT, self.ports.values().map(|listener| listener.peer)) {
            return Err("too many ports are listened on");
        }
        self.ports.insert(port, Listener { peer, backlog, waiting: 0, order: VecDeque::new() });
        Ok(false)
    }

    /// True if `peer` did listen on `port`.
    pub fn unlisten(&mut self, peer: u32, port: u16) -> bool {
        let own = self.ports.get(&port).is_some_and(|listener| listener.peer == peer);
        own && self.ports.remove(&port).is_some()
    }

    /// Whether `peer` listens on any port.
    pub fn has(&self, peer: u32) -> bool {
        self.ports.values().any(|listener| listener.peer == peer)
    }

    /// All ports with their backlogs, which nobody listens on any more.
    pub fn leave(&mut self) -> Vec<(u16, u16)> {
        let ports = std::mem::take(&mut self.ports);
        ports.into_iter().map(|(port, listener)| (port, listener.backlog.try_into().unwrap_or(u16::MAX))).collect()
    }

    pub fn forget(&mut self, peer: u32) {
        self.ports.retain(|_, listener| listener.peer != peer);
    }

    pub fn get(&mut self, port: u16) -> Option<&mut Listener> {
        self.ports.get_mut(&port)
    }
}
