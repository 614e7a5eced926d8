//! What is different between a system that runs and one that is to: which boxes stay as they are, and why others do not.

use crate::{
    image::Hash,
    interface::InterfaceName,
    plan::{BoxPlan, Plan, VolumePlan, grant::BlockGrant},
};
use alloc::{format, string::String, vec::Vec};
use core::fmt;

/// A system, with what decides whether a box is the same.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    pub plan: &'a Plan,
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
    let mut fates: Vec<Fate> = (0..new.plan.boxes.len()).map(|index| fate(old, new, index)).collect();
    let misfits: Vec<usize> =
        (0..fates.len()).filter(|&index| matches!(fates[index], Fate::Replaced { takes_calls: false, .. })).collect();
    for (index, fate) in fates.iter_mut().enumerate() {
        let calls = &new.plan.boxes[index].calls;
        let callee = calls.iter().find(|call| misfits.contains(&call.callee.into()));
        if let (&mut Fate::Kept { old }, Some(call)) = (&mut *fate, callee) {
            let name = new.plan.boxes[usize::from(call.callee)].name.clone();
            *fate = Fate::Replaced { old, why: [Why::Callee(name)].into(), takes_calls: true };
        }
    }
    let stays = |index: usize| fates.iter().any(|fate| fate.old() == Some(index));
    let removed = (0..old.plan.boxes.len()).filter(|&index| !stays(index)).collect();
    Difference { fates, removed }
}

fn fate(old: Side<'_>, new: Side<'_>, index: usize) -> Fate {
    let spec = &new.plan.boxes[index];
    let Some(place) = old.plan.position(&spec.name) else { return Fate::Added };
    let before = &old.plan.boxes[place];
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
    note(fixed(old.plan, place) != fixed(new.plan, index), Why::Arrows);
    if why.is_empty() {
        return Fate::Kept { old: place };
    }
    let takes_calls = before.memory == spec.memory
        && before.concurrency == spec.concurrency
        && new.plan.is_called(index) == old.plan.is_called(place)
        && fits_callers(old, place, new, index);
    Fate::Replaced { old: place, why, takes_calls }
}

/// The plan apart from what is compared by itself.
fn same_limits(a: &BoxPlan, b: &BoxPlan) -> bool {
    let limits = |spec: &BoxPlan| (spec.memory, spec.cpu, spec.queue, spec.concurrency, spec.reuse, spec.restart);
    limits(a) == limits(b)
}

type Fixed<'a> =
    (Vec<(&'a str, Option<BlockGrant>)>, Vec<(&'a VolumePlan, bool)>, Vec<Called<'a>>, Option<u64>, [&'a [String]; 2]);

/// An interface, whose it is, and what the arrow says.
type Called<'a> = (&'a str, &'a str, &'a [(String, String)]);

/// What a box is linked to for as long as it lives: devices, the boxes that it calls, the node. Other arrows come and go.
fn fixed(plan: &Plan, place: usize) -> Fixed<'_> {
    let spec = &plan.boxes[place];
    let callee = |place: u16| plan.boxes[usize::from(place)].name.as_str();
    let calls = spec.calls.iter().map(|call| (call.interface.as_str(), callee(call.callee), &*call.words));
    let (devices, volumes) = (plan.devices_of(place).collect(), plan.volumes_of(place).collect());
    (devices, volumes, calls.collect(), plan.upload_of(place), [&spec.nobody, &spec.lent])
}

/// Whether a new version of a box has all that the callers of the old one are linked to.
fn fits_callers(old: Side<'_>, place: usize, new: Side<'_>, index: usize) -> bool {
    let exports = &new.plan.boxes[index].exports;
    let calls = old.plan.boxes.iter().flat_map(|caller| &caller.calls);
    calls.filter(|call| usize::from(call.callee) == place).all(|call| {
        let Some(import) = InterfaceName::parse(&call.interface) else { return false };
        let named = exports.iter().filter_map(|export| Some((InterfaceName::parse(&export.interface)?, export)));
        let newest = named.filter(|(name, _)| name.compatible(&import)).max_by(|a, b| a.0.version.cmp(&b.0.version));
        newest.is_some_and(|(_, export)| {
            call.functions.iter().all(|function| export.functions.binary_search(function).is_ok())
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
    /// Whether any box is another but the one of that name.
    pub fn changes_beside(&self, name: &str, new: &Plan) -> bool {
        let is_other = |(fate, spec): (&Fate, &BoxPlan)| !fate.is_kept() && spec.name != name;
        self.fates.iter().zip(&new.boxes).any(is_other) || !self.removed.is_empty()
    }

    /// What changes, a line for each box: `site: another component, assets`.
    pub fn lines(&self, old: &Plan, new: &Plan) -> Vec<String> {
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
