//! Commands of the clients.

use super::Tcp;
use super::connection::{Connection, Origin};
use super::pool::Pool;
use crate::link::Link;
use crate::random::Random;
use wit::tcp::{Command, Event};
use wit::{Peer, Records};

impl Tcp {
    /// Carries out a batch as the node gives it: runs of commands, each after a record that names their peer.
    pub fn commands(&mut self, now: u64, packed: &[u8], link: &mut Link, random: &mut Random) {
        let mut from = None;
        for record in Records::new(packed) {
            let Ok(record) = record else {
                self.counters.malformed += 1;
                return;
            };
            if record.kind >= Peer::FIRST_KIND {
                from = Peer::decode(&record).and_then(|peer| self.peer(peer));
                continue;
            }
            match (from, Command::decode(&record)) {
                (Some(peer), Ok(Command::Send { connection: number, data })) => {
                    if let Some((connection, pool)) = self.named(number, peer) {
                        let rest = connection.send(data, pool);
                        if !rest.is_empty() {
                            self.send_short(now, number as u16, rest, link);
                        }
                    }
                }
                (Some(peer), Ok(Command::Credit { connection, bytes })) => {
                    if let Some((connection, _)) = self.named(connection, peer) {
                        connection.credit(bytes);
                    }
                }
                (Some(peer), Ok(command)) => self.command(now, peer, command, link, random),
                _ => self.counters.malformed += 1,
            }
        }
    }

    #[inline]
    fn peer(&mut self, peer: Peer<'_>) -> Option<u32> {
        match peer {
            Peer::Is(peer) => self.peers.is_attached(peer).then_some(peer),
            Peer::Attach(peer, _) => {
                self.forget(peer);
                self.peers.attach(peer, ());
                None
            }
            Peer::Detach(peer, _) => {
                self.forget(peer);
                None
            }
            Peer::Retire(peer) => {
                self.peers.retire(peer);
                None
            }
            Peer::Release(_) => None,
        }
    }

    /// Frees everything that a peer had.
    #[cold]
    #[inline(never)]
    fn forget(&mut self, peer: u32) {
        if self.peers.is_attached(peer) {
            self.peers.detach(peer);
            self.listeners.forget(peer);
            self.searches.retain(|(other, _), _| *other != peer);
            self.disown("its box is gone", |connection| connection.peer == peer);
        }
    }

    #[cold]
    #[inline(never)]
    fn command(&mut self, now: u64, peer: u32, command: Command<'_>, link: &mut Link, random: &mut Random) {
        match command {
            Command::Listen { .. } | Command::Connect { .. } if self.peers.is_deaf(peer) => {
                self.counters.malformed += 1
            }
            Command::Finish { connection } => {
                if let Some((connection, _)) = self.named(connection, peer) {
                    connection.finish();
                }
            }
            Command::Abort { connection } => {
                if let Some((connection, _)) = self.named(connection, peer) {
                    connection.abort("aborted");
                }
            }
            Command::Listen { port, backlog } => {
                let most = self.table.limit().min(usize::from(backlog)).max(1);
                let answer = match self.listeners.listen(peer, port, most, &self.peers) {
                    Ok(takes_over) => {
                        if takes_over {
                            self.take_over(peer, port);
                        }
                        Event::Listening { port }
                    }
                    Err(why) => Event::Refused { id: port.into(), why },
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
                if let Err(why) = self.connect(now, peer, ticket, to, link, random) {
                    self.answer(peer, Event::Refused { id: ticket, why });
                }
            }
            // Done where they are read.
            Command::Send { .. } | Command::Credit { .. } => {}
            // For services that have said `secures`, or of a later version of the protocol.
            Command::Dial { .. } | Command::Unknown { .. } => {}
        }
    }

    /// Connections of a port that its box was not told of are another's now.
    fn take_over(&mut self, peer: u32, port: u16) {
        let origin = Origin::Listener(port);
        for slot in self.table.select(|connection| connection.origin == origin && !connection.is_announced()) {
            if let Some(connection) = self.table.get(slot) {
                connection.peer = peer;
                self.touch(slot);
            }
        }
    }

    /// The connection that a command is for, marked as touched, and what it takes memory from.
    #[inline]
    fn named(&mut self, number: u32, peer: u32) -> Option<(&mut Connection, &mut Pool)> {
        let connection = self.table.named(number, peer)?;
        connection.marks.calm = false;
        if !core::mem::replace(&mut connection.marks.touched, true) {
            self.touched.push(number as u16);
        }
        Some((connection, &mut self.pool))
    }

    fn answer(&mut self, peer: u32, event: Event<'_>) {
        if let Some(out) = self.peers.answer(peer) {
            event.encode(out.batch());
        }
    }
}
