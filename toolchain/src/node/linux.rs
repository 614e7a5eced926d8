//! Nodes that are processes of this machine.

use super::disks::DiskFile;
use super::ports::{Forward, Protocol};
use super::running::{End, Node};
use anyhow::Result;
use std::path::Path;
use std::process::{Command, ExitStatus};

/// Runs a system with the `pearwood` program given.
pub fn linux(
    program: &Path,
    system: &Path,
    forwards: impl IntoIterator<Item = Forward>,
    disks: &[DiskFile],
) -> Result<Node> {
    let choose = |forward: Forward| Ok((forward.protocol, forward.choose()?, forward.guest));
    let forwards = forwards.into_iter().map(choose).collect::<Result<Vec<_>>>()?;
    let mut command = Command::new(program);
    command.arg("up").arg(system).args(["--on", "linux"]);
    for (protocol, host, guest) in &forwards {
        let protocol = match protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        command.args(["--port", &format!("{host}:{guest}/{protocol}")]);
    }
    for disk in disks {
        disk.prepare()?;
        command.arg("--disk").arg(&disk.path);
    }
    let node = Node::spawn(command, forwards, None, false, end)?;
    node.wait_until_running()?;
    Ok(node)
}

fn end(status: ExitStatus) -> End {
    match status.code() {
        Some(0) => End::Off,
        Some(3) => End::Reboot,
        _ => End::Broken(status),
    }
}
