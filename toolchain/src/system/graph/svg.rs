//! A system as SVG: no scripts, no fonts of its own, light or dark as the reader likes it.

use super::Ground;
use super::layers::{Layers, What};
use super::measure;
use super::picture::{Edge, Label, Node, Picture};
use super::place::Places;
use super::shapes::{self, Escaped};
use crate::system::model::{BoxSpec, System};
use alloc::{format, string::String, vec, vec::Vec};
use core::fmt::Write;
use wasm_host::slots::size;

const MARGIN: i64 = 32;
const HEADING: i64 = 64;
const BOX_HEIGHT: i64 = 78;
/// With what is measured.
const LIVE_HEIGHT: i64 = 92;
const SMALL_HEIGHT: i64 = 40;
/// Room for what is measured of an arrow.
const FIGURES_WIDTH: i64 = 150;
const LINE: i64 = 18;
/// Between the ends of two lines at one side of a node.
const PORT_GAP: i64 = 26;

/// A drawing of more helps nobody, and takes long to lay out.
const MAX_BOXES: usize = 300;
const MAX_LINES: usize = 1000;

/// Draws a system, or lists it if it is too large to be drawn.
pub fn svg(system: &System, ground: Ground<'_>) -> String {
    let picture = Picture::of(system);
    if picture.nodes.len() > MAX_BOXES || picture.edges.len() > MAX_LINES {
        return listing(system, ground);
    }
    let nodes: Vec<_> = picture.nodes.iter().map(|node| node_size(system, ground, node)).collect();
    let labels: Vec<_> = picture.edges.iter().map(|edge| label_size(&edge.labels, ground)).collect();
    let mut layers = Layers::of(&picture, &nodes, &labels);
    layers.reduce_crossings();
    let places = layers.places();
    let drawing = Drawing { system, ground, picture, layers, places, out: String::new() };
    drawing.draw()
}

/// The system as text, in SVG.
fn listing(system: &System, ground: Ground<'_>) -> String {
    let text = format!("{} {}\n\n{}", system.name, ground.note, super::text(system, ground));
    let width = text.lines().map(|line| measure::text(line, 13)).max().unwrap_or(0) + 2 * MARGIN;
    let height = LINE * text.lines().count() as i64 + 2 * MARGIN;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\">\n\
         <title>{}</title>\n{}<rect class=\"page\" width=\"{width}\" height=\"{height}\"/>\n",
        Escaped(&system.name),
        shapes::STYLE
    );
    for (i, line) in text.lines().enumerate() {
        let y = MARGIN + LINE * (i as i64 + 1);
        let indent = 12 * (line.len() - line.trim_start().len()) as i64;
        let line = Escaped(line.trim_start());
        out += &format!("<text class=\"small\" x=\"{}\" y=\"{y}\">{line}</text>\n", MARGIN + indent);
    }
    out + "</svg>\n"
}

fn node_size(system: &System, ground: Ground<'_>, node: &Node) -> (i64, i64) {
    match node {
        Node::Box(index) => {
            let spec = &system.boxes[*index];
            let name = measure::text(&spec.name, 16);
            let lines = [ground.what(spec), limits(spec)];
            let widest = lines.iter().map(|line| measure::text(line, 12)).fold(name, i64::max);
            let (least, height) = if ground.figures.is_some() { (196, LIVE_HEIGHT) } else { (150, BOX_HEIGHT) };
            ((widest + 44).clamp(least, 360), height)
        }
        other => (measure::text(&small_name(other), 13) + 58, SMALL_HEIGHT),
    }
}

fn label_size(labels: &[Label], ground: Ground<'_>) -> (i64, i64) {
    let figures = labels.iter().filter(|label| ground.figures.is_some() && label.measured.is_some()).count() as i64;
    let least = if figures > 0 { FIGURES_WIDTH } else { 0 };
    let width = |label: &Label| measure::text(&label.interface, 12) + measure::text(&label.grant, 12) + 24;
    (labels.iter().map(width).max().unwrap_or(0).max(least), LINE * (labels.len() as i64 + figures) + 6)
}

fn small_name(node: &Node) -> String {
    match node {
        Node::Clients => "clients".into(),
        Node::Hosts => "other hosts".into(),
        Node::Itself => "the node".into(),
        Node::Device(name) | Node::Volume(name) | Node::Missing(name) => name.clone(),
        Node::Box(_) => String::new(),
    }
}

fn limits(spec: &BoxSpec) -> String {
    format!("{} · cpu {}", size(spec.memory), spec.cpu)
}

struct Drawing<'a> {
    system: &'a System,
    ground: Ground<'a>,
    picture: Picture,
    layers: Layers,
    places: Places,
    out: String,
}

impl Drawing<'_> {
    fn draw(mut self) -> String {
        let note = self.ground.note;
        let name = &self.system.name;
        let arrows: usize = self.picture.edges.iter().filter(|edge| !edge.outside).map(|edge| edge.labels.len()).sum();
        let counts =
            format!("{} · {}", plural(self.system.boxes.len(), "box", "boxes"), plural(arrows, "arrow", "arrows"));
        let note = if note.is_empty() { counts } else { format!("{counts} · {note}") };
        let heading = measure::text(name, 24).max(measure::text(&note, 13));
        let width = self.places.width.max(heading) + 2 * MARGIN;
        let height = self.places.height + HEADING + 2 * MARGIN;
        let shift = (width - 2 * MARGIN - self.places.width) / 2;
        self.write(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
             role=\"img\" aria-labelledby=\"title about\">\n<title id=\"title\">{}</title>\n<desc id=\"about\">{}</desc>\n{}",
            Escaped(name),
            Escaped(&super::text(self.system, self.ground)),
            shapes::STYLE
        ));
        self.write(format_args!("<rect class=\"page\" width=\"{width}\" height=\"{height}\"/>\n"));
        let middle = MARGIN + 20;
        self.write(format_args!("<text class=\"heading\" x=\"{MARGIN}\" y=\"{middle}\">{}</text>\n", Escaped(name)));
        self.write(format_args!(
            "<text class=\"note\" x=\"{MARGIN}\" y=\"{}\">{}</text>\n",
            middle + 22,
            Escaped(&note)
        ));
        self.write(format_args!("<g transform=\"translate({},{})\">\n", MARGIN + shift, MARGIN + HEADING));
        let paths = self.paths();
        for (edge, path) in paths.iter().enumerate() {
            self.line(edge, path);
        }
        for edge in 0..self.picture.edges.len() {
            self.label(edge);
        }
        for node in 0..self.picture.nodes.len() {
            self.node(node);
        }
        self.write(format_args!("</g>\n</svg>\n"));
        self.out
    }

    fn write(&mut self, text: core::fmt::Arguments<'_>) {
        self.out.write_fmt(text).expect("a string takes all text");
    }

    /// The top and the bottom of each rank.
    fn rank_edges(&self) -> Vec<(i64, i64)> {
        let edges = |rank: &Vec<usize>| {
            let height = rank.iter().map(|item| self.layers.items[*item].height).max().unwrap_or(0);
            let centre = rank.first().map_or(0, |item| self.places.y[*item]);
            (centre - height / 2, centre + height / 2)
        };
        self.layers.ranks.iter().map(edges).collect()
    }

    /// Each edge's line, from the arrow's foot to its head.
    fn paths(&self) -> Vec<String> {
        let ranks = self.rank_edges();
        let (starts, ends) = self.ports();
        let path = |(edge, way): (usize, &Vec<usize>)| {
            let y = |item: usize, side: i64| self.places.y[item] + side * self.layers.items[item].height / 2;
            let (first, last) = (way[0], way[way.len() - 1]);
            // points in pairs: a line is straight from an even one to the next, and curved between
            let mut points = vec![(starts[edge], y(first, 1))];
            for item in &way[1..way.len() - 1] {
                let (top, bottom) = ranks[self.layers.items[*item].rank];
                points.extend([(self.places.x[*item], top), (self.places.x[*item], bottom)]);
            }
            points.push((ends[edge], y(last, -1)));
            if self.layers.reversed[edge] {
                points.reverse();
            }
            shapes::smooth(&points)
        };
        self.layers.ways.iter().enumerate().map(path).collect()
    }

    /// Where lines leave a node at its bottom, and where they reach one at its top: spread in the order in which they
    /// come.
    fn ports(&self) -> (Vec<i64>, Vec<i64>) {
        let count = self.layers.ways.len();
        let (mut starts, mut ends) = (vec![0; count], vec![0; count]);
        for node in 0..self.picture.nodes.len() {
            let ways = || self.layers.ways.iter().enumerate();
            let leaving = ways().filter(|(_, way)| way[0] == node).map(|(edge, way)| (self.places.x[way[1]], edge));
            let reaching = ways()
                .filter(|(_, way)| way[way.len() - 1] == node)
                .map(|(edge, way)| (self.places.x[way[way.len() - 2]], edge));
            self.spread(node, leaving.collect(), &mut starts);
            self.spread(node, reaching.collect(), &mut ends);
        }
        (starts, ends)
    }

    fn spread(&self, node: usize, mut lines: Vec<(i64, usize)>, ports: &mut [i64]) {
        lines.sort_unstable();
        let spaces = lines.len().saturating_sub(1).max(1) as i64;
        let gap = ((self.layers.items[node].width - 36) / spaces).min(PORT_GAP);
        let left = self.places.x[node] - gap * (lines.len() as i64 - 1) / 2;
        for (i, (_, edge)) in lines.into_iter().enumerate() {
            ports[edge] = left + gap * i as i64;
        }
    }

    fn name(&self, node: usize) -> String {
        match &self.picture.nodes[node] {
            Node::Box(index) => self.system.boxes[*index].name.clone(),
            other => small_name(other),
        }
    }

    fn edge_title(&self, edge: &Edge) -> String {
        let labels: Vec<&str> = edge.labels.iter().map(|label| label.title.as_str()).collect();
        format!("{} → {}: {}", self.name(edge.from), self.name(edge.to), labels.join(", "))
    }

    fn line(&mut self, index: usize, path: &str) {
        let edge = &self.picture.edges[index];
        let title = self.edge_title(edge);
        let (class, head) = if edge.outside { ("line open", "open-head") } else { ("line", "head") };
        let ends = match self.ground.figures {
            Some(_) if !edge.outside => {
                let (from, to) = (self.name(edge.from), self.name(edge.to));
                format!(" data-from=\"{}\" data-to=\"{}\"", Escaped(&from), Escaped(&to))
            }
            _ => String::new(),
        };
        self.write(format_args!(
            "<path class=\"{class}\"{ends} d=\"{path}\" marker-end=\"url(#{head})\"><title>{}</title></path>\n",
            Escaped(&title)
        ));
    }

    fn label(&mut self, index: usize) {
        let Some(item) = self.layers.ways[index].iter().copied().find(|i| self.layers.items[*i].what == What::Label)
        else {
            return;
        };
        let (x, y) = (self.places.x[item], self.places.y[item]);
        let (width, height) = (self.layers.items[item].width, self.layers.items[item].height);
        let title = self.edge_title(&self.picture.edges[index]);
        self.write(format_args!(
            "<g><title>{}</title><rect class=\"behind\" x=\"{}\" y=\"{}\" width=\"{width}\" height=\"{height}\" rx=\"8\"/>",
            Escaped(&title),
            x - width / 2,
            y - height / 2,
        ));
        let class = if self.picture.edges[index].outside { "label open" } else { "label" };
        let edge = &self.picture.edges[index];
        let (from, to) = (self.name(edge.from), self.name(edge.to));
        let mut baseline = y - height / 2 + 3 + 13 - LINE;
        for label in core::mem::take(&mut self.picture.edges[index].labels) {
            baseline += LINE;
            self.write(format_args!(
                "<text class=\"{class}\" x=\"{x}\" y=\"{baseline}\">{}",
                Escaped(&label.interface)
            ));
            if !label.grant.is_empty() {
                self.write(format_args!(" <tspan class=\"grant\">{}</tspan>", Escaped(&label.grant)));
            }
            self.write(format_args!("</text>"));
            let Some(interface) = label.measured else { continue };
            if let Some(figures) = self.ground.of_arrow(&from, &to, &interface) {
                baseline += LINE;
                self.write(format_args!(
                    "<text class=\"figures\" x=\"{x}\" y=\"{baseline}\" data-from=\"{}\" data-to=\"{}\" \
                     data-interface=\"{}\">{}</text>",
                    Escaped(&from),
                    Escaped(&to),
                    Escaped(&interface),
                    Escaped(figures)
                ));
            }
        }
        self.write(format_args!("</g>\n"));
    }

    fn node(&mut self, index: usize) {
        let (width, height) = (self.layers.items[index].width, self.layers.items[index].height);
        let (left, top) = (self.places.x[index] - width / 2, self.places.y[index] - height / 2);
        let live = match &self.picture.nodes[index] {
            Node::Box(position) if self.ground.figures.is_some() => {
                format!(" class=\"box\" data-box=\"{}\"", Escaped(&self.system.boxes[*position].name))
            }
            _ => String::new(),
        };
        self.write(format_args!("<g{live} transform=\"translate({left},{top})\">"));
        match self.picture.nodes[index].clone() {
            Node::Box(position) => self.card(position, width, height),
            node => self.small(&node, width, height),
        }
        self.write(format_args!("</g>\n"));
    }

    fn card(&mut self, position: usize, width: i64, height: i64) {
        let spec = &self.system.boxes[position];
        let component = self.ground.what(spec);
        let border = if self.ground.stand_in(spec).is_some() { "card stand-in" } else { "card" };
        // what comes from a path is the owner's own; a bare name is one of the system's
        let class = if spec.component.iter().any(|part| part.contains(['/', '.'])) { "own" } else { "stock" };
        let title = format!(
            "box {}: {component}, memory {}, cpu {}, queue {}, {} at once",
            spec.name,
            size(spec.memory),
            spec.cpu,
            size(spec.queue.into()),
            plural(spec.concurrency as usize, "call", "calls")
        );
        self.write(format_args!("<title>{}</title>", Escaped(&title)));
        self.write(format_args!("<rect class=\"{border}\" width=\"{width}\" height=\"{height}\" rx=\"12\"/>"));
        let accent_height = height - 24;
        self.write(format_args!(
            "<rect class=\"{class}\" x=\"10\" y=\"12\" width=\"4\" height=\"{accent_height}\" rx=\"2\"/>"
        ));
        let space = width - 40;
        let lines =
            [("name", 28, 16, spec.name.clone()), ("detail", 47, 12, component), ("detail", 64, 12, limits(spec))];
        for (class, y, font, text) in lines {
            let text = measure::fit(&text, font, space);
            self.write(format_args!("<text class=\"{class}\" x=\"26\" y=\"{y}\">{}</text>", Escaped(&text)));
        }
        if let Some(figures) = self.ground.of_box(&spec.name) {
            let text = measure::fit(figures, 12, space);
            self.write(format_args!("<text class=\"figures\" x=\"26\" y=\"81\">{}</text>", Escaped(&text)));
        }
    }

    fn small(&mut self, node: &Node, width: i64, height: i64) {
        let (class, icon, about) = match node {
            Node::Device(_) => ("device", shapes::CHIP, "device of the machine"),
            Node::Volume(_) => ("device", shapes::DISK, "volume on a disk of the machine"),
            Node::Itself => ("device", shapes::CHIP, "the system that runs on it can be seen and changed"),
            Node::Missing(_) => ("missing", shapes::CROSS, "a box that does not exist"),
            Node::Clients => ("world", shapes::GLOBE, "whoever reaches this node"),
            _ => ("world", shapes::GLOBE, "hosts that boxes may connect to"),
        };
        let name = small_name(node);
        self.write(format_args!("<title>{}: {about}</title>", Escaped(&name)));
        let round = if class == "world" { height / 2 } else { 6 };
        self.write(format_args!(
            "<rect class=\"card {class}-edge\" width=\"{width}\" height=\"{height}\" rx=\"{round}\"/>"
        ));
        self.write(format_args!("<g class=\"icon {class}-edge\" transform=\"translate(14,12)\">{icon}</g>"));
        self.write(format_args!("<text class=\"small\" x=\"40\" y=\"25\">{}</text>", Escaped(&name)));
    }
}

fn plural(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
