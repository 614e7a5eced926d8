//! What a request to an ordinary WASI component costs: one that is made anew for each, one that is used again, and one
//! that works on many at once.

use super::{Case, Counted};
use crate::{Launch, system::web, workspace::Workspace};
use anyhow::{Context, Result};
use std::fs;

const HANDLERS: &str = r#"[
    { box = "fresh", path = "/fresh/" },
    { box = "again", path = "/again/" },
    { box = "many", path = "/relay/" },
]"#;

/// The components are those of `examples/wasi`, in the place of `WASI`.
const BOXES: &str = r#"[box.fresh]
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

pub const CASES: [Case<'static>; 6] = [
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
    let boxes = BOXES.replace("WASI", wasi.to_str().context("the workspace's path is no text")?);
    fs::write(folder.path().join("system.toml"), web("wasi-bench", HANDLERS, &boxes))
        .context("cannot write the system")?;
    let launch = Launch::prepare(folder.path())?;
    let port = *launch.http_ports().first().context("the system has no HTTP port")?;
    Ok(Counted::start(launch.reachable(), port)?.0)
}
