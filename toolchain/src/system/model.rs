//! The declaration as types.

use super::{InterfaceName, Place, grant::Grant};
use alloc::{string::String, vec::Vec};
use core::ops::Range;
use wasm_host::image::{Endorsement, PublicKey};
pub use wasm_host::plan::Restart;

/// A system as `system.toml` declares it.
///
/// Two systems are equal if they declare the same, wherever their lines are.
#[derive(Debug, Clone, PartialEq)]
pub struct System {
    pub name: String,
    /// Where the node keeps its system, if it does.
    pub disk: Option<SystemDisk>,
    /// Parts of disks, in the order of the file.
    pub volumes: Vec<VolumeSpec>,
    /// Whose images may take this system's place. None: those of the keys that the node was started with.
    pub trust: Option<Vec<Trusted>>,
    /// In the order of the file.
    pub boxes: Vec<BoxSpec>,
    pub source: Source,
}

/// Where a system was read from, for messages and for a node to print its own declaration.
#[derive(Debug, Clone)]
pub struct Source {
    /// As messages name it.
    pub file: String,
    pub text: String,
    /// Where each line begins, in bytes.
    line_starts: Vec<usize>,
}

impl Source {
    pub fn new(file: &str, text: &str) -> Self {
        let newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let line_starts = core::iter::once(0).chain(newlines.map(|(at, _)| at + 1)).collect();
        Source { file: file.into(), text: text.into(), line_starts }
    }

    /// The place of a range of bytes. What spans lines is shown by its first.
    pub(super) fn place(&self, span: Range<usize>) -> Place {
        let start = span.start.min(self.text.len());
        let line = self.line_starts.partition_point(|line_start| *line_start <= start);
        let before = self.text.get(self.line_starts[line - 1]..start).unwrap_or_default();
        let shown = self.text.get(span).unwrap_or_default().lines().next().unwrap_or_default();
        Place {
            line: line as u32,
            column: 1 + before.chars().count() as u32,
            length: shown.chars().count().max(1) as u32,
        }
    }

    /// The text of a line, counted from 1.
    pub(super) fn line(&self, line: u32) -> &str {
        let start = (line as usize).checked_sub(1).and_then(|index| self.line_starts.get(index));
        start.and_then(|start| self.text[*start..].lines().next()).unwrap_or_default()
    }
}

impl PartialEq for Source {
    /// What a system declares does not depend on how its file is laid out.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl System {
    /// The position of the box of that name in `boxes`.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.boxes.iter().position(|spec| spec.name == name)
    }

    pub fn find(&self, name: &str) -> Option<&BoxSpec> {
        self.boxes.iter().find(|spec| spec.name == name)
    }
}

/// A disk of which some is the node's own, for [slots](wasm_host::slots).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemDisk {
    pub device: String,
    /// How many bytes.
    pub reserve: u64,
    pub at: Place,
}

/// A part of a disk, which keeps its name whatever else there is on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeSpec {
    pub name: String,
    pub disk: String,
    /// How many bytes.
    pub size: u64,
    pub at: Place,
    pub size_at: Place,
}

/// A key whose images may take a system's place.
#[derive(Debug, Clone, PartialEq)]
pub struct Trusted {
    pub key: PublicKey,
    /// By a key that was trusted before: with it a node that was started with that one starts this one's images.
    pub endorsement: Option<Endorsement>,
    pub at: Place,
}

/// One box: its component, its limits, its settings, its arrows.
#[derive(Debug, Clone, PartialEq)]
pub struct BoxSpec {
    pub name: String,
    pub at: Place,
    /// Names of system components, paths of `.wasm` files or of folders that build to one. Several are fused.
    pub component: Vec<String>,
    pub component_at: Place,
    /// The most bytes that its linear memories and tables may have together.
    pub memory: u64,
    /// Where that is said, or else the box.
    pub memory_at: Place,
    /// Its share of the CPU when boxes compete, as a weight from 1 to 10,000.
    pub cpu: u32,
    /// Bytes that each of its ports may hold.
    pub queue: u32,
    /// Calls that it serves at once.
    pub concurrency: u32,
    /// Whether an instance of a WASI 0.2 handler answers another request after the first.
    pub reuse: bool,
    pub restart: Restart,
    /// The `config` table, flattened: `config.dns = ["1.1.1.1"]` is ("dns.0", "1.1.1.1").
    pub config: Vec<(String, String)>,
    /// Where each of them is.
    pub config_at: Vec<Place>,
    pub assets: Vec<Assets>,
    /// In the order of the file.
    pub arrows: Vec<Arrow>,
    /// What it may import and ask nobody for: `arrows."wasi:http/outgoing-handler" = []`.
    pub nobody: Vec<InterfaceName>,
}

impl BoxSpec {
    /// What names the box's component, or fused components, in an image and among descriptions.
    pub fn component_name(&self) -> String {
        self.component.join(" + ")
    }
}

/// Files that a box can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assets {
    pub source: AssetSource,
    /// Where among the box's assets they are: a folder, or for a single file its name. Empty: at the top.
    pub to: String,
    pub at: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AssetSource {
    /// A folder beside the system's file, with all that is in it.
    Folder(String),
    /// One file.
    File(String),
    /// The documentation of a Rust crate of this name, made by rustdoc.
    Rustdoc(String),
    /// The drawing of this system.
    Graph,
    /// What there is to say in a declaration.
    Reference,
}

/// One arrow: an import of the box, and whose it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrow {
    pub interface: InterfaceName,
    pub target: Target,
    pub grant: Grant,
    /// The interface's name in the file.
    pub at: Place,
    /// The target's name in the file.
    pub target_at: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A box, by name.
    Box(String),
    /// A device, as the platform names it.
    Device(String),
    /// A volume, by name.
    Volume(String),
    /// The node itself: for interfaces that give no power outside the box, and for the power over the node.
    Node,
}
