//! The step in which all arrows move. Nothing runs between its parts.

use super::{Fate, prepare::Prepared};
use crate::{
    arrows::channel::{Arrow, End, Port},
    boxes::BoxHandle,
    node::{Node, wire},
};
use alloc::{sync::Arc, vec::Vec};

/// What is left of the system that ran.
pub struct Left {
    pub boxes: Vec<Leaving>,
    /// arrows between boxes that stay, that are to go
    pub arrows: Vec<Arc<Arrow>>,
}

/// A box whose place was taken, or that has none any more.
pub struct Leaving {
    pub handle: Arc<BoxHandle>,
    /// position in the old system
    pub place: usize,
    /// Its calls are not taken over: it goes when those who call it have gone.
    pub serves_leaving: bool,
}

/// Puts the new system in the place of the old one.
pub fn change(node: &Node, prepared: &Prepared) -> Left {
    let Prepared { old, new, difference, .. } = prepared;
    let stays = |port: &Arc<Port>, boxes: &[Arc<BoxHandle>]| {
        boxes.iter().any(|handle| handle.ports.iter().any(|other| Arc::ptr_eq(other, port)))
    };
    // Arrows of the system that runs, and not of boxes that are leaving it since before.
    let clients = old.boxes.iter().flat_map(|handle| &handle.ports).filter(|port| port.end() == End::Client);
    let mut there: Vec<Arc<Arrow>> = clients.flat_map(|port| port.arrows()).collect();
    there.retain(|arrow| stays(arrow.port(End::Service), &old.boxes) && !arrow.is_retiring());

    let mut missing = Vec::new();
    for wanted in wire::wanted(&new.plan) {
        let Some((client, service)) = wire::ends(&new.boxes, &wanted) else { continue };
        let same = |arrow: &Arc<Arrow>| {
            Arc::ptr_eq(arrow.port(End::Client), client)
                && Arc::ptr_eq(arrow.port(End::Service), service)
                && *arrow.attach() == *wanted.attach
        };
        match there.iter().position(same) {
            Some(place) => {
                let arrow = there.swap_remove(place);
                // the same, or another grant
                arrow.with_gate(wire::gate(&new.boxes, &new.plan, &wanted));
            }
            None => missing.push(wanted),
        }
    }
    for handle in prepared.made() {
        handle.birth.place();
    }
    // What takes a peer's place is there before that peer is to be left alone.
    for wanted in &missing {
        wire::join(&new.boxes, &new.plan, wanted);
    }
    let mut arrows = Vec::new();
    for arrow in there {
        let (client, service) = (arrow.port(End::Client), arrow.port(End::Service));
        match (stays(client, &new.boxes), stays(service, &new.boxes)) {
            (true, true) => {
                arrow.retire(End::Client);
                arrows.push(arrow);
            }
            (stays, _) => {
                if stays {
                    arrow.retire(End::Client);
                }
                // what is begun by the service, or belongs to the client while it is there
                if !client.protocol().is_of_requests() {
                    arrow.retire(End::Service);
                }
            }
        }
    }
    for (fate, handle) in difference.fates.iter().zip(&new.boxes) {
        if fate.is_kept() {
            // the same files; the old image is to be free
            if let Ok(assets) = new.image.assets(&handle.name) {
                handle.set_assets(assets);
            }
        }
    }
    node.runs(new.clone());
    Left { boxes: leaving(prepared), arrows }
}

fn leaving(prepared: &Prepared) -> Vec<Leaving> {
    let Prepared { old, difference, .. } = prepared;
    let replaced = difference.fates.iter().filter_map(|fate| match fate {
        Fate::Replaced { old, takes_calls, .. } => Some((*old, !takes_calls)),
        _ => None,
    });
    let removed = difference.removed.iter().map(|&place| (place, true));
    let leaving = |(place, alone): (usize, bool)| Leaving {
        handle: old.boxes[place].clone(),
        place,
        serves_leaving: alone && old.loaded.queue(place).is_some(),
    };
    replaced.chain(removed).map(leaving).collect()
}
