//! What is to be drawn, apart from where.

use crate::system::grant::{Grant, NetGrant};
use crate::system::known::{HANDLER, KEYVALUE, Kind};
use crate::system::model::{Arrow, System, Target};
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

pub(super) struct Picture {
    pub nodes: Vec<Node>,
    pub edges: Vec<Edge>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    /// The position of a box of the system.
    Box(usize),
    /// A box that an arrow names and that does not exist.
    Missing(String),
    Device(String),
    Volume(String),
    /// The node itself, over which a box has power.
    Itself,
    /// Whoever may connect to this node.
    Clients,
    /// Whom boxes may connect to.
    Hosts,
}

pub(super) struct Edge {
    pub from: usize,
    pub to: usize,
    /// What the arrow is about, a line for each of several between the same two.
    pub labels: Vec<Label>,
    /// Not an arrow, but what a grant opens to the outside.
    pub outside: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Label {
    /// The interface in short: `tcp`, `handler`.
    pub interface: String,
    /// What the arrow carries: `:80`.
    pub grant: String,
    /// Both in full.
    pub title: String,
    /// The interface that is measured, without a version.
    pub measured: Option<String>,
}

/// So many entries of a grant are written on a drawing; the rest is counted.
const SHOWN: usize = 4;

impl Picture {
    pub fn of(system: &System) -> Self {
        let mut picture = Picture { nodes: (0..system.boxes.len()).map(Node::Box).collect(), edges: Vec::new() };
        for (from, spec) in system.boxes.iter().enumerate() {
            for arrow in &spec.arrows {
                let to = match &arrow.target {
                    Target::Box(name) => match system.position(name) {
                        Some(index) => index,
                        None => picture.node(Node::Missing(name.clone())),
                    },
                    Target::Volume(name) => picture.node(Node::Volume(name.clone())),
                    Target::Device(name) => picture.node(Node::Device(name.clone())),
                    Target::Node if matches!(Kind::of(&arrow.interface), Kind::Control | Kind::Lent) => {
                        picture.node(Node::Itself)
                    }
                    Target::Node => continue,
                };
                picture.join(from, to, Label::of(arrow), false);
                if let Grant::Net(grant) = &arrow.grant {
                    picture.outside(from, arrow.interface.interface(), grant);
                }
            }
        }
        picture
    }

    fn outside(&mut self, index: usize, interface: &str, grant: &NetGrant) {
        if !grant.listen.is_empty() {
            let clients = self.node(Node::Clients);
            let label =
                Label::new(interface, &ports(grant, SHOWN), format!("{interface} {}", ports(grant, usize::MAX)));
            self.join(clients, index, label, true);
        }
        if !grant.connect.is_empty() {
            let hosts = self.node(Node::Hosts);
            for (i, remote) in grant.connect.iter().enumerate() {
                let left = grant.connect.len() - i;
                if i + 1 == SHOWN && left > 1 {
                    let titles: Vec<_> = grant.connect[i..].iter().map(ToString::to_string).collect();
                    self.join(
                        index,
                        hosts,
                        Label::new(interface, &format!("and {left} more"), titles.join(", ")),
                        true,
                    );
                    break;
                }
                self.join(
                    index,
                    hosts,
                    Label::new(interface, &remote.to_string(), format!("{interface} {remote}")),
                    true,
                );
            }
        }
    }

    /// The number of that node, which is added if it is new.
    fn node(&mut self, node: Node) -> usize {
        self.nodes.iter().position(|other| *other == node).unwrap_or_else(|| {
            self.nodes.push(node);
            self.nodes.len() - 1
        })
    }

    fn join(&mut self, from: usize, to: usize, label: Label, outside: bool) {
        let same = |edge: &&mut Edge| (edge.from, edge.to, edge.outside) == (from, to, outside);
        match self.edges.iter_mut().find(same) {
            Some(edge) => {
                if !edge.labels.contains(&label) {
                    edge.labels.push(label);
                }
            }
            None => self.edges.push(Edge { from, to, labels: [label].into(), outside }),
        }
    }
}

impl Label {
    pub fn of(arrow: &Arrow) -> Self {
        let interface = match Kind::of(&arrow.interface) {
            Kind::Protocol(HANDLER) => "http".to_string(),
            Kind::Protocol(KEYVALUE) => "keyvalue".to_string(),
            Kind::Control => "control".to_string(),
            Kind::Protocol(_) | Kind::Device(_) | Kind::Lent => arrow.interface.interface().to_string(),
            _ => arrow.interface.path().split_once(':').map_or("", |(_, path)| path).to_string(),
        };
        let (grant, full) = match &arrow.grant {
            Grant::None | Grant::Control(_) => Default::default(),
            // whom the box may connect to has a line of its own
            Grant::Net(net) => (ports(net, SHOWN), format!("{} {}", ports(net, usize::MAX), remotes(net))),
            Grant::Http(route) => (route.to_string(), route.to_string()),
            Grant::Store(store) => (store.to_string(), store.to_string()),
            Grant::Block(block) => (block.to_string(), block.to_string()),
            Grant::Attach(settings) => {
                (some(settings.iter().map(|(key, value)| format!("{key} = {value}")), SHOWN), arrow.grant.words())
            }
        };
        let title = format!("{} {}", arrow.interface, full.trim());
        let measured = matches!(arrow.target, Target::Box(_)).then(|| arrow.interface.path().into());
        Label { measured, ..Label::new(&interface, &grant, title.trim_end().into()) }
    }

    fn new(interface: &str, grant: &str, title: String) -> Self {
        Label { interface: interface.into(), grant: grant.into(), title, measured: None }
    }
}

fn ports(grant: &NetGrant, shown: usize) -> String {
    some(grant.listen.iter().map(|ports| format!(":{ports}")), shown)
}

fn remotes(grant: &NetGrant) -> String {
    some(grant.connect.iter().map(|remote| format!("→{remote}")), usize::MAX)
}

fn some(items: impl ExactSizeIterator<Item = String>, shown: usize) -> String {
    let left = items.len().saturating_sub(shown);
    let mut text = items.take(shown).collect::<Vec<_>>().join(" ");
    if left > 0 {
        text += &format!(" and {left} more");
    }
    text
}
