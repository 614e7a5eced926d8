//! `pearwood graph`

use super::table::{bytes, short};
use super::{On, system_path};
use anyhow::{Context, Result};
use clap::Args;
use manage::Request;
use pearwood::remote::{At, BoxStatus, Description, MaybeAt, Rates};
use pearwood::system::System;
use pearwood::system::graph::{self, Figures, Ground};
use pearwood::{build, linux};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

/// Between the two looks at a node that make its rates.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Args)]
pub struct Graph {
    /// The system's folder or file; not with a node
    system: Option<PathBuf>,
    /// Where the SVG goes; without, to standard output
    #[arg(short, long)]
    output: Option<PathBuf>,
    /// As it runs there: what the platform does itself is drawn as such
    #[arg(long)]
    on: Option<On>,
    /// With a node: the system that runs there, with its rates; as text, unless a file for the SVG is named
    #[command(flatten)]
    at: MaybeAt,
}

impl Graph {
    pub fn run(self) -> Result<ExitCode> {
        let declared = self.system.is_some() || self.on.is_some();
        let drawing = match self.at.named() {
            Some(at) if !declared => of_node(&at, self.output.is_some())?,
            _ => {
                let ground = match self.on {
                    None => Ground::default(),
                    Some(On::Qemu) => Ground { note: "in QEMU", ..Ground::default() },
                    Some(On::Linux) => linux::GROUND,
                };
                build::svg(&build::parse(&system_path(self.system)?)?, ground)
            }
        };
        match self.output {
            Some(output) => {
                std::fs::write(&output, drawing).with_context(|| format!("cannot write {}", output.display()))?
            }
            None => println!("{}", drawing.trim_end()),
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The system of a node, with what goes on in a second.
fn of_node(at: &At, as_svg: bool) -> Result<String> {
    let mut remote = at.connect()?;
    let text = remote.text(&Request::System)?;
    let parsed = System::parse("system.toml", &text).ok();
    let system = parsed.with_context(|| format!("node {} runs a system that is not understood", remote.node))?;
    let before = remote.describe()?;
    thread::sleep(LOOK);
    let now = remote.describe()?;
    let figures = figures(&before, &now);
    let stands_in = |one: &&BoxStatus| one.phase == "stand-in";
    let stand_ins = now.boxes.iter().filter(stands_in).map(|one| (one.component.as_str(), "the platform"));
    let stand_ins: Vec<_> = stand_ins.collect();
    let ground = Ground { note: "as it runs", stand_ins: &stand_ins, figures: Some(&figures) };
    Ok(if as_svg { graph::svg(&system, ground) } else { graph::text(&system, ground) })
}

fn figures(before: &Description, now: &Description) -> Figures {
    let mut figures = Figures::default();
    let nanos = now.uptime.saturating_sub(before.uptime).max(1);
    for one in now.boxes.iter().filter(|one| one.phase != "stand-in") {
        let was = before.boxes.iter().find(|was| was.name == one.name).map_or(0, |was| was.cpu);
        let permille = u128::from(one.cpu.saturating_sub(was)) * 1_000 / u128::from(nanos);
        let mut text = format!("CPU {}.{} % · {}", permille / 10, permille % 10, bytes(one.memory));
        if one.phase != "running" {
            text.clone_from(&one.phase);
        }
        if one.restarts > 0 {
            text += &format!(" · {} restarts", one.restarts);
        }
        figures.boxes.insert(one.name.clone(), text);
    }
    for arrow in &now.arrows {
        let rates = Rates::of(before, arrow, nanos);
        let mut parts = Vec::new();
        if let Some(calls) = rates.calls.filter(|calls| *calls > 0) {
            parts.push(format!("{calls}/s"));
        }
        parts.extend(rates.p50.map(short));
        parts.push(format!("{}/s", bytes(rates.sent + rates.received)));
        if rates.errors > 0 {
            parts.push(format!("{} errors/s", rates.errors));
        }
        let key = (arrow.from.clone(), arrow.to.clone(), arrow.interface.clone());
        figures.arrows.insert(key, parts.join(" · "));
    }
    figures
}
