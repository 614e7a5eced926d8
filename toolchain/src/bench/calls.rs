//! What a typed call from box to box costs: a box that does nothing but call another, whose functions do next to
//! nothing.

use super::{Counters, PATIENCE, counters};
use crate::{Launch, node::Node};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    thread::sleep,
    time::{Duration, Instant},
};

const SYSTEM: &str = r#"
[system]
name = "calls"
[box.callee]
component = "./callee.wasm"
[box.caller]
component = "./caller.wasm"
arrows."bench:calls/api" = { box = "callee" }
"#;

/// The caller's code calls one function for ever, in the place of `CALL`.
const CALLER: &str = include_str!("calls/caller.wat");
const CALLEE: &str = include_str!("calls/callee.wat");

/// Calls that are measured, and at least as many before them.
const CALLS: u64 = 20_000;

/// A function, and how it is called.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    call: &'static str,
}

pub const CASES: [Case; 3] = [
    Case { name: "(u32, u32) -> u32", call: "(drop (call $add (i32.const 2) (i32.const 40)))" },
    Case { name: "64 bytes there and back", call: "(call $echo (i32.const 8192) (i32.const 64) (i32.const 16))" },
    Case { name: "4 KiB there and back", call: "(call $echo (i32.const 8192) (i32.const 4096) (i32.const 16))" },
];

/// Instructions for each call.
pub fn measure(case: Case) -> Result<u64> {
    let system = tempfile::tempdir()?;
    let write = |name: &str, bytes: &[u8]| fs::write(system.path().join(name), bytes).context("cannot write the boxes");
    write("system.toml", SYSTEM.as_bytes())?;
    write("callee.wasm", &wat::parse_str(CALLEE)?)?;
    write("caller.wasm", &wat::parse_str(CALLER.replace("CALL", case.call))?)?;
    let launch = Launch::prepare(system.path())?;

    let directory = tempfile::tempdir()?;
    let socket = directory.path().join("counters");
    let plugin = counters::plugin(directory.path())?;
    let machine = launch.qemu().arguments(counters::arguments(&plugin, &socket)).arguments(["-icount", "shift=0"]);
    let node = machine.start()?;
    let seen = || -> Result<(Counters, u64)> { Ok((counters::read(&socket)?, calls(&node)?)) };
    let end = Instant::now() + PATIENCE;
    let after = |begin: u64| loop {
        let (counters, calls) = seen()?;
        if calls >= begin + CALLS {
            return Ok((counters, calls));
        }
        if Instant::now() > end || node.ended().is_some() {
            bail!("{calls} calls have been made, and no more; the console ends with:\n{}", node.console().end());
        }
        sleep(Duration::from_millis(100));
    };
    let (before, begun) = after(0)?;
    let (counters, ended) = after(begun)?;
    Ok(counters.since(before).instructions / (ended - begun))
}

/// How many calls have been made over the system's only arrow.
fn calls(node: &Node) -> Result<u64> {
    let status = node.status(PATIENCE)?;
    status["arrows"][0]["requests"].as_u64().context("a status without the arrow of the calls")
}
