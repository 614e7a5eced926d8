//! The first step of a layered drawing (Sugiyama, Tagawa, Toda 1981): each node gets a rank, arrows lead downwards,
//! and those that pass ranks get a point on each.

use super::picture::{Node, Picture};
use alloc::{vec, vec::Vec};

/// Something that takes a place on a rank: a node, or the point where an edge passes.
pub(super) struct Item {
    pub what: What,
    pub rank: usize,
    pub width: i64,
    pub height: i64,
    /// Items on the rank above that lines come from, and on the rank below.
    pub above: Vec<usize>,
    pub below: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// A node of the picture, by its number.
    Node(usize),
    /// Where an edge's label is.
    Label,
    /// Where an edge passes.
    Point,
}

pub(super) struct Layers {
    /// The nodes of the picture come first, with their own numbers.
    pub items: Vec<Item>,
    /// For each edge of the picture the items on its way, downwards, both ends included.
    pub ways: Vec<Vec<usize>>,
    /// Edges whose way is against their direction.
    pub reversed: Vec<bool>,
    /// The items on each rank, from left to right. Nodes are on even ranks and labels on odd ones.
    pub ranks: Vec<Vec<usize>>,
}

impl Layers {
    /// `sizes` of the nodes and of the edges' labels.
    pub fn of(picture: &Picture, nodes: &[(i64, i64)], labels: &[(i64, i64)]) -> Self {
        let reversed = back_edges(picture);
        let depths = depths(picture, &reversed);
        let mut items: Vec<Item> = depths
            .iter()
            .zip(nodes)
            .enumerate()
            .map(|(index, (depth, size))| Item::new(What::Node(index), 2 * depth, *size))
            .collect();
        let mut ways = Vec::new();
        for ((edge, reversed), label) in picture.edges.iter().zip(&reversed).zip(labels) {
            let (top, bottom) = if *reversed { (edge.to, edge.from) } else { (edge.from, edge.to) };
            let (first, last) = (items[top].rank, items[bottom].rank);
            let middle = (first + last) / 2;
            let label_rank = if middle % 2 == 1 { middle } else { middle + 1 };
            let mut way = vec![top];
            for rank in first + 1..last {
                let (what, size) = if rank == label_rank { (What::Label, *label) } else { (What::Point, (12, 0)) };
                items.push(Item::new(what, rank, size));
                way.push(items.len() - 1);
            }
            way.push(bottom);
            for pair in way.windows(2) {
                items[pair[0]].below.push(pair[1]);
                items[pair[1]].above.push(pair[0]);
            }
            ways.push(way);
        }
        let mut ranks = vec![Vec::new(); items.iter().map(|item| item.rank + 1).max().unwrap_or(0)];
        for (index, item) in items.iter().enumerate() {
            ranks[item.rank].push(index);
        }
        Layers { items, ways, reversed, ranks }
    }
}

impl Item {
    fn new(what: What, rank: usize, (width, height): (i64, i64)) -> Self {
        Item { what, rank, width, height, above: Vec::new(), below: Vec::new() }
    }
}

/// Finds edges without which there is no circle, by a walk in depth.
fn back_edges(picture: &Picture) -> Vec<bool> {
    #[derive(Clone, Copy, PartialEq)]
    enum Seen {
        No,
        Open,
        Done,
    }
    let mut out = vec![Vec::new(); picture.nodes.len()];
    for (index, edge) in picture.edges.iter().enumerate() {
        out[edge.from].push(index);
    }
    let mut seen = vec![Seen::No; picture.nodes.len()];
    let mut back = vec![false; picture.edges.len()];
    let mut has_caller = vec![false; picture.nodes.len()];
    picture.edges.iter().for_each(|edge| has_caller[edge.to] = true);
    // those that nothing leads to begin, so that what they lead to comes below them
    let mut starts: Vec<usize> = (0..picture.nodes.len()).collect();
    starts.sort_by_key(|index| has_caller[*index]);
    for start in starts {
        let mut path = vec![(start, 0)];
        if seen[start] != Seen::No {
            continue;
        }
        seen[start] = Seen::Open;
        while let Some((node, next)) = path.last_mut() {
            let Some(&edge) = out[*node].get(*next) else {
                seen[*node] = Seen::Done;
                path.pop();
                continue;
            };
            *next += 1;
            let to = picture.edges[edge].to;
            match seen[to] {
                Seen::No => {
                    seen[to] = Seen::Open;
                    path.push((to, 0));
                }
                Seen::Open => back[edge] = true,
                Seen::Done => {}
            }
        }
    }
    back
}

/// How far down each node is: below all that lead to it, but no further up than it needs to be.
fn depths(picture: &Picture, reversed: &[bool]) -> Vec<usize> {
    let count = picture.nodes.len();
    let mut below = vec![Vec::new(); count];
    let mut waiting = vec![0; count];
    for (edge, reversed) in picture.edges.iter().zip(reversed) {
        let (top, bottom) = if *reversed { (edge.to, edge.from) } else { (edge.from, edge.to) };
        below[top].push(bottom);
        waiting[bottom] += 1;
    }
    // the world's clients have the top for themselves
    let first = usize::from(picture.nodes.contains(&Node::Clients));
    let mut depth: Vec<usize> =
        picture.nodes.iter().map(|node| if *node == Node::Clients { 0 } else { first }).collect();
    let mut order: Vec<usize> = (0..count).filter(|node| waiting[*node] == 0).collect();
    let has_above: Vec<bool> = waiting.iter().map(|count| *count > 0).collect();
    let mut next = 0;
    while let Some(&node) = order.get(next) {
        next += 1;
        for to in &below[node] {
            depth[*to] = depth[*to].max(depth[node] + 1);
            waiting[*to] -= 1;
            if waiting[*to] == 0 {
                order.push(*to);
            }
        }
    }
    let is_box = |node: usize| matches!(picture.nodes[node], Node::Box(_) | Node::Missing(_));
    let deepest_box = (0..count).filter(|node| is_box(*node)).map(|node| depth[node]).max().unwrap_or(0);
    for (node, depth) in depth.iter_mut().enumerate() {
        if matches!(picture.nodes[node], Node::Device(_) | Node::Volume(_) | Node::Itself | Node::Hosts) {
            *depth = deepest_box + 1;
        }
    }
    // what nothing leads to need not be far from what it leads to
    for node in order.into_iter().filter(|node| is_box(*node) && !has_above[*node]) {
        if let Some(nearest) = below[node].iter().map(|to| depth[*to]).min() {
            depth[node] = depth[node].max(nearest - 1);
        }
    }
    depth
}
