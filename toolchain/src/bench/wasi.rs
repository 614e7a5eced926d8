//! What a request to an ordinary WASI component costs: one that is made anew for each, one that is used again, and one
//! that works on many at once.

use super::{Case, Counted};
use crate::{Launch, workspace::Workspace};
use anyhow::{Context, Result};
use std::fs;

/// The components are those of `examples/wasi`, in the place of `WASI`.
const SYSTEM: &str = r#"
[system]
name = "wasi-bench"
[box.net]
component = "net"
arrows."pearwood:hardware/nic" = { device = "nic0" }
[box.http]
component = "http"
arrows."pearwood:net/tcp" = { box = "net", listen = [80] }
arrows."pearwood:http/handler" = [
    { box = "fresh", path = "/fresh/" },
    { box = "again", path = "/again/" },
    { box = "many", path = "/relay/" },
]
[box.fresh]
component = "WASI/hello"
concurrency = 16
[box.again]
component = "WASI/hello"
concurrency = 16
reuse = true
[box.many]
component = "WASI/relay"
concurrency = 16
arrows."wasi:http/client" = []
arrows."example:numbers/arithmetic" = { box = "numbers" }
[box.numbers]
component = "WASI/trials"
arrows."wasi:http/outgoing-handler" = []
"#;

pub const CASES: [Case; 6] = [
    Case { name: "WASI 0.2, an instance each, c1", path: "/fresh/", connections: 1, requests: 1_000 },
    Case { name: "WASI 0.2, an instance each, c16", path: "/fresh/", connections: 16, requests: 2_000 },
    Case { name: "WASI 0.2, reuse, c1", path: "/again/", connections: 1, requests: 1_000 },
    Case { name: "WASI 0.2, reuse, c16", path: "/again/", connections: 16, requests: 2_000 },
    Case { name: "WASI 0.3, c1", path: "/relay/most", connections: 1, requests: 1_000 },
    Case { name: "WASI 0.3, c16", path: "/relay/most", connections: 16, requests: 2_000 },
];

/// A node with such boxes.
pub fn start() -> Result<Counted> {
    let folder = tempfile::tempdir()?;
    let wasi = Workspace::find()?.root.join("examples/wasi");
    let text = SYSTEM.replace("WASI", wasi.to_str().context("the workspace's path is no text")?);
    fs::write(folder.path().join("system.toml"), text).context("cannot write the system")?;
    let launch = Launch::prepare(folder.path())?;
    let port = *launch.http_ports().first().context("the system has no HTTP port")?;
    Ok(Counted::start(launch.reachable(), port)?.0)
}
