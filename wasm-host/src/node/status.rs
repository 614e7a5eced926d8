//! What the node says of itself, for programs: one line of JSON.

use super::Node;
use crate::{arrows::channel::End, boxes::Phase, executor::CpuTime, system::routes};
use alloc::{string::String, vec::Vec};
use core::sync::atomic::Ordering::Relaxed;
use serde::Serialize;

#[derive(Serialize)]
struct Status<'a> {
    system: &'a str,
    /// nanoseconds since the node's boot
    uptime: u64,
    memory: Memory,
    boxes: Vec<BoxStatus<'a>>,
}

/// Bytes.
#[derive(Serialize)]
struct Memory {
    total: u64,
    frames: u64,
    heap: u64,
    heap_peak: u64,
}

#[derive(Serialize)]
struct BoxStatus<'a> {
    name: &'a str,
    phase: Phase,
    restarts: u64,
    reason: Option<String>,
    /// nanoseconds of CPU time since the node's boot
    cpu: u64,
    /// how often it was given the CPU
    turns: u64,
    /// bytes of linear memory and tables
    memory: u64,
    /// what it has sent, by arrow
    sent: Vec<ArrowStatus<'a>>,
}

#[derive(Serialize)]
struct ArrowStatus<'a> {
    interface: &'a str,
    to: Option<&'a str>,
    batches: u64,
    records: u64,
    bytes: u64,
}

pub fn json(node: &Node) -> String {
    let memory = node.platform.memory();
    let status = Status {
        system: &node.system.name,
        uptime: node.platform.now(),
        memory: Memory { total: memory.total, frames: memory.frames, heap: memory.heap, heap_peak: memory.heap_peak },
        boxes: (0..node.boxes.len()).map(|index| of_box(node, index)).collect(),
    };
    serde_json::to_string(&status).unwrap_or_else(|error| alloc::format!("{{\"error\":\"{error}\"}}"))
}

fn of_box(node: &Node, index: usize) -> BoxStatus<'_> {
    let handle = &node.boxes[index];
    let life = handle.life();
    BoxStatus {
        name: &handle.name,
        phase: life.phase,
        restarts: life.restarts,
        reason: life.reason,
        cpu: handle.cpu().map_or(0, CpuTime::total),
        turns: handle.cpu().map_or(0, CpuTime::turns),
        memory: handle.memory(),
        sent: sent(node, index),
    }
}

fn sent(node: &Node, index: usize) -> Vec<ArrowStatus<'_>> {
    let routes = &node.routes.boxes[index];
    let clients = routes.clients.iter().map(|end| (End::Client, end));
    let services = routes.services.iter().map(|service| (End::Service, &service.end));
    clients.chain(services).flat_map(|(end, route)| over(node, index, end, route)).collect()
}

/// What has gone over the arrows of one port.
fn over<'a>(node: &'a Node, index: usize, end: End, route: &'a routes::End) -> Vec<ArrowStatus<'a>> {
    let Some(port) = node.boxes[index].port(route.channel, end) else { return Vec::new() };
    let to = route.peers.iter().map(|peer| node.boxes.get(peer.box_index).map(|handle| &*handle.name));
    to.zip(port.traffic())
        .map(|(to, traffic)| ArrowStatus {
            interface: port.interface(),
            to,
            batches: traffic.batches.load(Relaxed),
            records: traffic.records.load(Relaxed),
            bytes: traffic.bytes.load(Relaxed),
        })
        .collect()
}
