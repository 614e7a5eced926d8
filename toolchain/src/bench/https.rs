//! What a request costs that comes through `tls`: with the processor's cryptography, which the node lends, and without.

use super::{
    Counted, PerRequest,
    client::{Client, Opens},
    two::Two,
};
use crate::{Launch, launch, node::DiskFile, workspace::Workspace};
use anyhow::{Context, Result};
use std::fs;
use tempfile::TempDir;

/// `LENT` is an arrow or nothing, `PUBLIC` the folder of the bench's files. Port 80 is where the node is waited for.
const SYSTEM: &str = r#"[system]
name = "https-bench"
[box.net]
component = "net"
arrows."pearwood:hardware/nic" = { device = "nic0" }
[box.tls]
component = "tls"
config.certificates = [{ names = ["localhost"] }]
arrows."pearwood:net/tcp" = { box = "net", listen = [443] }
arrows."pearwood:keys/tls" = { box = "keys" }
LENT
[box.keys]
component = "keys"
arrows."pearwood:hardware/block" = { device = "disk0" }
LENT
[box.http]
component = "http"
config.ports = [80, 443]
arrows."pearwood:net/tcp" = [{ box = "net", listen = [80] }, { box = "tls", listen = [443] }]
arrows."pearwood:http/handler" = { box = "site" }
[box.site]
component = "site"
assets = "PUBLIC"
"#;

const LENT: &str = "arrows.\"pearwood:hardware/crypto\" = { node = true }";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Connections {
    Kept(usize),
    /// One of HTTP/2, with so many streams at once.
    Streams(usize),
    /// One for each request, with a whole handshake.
    Fresh,
    /// One for each request, which goes on with the session of one before.
    Resumed,
}

/// One way to ask for a file, again and again.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// as the baseline names it
    pub name: &'static str,
    path: &'static str,
    connections: Connections,
    requests: usize,
}

/// In the order of [`super::CASES`].
pub const CASES: [Case; 6] = [
    Case { name: "https 1k keep-alive c1", path: "/1k.bin", connections: Connections::Kept(1), requests: 500 },
    Case { name: "https 100k keep-alive c1", path: "/100k.bin", connections: Connections::Kept(1), requests: 100 },
    Case { name: "https 1k keep-alive c16", path: "/1k.bin", connections: Connections::Kept(16), requests: 1_000 },
    Case {
        name: "https 1k h2 c1, 16 streams",
        path: "/1k.bin",
        connections: Connections::Streams(16),
        requests: 1_000,
    },
    Case { name: "https 1k new connection c1", path: "/1k.bin", connections: Connections::Fresh, requests: 50 },
    Case { name: "https 1k new connection, resumed", path: "/1k.bin", connections: Connections::Resumed, requests: 50 },
];

/// A node whose instructions are counted.
pub struct Https {
    node: Counted,
    port: u16,
    /// with the disk of its keys
    _folder: TempDir,
}

impl Https {
    /// `lends`: whether its boxes have the processor's cryptography.
    pub fn start(lends: bool) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let public = Workspace::find()?.root.join("examples/bench/public");
        let system = SYSTEM.replace("PUBLIC", public.to_str().context("the workspace's path is no text")?);
        let system = system.replace("LENT", if lends { LENT } else { "" });
        fs::write(folder.path().join("system.toml"), system).context("cannot write the system")?;
        let launch = Launch::prepare(folder.path())?;
        let port = *launch.http_ports().first().context("the system has no HTTP port")?;
        let tls = *launch::https_ports(&launch.system).first().context("the system has no HTTPS port")?;
        let disk = DiskFile::new(folder.path().join("disk.img"), 4 << 20);
        let node = Counted::start(launch.reachable().disk(disk), port)?.0;
        let port = node.node.port(tls);
        Ok(Https { node, port, _folder: folder })
    }

    pub fn measure(&self, case: Case) -> Result<PerRequest> {
        if let Connections::Streams(count) = case.connections {
            let mut client = Two::new(Opens::tls(self.port, false, &[b"h2"])?.open()?, case.path, count)?;
            return self.node.measured(case.requests, |requests| client.run(requests));
        }
        let opens = Opens::tls(self.port, case.connections == Connections::Resumed, &[])?;
        let count = if let Connections::Kept(count) = case.connections { count } else { 1 };
        let mut client = Client::connect(opens, case.path, count)?;
        self.node.measured(case.requests, |requests| match case.connections {
            Connections::Fresh | Connections::Resumed => client.run_fresh(requests),
            Connections::Kept(_) | Connections::Streams(_) => client.run(requests),
        })
    }
}
