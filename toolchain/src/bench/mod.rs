//! Measures a node: instructions per request, to the first answer, memory, sizes.
//!
//! Instructions are counted by QEMU's emulation with virtual time that goes with them (`-icount shift=0`: a CPU that
//! executes 10⁹ a second), so a busy machine changes nothing.

pub mod baseline;
pub mod calls;
mod client;
pub mod counters;
pub mod https;
pub mod swap;
mod two;
pub mod wasi;

use crate::{
    Launch,
    node::{Node, Qemu, first_answer},
};
use anyhow::{Context, Result, bail};
use client::Client;
use counters::Counters;
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// How long the node is given for a status.
const PATIENCE: Duration = Duration::from_secs(120);

/// One way to ask for a file, again and again.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// as the baseline names it
    pub name: &'a str,
    pub path: &'a str,
    pub connections: usize,
    pub requests: usize,
}

/// Those of one connection are first: a connection that is opened while the many of the case before are still being closed sends in
/// more and smaller batches, so that 100 KiB costs two thirds more.
pub const CASES: [Case<'static>; 4] = [
    Case { name: "http 1k keep-alive c1", path: "/1k.bin", connections: 1, requests: 1_000 },
    Case { name: "http 100k keep-alive c1", path: "/100k.bin", connections: 1, requests: 200 },
    Case { name: "http 1k keep-alive c16", path: "/1k.bin", connections: 16, requests: 2_000 },
    Case { name: "http 1k keep-alive c64", path: "/1k.bin", connections: 64, requests: 2_000 },
];

/// What a case came to, per request.
#[derive(Debug, Clone)]
pub struct PerRequest {
    pub instructions: u64,
    pub repeats: u64,
    pub boxes: Vec<BoxShare>,
    pub arrows: Vec<ArrowShare>,
}

/// A box's part of a request.
#[derive(Debug, Clone)]
pub struct BoxShare {
    pub name: String,
    pub instructions: f64,
    pub turns: f64,
}

/// What goes over an arrow for a request.
#[derive(Debug, Clone)]
pub struct ArrowShare {
    pub from: String,
    pub to: String,
    pub interface: String,
    pub batches: f64,
    pub bytes: f64,
}

/// A node whose instructions are counted.
pub struct Counted {
    node: Node,
    socket: PathBuf,
    port: u16,
    _directory: tempfile::TempDir,
}

impl Counted {
    /// Starts it and waits for its first answer. Also tells what had been executed by then.
    pub fn start(machine: Qemu, port: u16) -> Result<(Self, Counters)> {
        let directory = tempfile::tempdir()?;
        let plugin = counters::plugin(directory.path())?;
        let socket = directory.path().join("counters");
        let node =
            machine.arguments(counters::arguments(&plugin, &socket)).arguments(["-icount", "shift=0"]).start()?;
        let port = node.port(port);
        if !first_answer(port, || node.ended().is_some()) {
            bail!("the node ended; its console ends with:\n{}", node.console().end());
        }
        let counted = Counted { node, socket, port, _directory: directory };
        let boot = counters::read(&counted.socket)?;
        Ok((counted, boot))
    }

    pub fn measure(&self, case: Case<'_>) -> Result<PerRequest> {
        let mut client = Client::connect(self.port.into(), case.path, case.connections)?;
        self.measured(case.requests, |requests| client.run(requests))
    }

    /// What so many requests cost, which `run` makes.
    fn measured(&self, requests: usize, mut run: impl FnMut(usize) -> Result<()>) -> Result<PerRequest> {
        run(requests / 5).context("warming up")?;
        let status = self.node.status(PATIENCE)?;
        let before = counters::read(&self.socket)?;
        run(requests)?;
        let used = counters::read(&self.socket)?.since(before);
        let after = self.node.status(PATIENCE)?;
        let (boxes, arrows) = shares(&status, &after, requests as f64)?;
        let requests = requests as u64;
        let (instructions, repeats) = (used.instructions / requests, used.repeats / requests);
        Ok(PerRequest { instructions, repeats, boxes, arrows })
    }

    pub fn status(&self) -> Result<serde_json::Value> {
        self.node.status(PATIENCE)
    }
}

/// How many more instructions one node takes for a request than another. Batches fall now this way and now that, by
/// some hundred instructions, so the least of several rounds is taken from each.
pub fn difference(one: &Counted, other: &Counted, case: Case<'_>) -> Result<i64> {
    const ROUNDS: usize = 5;
    let mut least = [u64::MAX; 2];
    for _ in 0..ROUNDS {
        for (least, node) in least.iter_mut().zip([one, other]) {
            *least = node.measure(case)?.instructions.min(*least);
        }
    }
    Ok(least[0] as i64 - least[1] as i64)
}

/// What boxes and arrows did between two statuses, per request. With virtual time a nanosecond is an instruction.
fn shares(
    before: &serde_json::Value,
    after: &serde_json::Value,
    requests: f64,
) -> Result<(Vec<BoxShare>, Vec<ArrowShare>)> {
    let list = |value: &serde_json::Value, key: &str| {
        value[key].as_array().cloned().with_context(|| format!("a status without {key}"))
    };
    let grown = |before: &serde_json::Value, after: &serde_json::Value, key: &str| {
        (after[key].as_f64().unwrap_or_default() - before[key].as_f64().unwrap_or_default()) / requests
    };
    let text = |value: &serde_json::Value| value.as_str().unwrap_or("?").to_string();
    let (mut boxes, mut arrows) = (Vec::new(), Vec::new());
    for (before, after) in list(before, "boxes")?.iter().zip(&list(after, "boxes")?) {
        let name = text(&after["name"]);
        boxes.push(BoxShare { name, instructions: grown(before, after, "cpu"), turns: grown(before, after, "turns") });
    }
    for (before, after) in list(before, "arrows")?.iter().zip(&list(after, "arrows")?) {
        for (from, to, way) in [("from", "to", "sent"), ("to", "from", "received")] {
            arrows.push(ArrowShare {
                from: text(&after[from]),
                to: text(&after[to]),
                interface: text(&after["interface"]),
                batches: grown(&before[way], &after[way], "batches"),
                bytes: grown(&before[way], &after[way], "bytes"),
            });
        }
    }
    Ok((boxes, arrows))
}

/// The smallest memory, in MiB, with which a node starts and answers.
pub fn smallest_memory(launch: &Launch, port: u16, path: &str) -> Result<u32> {
    let serves = |mebibytes: u32| {
        let Ok(node) = launch.reachable().memory(format!("{mebibytes}M")).start() else { return false };
        let host = node.port(port);
        let end = Instant::now() + PATIENCE;
        first_answer(host, || node.ended().is_some() || Instant::now() > end)
            && Client::connect(host.into(), path, 8).and_then(|mut client| client.run(100)).is_ok()
    };
    let (mut too_small, mut enough) = (1, 128);
    if !serves(enough) {
        bail!("the node does not serve even with {enough} MiB");
    }
    while enough - too_small > 1 {
        let middle = (too_small + enough) / 2;
        if serves(middle) { enough = middle } else { too_small = middle }
    }
    Ok(enough)
}

/// Bytes of a file.
pub fn size(path: &Path) -> Result<u64> {
    Ok(fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len())
}
