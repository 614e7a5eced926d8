//! What a node says of itself.

use super::Remote;
use anyhow::{Context, Result};
use manage::Request;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Debug, Clone, Deserialize)]
pub struct Description {
    pub system: String,
    pub target: String,
    /// nanoseconds
    pub uptime: u64,
    /// nanoseconds since 1970
    pub wall_clock: Option<u64>,
    pub memory: Memory,
    pub boxes: Vec<BoxStatus>,
    pub arrows: Vec<Arrow>,
    /// what boxes report of themselves, by their names; a node of before says nothing of it
    #[serde(default)]
    pub figures: BTreeMap<String, Vec<Figure>>,
    /// none of a node of before there were any
    #[serde(default)]
    pub disks: Vec<DiskStatus>,
    #[serde(default)]
    pub volumes: Vec<VolumeStatus>,
}

/// As `pearwood:box/figures` has it.
#[derive(Debug, Clone, Deserialize)]
pub struct Figure {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    #[serde(flatten)]
    pub value: FigureValue,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", content = "value", rename_all = "kebab-case")]
pub enum FigureValue {
    Counter(u64),
    Gauge(i64),
    /// seconds since 1970
    Moment(u64),
    Text(String),
}

#[derive(Debug, Clone, Deserialize)]
pub struct DiskStatus {
    pub name: String,
    /// bytes
    pub size: u64,
    /// bytes; none of a disk without a partition table
    pub free: Option<u64>,
    /// what such a one holds
    pub holds: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct VolumeStatus {
    pub name: String,
    pub disk: String,
    /// `volume`, `slots`, `erased` or `foreign`
    pub kind: String,
    /// bytes
    pub size: u64,
    /// whether the running system names it
    pub named: bool,
    pub used_by: Vec<String>,
    /// requests of boxes that the disk failed to do
    pub read_errors: u64,
    pub write_errors: u64,
}

/// Bytes.
#[derive(Debug, Clone, Deserialize)]
pub struct Memory {
    pub total: u64,
    pub frames: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct BoxStatus {
    pub name: String,
    pub phase: String,
    pub restarts: u64,
    /// nanoseconds since the node's boot
    pub since: u64,
    pub reason: Option<String>,
    /// nanoseconds
    pub cpu: u64,
    pub turns: u64,
    pub memory: u64,
    pub limit: u64,
    pub component: String,
}

/// From the box that uses to the one that is used.
#[derive(Debug, Clone, Deserialize)]
pub struct Arrow {
    pub from: String,
    pub to: String,
    pub interface: String,
    pub requests: Option<u64>,
    pub under_way: Option<u64>,
    pub connections: Option<u64>,
    pub errors: u64,
    pub sent: Directed,
    pub received: Directed,
    pub latency: Option<Latency>,
}

/// What has gone one way.
#[derive(Debug, Clone, Deserialize)]
pub struct Directed {
    pub batches: u64,
    pub records: u64,
    pub bytes: u64,
    pub full: u64,
}

/// Nanoseconds: what all in a bucket are shorter than, and how many they are.
#[derive(Debug, Clone, Deserialize)]
pub struct Latency {
    pub buckets: Vec<(u64, u64)>,
}

impl Description {
    /// The same arrow there.
    pub fn find(&self, arrow: &Arrow) -> Option<&Arrow> {
        let is_it = |one: &&Arrow| one.from == arrow.from && one.to == arrow.to && one.interface == arrow.interface;
        self.arrows.iter().find(is_it)
    }
}

/// A deployment, under way or over.
#[derive(Debug, Clone, Deserialize)]
pub struct Deployed {
    pub number: u64,
    pub by: String,
    /// nanoseconds since the node's boot; none: before it
    pub began: Option<u64>,
    pub ended: Option<u64>,
    /// nanoseconds since 1970
    pub wall_clock: Option<u64>,
    pub changes: Vec<String>,
    pub step: String,
    pub text: String,
    /// until when somebody is to confirm it, in nanoseconds since the node's boot
    pub confirm_by: Option<u64>,
    /// whether the node starts it from now on, if it keeps systems on a disk, and the same in words
    pub kept: Option<bool>,
    pub lasts: Option<String>,
    /// of the system on the disk
    pub hash: Option<String>,
}

impl Remote {
    pub fn describe(&mut self) -> Result<Description> {
        let text = self.text(&Request::Describe)?;
        serde_json::from_str(&text).with_context(|| format!("node {} describes itself in another form", self.node))
    }

    pub fn history(&mut self) -> Result<Vec<Deployed>> {
        let text = self.text(&Request::History)?;
        serde_json::from_str(&text).with_context(|| format!("node {} tells its history in another form", self.node))
    }
}
