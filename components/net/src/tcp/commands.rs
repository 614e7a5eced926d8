//! Commands of the clients.

use super::Tcp;
use super::connection::Origin;
use crate::link::Link;
use crate::random::Random;
use wit::tcp::{Command, Event};
use wit::{Peer, Records};

impl Tcp {
    /// Carries out a batch as the node gives it: runs of commands, each after a record that names their peer.
    pub fn commands(&mut self, packed: &[u8], link: &mut Link, random: &mut Random) {
        let mut from = None;
        for record in Records::new(packed) {
            let Ok(record) = record else {
                self.counters.malformed += 1;
                return;
            };
            if let Some(peer) = Peer::decode(&record) {
                from = self.peer(peer);
                continue;
            }
            match (from, Command::decode(&record)) {
                (Some(peer), Ok(command)) => self.command(peer, command, link, random),
                _ => self.counters.malformed += 1,
            }
        }
    }

    fn peer(&mut self, peer: Peer<'_>) -> Option<u32> {
        match peer {
            Peer::Is(peer) => self.peers.is_attached(peer).then_some(peer),
            Peer::Attach(peer, _) => {
                self.forget(peer);
                self.peers.attach(peer);
                None
            }
            Peer::Detach(peer, _) => {
                self.forget(peer);
                None
            }
        }
    }

    /// Frees everything that a peer had.
    fn forget(&mut self, peer: u32) {
        if self.peers.is_attached(peer) {
            self.peers.detach(peer);
            self.listeners.forget(peer);
            self.disown("its box is gone", |connection| connection.peer == peer);
        }
    }

    fn command(&mut self, peer: u32, command: Command<'_>, link: &mut Link, random: &mut Random) {
        match command {
            Command::Send { connection, data } => {
                if let Some(slot) = self.named(connection, peer)
                    && let Some(connection) = self.table.get(slot)
                {
                    connection.send(data, &mut self.memory);
                }
            }
            Command::Credit { connection, bytes } => {
                if let Some(slot) = self.named(connection, peer)
                    && let Some(connection) = self.table.get(slot)
                {
                    connection.credit(bytes);
                }
            }
            Command::Finish { connection } => {
                if let Some(slot) = self.named(connection, peer)
                    && let Some(connection) = self.table.get(slot)
                {
                    connection.finish();
                }
            }
            Command::Abort { connection } => {
                if let Some(slot) = self.named(connection, peer)
                    && let Some(connection) = self.table.get(slot)
                {
                    connection.abort("aborted");
                }
            }
            Command::Listen { port, backlog } => {
                let answer = match self.listeners.listen(peer, port, backlog) {
                    Ok(()) => Event::Listening { port },
                    Err(why) => Event::Refused { id: port.into(), why: why.as_bytes() },
                };
                self.answer(peer, answer);
            }
            Command::Unlisten { port } => {
                if self.listeners.unlisten(peer, port) {
                    let origin = Origin::Listener(port);
                    self.disown("not listened for any more", |c| c.origin == origin && !c.is_announced());
                }
            }
            Command::Connect { ticket, to } => {
                if let Err(why) = self.connect(peer, ticket, to, link, random) {
                    self.answer(peer, Event::Refused { id: ticket, why: why.as_bytes() });
                }
            }
        }
    }

    /// The slot of a connection that a command is for, marked as touched.
    #[inline]
    fn named(&mut self, number: u32, peer: u32) -> Option<u16> {
        let slot = self.table.named(number, peer)?;
        self.touch(slot);
        Some(slot)
    }

    fn answer(&mut self, peer: u32, event: Event<'_>) {
        if let Some(events) = self.peers.answer(peer) {
            event.encode(events);
        }
    }
}
