//! Drawings of a system: boxes, arrows and what they grant, devices, and the world outside.

use super::model::BoxSpec;
use alloc::{collections::BTreeMap, format, string::String};

mod layers;
mod measure;
mod order;
mod picture;
mod place;
mod shapes;
mod svg;
mod text;

pub use svg::svg;
pub use text::text;

/// What a system runs on, as far as a drawing tells.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ground<'a> {
    /// below the system's name: the platform, or when it was drawn
    pub note: &'a str,
    /// Components that do not run there, and what does their work.
    pub stand_ins: &'a [(&'a str, &'a str)],
    /// What is measured. In a drawing there is room for it then, even for what has no figures yet, and its parts say
    /// what they are: `data-box`, `data-from`, `data-to`, `data-interface`.
    pub figures: Option<&'a Figures>,
}

/// A few words on how each box and arrow fares.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    pub boxes: BTreeMap<String, String>,
    /// by client, service, and interface
    pub arrows: BTreeMap<(String, String, String), String>,
}

impl<'a> Ground<'a> {
    /// What is said of a box that is measured.
    fn of_box(&self, name: &str) -> Option<&'a str> {
        self.figures.map(|figures| figures.boxes.get(name).map_or("", String::as_str))
    }

    /// What is said of an arrow that is measured. `interface` without a version.
    fn of_arrow(&self, from: &str, to: &str, interface: &str) -> Option<&'a str> {
        let key = (from.into(), to.into(), interface.into());
        self.figures.map(|figures| figures.arrows.get(&key).map_or("", String::as_str))
    }

    /// What does the work of a box, if the box itself does not run.
    fn stand_in(&self, spec: &BoxSpec) -> Option<&'a str> {
        let of = |name: &String| self.stand_ins.iter().find(|(component, _)| component == name);
        spec.component.iter().find_map(of).map(|(_, by)| *by)
    }

    /// What a box is: its component, or what stands in for it.
    fn what(&self, spec: &BoxSpec) -> String {
        match self.stand_in(spec) {
            Some(by) => format!("{by} for {}", spec.component_name()),
            None => spec.component_name(),
        }
    }
}

#[cfg(test)]
mod tests;
