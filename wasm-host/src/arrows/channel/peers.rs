//! The peers of a port, by number.

use super::{Arrow, Service};
use alloc::{sync::Arc, vec::Vec};

/// A number belongs to one peer until the box has come to know that this peer is gone: it must not speak to another by
/// the old one's number.
#[derive(Default)]
pub struct Peers(Vec<Slot>);

enum Slot {
    Free,
    /// An arrow is being made.
    Taken,
    Joined(Arc<Arrow>),
    /// What the node itself provides. It stays as long as the port.
    Node(Arc<dyn Service>),
    /// `detach` was put into the inbox before it was emptied for the `told`th time.
    Gone {
        told: u64,
    },
}

/// Whom a number is of.
pub enum Peer<'a> {
    Box(&'a Arc<Arrow>),
    Node(&'a Arc<dyn Service>),
    Gone,
}

/// The box has read `detach` when it has taken the inbox with it, and is done with what it took when it takes the next.
const READ: u64 = 2;

impl Peers {
    /// Services of the node, which have the first numbers.
    pub fn of(services: Vec<Arc<dyn Service>>) -> Self {
        Peers(services.into_iter().map(Slot::Node).collect())
    }

    /// None if there is no such peer.
    #[inline]
    pub fn get(&self, number: u32) -> Option<Peer<'_>> {
        Some(match self.0.get(number as usize)? {
            Slot::Joined(arrow) => Peer::Box(arrow),
            Slot::Node(service) => Peer::Node(service),
            _ => Peer::Gone,
        })
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Arrow>> {
        self.0.iter().filter_map(|slot| match slot {
            Slot::Joined(arrow) => Some(arrow),
            _ => None,
        })
    }

    /// The node's services and their numbers.
    #[inline]
    pub fn services(&self) -> impl Iterator<Item = (u32, &Arc<dyn Service>)> {
        (0..).zip(&self.0).map_while(|(number, slot)| match slot {
            Slot::Node(service) => Some((number, service)),
            _ => None,
        })
    }

    /// A number for a new peer. `taken`: how often the inbox has been emptied.
    pub fn reserve(&mut self, taken: u64) -> u32 {
        let free = |slot: &Slot| match slot {
            Slot::Free => true,
            Slot::Gone { told } => taken >= told + READ,
            _ => false,
        };
        let place = self.0.iter().position(free).unwrap_or_else(|| {
            self.0.push(Slot::Free);
            self.0.len() - 1
        });
        self.0[place] = Slot::Taken;
        place as u32
    }

    pub fn set(&mut self, number: u32, arrow: Arc<Arrow>) {
        if let Some(slot) = self.0.get_mut(number as usize) {
            *slot = Slot::Joined(arrow);
        }
    }

    /// True if the arrow was there.
    pub fn remove(&mut self, number: u32, arrow: &Arrow, told: u64) -> bool {
        let Some(slot) = self.0.get_mut(number as usize) else { return false };
        let joined = matches!(slot, Slot::Joined(it) if core::ptr::eq(&**it, arrow));
        if joined {
            *slot = Slot::Gone { told };
        }
        joined
    }

    /// A new instance of the box knows no number: those of peers that are gone are free.
    pub fn forget_gone(&mut self) {
        for slot in &mut self.0 {
            if matches!(slot, Slot::Gone { .. }) {
                *slot = Slot::Free;
            }
        }
    }
}
