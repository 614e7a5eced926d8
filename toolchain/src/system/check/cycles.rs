//! A box starts when those whose exports it may call have started, so calls must not go round in a circle.
//! Channels may: what is sent waits in a queue.

use super::Check;
use crate::system::Arrow;
use crate::system::model::Target;
use alloc::{format, string::String, vec, vec::Vec};

impl<'a> Check<'a> {
    pub(super) fn cycles(&mut self) {
        let system = self.system;
        let mut calls: Vec<Vec<usize>> = self
            .routes
            .boxes
            .iter()
            .map(|routes| {
                let mut targets: Vec<usize> = routes.calls.iter().map(|call| call.box_index).collect();
                targets.sort_unstable();
                targets.dedup();
                targets
            })
            .collect();
        while let Some(cycle) = find_cycle(&calls) {
            // begins with the box that the file names first
            let steps: Vec<(usize, usize)> =
                cycle.iter().enumerate().map(|(i, from)| (*from, cycle[(i + 1) % cycle.len()])).collect();
            let names: Vec<&str> = cycle.iter().map(|index| system.boxes[*index].name.as_str()).collect();
            let message = format!(
                "boxes call each other in a circle, so none could start: `{}` → `{}`",
                names.join("` → `"),
                names[0]
            );
            let arrows: Vec<Option<&Arrow>> = steps.iter().map(|(from, to)| self.call_arrow(*from, *to)).collect();
            let notes: Vec<String> = steps
                .iter()
                .zip(&arrows)
                .filter_map(|((from, _), arrow)| {
                    let arrow = (*arrow)?;
                    let name = &system.boxes[*from].name;
                    Some(format!("line {}: box `{name}`, arrow `{}`", arrow.at.line, arrow.interface))
                })
                .collect();
            let spec = &system.boxes[cycle[0]];
            let place = arrows[0].map_or(spec.at, |arrow| arrow.at);
            let fault = self.fault(spec, place, message);
            fault.interface = arrows[0].map(|arrow| format!("{}", arrow.interface));
            fault.notes = notes;
            // each circle is told once
            let (from, to) = steps[steps.len() - 1];
            calls[from].retain(|target| *target != to);
        }
    }

    fn call_arrow(&self, from: usize, to: usize) -> Option<&'a Arrow> {
        let name = &self.system.boxes[to].name;
        let is_call = |arrow: &Arrow| {
            let import = self.described[from].and_then(|description| description.import(&arrow.interface));
            import.is_some_and(|import| import.protocol.is_none())
        };
        let leads_there =
            |arrow: &&Arrow| matches!(&arrow.target, Target::Box(target) if target == name) && is_call(arrow);
        self.system.boxes[from].arrows.iter().find(leads_there)
    }
}

/// Some cycle of a directed graph, beginning with its lowest number.
fn find_cycle(edges: &[Vec<usize>]) -> Option<Vec<usize>> {
    // boxes that call none but such boxes are in no cycle
    let mut callers = vec![Vec::new(); edges.len()];
    for (from, targets) in edges.iter().enumerate() {
        targets.iter().for_each(|to| callers[*to].push(from));
    }
    let mut remaining: Vec<usize> = edges.iter().map(Vec::len).collect();
    let mut free: Vec<usize> = (0..edges.len()).filter(|index| remaining[*index] == 0).collect();
    while let Some(index) = free.pop() {
        for caller in &callers[index] {
            remaining[*caller] -= 1;
            if remaining[*caller] == 0 {
                free.push(*caller);
            }
        }
    }
    // each of the others calls another of them: walk until one comes again
    let mut at = remaining.iter().position(|count| *count > 0)?;
    let mut path = Vec::new();
    let mut position = vec![None; edges.len()];
    while position[at].is_none() {
        position[at] = Some(path.len());
        path.push(at);
        at = *edges[at].iter().find(|to| remaining[**to] > 0)?;
    }
    let mut cycle = path.split_off(position[at]?);
    let lowest = cycle.iter().enumerate().min_by_key(|(_, index)| **index).map_or(0, |(i, _)| i);
    cycle.rotate_left(lowest);
    Some(cycle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cycles() {
        assert_eq!(find_cycle(&[]), None);
        assert_eq!(find_cycle(&[vec![1, 2], vec![2], vec![]]), None);
        assert_eq!(find_cycle(&[vec![1], vec![2], vec![1]]), Some(vec![1, 2]));
        assert_eq!(find_cycle(&[vec![2], vec![0], vec![1]]), Some(vec![0, 2, 1]));
        // far longer than a stack could take by recursion
        let ring: Vec<Vec<usize>> = (0..100_000).map(|i| vec![(i + 1) % 100_000]).collect();
        assert_eq!(find_cycle(&ring).unwrap().len(), 100_000);
    }
}
