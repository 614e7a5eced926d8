//! What is different between a system that runs and one that is to: which boxes stay as they are, and why others do not.

use crate::{
    image::Hash,
    system::{
        Arrow, BoxSpec, Description, InterfaceName, Routes, System, fits,
        known::Kind,
        routes::{BoxRoutes, End},
    },
};
use alloc::{collections::BTreeMap, format, string::String, vec::Vec};
use core::fmt;

/// A system, with what decides whether a box is the same.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    pub system: &'a System,
    pub routes: &'a Routes,
    pub descriptions: &'a BTreeMap<String, Description>,
    /// of each box
    pub contents: &'a [Content],
}

/// What a box is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    /// of its code; None for one that the platform stands in for
    pub code: Option<Hash>,
    /// of the table of its assets
    pub assets: Option<Hash>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// of each box of the new system
    pub fates: Vec<Fate>,
    /// positions in the old system
    pub removed: Vec<usize>,
}

/// What becomes of a box. Positions are those in the old system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is not touched, though its arrows may come and go.
    Kept {
        old: usize,
    },
    /// Another instance takes its place.
    Replaced {
        old: usize,
        why: Vec<Why>,
        /// Those who call it need not notice: the new one fits them all, and takes over their calls.
        takes_calls: bool,
    },
    Added,
}

/// Why a box cannot stay as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    Component,
    Assets,
    Config,
    /// its limits, or what else its declaration says
    Limits,
    /// its devices, or the boxes that it calls
    Arrows,
    /// This box, which it calls, is another now, that does not fit the callers of before.
    Callee(String),
}

impl Fate {
    pub const fn old(&self) -> Option<usize> {
        match self {
            Fate::Kept { old } | Fate::Replaced { old, .. } => Some(*old),
            Fate::Added => None,
        }
    }

    pub const fn is_kept(&self) -> bool {
        matches!(self, Fate::Kept { .. })
    }
}

/// Compares two systems.
pub fn difference(old: Side<'_>, new: Side<'_>) -> Difference {
    let mut fates: Vec<Fate> = (0..new.system.boxes.len()).map(|index| fate(old, new, index)).collect();
    let misfits: Vec<usize> =
        (0..fates.len()).filter(|&index| matches!(fates[index], Fate::Replaced { takes_calls: false, .. })).collect();
    for (index, fate) in fates.iter_mut().enumerate() {
        let calls = &new.routes.boxes[index].calls;
        let callee = calls.iter().find(|call| misfits.contains(&call.box_index));
        if let (&mut Fate::Kept { old }, Some(call)) = (&mut *fate, callee) {
            let name = new.system.boxes[call.box_index].name.clone();
            *fate = Fate::Replaced { old, why: [Why::Callee(name)].into(), takes_calls: true };
        }
    }
    let stays = |index: usize| fates.iter().any(|fate| fate.old() == Some(index));
    let removed = (0..old.system.boxes.len()).filter(|&index| !stays(index)).collect();
    Difference { fates, removed }
}

fn fate(old: Side<'_>, new: Side<'_>, index: usize) -> Fate {
    let spec = &new.system.boxes[index];
    let Some(place) = old.system.position(&spec.name) else { return Fate::Added };
    let before = &old.system.boxes[place];
    let (was, is) = (&old.contents[place], &new.contents[index]);
    if was.code.is_none() && is.code.is_none() {
        return Fate::Kept { old: place };
    }
    let mut why = Vec::new();
    let mut note = |differs: bool, reason: Why| {
        if differs {
            why.push(reason);
        }
    };
    note(was.code != is.code, Why::Component);
    note(was.assets != is.assets, Why::Assets);
    note(before.config != spec.config, Why::Config);
    note(!same_limits(before, spec), Why::Limits);
    let (stayed, stays) = (lasting(&old.routes.boxes[place]), lasting(&new.routes.boxes[index]));
    let other_arrows = !before.arrows.iter().filter(|it| stayed(it)).eq(spec.arrows.iter().filter(|it| stays(it)));
    let other_arrows = other_arrows || before.nobody != spec.nobody;
    note(other_arrows || fixed(old, place) != fixed(new, index), Why::Arrows);
    if why.is_empty() {
        return Fate::Kept { old: place };
    }
    let takes_calls = before.memory == spec.memory
        && before.concurrency == spec.concurrency
        && is_called(new.routes, index) == is_called(old.routes, place)
        && fits_callers(old, place, new, index);
    Fate::Replaced { old: place, why, takes_calls }
}

/// The declaration apart from what is compared by itself.
fn same_limits(a: &BoxSpec, b: &BoxSpec) -> bool {
    let rest = |spec: &BoxSpec| BoxSpec {
        component: Vec::new(),
        config: Vec::new(),
        assets: Vec::new(),
        arrows: Vec::new(),
        nobody: Vec::new(),
        ..spec.clone()
    };
    rest(a) == rest(b)
}

/// Whether an arrow is there for as long as the box lives. Those between ports of boxes come and go.
fn lasting(routes: &BoxRoutes) -> impl Fn(&Arrow) -> bool {
    let joins = |arrow: &Arrow, end: &End| end.devices.is_empty() && end.protocol.path() == arrow.interface.path();
    move |arrow| {
        !matches!(Kind::of(&arrow.interface), Kind::Protocol(_)) && !routes.clients.iter().any(|end| joins(arrow, end))
    }
}

/// What a box is linked to for as long as it lives: devices, and the boxes that it calls.
fn fixed<'a>(side: Side<'a>, index: usize) -> (Vec<&'a str>, Vec<(&'a str, &'a str)>) {
    let BoxRoutes { clients, calls, .. } = &side.routes.boxes[index];
    let devices = clients.iter().flat_map(|end| &end.devices);
    let callee = |place: usize| side.system.boxes[place].name.as_str();
    (
        devices.map(|device| device.device.as_str()).collect(),
        calls.iter().map(|call| (call.interface.as_str(), callee(call.box_index))).collect(),
    )
}

fn is_called(routes: &Routes, index: usize) -> bool {
    routes.boxes.iter().flat_map(|routes| &routes.calls).any(|call| call.box_index == index)
}

/// Whether a new version of a box has all that the callers of the old one are linked to.
fn fits_callers(old: Side<'_>, place: usize, new: Side<'_>, index: usize) -> bool {
    let Some(callee) = new.descriptions.get(&new.system.boxes[index].component_name()) else { return false };
    old.routes.boxes.iter().zip(&old.system.boxes).all(|(routes, caller)| {
        routes.calls.iter().filter(|call| call.box_index == place).all(|call| {
            let caller = old.descriptions.get(&caller.component_name());
            let import = caller.and_then(|caller| caller.imports.iter().find(|import| import.name == call.interface));
            let export = InterfaceName::parse(&call.interface).and_then(|name| callee.export(&name));
            matches!((import, export), (Some(import), Some(export)) if fits(import, export))
        })
    })
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Component => f.write_str("component"),
            Why::Assets => f.write_str("assets"),
            Why::Config => f.write_str("config"),
            Why::Limits => f.write_str("limits"),
            Why::Arrows => f.write_str("arrows"),
            Why::Callee(name) => write!(f, "what `{name}` exports"),
        }
    }
}

impl Difference {
    /// What changes, a line for each box: `site: another component, assets`.
    pub fn lines(&self, old: &System, new: &System) -> Vec<String> {
        let mut lines = Vec::new();
        for (fate, spec) in self.fates.iter().zip(&new.boxes) {
            match fate {
                Fate::Kept { .. } => {}
                Fate::Replaced { why, .. } => {
                    let why: Vec<String> = why.iter().map(|why| format!("{why}")).collect();
                    lines.push(format!("{}: another {}", spec.name, why.join(", ")));
                }
                Fate::Added => lines.push(format!("{}: added", spec.name)),
            }
        }
        lines.extend(self.removed.iter().map(|&index| format!("{}: removed", old.boxes[index].name)));
        lines
    }
}

#[cfg(test)]
mod tests;
