//! What a node says of itself.

use super::Remote;
use anyhow::{Context, Result};
use control::message::Request;
use serde::Deserialize;

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
    pub sent: Vec<Arrow>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Arrow {
    pub interface: String,
    pub to: String,
    pub batches: u64,
    pub records: u64,
    pub bytes: u64,
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
