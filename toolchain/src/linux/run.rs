//! A node in this process.

use super::{FileDisk, Linux, block_on, deploy, serve_sockets};
use crate::build::{self, Target};
use crate::keys;
use crate::node::{DiskFile, Forward, Protocol};
use crate::system::SystemDisk;
use crate::system::graph::Ground;
use crate::workspace::Workspace;
use anyhow::{Context, Result, anyhow};
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use wasm_host::engine::LINUX_TRIPLE;
use wasm_host::node::{Node, Setup};
use wasm_host::platform::Platform;

/// The component that Linux stands in for.
const NET: &str = "net";

/// What a node beside Linux is, on a drawing.
pub const GROUND: Ground<'static> =
    Ground { note: "beside Linux", stand_ins: &[(NET, "Linux's sockets")], figures: None };

/// Builds a system and runs it until it is powered off, which ends the process.
///
/// Ports that are not in `forwards` get familiar ones. `ready` is told which port of this machine leads to which of
/// the node's, before the node runs.
pub fn run(
    path: &Path,
    forwards: &[Forward],
    disks: &[DiskFile],
    ready: impl FnOnce(&build::Components, &[(Protocol, u16, u16)]),
) -> Result<()> {
    let system = build::components(path)?;
    let key = build::development_key()?;
    let packed = build::pack(&system, Target::Native, &key, None)?;
    let ports = ports(&system, forwards)?;

    let log = Workspace::find()?.run_directory(&system.system.name)?.join("console.log");
    let log = File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
    let secret = keys::sealing(&system.system.name)?;
    let secret = wasm_host::platform::read_secret(&secret).context("the node's secret")?;
    let linux = Linux::new(Some(log), secret)?;
    for disk in disks {
        disk.prepare()?;
        let opened = FileDisk::open(&disk.path, || linux.notify());
        linux.add_disk(Arc::new(opened.with_context(|| format!("disk {}", disk.path.display()))?));
    }
    if let Some(disk) = &system.system.disk {
        keep(linux, disk).with_context(|| format!("{}: the system's slots", disk.device))?;
    }
    let trusted = [key.public()];
    let image = Arc::new(packed.open_for(|| linux.notify(), &trusted)?);
    // what is still read of it is open; a process that is ended would leave the file
    drop(packed);
    let setup =
        Setup { platform: linux, image, target: LINUX_TRIPLE, configure: |_| {}, trusted: &trusted, stand_ins: &[NET] };
    let node = Node::start(setup).map_err(|error| anyhow!("{error}"))?;
    linux.tick(node.engines());
    let addresses = |(_, host, guest): &(Protocol, u16, u16)| (*guest, SocketAddr::from((Ipv4Addr::LOCALHOST, *host)));
    for spec in system.system.boxes.iter().filter(|spec| spec.component == [NET]) {
        let handle = node.find(&spec.name).context("a box that the system has is not on the node")?;
        serve_sockets(linux, &node, handle.clone(), ports.iter().map(addresses).collect())?;
    }
    ready(&system, &ports);
    let (deployed, path) = (node.clone(), path.to_path_buf());
    linux.read_stdin(move |line| deploy::obey(linux, &deployed, &path, line));
    node.run()
}

/// Where systems that are deployed are kept. What runs at first is nevertheless what was built from the sources.
fn keep(linux: &Linux, declared: &SystemDisk) -> Result<()> {
    if linux.disk(&declared.device).is_none() {
        eprintln!("this node has no {}, so no other system can be kept; --disk FILE gives it one", declared.device);
        return Ok(());
    }
    let mut tell = |line| eprintln!("{}: {line}", declared.device);
    let slots = linux.volumes().slots(linux, &declared.device, Some(declared.reserve), &mut tell);
    if let Some(store) = block_on(slots).map_err(|why| anyhow!("{why}"))? {
        linux.keep_in(Arc::new(store));
    }
    Ok(())
}

/// Protocol, port of this machine, port of the node.
fn ports(system: &build::Components, forwards: &[Forward]) -> Result<Vec<(Protocol, u16, u16)>> {
    let listening = crate::launch::ports(&system.system).into_iter().map(|(protocol, port)| {
        let given = forwards.iter().find(|forward| (forward.protocol, forward.guest) == (protocol, port));
        let forward = given.copied().unwrap_or(Forward::familiar(protocol, port));
        Ok((protocol, forward.choose()?, port))
    });
    listening.collect()
}
