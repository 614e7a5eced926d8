//! What the node says of itself, for programs: one line of JSON.

mod arrows;
mod figures;
mod links;

use super::{
    Node,
    volumes::{self, DiskStatus, VolumeStatus},
};
use crate::{
    boxes::{BoxHandle, Phase},
    executor::CpuTime,
};
use alloc::{string::String, vec::Vec};
use arrows::ArrowStatus;
use links::Link;
use serde::Serialize;

#[derive(Serialize)]
struct Status<'a> {
    system: &'a str,
    /// the triple that its artifacts are compiled for
    target: &'a str,
    /// nanoseconds since the node's boot
    uptime: u64,
    /// nanoseconds since 1970, if the node knows
    wall_clock: Option<u64>,
    memory: Memory,
    boxes: Vec<BoxStatus<'a>>,
    links: Vec<Link<'a>>,
    arrows: Vec<ArrowStatus>,
    disks: Vec<DiskStatus>,
    /// and what else has a place on a disk
    volumes: Vec<VolumeStatus>,
}

/// Bytes.
#[derive(Serialize)]
struct Memory {
    total: u64,
    frames: u64,
    heap: u64,
    heap_peak: u64,
    /// of images that are being brought, which is part of the heap
    uploads: u64,
}

#[derive(Serialize)]
struct BoxStatus<'a> {
    name: &'a str,
    phase: Phase,
    restarts: u64,
    /// when the running instance started, in nanoseconds since the node's boot
    since: u64,
    reason: Option<String>,
    /// nanoseconds of CPU time since the node's boot
    cpu: u64,
    /// how often it was given the CPU
    turns: u64,
    /// bytes of linear memory and tables
    memory: u64,
    /// the most that it may have of them
    limit: u64,
    /// its share of the CPU
    weight: u32,
    component: String,
}

/// In `longest` bytes, if there is room for all but the figures of boxes.
pub fn json(node: &Node, longest: usize) -> String {
    let memory = node.platform.memory();
    let running = node.running();
    let status = Status {
        system: &running.plan.system,
        target: node.target,
        uptime: node.platform.now(),
        wall_clock: node.platform.wall_clock(),
        memory: Memory {
            total: memory.total,
            frames: memory.frames,
            heap: memory.heap,
            heap_peak: memory.heap_peak,
            uploads: node.uploads.used(),
        },
        boxes: running.boxes.iter().map(|handle| of_box(handle)).collect(),
        links: links::of(&running.plan),
        arrows: running.boxes.iter().flat_map(|handle| arrows::of_box(handle)).collect(),
        disks: volumes::disks(node),
        volumes: volumes::volumes(node),
    };
    match serde_json::to_string(&status) {
        Ok(status) => figures::add(status, &running.boxes, longest),
        Err(error) => alloc::format!("{{\"error\":\"{error}\"}}"),
    }
}

fn of_box(handle: &BoxHandle) -> BoxStatus<'_> {
    let life = handle.life();
    BoxStatus {
        name: &handle.name,
        phase: life.phase,
        restarts: life.restarts,
        since: life.since,
        reason: life.reason,
        cpu: handle.cpu().map_or(0, CpuTime::total),
        turns: handle.cpu().map_or(0, CpuTime::turns),
        memory: handle.memory(),
        limit: handle.spec.memory,
        weight: handle.spec.cpu,
        component: handle.spec.component_name(),
    }
}
