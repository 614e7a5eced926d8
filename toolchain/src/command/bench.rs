//! `pearwood bench`

use anyhow::{Context, Result, bail};
use clap::Parser;
use pearwood::Launch;
use pearwood::bench::baseline::Baseline;
use pearwood::bench::swap::{Managed, Swap, What};
use pearwood::bench::{self, CASES, Case, Counted, PerRequest, calls, https, wasi};
use pearwood::workspace::Workspace;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What the figures are held against: Debian's kernel and nginx in the same QEMU.
const LINUX: &str = "linux-nginx";
/// The same with virtual time.
const LINUX_COUNTED: &str = "linux-nginx-vtime";

/// Instructions per request of small components under Debian's kernel and wasmtime 48 in the same QEMU.
const WASMTIME_SERVE: [(&str, [f64; 2]); 3] = [
    ("WASI 0.2", [171_963.0, 166_435.0]),
    ("WASI 0.3, Rust", [111_705.0, 111_068.0]),
    ("WASI 0.3, JavaScript", [675_679.0, f64::NAN]),
];

#[derive(Parser)]
pub struct Bench {
    /// Another system than the one that the figures of README are of: its folder or file
    system: Option<PathBuf>,
    /// What is asked for, of that system
    #[arg(long, default_value = "/", requires = "system")]
    path: String,
    /// How many connections ask for it; several numbers are measured one after the other
    #[arg(long, default_value = "1,16", value_delimiter = ',', requires = "system")]
    connections: Vec<usize>,
    /// How many requests are counted
    #[arg(long, default_value_t = 1_000, requires = "system")]
    requests: usize,
    /// The memory of that system's machine
    #[arg(long, default_value = "128M", requires = "system")]
    memory: String,
    /// Markdown tables with figures of other systems, to print beside
    #[arg(long, value_name = "FILE", env = "PEARWOOD_BASELINE")]
    baseline: Option<PathBuf>,
    /// Where the instructions go, by box and arrow
    #[arg(long)]
    detail: bool,
    /// Leave out the search for the smallest memory, which starts many nodes
    #[arg(long)]
    quick: bool,
    /// Only what a typed call from box to box costs
    #[arg(long)]
    calls: bool,
    /// Only what a request to a WASI component costs
    #[arg(long)]
    wasi: bool,
    /// Only what a request over HTTPS costs
    #[arg(long)]
    https: bool,
}

impl Bench {
    pub fn run(self) -> Result<ExitCode> {
        if let Some(system) = &self.system {
            return self.other(system);
        }
        if self.calls || self.wasi || self.https {
            if self.https {
                self.https(None)?;
            }
            if self.calls {
                typed_calls()?;
            }
            if self.wasi {
                self.wasi()?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        let baseline = self
            .baseline
            .as_ref()
            .map(|path| Baseline::read(path).with_context(|| format!("cannot read {}", path.display())));
        let baseline = baseline.transpose()?;
        let launch = Launch::prepare(&Workspace::find()?.root.join("examples/bench"))?;
        let port = *launch.http_ports().first().context("the bench's system has no HTTP port")?;
        let (node, boot) = Counted::start(launch.reachable(), port)?;

        println!("{:<44}{:>14}{:>16}", "", "Pearwood", "Linux + nginx");
        let beside = |heading: &str, scale: f64| {
            baseline.as_ref().and_then(|baseline| baseline.of_target(LINUX, heading)).map(|figure| figure * scale)
        };
        row("instructions to the first answer", boot.instructions as f64, beside("M insns to it", 1e6));
        for case in CASES {
            let measured = node.measure(case)?;
            let other = baseline.as_ref().and_then(|baseline| baseline.instructions(LINUX_COUNTED, case.name));
            let name = format!("instructions per request, {}", case.name);
            row(&name, measured.instructions as f64, other.map(|figure| figure as f64));
            if self.detail {
                detail(&measured);
            }
        }
        self.https(baseline.as_ref())?;
        typed_calls()?;
        self.wasi()?;
        let sizes = bench::size(&launch.kernel)? + bench::size(&launch.image)?;
        row("bytes of kernel and image", sizes as f64, beside("image bytes", 1.0));
        memory(&node.status()?);
        let (silent, _) = Counted::start(launch.reachable().kernel_argument("metrics=off"), port)?;
        for case in [CASES[0], CASES[2]] {
            let cost = bench::difference(&node, &silent, case)?;
            row(&format!("cost of metrics, {}", case.name), cost as f64, None);
        }
        drop(node);
        drop(silent);
        let mut managed = Managed::start()?;
        for what in What::ALL {
            let Swap { pause, usual, instructions, sent } = managed.measure(what)?;
            let name = what.name();
            row(&format!("swap of {name}: longest pause, instructions"), pause as f64, None);
            row("    from answer to answer as a rule", usual as f64, None);
            row("    instructions until it is done", instructions as f64, None);
            row("    bytes sent", sent as f64, None);
        }
        drop(managed);
        if !self.quick {
            let smallest = bench::smallest_memory(&launch, port, CASES[0].path)?;
            row("smallest memory that serves, MiB", smallest.into(), beside("smallest -m MiB", 1.0));
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Any system, beside components that answer with a line of text.
    fn other(&self, system: &Path) -> Result<ExitCode> {
        if self.connections.contains(&0) {
            bail!("`--connections` are at least 1");
        }
        let launch = Launch::prepare(system)?;
        let port = *launch.http_ports().first().context("the system has no HTTP port that can be asked")?;
        let (node, boot) = Counted::start(launch.reachable().memory(self.memory.clone()), port)?;
        let name = &launch.system.name;
        row(&format!("{name}: instructions to the first answer"), boot.instructions as f64, None);
        for &connections in &self.connections {
            let (requests, path) = (self.requests.max(connections), self.path.as_str());
            let measured = node.measure(Case { name: "", path, connections, requests })?;
            let what = format!("{name}{path}: instructions per request, c{connections}");
            row(&what, measured.instructions as f64, None);
            if self.detail {
                detail(&measured);
            }
        }
        memory(&node.status()?);
        println!("\nFor comparison, a line of text under Linux and `wasmtime serve`, c1 and c16:");
        for (what, figures) in WASMTIME_SERVE {
            println!("    {what:<40}{:>14}{:>16}", grouped(figures[0]), grouped(figures[1]));
        }
        Ok(ExitCode::SUCCESS)
    }

    fn https(&self, baseline: Option<&Baseline>) -> Result<()> {
        for lends in [true, false] {
            let node = https::Https::start(lends)?;
            for case in https::CASES {
                let measured = node.measure(case)?;
                let other = baseline.and_then(|baseline| baseline.instructions(LINUX_COUNTED, case.name));
                let how = if lends { "" } else { ", in wasm" };
                let name = format!("instructions per request, {}{how}", case.name);
                row(&name, measured.instructions as f64, other.map(|figure| figure as f64));
                if self.detail {
                    detail(&measured);
                }
            }
        }
        Ok(())
    }

    fn wasi(&self) -> Result<()> {
        let node = wasi::start()?;
        for case in wasi::CASES {
            let measured = node.measure(case)?;
            row(&format!("instructions per request, {}", case.name), measured.instructions as f64, None);
            if self.detail {
                detail(&measured);
            }
        }
        Ok(())
    }
}

fn typed_calls() -> Result<()> {
    for case in calls::CASES {
        row(&format!("instructions per typed call, {}", case.name), calls::measure(case)? as f64, None);
    }
    Ok(())
}

fn row(name: &str, own: f64, other: Option<f64>) {
    let other = other.map_or_else(|| "-".to_string(), grouped);
    println!("{name:<44}{:>14}{other:>16}", grouped(own));
}

/// `1,234,567`
fn grouped(figure: f64) -> String {
    if figure.is_nan() {
        return "-".into();
    }
    if figure < 0.0 {
        return format!("-{}", grouped(-figure));
    }
    let digits = format!("{figure:.0}");
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}

/// Where a request's instructions go. What no box used is the node's: drivers, queues, scheduling, console.
fn detail(measured: &PerRequest) {
    let mut boxes = 0.0;
    for share in &measured.boxes {
        boxes += share.instructions;
        println!("    {:<40}{:>14.0}   {:.2} turns", share.name, share.instructions, share.turns);
    }
    println!("    {:<40}{:>14.0}", "outside of boxes", measured.instructions as f64 - boxes);
    println!("    {:<40}{:>14}", "(iterations of REP instructions besides)", measured.repeats);
    for share in measured.arrows.iter().filter(|share| share.batches > 0.0) {
        let arrow = format!("{} -> {} {}", share.from, share.to, share.interface);
        println!("    {arrow:<56} {:.2} batches of {:.0} bytes", share.batches, share.bytes / share.batches);
    }
}

fn memory(status: &serde_json::Value) {
    let kib = |value: &serde_json::Value| value.as_f64().unwrap_or_default() / 1024.0;
    row("KiB of frames in use", kib(&status["memory"]["frames"]), None);
    row("KiB of heap in use", kib(&status["memory"]["heap"]), None);
    for one in status["boxes"].as_array().into_iter().flatten() {
        let name = format!("KiB of linear memory of {}", one["name"].as_str().unwrap_or("?"));
        row(&name, kib(&one["memory"]), None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_in_groups_of_three() {
        for (figure, text) in
            [(0.0, "0"), (999.4, "999"), (1_000.0, "1,000"), (1_234_567.0, "1,234,567"), (-150.0, "-150")]
        {
            assert_eq!(grouped(figure), text);
        }
    }
}
