//! What the node's disks have, as it says it, and volumes that are deleted.

use super::{Answer, Follow, Node};
use crate::{
    boxes::log::{self, Level},
    deploy::patient,
    executor::{Bell, NORMAL_WEIGHT},
    plan::Plan,
    slots::size,
    volumes::Kind,
};
use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use core::{fmt, sync::atomic::Ordering::Relaxed};
use manage::Response;
use serde::Serialize;
use spin::Mutex;

/// A disk.
#[derive(Serialize)]
pub(super) struct DiskStatus {
    name: String,
    /// bytes
    size: u64,
    /// bytes that are nobody's; none of a disk without a partition table
    free: Option<u64>,
    /// what such a one holds, in words
    holds: Option<String>,
}

/// What is on a disk: a volume, or something else that has a place in its table.
#[derive(Serialize)]
pub(super) struct VolumeStatus {
    name: String,
    disk: String,
    /// `volume`, `slots`, `erased` (it was deleted, and is being written over) or `foreign`
    kind: &'static str,
    /// bytes
    size: u64,
    /// Whether the running system names it.
    named: bool,
    /// boxes
    used_by: Vec<String>,
    /// requests of boxes that the disk failed to do, since the node's boot
    read_errors: u64,
    write_errors: u64,
}

/// Something that takes a while, whose answer comes then.
#[derive(Default)]
pub struct Doing {
    outcome: Mutex<Option<Response>>,
    bell: Bell,
}

impl Doing {
    pub fn bell(&self) -> &Bell {
        &self.bell
    }

    pub fn outcome(&self) -> Option<Response> {
        self.outcome.lock().take()
    }
}

pub(super) fn disks(node: &Node) -> Vec<DiskStatus> {
    let platform = node.platform;
    let status = |(name, said): (String, Result<u64, String>)| {
        let size = platform.disk(&name).map_or(0, |disk| disk.geometry().bytes());
        DiskStatus { name, size, free: said.as_ref().ok().copied(), holds: said.err() }
    };
    platform.volumes().disks().into_iter().map(status).collect()
}

pub(super) fn volumes(node: &Node) -> Vec<VolumeStatus> {
    let (volumes, running) = (node.platform.volumes(), node.running());
    let listed = volumes.list();
    let status = |it: &crate::volumes::Listed| {
        let health = volumes.health(&it.disk, &it.name);
        // of two with one name, the one on the disk that the system says
        let is_only = !listed.iter().any(|other| {
            (other.kind, &other.name) == (it.kind, &it.name)
                && other.disk != it.disk
                && is_named(&running.plan, &it.name, &other.disk)
        });
        let is_volume = it.kind == Kind::Volume && is_only;
        VolumeStatus {
            name: it.name.clone(),
            disk: it.disk.clone(),
            kind: match it.kind {
                Kind::Volume => "volume",
                Kind::Slots => "slots",
                Kind::Erased => "erased",
                Kind::Foreign => "foreign",
            },
            size: it.bytes,
            named: is_volume && running.plan.volumes.iter().any(|volume| volume.name == it.name),
            used_by: if is_volume { users(&running.plan, &it.name) } else { Vec::new() },
            read_errors: health.reads.load(Relaxed),
            write_errors: health.writes.load(Relaxed),
        }
    };
    listed.iter().map(status).collect()
}

impl fmt::Display for DiskStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, bytes) = (&self.name, size(self.size));
        match (self.free, &self.holds) {
            (Some(free), _) => write!(f, "{name}: {bytes}, {} free", size(free)),
            (None, holds) => write!(f, "{name}: {bytes}, no volumes: {}", holds.as_deref().unwrap_or("unknown")),
        }
    }
}

impl fmt::Display for VolumeStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let VolumeStatus { name, disk, kind, read_errors, write_errors, .. } = self;
        if *kind != "volume" {
            return write!(f, "{disk}: {kind} `{name}`, {}", size(self.size));
        }
        let use_ = match (self.used_by.as_slice(), self.named) {
            ([], false) => "unused".into(),
            ([], true) => "used by no box".into(),
            (boxes, _) => format!("used by {}", boxes.join(", ")),
        };
        write!(
            f,
            "{disk}: volume `{name}`, {}, {use_}, {read_errors} reads and {write_errors} writes failed",
            size(self.size)
        )
    }
}

fn is_named(plan: &Plan, name: &str, disk: &str) -> bool {
    plan.volumes.iter().any(|volume| volume.name == name && volume.disk == disk)
}

/// The boxes that have a volume.
fn users(plan: &Plan, name: &str) -> Vec<String> {
    let boxes = plan.boxes.iter().enumerate();
    let has = |place: usize| plan.volumes_of(place).any(|(volume, _)| volume.name == name);
    boxes.filter(|(place, _)| has(*place)).map(|(_, spec)| spec.name.clone()).collect()
}

impl Node {
    /// Deletes a volume that the running system does not name: what was in it is gone.
    pub(super) fn delete_volume(self: &Arc<Self>, by: &str, name: &str, disk: Option<&str>) -> Answer {
        if let Err(why) = self.may_delete(name, disk) {
            return Answer::Now(Response::Refused(why));
        }
        let (node, by, name, disk) = (self.clone(), by.to_string(), name.to_string(), disk.map(String::from));
        let doing = Arc::<Doing>::default();
        let done = doing.clone();
        self.executor.spawn(NORMAL_WEIGHT, async move {
            let may = || node.may_delete(&name, disk.as_deref());
            let deleted = node.platform.volumes().delete(&name, disk.as_deref(), &may);
            let outcome = patient(&node, deleted)
                .await
                .unwrap_or_else(|| Err(format!("volume `{name}`: its disk does not answer")));
            if outcome.is_ok() {
                log::of_node(node.platform, Level::Info, &format!("volume `{name}`: deleted by {by}"));
            }
            *done.outcome.lock() = Some(outcome.into());
            done.bell.ring();
        });
        Answer::Follow(Follow::Doing(doing))
    }

    fn may_delete(&self, name: &str, disk: Option<&str>) -> Result<(), String> {
        self.not_busy()?;
        let running = self.running();
        let Some(volume) = running.plan.volumes.iter().find(|volume| volume.name == name) else { return Ok(()) };
        // another one of that name, on another disk, is not what the system uses
        let used = self.platform.volumes().disk_with(volume);
        if disk.zip(used.as_deref()).is_some_and(|(disk, used)| disk != used) {
            return Ok(());
        }
        let users = users(&running.plan, name);
        let who = if users.is_empty() { String::new() } else { format!(", and {} uses it", users.join(", ")) };
        Err(format!(
            "the system that runs names volume `{name}`{who}: take [volume.{name}] out of its file and deploy that first"
        ))
    }
}
