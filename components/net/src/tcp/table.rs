//! All connections: by slot, by flow, by channel number.

use super::connection::Connection;
use crate::packet::Flow;
use crate::timers::Deadline;
use foldhash::fast::FixedState;
use std::collections::HashMap;

#[derive(Default)]
struct Slot {
    /// counts the slot's uses, so that a number is not soon used again
    generation: u16,
    connection: Option<Box<Connection>>,
}

pub struct Table {
    slots: Vec<Slot>,
    free: Vec<u16>,
    flows: HashMap<Flow, u16, FixedState>,
    /// What was looked up last, by the lower bits of the remote port: that is less work than a hash.
    recent: Box<[Option<(Flow, u16)>; RECENT]>,
    limit: usize,
}

const RECENT: usize = 64;

fn place_of(flow: &Flow) -> usize {
    usize::from(flow.remote_port) % RECENT
}

impl Table {
    /// `limit` is at most 32,768.
    pub fn new(limit: usize, hasher: FixedState) -> Self {
        Table {
            slots: Vec::new(),
            free: Vec::new(),
            flows: HashMap::with_hasher(hasher),
            recent: Box::new([None; RECENT]),
            limit,
        }
    }

    pub fn len(&self) -> usize {
        self.flows.len()
    }

    /// Slots in use and free.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    pub fn limit(&self) -> usize {
        self.limit
    }

    pub fn is_full(&self) -> bool {
        self.len() >= self.limit
    }

    /// Connections that may still be opened.
    pub fn remaining(&self) -> usize {
        self.limit - self.len()
    }

    #[inline]
    pub fn find(&mut self, flow: &Flow) -> Option<u16> {
        let recent = &mut self.recent[place_of(flow)];
        if let Some((known, slot)) = recent
            && known == flow
        {
            return Some(*slot);
        }
        let slot = *self.flows.get(flow)?;
        *recent = Some((*flow, slot));
        Some(slot)
    }

    pub fn contains(&self, flow: &Flow) -> bool {
        self.flows.contains_key(flow)
    }

    /// Adds what `make` makes of the new connection's number. `None` if the table is full.
    pub fn insert(&mut self, make: impl FnOnce(u32) -> Connection) -> Option<u16> {
        if self.is_full() || self.flows.try_reserve(1).is_err() || self.slots.try_reserve(1).is_err() {
            return None;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            (self.slots.len() - 1) as u16
        });
        let entry = &mut self.slots[usize::from(slot)];
        let connection = make(u32::from(entry.generation) << 16 | u32::from(slot));
        self.flows.insert(connection.flow, slot);
        entry.connection = Some(Box::new(connection));
        Some(slot)
    }

    pub fn remove(&mut self, slot: u16) -> Option<Box<Connection>> {
        let entry = self.slots.get_mut(usize::from(slot))?;
        let connection = entry.connection.take()?;
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(slot);
        self.flows.remove(&connection.flow);
        self.recent[place_of(&connection.flow)] = None;
        Some(connection)
    }

    #[inline]
    pub fn get(&mut self, slot: u16) -> Option<&mut Connection> {
        self.slots.get_mut(usize::from(slot))?.connection.as_deref_mut()
    }

    /// The connection that a peer means by a number, whose lower half is the slot: its own, and one that it knows of.
    #[inline]
    pub fn named(&mut self, number: u32, peer: u32) -> Option<&mut Connection> {
        let connection = self.get(number as u16)?;
        (connection.number == number && connection.peer == peer && connection.is_announced()).then_some(connection)
    }

    /// The slots of all connections that `which` holds for.
    pub fn select(&self, which: impl Fn(&Connection) -> bool) -> Vec<u16> {
        self.all().filter(|(_, connection)| which(connection)).map(|(slot, _)| slot).collect()
    }

    pub fn all(&self) -> impl Iterator<Item = (u16, &Connection)> {
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(index, slot)| slot.connection.as_deref().map(|connection| (index as u16, connection)))
    }

    pub fn any(&self, which: impl Fn(&Connection) -> bool) -> bool {
        self.all().any(|(_, connection)| which(connection))
    }

    /// For [`crate::timers::Timers`], whose owners are slots.
    pub fn deadline(&mut self, owner: u32) -> Option<&mut Deadline> {
        self.get(owner as u16).map(|connection| &mut connection.deadline)
    }
}
