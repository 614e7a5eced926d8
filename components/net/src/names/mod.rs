//! Name lookups for the clients of `pearwood:net/names`.

mod cache;
mod lookup;
mod message;
mod stream;

use crate::addresses::Addresses;
use crate::datagrams::{Datagrams, Size};
use crate::link::Link;
use crate::memory;
use crate::random::Random;
use cache::Cache;
use core::net::Ipv6Addr;
use lookup::{Lookup, Outcome};
use message::{Family, MAX_MESSAGE, Name};
pub use stream::PEER;
use stream::Streams;
use wit::names::{Command, Event};
use wit::{Batch, Peer, Peers, Records};

/// Lookups that may be under way at a time, for all boxes together.
const LIMIT: usize = 64;
const SIZE: Size = Size { datagrams: 4, bytes: 4 * MAX_MESSAGE };

#[derive(Default)]
pub struct Names {
    pub peers: Peers,
    lookups: Vec<Lookup>,
    streams: Streams,
    cache: Cache,
    /// commands that made no sense, or whose answers their box does not read
    pub malformed: u64,
}

impl Names {
    pub fn commands(&mut self, now: u64, packed: &[u8], datagrams: &mut Datagrams, random: &mut Random) {
        let mut from = None;
        for record in Records::new(packed) {
            let Ok(record) = record else {
                self.malformed += 1;
                return;
            };
            match Peer::decode(&record) {
                Some(Peer::Is(peer)) => from = self.peers.is_attached(peer).then_some(peer),
                Some(Peer::Attach(peer, _)) => {
                    self.forget(peer, datagrams);
                    self.peers.attach(peer, ());
                    from = None;
                }
                Some(Peer::Detach(peer, _)) => {
                    self.forget(peer, datagrams);
                    self.peers.detach(peer);
                    from = None;
                }
                Some(Peer::Retire(_) | Peer::Release(_)) => {}
                None => match (from, Command::decode(&record)) {
                    (Some(peer), Ok(Command::Lookup { .. })) if self.peers.is_deaf(peer) => self.malformed += 1,
                    (Some(peer), Ok(Command::Lookup { ticket, name })) => {
                        if let Err(why) = self.lookup(now, peer, ticket, name, datagrams, random) {
                            self.answer(peer, Event::Failed { ticket, why });
                        }
                    }
                    // Of a later version of the protocol.
                    (Some(_), Ok(Command::Unknown { .. })) => {}
                    _ => self.malformed += 1,
                },
            }
        }
    }

    fn forget(&mut self, peer: u32, datagrams: &mut Datagrams) {
        let Names { lookups, streams, .. } = self;
        lookups.retain_mut(|lookup| {
            if lookup.peer == peer {
                lookup.leave_stream(streams);
                datagrams.unbind(lookup.handle);
            }
            lookup.peer != peer
        });
    }

    /// What `tcp` is to do for lookups.
    pub fn tcp_commands(&mut self) -> Option<Batch> {
        self.streams.commands()
    }

    /// What `tcp` says to the peer [`PEER`].
    #[cold]
    #[inline(never)]
    pub fn tcp_events(&mut self, packed: &[u8]) {
        self.streams.events(packed);
    }

    fn lookup(
        &mut self,
        now: u64,
        peer: u32,
        ticket: u32,
        name: &str,
        datagrams: &mut Datagrams,
        random: &mut Random,
    ) -> Result<(), &'static str> {
        if self.lookups.iter().any(|lookup| (lookup.peer, lookup.ticket) == (peer, ticket)) {
            return Err("a lookup with this ticket is being answered");
        }
        let name = Name::new(name).ok_or("not a host name")?;
        if let Some(addresses) = self.cache.get(now, &name) {
            let addresses = addresses.to_vec();
            self.found(peer, ticket, &addresses);
            return Ok(());
        }
        if !self.peers.may_have(peer, LIMIT, self.lookups.iter().map(|lookup| lookup.peer)) {
            return Err("too many lookups at a time");
        }
        let handle = datagrams.bind_ephemeral(random, SIZE).ok_or("no local port is free")?;
        self.lookups.push(Lookup::new(peer, ticket, name, handle, now));
        Ok(())
    }

    /// Lets every lookup read its answers and ask again.
    pub fn step(
        &mut self,
        now: u64,
        addresses: &Addresses,
        datagrams: &mut Datagrams,
        link: &mut Link,
        random: &mut Random,
    ) {
        if self.lookups.is_empty() {
            return;
        }
        let servers = addresses.dns();
        let mut families = Vec::new();
        families.extend(addresses.has_ipv4().then_some(Family::Four));
        families.extend(addresses.has_ipv6().then_some(Family::Six));
        let mut index = 0;
        while let Some(lookup) = self.lookups.get_mut(index) {
            lookup.hear(now, datagrams, &mut self.streams);
            if lookup.wants_stream() {
                let (peer, goes_on) = (lookup.peer, lookup.stream.is_some());
                if (goes_on || self.may_stream(peer))
                    && let Some(lookup) = self.lookups.get_mut(index)
                {
                    lookup.ask_stream(now, &mut self.streams);
                }
            }
            let Names { lookups, streams, .. } = self;
            let Some(lookup) = lookups.get_mut(index) else { break };
            let outcome = lookup.step(now, &servers, &families, datagrams, link, random);
            if let Outcome::Pending = outcome {
                index += 1;
                continue;
            }
            let mut lookup = lookups.swap_remove(index);
            lookup.leave_stream(streams);
            datagrams.unbind(lookup.handle);
            match outcome {
                Outcome::Found(addresses, seconds) => {
                    self.found(lookup.peer, lookup.ticket, &addresses);
                    self.cache.insert(now, lookup.name, addresses, seconds);
                }
                Outcome::Failed(why) => {
                    self.answer(lookup.peer, Event::Failed { ticket: lookup.ticket, why });
                }
                Outcome::Pending => {}
            }
        }
    }

    /// Whether there is room for an answer over TCP, of those that this box may have.
    fn may_stream(&self, peer: u32) -> bool {
        let streaming = self.lookups.iter().filter(|lookup| lookup.stream.is_some()).map(|lookup| lookup.peer);
        self.streams.len() < stream::LIMIT
            && self.peers.may_have(peer, stream::LIMIT, streaming)
            && memory::there_is(stream::LONGEST)
    }

    fn found(&mut self, peer: u32, ticket: u32, addresses: &[Ipv6Addr]) {
        self.answer(peer, Event::Addresses { ticket, addresses: addresses.into() });
    }

    fn answer(&mut self, peer: u32, event: Event<'_>) {
        if let Some(out) = self.peers.answer(peer) {
            event.encode(out.batch());
        }
    }

    /// This machine's addresses or name servers have changed.
    pub fn network_changed(&mut self) {
        self.cache.clear();
        for lookup in &mut self.lookups {
            lookup.deadline = 0;
        }
    }

    pub fn deadline(&self) -> u64 {
        self.lookups.iter().map(|lookup| lookup.deadline).min().unwrap_or(u64::MAX)
    }
}
