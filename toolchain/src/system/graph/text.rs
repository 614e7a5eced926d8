//! A system as text, for a terminal.

use super::Ground;
use super::picture::{Label, Node, Picture};
use crate::system::model::System;
use alloc::{format, string::String, vec::Vec};
use wasm_host::slots::size;

/// One paragraph for the world outside and one for each box, with a line for each arrow that leaves it.
pub fn text(system: &System, ground: Ground<'_>) -> String {
    let picture = Picture::of(system);
    let mut text = String::new();
    if let Some(clients) = picture.nodes.iter().position(|node| *node == Node::Clients) {
        text += "clients\n";
        text += &arrows(system, &picture, ground, clients);
        text += "\n";
    }
    for (index, spec) in system.boxes.iter().enumerate() {
        let name = &spec.name;
        text += &format!("{name}  ({}, {}, cpu {})", ground.what(spec), size(spec.memory), spec.cpu);
        if let Some(figures) = ground.of_box(name).filter(|figures| !figures.is_empty()) {
            text += &format!("  {figures}");
        }
        text += "\n";
        text += &arrows(system, &picture, ground, index);
        text += "\n";
    }
    text.truncate(text.trim_end().len());
    text
}

/// The arrows that leave a node.
fn arrows(system: &System, picture: &Picture, ground: Ground<'_>, from: usize) -> String {
    let lines: Vec<(&Label, bool, String)> = picture
        .edges
        .iter()
        .filter(|edge| edge.from == from)
        .flat_map(|edge| edge.labels.iter().map(|label| (label, edge.outside, name(system, &picture.nodes[edge.to]))))
        .collect();
    let written = |label: &Label| format!("{} {}", label.interface, label.grant).trim_end().chars().count();
    let widest = lines.iter().map(|(label, ..)| written(label)).max().unwrap_or(0);
    let mut text = String::new();
    for (i, (label, outside, to)) in lines.iter().enumerate() {
        let branch = if i + 1 == lines.len() { '└' } else { '├' };
        let line = if *outside { '┄' } else { '─' };
        let rest: String = core::iter::repeat_n(line, widest - written(label) + 2).collect();
        let written = format!("{} {}", label.interface, label.grant);
        text += &format!("  {branch}{line} {} {rest}> {to}", written.trim_end());
        let client = name(system, &picture.nodes[from]);
        let figures = label.measured.as_ref().and_then(|interface| ground.of_arrow(&client, to, interface));
        if let Some(figures) = figures.filter(|figures| !figures.is_empty()) {
            text += &format!("  {figures}");
        }
        text += "\n";
    }
    text
}

fn name(system: &System, node: &Node) -> String {
    match node {
        Node::Box(index) => system.boxes[*index].name.clone(),
        Node::Missing(name) => format!("{name} (missing)"),
        Node::Device(name) | Node::Volume(name) => name.clone(),
        Node::Itself => "the node".into(),
        Node::Clients => "clients".into(),
        Node::Hosts => "other hosts".into(),
    }
}
